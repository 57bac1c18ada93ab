package limit

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// lateWithin is how long an acknowledgement is waited for that did not come in
// time.
const lateWithin = 30 * time.Second

// delta is an addition to one counter. Adding 0 reads it.
type delta struct {
	subject string
	n       int64
}

func (d delta) message(reply string) *nats.Msg {
	return &nats.Msg{Subject: d.subject, Reply: reply, Header: nats.Header{"Nats-Incr": {fmt.Sprintf("%+d", d.n)}}}
}

// exchange makes the additions in their order and returns each counter's sum
// behind its own addition. After an error none of them counts, but for those
// whose acknowledgement is never heard of. A stream that is missing is set up,
// and the additions are made once more.
func (s *store) exchange(ctx context.Context, ds []delta) ([]int64, error) {
	sums, err := s.send(ctx, ds)
	if err == nil || !s.lost(err) {
		return sums, err
	}
	if _, err := s.kv(ctx); err != nil {
		return nil, err
	}
	return s.send(ctx, ds)
}

func (s *store) send(ctx context.Context, ds []delta) ([]int64, error) {
	x := &exchange{store: s, ds: ds, sums: make([]int64, len(ds)), acked: make([]bool, len(ds)), left: len(ds), done: make(chan struct{})}
	reply, err := s.inbox.add(s.nc, x)
	if err != nil {
		return nil, err
	}
	for i, d := range ds {
		if err := s.nc.PublishMsg(d.message(reply + strconv.Itoa(i))); err != nil {
			x.abandon(err)
			break
		}
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		if !x.doneLate(ctx) {
			x.abandon(ctx.Err())
		}
	}
	if err := x.outcome(); err != nil {
		time.AfterFunc(lateWithin, func() { s.inbox.remove(reply) })
		return nil, fmt.Errorf("add to %s: %w", ds[0].subject, err)
	}
	s.inbox.remove(reply)
	return x.sums, nil
}

// exchange is a number of additions under way.
type exchange struct {
	// Fixed at construction.
	store *store
	ds    []delta
	done  chan struct{} // closed with the last acknowledgement, or the first error

	mu    sync.Mutex // guards the rest
	sums  []int64    // read without the lock after done, if err is nil
	acked []bool
	left  int
	err   error // nobody takes what is added: it is taken back once it is known to have been
}

// A deadline that is noticed so late tells that the process did not run: the
// acknowledgements may lie here unread, and get a moment to be read.
const (
	overslept  = 100 * time.Millisecond
	secondLook = 250 * time.Millisecond
)

// doneLate reports whether the exchange was over before ctx, but for a process
// that slept.
func (x *exchange) doneLate(ctx context.Context) bool {
	if due, ok := ctx.Deadline(); !ok || time.Since(due) <= overslept {
		return false
	}
	look := time.NewTimer(secondLook)
	defer look.Stop()
	select {
	case <-x.done:
		return true
	case <-look.C:
		return false
	}
}

func (x *exchange) outcome() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// receive takes the acknowledgement of the i-th addition.
func (x *exchange) receive(i int, m *nats.Msg) {
	n, err := sum(m)
	if err != nil {
		x.abandon(err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		x.store.book(x.ds[i].subject, -x.ds[i].n)
		return
	}
	x.sums[i], x.acked[i] = n, true
	if x.left--; x.left == 0 {
		close(x.done)
	}
}

// abandon takes back what was added so far, and what will turn out to have been.
func (x *exchange) abandon(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil || x.left == 0 {
		return
	}
	x.err = err
	close(x.done)
	for i, d := range x.ds {
		if x.acked[i] {
			x.store.book(d.subject, -d.n)
		}
	}
}

// inbox brings acknowledgements to their exchanges: they come on
// <prefix>.<exchange>.<addition>. It is safe for concurrent use.
type inbox struct {
	mu     sync.Mutex // guards the rest
	prefix string     // empty until the first exchange
	last   uint64
	open   map[string]*exchange // by number
}

// add opens the way back for an exchange. Additions are to be sent with the
// returned subject, followed by their index, as their reply subject.
func (b *inbox) add(nc *nats.Conn, x *exchange) (reply string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.prefix == "" {
		prefix := nc.NewInbox() + "."
		if _, err := nc.Subscribe(prefix+"*.*", b.receive); err != nil { // it lasts as long as the connection
			return "", fmt.Errorf("subscribe to acknowledgements: %w", err)
		}
		b.prefix, b.open = prefix, map[string]*exchange{}
	}
	b.last++
	number := strconv.FormatUint(b.last, 36)
	b.open[number] = x
	return b.prefix + number + ".", nil
}

func (b *inbox) remove(reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, reply[len(b.prefix):len(reply)-1])
}

func (b *inbox) receive(m *nats.Msg) {
	b.mu.Lock()
	number, index, _ := strings.Cut(m.Subject[len(b.prefix):], ".")
	x := b.open[number]
	b.mu.Unlock()
	if i, err := strconv.Atoi(index); x != nil && err == nil && i >= 0 && i < len(x.ds) {
		x.receive(i, m)
	}
}

// sum reads a counter's acknowledgement.
func sum(m *nats.Msg) (int64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, nats.ErrNoResponders
	}
	var ack struct {
		Val   string `json:"val"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return 0, fmt.Errorf("acknowledgement of a counter: %w", err)
	}
	if ack.Error != nil {
		return 0, fmt.Errorf("counter refused: %s", ack.Error.Description)
	}
	n, err := strconv.ParseInt(ack.Val, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("acknowledgement of a counter: %w", err)
	}
	return n, nil
}
