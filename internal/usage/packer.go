package usage

import (
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	packRecords = 200                   // records in one message, while LOG keeps up
	packMost    = 1000                  // records in one message, while it does not
	packAge     = 20 * time.Millisecond // how long the first of them waits, likewise
	growAge     = 80 * time.Millisecond // how much longer it waits at most, while it does not
	flyingMost  = 4                     // messages not confirmed beyond which LOG does not keep up
	packBytes   = 512 << 10             // bytes in one message; a server's default limit is 1 MB
	packRoom    = 16 << 10              // bytes to begin with
	recordBytes = 64 << 10              // a longer record has its texts cut
	partBytes   = 256 << 10             // of a body in one entry
	backlogMax  = 64 << 20              // bytes in memory at which admission stops
)

// PackerConfig is what a Packer needs.
type PackerConfig struct {
	// Process is the id of the worker or ingress, new at each start: message
	// ids are made of it and a counter.
	Process   string
	Publisher Publisher
	Spool     *Spool
	Log       *slog.Logger
	// Added is called with each entry that is added, on the goroutine that adds
	// it. It must not block or keep what it gets. May be nil.
	Added func(Entry)
}

// Packer carries the entries of one process to LOG. Entries are packed, up to
// 200 or what 20 ms bring, and published. While several messages are not
// confirmed yet, the pack grows instead, for up to 100 ms: each costs LOG a write
// to disk, so larger ones are what lets it catch up. A message that LOG refuses, or does
// not confirm within 2 s, goes to the Spool. As long as the Spool holds
// anything, new messages queue behind it, so that LOG gets all in order. The
// Spool is sent on, again under the same ids, as soon as LOG takes its first
// message. If the Spool cannot be written, messages stay in memory.
//
// Nothing is ever dropped. Instead Full turns true when the Spool has reached
// its size, its disk fails, or 64 MiB wait in memory, and admission must then
// refuse new requests; what those already admitted leave is still taken.
//
// All methods are safe for concurrent use.
type Packer struct {
	// Fixed at construction.
	process   string
	publisher Publisher
	spool     *Spool
	log       *slog.Logger
	added     func(Entry)
	age       *time.Timer   // runs while the pack holds anything
	wake      chan struct{} // there is something in ready or failed; never closed

	pending atomic.Int64 // records neither confirmed by LOG nor in the spool
	backlog atomic.Int64 // bytes in ready and failed
	broken  atomic.Bool  // the spool's last append failed
	away    atomic.Bool  // LOG has not taken all since it last failed
	flying  atomic.Int64 // messages sent and not confirmed

	mu      sync.Mutex     // guards the rest
	buf     []byte         // the pack: header and records
	usual   int            // bytes that the last pack came to
	spare   []byte         // of a pack that LOG has
	packed  []place        // the records in buf
	starts  map[string]int // place in packed of each job's newest start
	live    int            // records in packed, not superseded
	due     bool           // the pack is old enough to go
	overdue bool           // it goes in any case
	counter uint64
	ready   []message // sealed, not yet sent
	failed  []message // sent, not confirmed
}

// place is one record in the pack.
type place struct {
	start, end int
	attempt    int // of a start
	superseded bool
}

// NewPacker returns a Packer. Run must be called for anything to be sent.
func NewPacker(c PackerConfig) *Packer {
	p := &Packer{
		process:   c.Process,
		publisher: c.Publisher,
		spool:     c.Spool,
		log:       c.Log,
		added:     c.Added,
		age:       time.NewTimer(time.Hour),
		wake:      make(chan struct{}, 1),
		starts:    map[string]int{},
	}
	p.age.Stop()
	return p
}

// Add takes an entry and keeps no reference to what it points to. It does no
// I/O and never waits. It must not be called after Run's context has ended.
//
// An attempt that starts and finishes within one pack is sent once: its
// KindFinished repeats what its KindStarted held.
func (p *Packer) Add(e Entry) {
	if p.added != nil {
		p.added(e)
	}
	if e.Kind != KindBody {
		p.add(&e)
		return
	}
	whole := *e.Body
	for part := 0; part == 0 || len(whole.Request)+len(whole.Response) > 0; part++ {
		b := Body{JobID: whole.JobID, Part: part}
		b.Request, whole.Request = split(whole.Request)
		if len(whole.Request) == 0 {
			b.Response, whole.Response = split(whole.Response)
		}
		e.Body = &b
		p.add(&e)
	}
}

// split cuts text after at most partBytes, between two characters.
func split(text []byte) (head, rest []byte) {
	if len(text) <= partBytes {
		return text, nil
	}
	cut := partBytes
	for cut > partBytes-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut], text[cut:]
}

func (p *Packer) add(e *Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending.Add(1)
	if e.Kind == KindFinished {
		p.supersedeLocked(e.Attempt)
	}
	if len(p.buf) == 0 {
		p.beginLocked()
	}
	start := len(p.buf)
	p.buf = appendEntry(p.buf, e)
	if len(p.buf)-start > recordBytes && e.Kind != KindBody {
		p.buf = appendEntry(p.buf[:start], clipped(e))
	}
	if len(p.buf) > packBytes && p.live > 0 {
		last := p.buf[start:]
		p.buf = p.buf[:start]
		p.sealLocked()
		p.beginLocked()
		start = len(p.buf)
		p.buf = append(p.buf, last...)
	}
	at := place{start: start, end: len(p.buf)}
	if e.Kind == KindStarted {
		at.attempt = e.Attempt.Attempt
		p.starts[e.Attempt.JobID] = len(p.packed)
	}
	p.packed = append(p.packed, at)
	p.live++
	if p.live >= packMost || p.live >= packRecords && p.mayGo() {
		p.sealLocked()
	}
}

func (p *Packer) beginLocked() {
	room := p.spare
	p.spare = nil
	if room == nil || cap(room) < p.usual {
		room = make([]byte, 0, max(packRoom, p.usual+p.usual/8))
	}
	p.buf = appendHeader(room, p.process)
	p.age.Reset(packAge)
}

// reuse keeps the memory of a message that LOG has.
func (p *Packer) reuse(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(data) > cap(p.spare) {
		p.spare = data[:0]
	}
}

// supersedeLocked marks the start of attempt a if it still waits in the pack.
func (p *Packer) supersedeLocked(a *Attempt) {
	i, ok := p.starts[a.JobID]
	if !ok || p.packed[i].attempt != a.Attempt || p.packed[i].superseded {
		return
	}
	p.packed[i].superseded = true
	p.live--
	p.pending.Add(-1)
}

// sealLocked makes the pack a message.
func (p *Packer) sealLocked() {
	if len(p.buf) == 0 {
		return
	}
	p.usual = len(p.buf)
	end := p.packed[0].start
	for _, s := range p.packed {
		if !s.superseded {
			end += copy(p.buf[end:], p.buf[s.start:s.end])
		}
	}
	p.counter++
	m := message{id: p.process + "-" + strconv.FormatUint(p.counter, 10), data: p.buf[:end], records: p.live}
	p.ready = append(p.ready, m)
	p.backlog.Add(int64(end))
	p.buf, p.packed, p.live, p.due, p.overdue = nil, p.packed[:0], 0, false, false
	clear(p.starts)
	p.age.Stop()
	p.signal()
}

// sealDue lets a pack that is old or full enough go, unless LOG does not keep up.
func (p *Packer) sealDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.overdue || (p.due || p.live >= packRecords) && p.mayGo() {
		p.sealLocked()
	}
}

// mayGo reports whether LOG keeps up. Once it has failed, everything sent
// before is waited for, so that the spool gets all in order.
func (p *Packer) mayGo() bool {
	flying := p.flying.Load()
	return flying == 0 || flying < flyingMost && !p.away.Load()
}

// seal lets the pack go.
func (p *Packer) seal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealLocked()
}

// ripe notes that the pack is old enough to go.
func (p *Packer) ripe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.buf) == 0 {
		return
	}
	p.overdue = p.due
	p.due = true
	p.age.Reset(growAge)
}

func (p *Packer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Full reports whether admission must refuse new requests (503).
func (p *Packer) Full() bool {
	return p.broken.Load() || p.backlog.Load() > backlogMax || p.spool.full()
}

// Pending is the number of records that LOG has not confirmed yet: the metric
// model_proxy_records_pending.
func (p *Packer) Pending() int64 { return p.pending.Load() + p.spool.Records() }

// take returns what has to be sent or spooled, oldest first.
func (p *Packer) take() (failed, ready []message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed, ready = p.failed, p.ready
	p.failed, p.ready = nil, nil
	return failed, ready
}

// putBack undoes take.
func (p *Packer) putBack(failed, ready []message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(failed, p.failed...)
	p.ready = append(ready, p.ready...)
}
