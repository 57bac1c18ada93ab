// Package router decides which route and key a job tries next and what an
// upstream error means for it. It is a pure function of the configuration, the
// job, the answers of its Pool and the outcomes so far: no I/O, no goroutines,
// no clock but the one passed in. Knowing which keys rest is keysvc's work,
// making the call is provider's.
//
// A worker uses it so:
//
//	walk, err := router.Start(snapshot, job)
//	for {
//		step, err := walk.Next(time.Now(), keys) // err: what the client is told
//		// wait step.Wait, make the attempt
//		keys.Report(walk.Served(time.Now(), firstToken))   // it answered: done
//		verdict := walk.Failed(time.Now(), failure)        // it did not
//		keys.Report(verdict.Report)
//		// verdict.Final is set where nothing more may be tried
//	}
package router

import (
	"net/http"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// Job is what the router needs to know of one request.
type Job struct {
	Model    string       // logical model, as the client asked
	Protocol llm.Protocol // the client's
	Endpoint llm.Endpoint
	Deadline time.Time // zero: none
	Affinity uint64    // from Affinity; 0: take turns
	Attempts int       // made by earlier deliveries; the first Step is number Attempts+1
	Seed     uint64    // of the jitter and of strategy weighted; any value, best one of the job's own
}

// Step is one attempt to make.
type Step struct {
	Route        *config.Route
	LogicalModel string       // the model whose route this is, another one after a fallback
	Protocol     llm.Protocol // to speak upstream: the client's own where the route lists it
	Key          config.Key
	KeyIndex     int           // of Key in Route.Keys
	Attempt      int           // counts from 1 and on over deliveries
	Timers       config.Timers // the route's, none longer than what is left until the deadline
	Wait         time.Duration // pause before the attempt; not 0 on a retry only
	// SupplyToolResults asks for the missing tool results to be added to the
	// request (auto_fix_tool_responses).
	SupplyToolResults bool
}

// Pool is what keysvc knows: who rests, whose turn it is, how fast routes are.
type Pool interface {
	// Resting returns the longest rest that keeps a key from a model at now: the
	// provider's, the key's own or that of the key for this model. Its For is
	// what is left; 0 means that the key is usable.
	Resting(now time.Time, provider, fp, model string) llm.Rest

	// Admit asks to send one request to a provider's model at now. The answer is
	// a rest if its breaker is open, For being what is left, and the zero Rest
	// if the request may go. After the rest of a breaker it grants one probe in
	// the whole cluster, which may take a round trip on the bus.
	Admit(now time.Time, provider, model string) llm.Rest

	// Pick takes one of keys, among being the indices to choose from (never
	// empty), and returns its index. Affinity 0 means to take turns.
	Pick(now time.Time, provider, model string, keys []config.Key, among []int, affinity uint64) int

	// Latency is the mean time to first token of late, 0 if not known.
	Latency(now time.Time, provider, model string) time.Duration
}

// Fault says how an attempt failed.
type Fault string

const (
	Answered  Fault = "answered"  // an error status, or an error event or body in a 200
	Dial      Fault = "dial"      // no connection: nothing was sent
	Timeout   Fault = "timeout"   // one of our timers ran out
	Cut       Fault = "cut"       // the connection or the event stream ended before its time
	Malformed Fault = "malformed" // an answer that could not be understood
	Unfit     Fault = "unfit"     // the request cannot be put into the route's protocol: nothing was sent
)

// Failure is the end of an attempt that did not serve the request.
type Failure struct {
	Fault  Fault
	Timer  string      // with Timeout: connect, first_token, idle or total
	Status int         // with Answered: the HTTP status, 200 if the error came in a stream or body
	Header http.Header // with Answered
	Body   []byte      // with Answered: the error body, or the data of the error event
	// Told is what convert makes of the answer for the client. Where it is nil
	// the client gets a message of the router's own.
	Told *llm.Error
	// Unasked says that the gateway itself gave the answer in place of the
	// upstream, of whose health it tells nothing.
	Unasked bool
	// Sent says that an answer byte has reached the client: nothing may be
	// tried after that.
	Sent bool
}

// Verdict is what a failure means.
type Verdict struct {
	Action Action
	Class  Class
	Report llm.Report
	Final  *llm.Error // what the client is told if nothing more may be tried; else nil
}
