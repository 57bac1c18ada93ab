package usage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errAway = errors.New("no connection")

// logStream is a LOG that can go away in the ways the real one does.
type logStream struct {
	mu     sync.Mutex
	state  string // "" takes all; "down" refuses to send; "full" refuses to store; "hung" never answers
	tries  int
	ids    []string
	stored [][]Entry
}

func (l *logStream) set(state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
}

func (l *logStream) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tries
}

func (l *logStream) Publish(id string, data []byte) (Ack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	switch l.state {
	case "down":
		return nil, errAway
	case "full":
		return func(context.Context) error { return errors.New("maximum bytes exceeded") }, nil
	case "hung":
		return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil
	}
	entries, err := Decode(bytes.Clone(data)) // data is the packer's again once this is confirmed
	if err != nil {
		return nil, err
	}
	l.ids = append(l.ids, id)
	l.stored = append(l.stored, entries)
	return func(context.Context) error { return nil }, nil
}

// jobs lists what LOG holds: one line a message, its entries as kind:job.
func (l *logStream) jobs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, m := range l.stored {
		var parts []string
		for _, e := range m {
			parts = append(parts, fmt.Sprintf("%d:%s", e.Kind, e.Attempt.JobID))
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return lines
}

type running struct {
	*Packer
	spool *Spool
	stop  func() error
}

// start runs a Packer whose spool is in dir. The test stops it.
func start(t *testing.T, dir, process string, l *logStream) running {
	t.Helper()
	return startLogged(t, dir, process, l, io.Discard)
}

// startLogged is start with the Packer's own log.
func startLogged(t *testing.T, dir, process string, l *logStream, log io.Writer) running {
	t.Helper()
	spool, err := OpenSpool(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPacker(PackerConfig{Process: process, Publisher: l, Spool: spool, Log: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	return running{p, spool, func() error {
		cancel()
		return errors.Join(<-done, spool.Close())
	}}
}

func (r running) stopped(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func entry(k Kind, job string) Entry {
	return Entry{Kind: k, Attempt: &Attempt{JobID: job, Attempt: 1}}
}

func wantJobs(t *testing.T, l *logStream, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, l.jobs()); diff != "" {
		t.Errorf("messages on LOG (-want +got):\n%s", diff)
	}
}

func TestPackWaitsTwentyMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{}
		p := start(t, t.TempDir(), "w", l)
		p.Add(entry(KindFinished, "a"))
		time.Sleep(packAge / 2)
		p.Add(entry(KindFinished, "b"))
		time.Sleep(packAge/2 - 1)
		synctest.Wait()
		wantJobs(t, l)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantJobs(t, l, "2:a 2:b")
		if got := p.Pending(); got != 0 {
			t.Errorf("got %d pending, want 0", got)
		}
		p.Add(entry(KindFinished, "c"))
		p.stopped(t) // does not wait for the 20 ms
		wantJobs(t, l, "2:a 2:b", "2:c")
		if diff := cmp.Diff([]string{"w-1", "w-2"}, l.ids); diff != "" {
			t.Errorf("ids (-want +got):\n%s", diff)
		}
	})
}

func TestPackHoldsFiftyRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{}
		p := start(t, t.TempDir(), "w", l)
		for i := range packRecords + 1 {
			p.Add(entry(KindFinished, fmt.Sprint(i)))
		}
		synctest.Wait()
		if len(l.stored) != 1 || len(l.stored[0]) != packRecords {
			t.Errorf("got %d messages at once, want one of %d records", len(l.stored), packRecords)
		}
		if got := p.Pending(); got != 1 {
			t.Errorf("got %d pending, want 1", got)
		}
		p.stopped(t)
	})
}

func TestFinishedReplacesItsStartInThePack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{}
		p := start(t, t.TempDir(), "w", l)
		p.Add(entry(KindStarted, "a"))
		p.Add(entry(KindStarted, "b"))
		p.Add(entry(KindFinished, "a"))
		p.Add(entry(KindFinished, "c"))
		if got := p.Pending(); got != 3 {
			t.Errorf("got %d pending, want 3", got)
		}
		time.Sleep(packAge)
		synctest.Wait()
		p.Add(entry(KindFinished, "b")) // its start was sent already
		p.stopped(t)
		wantJobs(t, l, "1:b 2:a 2:c", "2:b")
		if got := p.Pending(); got != 0 {
			t.Errorf("got %d pending, want 0", got)
		}
	})
}

func TestLogAway(t *testing.T) {
	for _, state := range []string{"down", "full", "hung"} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &logStream{state: state}
				p := start(t, t.TempDir(), "w", l)
				var want []string
				for i := range 10 {
					p.Add(entry(KindFinished, fmt.Sprint(i)))
					want = append(want, fmt.Sprintf("2:%d", i))
					time.Sleep(2 * packAge)
				}
				ids := "w-1 w-2 w-3 w-4 w-5 w-6 w-7 w-8 w-9 w-10"
				if state == "hung" { // four messages are out, so the rest grows for up to 100 ms
					want = append(want[:4], strings.Join(want[4:7], " "), strings.Join(want[7:], " "))
					ids = "w-1 w-2 w-3 w-4 w-5 w-6"
				}
				time.Sleep(3 * time.Second)
				synctest.Wait()
				wantJobs(t, l)
				if p.Pending() != 10 || p.spool.Records() != 10 || p.Full() {
					t.Errorf("got %d pending, %d on disk, full %v; want 10, 10, false", p.Pending(), p.spool.Records(), p.Full())
				}
				tries := l.count()
				time.Sleep(time.Minute)
				if got := l.count() - tries; got > 13 {
					t.Errorf("got %d tries in a minute, want at most one in 5 s", got)
				}
				l.set("")
				time.Sleep(longPause + ackWait)
				synctest.Wait()
				wantJobs(t, l, want...)
				if diff := cmp.Diff(ids, strings.Join(l.ids, " ")); diff != "" {
					t.Errorf("ids (-want +got):\n%s", diff)
				}
				if p.Pending() != 0 || !p.spool.empty() {
					t.Errorf("got %d pending, %d on disk; want none", p.Pending(), p.spool.Records())
				}
				p.Add(entry(KindFinished, "after"))
				p.stopped(t)
				wantJobs(t, l, append(want, "2:after")...)
			})
		})
	}
}

// What could not be sent before the end is sent by the next process, under the
// ids and the name of the first.
func TestRestartSendsWhatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := &logStream{state: "down"}
		p := start(t, dir, "w1", l)
		p.Add(entry(KindFinished, "a"))
		time.Sleep(packAge)
		synctest.Wait()
		p.Add(entry(KindFinished, "b"))
		p.stopped(t)
		wantJobs(t, l)

		p = start(t, dir, "w2", l)
		synctest.Wait()
		if got := p.Pending(); got != 2 {
			t.Errorf("got %d pending, want 2", got)
		}
		l.set("")
		time.Sleep(longPause)
		synctest.Wait()
		wantJobs(t, l, "2:a", "2:b")
		if got := l.stored[1][0].Process; got != "w1" || l.ids[1] != "w1-2" {
			t.Errorf("got process %s, id %s; want w1, w1-2", got, l.ids[1])
		}
		p.stopped(t)
	})
}

func TestSpoolWithoutDiskStopsAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{state: "down"}
		var log strings.Builder
		p := startLogged(t, t.TempDir(), "w", l, &log)
		hidden := p.spool.dir + ".hidden"
		if err := os.Rename(p.spool.dir, hidden); err != nil {
			t.Fatal(err)
		}
		p.Add(entry(KindFinished, "a"))
		time.Sleep(packAge)
		synctest.Wait()
		if !p.Full() || p.Pending() != 1 {
			t.Errorf("disk gone: got full %v, %d pending; want true, 1", p.Full(), p.Pending())
		}
		if err := os.Rename(hidden, p.spool.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if p.Full() || p.spool.Records() != 1 {
			t.Errorf("disk back: got full %v, %d on disk; want false, 1", p.Full(), p.spool.Records())
		}
		p.stopped(t)
		var levels []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "spool can") {
				levels = append(levels, strings.Fields(line)[1])
			}
		}
		if want := []string{"level=ERROR", "level=INFO"}; !slices.Equal(levels, want) {
			t.Errorf("the log tells of the spool at %v, want %v:\n%s", levels, want, log.String())
		}
	})
}

func TestBodiesTravelInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{}
		p := start(t, t.TempDir(), "w", l)
		want := Body{JobID: "a", Request: bytes.Repeat([]byte("é"), 1_000_001), Response: bytes.Repeat([]byte("x"), 300_000)}
		p.Add(Entry{Kind: KindBody, Body: &want})
		p.Add(Entry{Kind: KindBody, Body: &Body{JobID: "b"}})
		p.stopped(t)
		got := map[string]*Body{}
		for _, m := range l.stored {
			size := 0
			for _, e := range m {
				size += len(e.Body.Request) + len(e.Body.Response)
				b := got[e.Body.JobID]
				if b == nil {
					b = &Body{JobID: e.Body.JobID}
					got[b.JobID] = b
				}
				if e.Body.Part != b.Part {
					t.Errorf("got part %d of %s, want %d", e.Body.Part, b.JobID, b.Part)
				}
				b.Part++
				b.Request = append(b.Request, e.Body.Request...)
				b.Response = append(b.Response, e.Body.Response...)
			}
			if size > packBytes {
				t.Errorf("got a message of %d bytes, want at most %d", size, packBytes)
			}
		}
		if a := got["a"]; a == nil || !bytes.Equal(a.Request, want.Request) || !bytes.Equal(a.Response, want.Response) {
			t.Error("the parts of a do not make the whole")
		}
		if b := got["b"]; b == nil || b.Part != 1 {
			t.Errorf("got %v for the empty body, want one part", b)
		}
	})
}

// Many writers, a LOG that comes and goes: every record arrives, once.
func TestConcurrentWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logStream{}
		p := start(t, t.TempDir(), "w", l)
		const writers, each = 8, 500
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if w == 0 && i%100 == 0 {
						l.set([]string{"", "down", "hung"}[i/100%3])
					}
					job := fmt.Sprintf("%d-%d", w, i)
					p.Add(entry(KindStarted, job))
					time.Sleep(time.Duration(w) * time.Millisecond)
					p.Add(entry(KindFinished, job))
				}
			})
		}
		wg.Wait()
		l.set("")
		time.Sleep(longPause + ackWait)
		synctest.Wait()
		p.stopped(t)
		finished := map[string]int{}
		for _, m := range l.stored {
			for _, e := range m {
				if e.Kind == KindFinished {
					finished[e.Attempt.JobID]++
				}
			}
		}
		for job, n := range finished {
			if n != 1 {
				t.Errorf("got %d finished entries of %s, want 1", n, job)
			}
		}
		if len(finished) != writers*each || p.Pending() != 0 {
			t.Errorf("got %d attempts, %d pending; want %d, 0", len(finished), p.Pending(), writers*each)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	spool, err := OpenSpool(b.TempDir(), 0)
	if err != nil {
		b.Fatal(err)
	}
	p := NewPacker(PackerConfig{Process: "w", Publisher: discard{}, Spool: spool, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	e := attemptEntry(testJob)
	b.ReportAllocs()
	for b.Loop() {
		p.Add(e)
	}
	cancel()
	wg.Wait()
}

type discard struct{}

func (discard) Publish(string, []byte) (Ack, error) {
	return func(context.Context) error { return nil }, nil
}
