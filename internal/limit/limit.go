package limit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
)

// Reason says which limit refused a request: the words of
// model_proxy_rejected_total{reason}.
type Reason string

// The reasons for a refusal.
const (
	RPM      Reason = "rpm"      // requests a minute
	TPM      Reason = "tpm"      // tokens a minute
	Parallel Reason = "parallel" // requests at one time
	Bus      Reason = "bus"      // NATS could not be asked: answer 503
)

// Options are what a Limiter needs to know.
type Options struct {
	ID       string // names this ingress among all; it must not be used twice
	Replicas int    // of the stream and the bucket; 0 means 1
}

// Client is whose limits are asked for. A limit of 0 does not exist. A limit
// that a reload lowers holds after at most 10 s, when running leases have ended.
type Client struct {
	ID                string // a client of the gateway, or anything else with limits of its own
	RequestsPerMinute int64
	TokensPerMinute   int64
	MaxParallel       int64
}

// Estimate is what a request is expected to use.
type Estimate struct {
	Prompt    int64 // tokens
	MaxTokens int64 // the most the answer may have; 0: the request did not say
}

// Denied is a refusal. Nothing was consumed.
type Denied struct {
	Reason     Reason
	RetryAfter time.Duration // when it is worth trying again; above 0
	Levels     Levels
	Cause      error // for Reason Bus, for the operator
}

// Reserved is what this ingress holds for running and coming requests. All of
// it returns to zero when the requests have ended.
type Reserved struct {
	Requests int64 // leased and not spent
	Tokens   int64 // reserved by running requests, or leased and not spent
	Parallel int64 // slots
}

// Limiter decides for one ingress. It is safe for concurrent use.
type Limiter struct {
	// Fixed at construction.
	id    string
	span  span
	store *store

	tokens atomic.Int64  // reserved by running requests
	wake   chan struct{} // holds one; tells Run that dirty is not empty. Never closed

	mu      sync.RWMutex
	clients map[string]*client
	dirty   map[*slots]struct{} // to be settled by Run
}

// client is what is known here about one client.
type client struct {
	requests *window
	tokens   *window
	slots    *slots
	answer   mean
	seen     atomic.Int64 // the last request's moment
}

// New returns a Limiter on nc. It does no I/O: the streams are set up by Run,
// or by the first request that needs them.
func New(nc *nats.Conn, o Options) (*Limiter, error) {
	return newLimiter(nc, o, minute)
}

func newLimiter(nc *nats.Conn, o Options, sp span) (*Limiter, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return &Limiter{
		id: bus.Token(o.ID), span: sp,
		store:   &store{nc: nc, js: js, replicas: o.Replicas, inbox: &inbox{}, clock: &clock{start: time.Now(), skew: sp.skew}},
		wake:    make(chan struct{}, 1),
		clients: map[string]*client{},
		dirty:   map[*slots]struct{}{},
	}, nil
}

// Admit asks all of a client's limits for one request and takes from all of
// them or from none. Exactly one of its results is not nil. It decides without
// the bus where it can, and waits for it about a second at most; ctx lends its
// values only, because others wait for the same answer. The Grant must be
// released.
func (l *Limiter) Admit(ctx context.Context, c Client, e Estimate) (*Grant, *Denied) {
	if c.RequestsPerMinute <= 0 && c.TokensPerMinute <= 0 && c.MaxParallel <= 0 {
		return &Grant{}, nil
	}
	now, err := l.store.now(ctx)
	if err != nil {
		return nil, busAway(err)
	}
	g := &Grant{limiter: l, client: l.client(c.ID, now)}
	if d := g.take(ctx, c, e); d != nil {
		g.undo()
		return nil, d
	}
	l.tokens.Add(g.reserved)
	return g, nil
}

// client finds or makes the state of one client and notes that it was needed.
func (l *Limiter) client(id string, now moment) *client {
	l.mu.RLock()
	c := l.clients[id]
	if c != nil {
		c.seen.Store(int64(now)) // under the lock, or Run might forget it meanwhile
	}
	l.mu.RUnlock()
	if c != nil {
		return c
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c = l.clients[id]; c == nil {
		token := bus.Token(id)
		c = &client{
			requests: newWindow(l.store, l.span, "rl."+token+".requests."),
			tokens:   newWindow(l.store, l.span, "rl."+token+".tokens."),
			slots:    &slots{store: l.store, me: l.id, key: token, dirty: l.markDirty},
		}
		l.clients[id] = c
	}
	c.seen.Store(int64(now))
	return c
}

// Reserved sums up what is held here, for model_proxy_limit_reserved.
func (l *Limiter) Reserved() Reserved {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := Reserved{Tokens: l.tokens.Load()}
	for _, c := range l.clients {
		r.Requests += c.requests.leased()
		r.Tokens += c.tokens.leased()
		r.Parallel += c.slots.leased()
	}
	return r
}

func busAway(err error) *Denied {
	return &Denied{Reason: Bus, RetryAfter: time.Second, Cause: err}
}
