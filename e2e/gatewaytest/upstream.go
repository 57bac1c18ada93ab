package gatewaytest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"model-proxy/internal/provider/mock"
)

// Upstream is the simulated provider behind a real port, with a copy of every
// byte it has answered.
type Upstream struct {
	*mock.Mock
	URL string // without /v1

	t       testing.TB
	mu      sync.Mutex // guards the rest
	taps    []*tap     // answers, in the order of their requests
	instead http.Handler
}

// NewUpstream starts a simulated provider that ends with the test.
func NewUpstream(t testing.TB, o mock.Options) *Upstream {
	t.Helper()
	u := &Upstream{Mock: mock.New(o), t: t}
	srv := httptest.NewServer(http.HandlerFunc(u.serve))
	u.URL = srv.URL
	t.Cleanup(srv.Close)
	t.Cleanup(u.Mock.Close)
	return u
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	one := &tap{ResponseWriter: w, asked: string(body), at: time.Now()}
	u.mu.Lock()
	u.taps = append(u.taps, one)
	instead := u.instead
	u.mu.Unlock()
	if instead != nil {
		instead.ServeHTTP(one, r)
		return
	}
	u.ServeHTTP(one, r)
}

// Instead makes h answer in place of the simulated provider. The ledger then
// sees nothing.
func (u *Upstream) Instead(h http.Handler) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.instead = h
}

// Sent are the bytes of each answer body so far, in the order of the requests.
func (u *Upstream) Sent() []string {
	u.mu.Lock()
	taps := slices.Clone(u.taps)
	u.mu.Unlock()
	sent := make([]string, len(taps))
	for i, one := range taps {
		sent[i] = one.String()
	}
	return sent
}

// Call is one call of the provider.
type Call struct {
	At          time.Time
	Asked, Sent string // the bodies
}

// Calls are all calls so far, in the order of their arrival.
func (u *Upstream) Calls() []Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	calls := make([]Call, len(u.taps))
	for i, one := range u.taps {
		calls[i] = Call{one.at, one.asked, one.String()}
	}
	return calls
}

// LastSent is the newest answer's body.
func (u *Upstream) LastSent() string {
	sent := u.Sent()
	if len(sent) == 0 {
		return ""
	}
	return sent[len(sent)-1]
}

// AwaitEntries waits until cond holds of the ledger, and returns the ledger.
func (u *Upstream) AwaitEntries(within time.Duration, what string, cond func([]mock.Entry) bool) []mock.Entry {
	u.t.Helper()
	ctx, stop := context.WithTimeout(u.t.Context(), within)
	defer stop()
	if err := u.Await(ctx, cond); err != nil {
		u.t.Fatalf("waited %v in vain for the upstream to see: %s; it saw %s", within, what, Outcomes(u.Requests()))
	}
	return u.Requests()
}

// AwaitRequests waits until n requests have reached the provider.
func (u *Upstream) AwaitRequests(n int, within time.Duration) []mock.Entry {
	u.t.Helper()
	return u.AwaitEntries(within, "another request", func(e []mock.Entry) bool { return len(e) >= n })
}

// AwaitOver waits until no request is running at the provider any more.
func (u *Upstream) AwaitOver(within time.Duration) []mock.Entry {
	u.t.Helper()
	return u.AwaitEntries(within, "the end of every request", func(e []mock.Entry) bool {
		return !slices.ContainsFunc(e, func(e mock.Entry) bool { return e.Outcome == mock.OutcomeRunning })
	})
}

// EndOf is when a request of a ledger had ended.
func EndOf(e mock.Entry) time.Time {
	return e.Time.Add(time.Duration(e.TotalMS * float64(time.Millisecond)))
}

// Outcomes lists how the requests of a ledger ended.
func Outcomes(entries []mock.Entry) string {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = string(e.Outcome)
	}
	return "[" + strings.Join(list, " ") + "]"
}

// tap copies what is written through it.
type tap struct {
	http.ResponseWriter
	asked string
	at    time.Time

	mu  sync.Mutex // guards buf
	buf []byte
}

func (w *tap) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.buf = append(w.buf, p...)
	w.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

func (w *tap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *tap) Unwrap() http.ResponseWriter { return w.ResponseWriter }
