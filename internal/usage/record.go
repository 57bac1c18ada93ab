// Package usage is what each request leaves behind: the request and attempt
// records, their form on the bus, and the Packer that gets them there without
// making the request path wait. It knows nothing of NATS or of a database:
// publishing is given to it, storing is logsink's work.
package usage

import (
	"encoding/json"
	"time"

	"model-proxy/internal/llm"
)

// Outcome is how a request or an attempt ended.
type Outcome string

const (
	OK    Outcome = "ok"
	Error Outcome = "error" // attempt: the upstream said so

	// Of a request only.
	Incomplete Outcome = "incomplete"  // ended after the first answer byte, or its ingress died
	ClientGone Outcome = "client_gone" // the client hung up or took no byte for too long
	Expired    Outcome = "expired"     // the deadline passed in the queue

	// Of an attempt only.
	Cut        Outcome = "cut"       // ended without its proper end, or not understood
	TimedOut   Outcome = "timeout"   // Attempt.Timer says which
	Cancelled  Outcome = "cancelled" // stopped by us
	WorkerLost Outcome = "worker_lost"
	Fenced     Outcome = "fenced" // superseded while it ran
)

// IngressLost is the error_type of a request whose ingress died before it
// wrote the request's record.
const IngressLost = "ingress_lost"

// Request is the record of one request that was admitted to the queue. The
// JSON keys are also the columns of the store, in this order. A number that
// is not known is 0, but for a cost, which is then nil.
type Request struct {
	JobID          string       `json:"job_id"` // UUIDv7, the key
	Time           Time         `json:"time"`   // when the request was read
	RequestID      string       `json:"request_id"`
	TraceID        string       `json:"trace_id"`
	ClientID       string       `json:"client_id"`
	Endpoint       llm.Endpoint `json:"endpoint"`
	ClientProtocol llm.Protocol `json:"client_protocol"`
	Stream         bool         `json:"stream"`
	Priority       string       `json:"priority"`     // high | normal | low
	Model          string       `json:"model"`        // as asked
	ServedModel    string       `json:"served_model"` // the logical model that answered
	ConfigRevision string       `json:"config_revision"`
	Provider       string       `json:"provider"`
	UpstreamModel  string       `json:"upstream_model"`
	RouteID        string       `json:"route_id"`
	KeyFP          string       `json:"key_fp"` // config.Secret.Fingerprint
	Attempts       int          `json:"attempts"`
	Deliveries     int          `json:"deliveries"`
	Outcome        Outcome      `json:"outcome"`
	Status         int          `json:"status"` // HTTP status the client got
	ErrorType      string       `json:"error_type"`
	ErrorMessage   string       `json:"error_message"`
	Spend                       // tokens of the attempt that answered or came last, cost of all
	PriceVersion   string       `json:"price_version"`
	QueueMS        float64      `json:"queue_ms"`
	TTFTMS         float64      `json:"ttft_ms"` // request read to first content written; 0 if none was
	TotalMS        float64      `json:"total_ms"`
	BytesIn        int64        `json:"bytes_in"`
	BytesOut       int64        `json:"bytes_out"`
	Chunks         int64        `json:"chunks"`
	IngressID      string       `json:"ingress_id"`
	WorkerID       string       `json:"worker_id"`

	// Params is a JSON object of temperature, max_tokens and the like; nil
	// means none. Warnings are those of X-Model-Proxy-Warnings.
	Params   json.RawMessage `json:"params"`
	Warnings []string        `json:"warnings"`
}

// LoseIngress makes r the row of a request whose ingress died before it wrote one.
func (r *Request) LoseIngress() {
	r.Outcome, r.ErrorType = Incomplete, IngressLost
	r.ErrorMessage = "the ingress that held this request died"
	if r.UsageSource == "" {
		r.UsageSource = llm.UsageNone
	}
}

// Attempt is the record of one call to an upstream; JobID and Attempt are its
// key. The JSON keys are also the columns of the store, in this order.
type Attempt struct {
	JobID            string       `json:"job_id"`
	Attempt          int          `json:"attempt"` // from 1, counts on over deliveries
	Time             Time         `json:"time"`    // when it began
	RequestID        string       `json:"request_id"`
	Delivery         int          `json:"delivery"`
	Provider         string       `json:"provider"`
	UpstreamModel    string       `json:"upstream_model"`
	RouteID          string       `json:"route_id"`
	KeyFP            string       `json:"key_fp"`
	UpstreamProtocol llm.Protocol `json:"upstream_protocol"`
	Outcome          Outcome      `json:"outcome"`
	Action           string       `json:"action"` // what the error made us do (router.Action)
	Timer            string       `json:"timer"`  // connect | first_token | idle | total, for outcome timeout
	Status           int          `json:"status"` // the upstream's; 0 if it never answered
	ErrorType        string       `json:"error_type"`
	ErrorMessage     string       `json:"error_message"`
	Spend
	TTFTMS   float64 `json:"ttft_ms"`
	TotalMS  float64 `json:"total_ms"`
	WorkerID string  `json:"worker_id"`
}

// Spend is what a record used: tokens, where their numbers come from, and
// their price. PromptTokens includes cached reads and writes,
// CompletionTokens includes reasoning.
type Spend struct {
	PromptTokens      int64           `json:"prompt_tokens"`
	CachedReadTokens  int64           `json:"cached_read_tokens"`
	CachedWriteTokens int64           `json:"cached_write_tokens"`
	CompletionTokens  int64           `json:"completion_tokens"`
	ReasoningTokens   int64           `json:"reasoning_tokens"`
	UsageSource       llm.UsageSource `json:"usage_source"`

	// CachedWrite1hTokens are those of CachedWriteTokens that are kept for an
	// hour, which costs more. They are in no column: a store keeps them where a
	// cost can be reckoned anew.
	CachedWrite1hTokens int64 `json:"-"`

	// ServiceTier is llm.Usage.Tier; likewise in no column.
	ServiceTier string `json:"-"`

	// CostNanoUSD is in nano-dollars and is set by whoever writes the record;
	// nil means that no price is known. The store never computes it.
	CostNanoUSD *int64 `json:"cost_nano_usd"`
}

// SpendOf returns the token columns for u, without a cost.
func SpendOf(u llm.Usage) Spend {
	s := Spend{
		PromptTokens:      u.Prompt,
		CachedReadTokens:  u.CachedRead,
		CachedWriteTokens: u.CachedWrite,
		CompletionTokens:  u.Completion,
		ReasoningTokens:   u.Reasoning,
		UsageSource:       u.Source,

		CachedWrite1hTokens: u.CachedWrite1h,
		ServiceTier:         u.Tier,
	}
	if s.UsageSource == "" {
		s.UsageSource = llm.UsageNone
	}
	return s
}

// Usage is the reverse of SpendOf.
func (s *Spend) Usage() llm.Usage {
	return llm.Usage{Prompt: s.PromptTokens, CachedRead: s.CachedReadTokens, CachedWrite: s.CachedWriteTokens, CachedWrite1h: s.CachedWrite1hTokens,
		Completion: s.CompletionTokens, Reasoning: s.ReasoningTokens, Source: s.UsageSource, Tier: s.ServiceTier}
}

// Body is what LOG_BODIES keeps of a request. A large one travels in several
// parts, which the store puts together again in the order of Part.
type Body struct {
	JobID    string
	Part     int // from 0; set by Packer
	Request  []byte
	Response []byte
}

// MS is d in milliseconds, to the microsecond, as the *_ms columns hold it.
func MS(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
