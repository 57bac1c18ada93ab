package mock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is how a request ended.
type Outcome string

const (
	OutcomeRunning   Outcome = "running"
	OutcomeDone      Outcome = "done"
	OutcomeCancelled Outcome = "cancelled" // the client went
	OutcomeCut       Outcome = "cut"       // by Fault.CutAfter
	OutcomeStalled   Outcome = "stalled"   // by Fault.StallAfter; the client went at last
	OutcomeError     Outcome = "error"     // an error was answered
)

// What the ledger keeps.
const (
	keptEntries   = 10_000
	keptBody      = 64 << 10 // the longest body
	keptBodyBytes = 32 << 20 // all bodies together
)

// Entry is one request in the ledger.
type Entry struct {
	Seq    int64       `json:"seq"`
	Time   time.Time   `json:"time"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Query  string      `json:"query,omitempty"` // a key in it is masked
	Header http.Header `json:"headers"`         // keys are masked
	KeyFP  string      `json:"key_fp"`          // first 12 hex digits of the SHA-256 of the key as sent, "" if none

	Model      string `json:"model"`
	Stream     bool   `json:"stream"`
	BodyBytes  int    `json:"body_bytes"`
	BodySHA256 string `json:"body_sha256"`
	Body       string `json:"body,omitempty"` // if it is short and recent enough to be kept

	Status      int      `json:"status"` // 0 until answered
	Chunks      int64    `json:"chunks"` // events written
	Outcome     Outcome  `json:"outcome"`
	TotalMS     float64  `json:"total_ms"`               // 0 while running
	CancelledMS *float64 `json:"cancelled_ms,omitempty"` // from the start until the client's going was seen
}

// record is an Entry in the making.
type record struct {
	Entry          // guarded by the ledger's lock
	forgotten bool // likewise: the ledger was emptied meanwhile
	status    atomic.Int64
	chunks    atomic.Int64
}

// ledger holds the last requests. It is safe for concurrent use.
type ledger struct {
	mu       sync.Mutex
	records  []*record // oldest first
	bodies   int       // bytes of the bodies kept
	bare     int       // so many of the oldest records have lost their body
	seq      int64
	total    int64
	finished int64
	outcomes map[Outcome]int64
	changed  chan struct{} // closed at the next change, nil while nobody waits
}

func newLedger() *ledger { return &ledger{outcomes: map[Outcome]int64{}} }

// begin enters a request.
func (l *ledger) begin(r *http.Request, body []byte) *record {
	sum := sha256.Sum256(body)
	rec := &record{Entry: Entry{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: maskQuery(r.URL.Query()),
		Header: maskHeader(r.Header), KeyFP: fingerprint(keyOf(r)),
		BodyBytes: len(body), BodySHA256: hex.EncodeToString(sum[:]), Outcome: OutcomeRunning,
	}}
	if len(body) < keptBody {
		rec.Body = string(body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	l.total++
	rec.Seq = l.seq
	l.records = append(l.records, rec)
	l.bodies += len(rec.Body)
	l.trimLocked()
	l.tellLocked()
	return rec
}

// trimLocked forgets the oldest entry and bodies where there are too many.
func (l *ledger) trimLocked() {
	if len(l.records) > keptEntries {
		l.bodies -= len(l.records[0].Body)
		l.records[0] = nil
		l.records = l.records[1:]
		l.bare = max(l.bare-1, 0)
	}
	for ; l.bodies > keptBodyBytes; l.bare++ {
		l.bodies -= len(l.records[l.bare].Body)
		l.records[l.bare].Body = ""
	}
}

// understood adds what the body said.
func (l *ledger) understood(rec *record, model string, stream bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec.Model, rec.Stream = model, stream
}

// end closes an entry.
func (l *ledger) end(rec *record, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec.Outcome = o
	rec.TotalMS = float64(time.Since(rec.Time).Microseconds()) / 1000
	if o == OutcomeCancelled || o == OutcomeStalled {
		ms := rec.TotalMS
		rec.CancelledMS = &ms
	}
	if !rec.forgotten {
		l.finished++
		l.outcomes[o]++
	}
	l.tellLocked()
}

func (l *ledger) tellLocked() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// entriesLocked copies the records.
func (l *ledger) entriesLocked() []Entry {
	list := make([]Entry, len(l.records))
	for i, rec := range l.records {
		list[i] = rec.Entry
		list[i].Status, list[i].Chunks = int(rec.status.Load()), rec.chunks.Load()
	}
	return list
}

// await waits until cond holds of the entries and the number finished; cond
// runs under the lock.
func (l *ledger) await(ctx context.Context, cond func() bool) error {
	for {
		l.mu.Lock()
		if cond() {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Requests are the last 10,000 requests, oldest first.
func (m *Mock) Requests() []Entry {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	return m.ledger.entriesLocked()
}

// Await waits until cond holds of the ledger, or returns the cause of ctx's
// end. cond is called at every request's begin and end, one call at a time.
func (m *Mock) Await(ctx context.Context, cond func([]Entry) bool) error {
	return m.ledger.await(ctx, func() bool { return cond(m.ledger.entriesLocked()) })
}

// keyHeaders are where APIs take their keys, in canonical form.
var keyHeaders = [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// keyOf is the API key of a request as sent, without Bearer.
func keyOf(r *http.Request) string {
	for _, name := range keyHeaders {
		if v := r.Header.Get(name); v != "" {
			return bare(v)
		}
	}
	return r.URL.Query().Get("key")
}

func bare(v string) string {
	if len(v) > 7 && strings.EqualFold(v[:7], "bearer ") {
		return v[7:]
	}
	return v
}

func fingerprint(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:6])
}

// maskHeader copies h with every value that may be a secret replaced by its fingerprint.
func maskHeader(h http.Header) http.Header {
	masked := make(http.Header, len(h))
	for name, values := range h {
		if secretName(name) {
			values = []string{"key:" + fingerprint(bare(values[0]))}
		}
		masked[name] = values
	}
	return masked
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range [...]string{"auth", "key", "token", "secret", "cookie"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func maskQuery(q url.Values) string {
	for name, values := range q {
		if secretName(name) {
			q[name] = []string{"key:" + fingerprint(values[0])}
		}
	}
	return q.Encode()
}
