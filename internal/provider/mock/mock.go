// Package mock is the simulated provider: it answers like OpenAI's Chat
// Completions, Responses and Embeddings and Anthropic's Messages, fails as it
// is told to, and keeps a ledger of every request it saw. Tests, the demo and
// the mock command share it. What it says follows from the request alone, so
// that two runs give the same answer; it judges no keys.
//
// What it says: "You said: " and the last user message; a call of the first
// tool where the request has tools and that message speaks of the weather, or
// where the request demands a tool; "The tool said: " and the result after
// that; a JSON value made from the schema where structured output is asked for.
//
// Usage: a token is four bytes, begun ones count whole. The prompt is all text
// of system and messages plus the tools' JSON, plus 85 tokens for an image; half
// of it is read from the cache if the request holds a cache_control.
// Completion is reasoning, text and tool arguments.
package mock

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"model-proxy/internal/llm"
)

// Options are the fixed settings of a Mock. The zero value answers everything
// at once and well.
type Options struct {
	// Fault holds for every request, unless its script, key or headers say otherwise.
	Fault Fault
	// Models are listed at /v1/models; nil means a few made-up names. Any
	// model is served.
	Models []string
}

// Mock is the simulated provider. It is an http.Handler, safe for concurrent
// use. Any path that ends like one of the API's is served, so that every
// base URL works; Azure's deployments paths name the model.
type Mock struct {
	// Fixed at construction.
	base   Fault
	models []string
	ledger *ledger
	closed chan struct{} // closed by Close

	pool sync.Pool // of *frames

	mu     sync.Mutex // guards the rest
	script func(*Request) *Fault
	keys   map[string]Fault
	ended  bool
}

// New returns a Mock. Close it to let go of requests that are stalled.
func New(o Options) *Mock {
	if o.Models == nil {
		o.Models = []string{"gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "text-embedding-3-small"}
	}
	return &Mock{
		base: o.Fault, models: o.Models, ledger: newLedger(), closed: make(chan struct{}),
		keys: map[string]Fault{}, pool: sync.Pool{New: func() any { return new(frames) }},
	}
}

// Script sets the function that chooses a fault for each request; nil from it
// means none of its own. It runs on the request's goroutine.
func (m *Mock) Script(f func(*Request) *Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.script = f
}

// FailKey makes every request with the given API key fail. The zero Fault heals it.
func (m *Mock) FailKey(key string, f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[key] = f
}

// Close ends every wait of a request under way, as if its client had gone.
func (m *Mock) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.ended = true
		close(m.closed)
	}
}

// fault is what will go wrong with r: headers before key and script before options.
func (m *Mock) fault(r *Request) (Fault, error) {
	m.mu.Lock()
	script, byKey := m.script, m.keys[r.Key]
	m.mu.Unlock()
	f := m.base.with(byKey)
	if script != nil {
		if s := script(r); s != nil {
			f = f.with(*s)
		}
	}
	asked, err := headerFault(r.Header)
	return f.with(asked), err
}

// Request is one request as the mock understands it.
type Request struct {
	Seq      int64 // 1 for the first
	Endpoint llm.Endpoint
	Header   http.Header
	Key      string // the API key as sent, without Bearer; "" if none
	Model    string
	Stream   bool
	Body     []byte
}

// endpoints finds the API by the end of the path; the first match counts.
var endpoints = [...]struct {
	suffix   string
	endpoint llm.Endpoint
}{
	{"/chat/completions", llm.ChatCompletions},
	{"/messages/count_tokens", llm.CountTokens},
	{"/messages", llm.Messages},
	{"/responses/input_tokens", llm.ResponsesTokens},
	{"/responses", llm.ResponsesAPI},
	{"/embeddings", llm.Embeddings},
}

func endpointOf(path string) (llm.Endpoint, bool) {
	for _, e := range endpoints {
		if strings.HasSuffix(path, e.suffix) {
			return e.endpoint, true
		}
	}
	return "", false
}

func (m *Mock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_mock/requests" {
		m.serveLedger(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone; there is nobody to answer
	}
	rec := m.ledger.begin(r, body)
	a := &answering{mock: m, w: w, r: r, rec: rec}
	defer func() { m.ledger.end(rec, a.outcome) }() // also where a fault cuts the connection
	a.serve(body)
}

// serve answers one request by its path.
func (a *answering) serve(body []byte) {
	method, path := a.r.Method, a.r.URL.Path
	endpoint, ok := endpointOf(path)
	switch {
	case ok && method == http.MethodPost:
		a.post(endpoint, body)
	case method == http.MethodGet && strings.Contains(path, "/models"):
		a.listModels()
	default:
		a.fail(llm.ChatCompletions, Fault{Status: http.StatusNotFound, ErrorMessage: "no such path: " + method + " " + path})
	}
}

// post answers a call of one of the APIs.
func (a *answering) post(endpoint llm.Endpoint, body []byte) {
	p, err := parse(endpoint, body)
	if p.model == "" {
		p.model = deployment(a.r.URL.Path)
	}
	req := &Request{
		Seq: a.rec.Seq, Endpoint: endpoint, Header: a.r.Header, Key: keyOf(a.r),
		Model: p.model, Stream: p.stream, Body: body,
	}
	a.mock.ledger.understood(a.rec, p.model, p.stream)
	f, faultErr := a.mock.fault(req)
	if err == nil {
		err = faultErr
	}
	if err != nil {
		a.fail(endpoint, Fault{Status: http.StatusBadRequest, ErrorMessage: err.Error()})
		return
	}
	if !a.wait(f.TTFT) {
		return
	}
	switch {
	case f.Status >= 300:
		a.fail(endpoint, f)
	case endpoint == llm.CountTokens:
		a.plain(f, appendf(nil, `{"input_tokens":%d}`, p.tokens))
	case endpoint == llm.ResponsesTokens:
		a.plain(f, appendf(nil, `{"object":"response.input_tokens","input_tokens":%d}`, p.tokens))
	case endpoint == llm.Embeddings:
		a.plain(f, embeddings(p))
	case p.stream:
		a.stream(f, endpoint, compose(p, f, a.rec.Seq), p)
	case f.FirstEventError:
		a.outcome = OutcomeError
		a.write(http.StatusOK, errorBody(endpoint.Protocol(), f))
	default:
		a.plain(f, wires[endpoint].plain(compose(p, f, a.rec.Seq), p))
	}
}

// deployment is the model in one of Azure's paths, "" in any other.
func deployment(path string) string {
	_, rest, ok := strings.Cut(path, "/deployments/")
	if !ok {
		return ""
	}
	model, _, _ := strings.Cut(rest, "/")
	return model
}
