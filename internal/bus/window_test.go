package bus_test

import (
	"bytes"
	"fmt"
	"testing"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
)

// An ingress reads of attempts by itself and gives no credit for them: they must
// not use up the window that the answer needs.
func TestAttemptsTakeNothingOfTheWindow(t *testing.T) {
	nearAndApart(t, attemptsTakeNothingOfTheWindow)
}

func attemptsTakeNothingOfTheWindow(t *testing.T, g *gateway) {
	const attempts = 200
	g.worker(1, func(r *bus.Run) {
		r.Accept(&bus.Attempt{Number: 1})
		for n := 2; n <= attempts; n++ {
			r.Attempt(&bus.Attempt{Number: n})
		}
		for range 100 {
			if err := r.Send(bus.Part{Data: []byte("x"), Events: 1}); err != nil {
				return
			}
		}
		_ = r.Send(bus.Part{End: &bus.End{Attempts: attempts}})
	})
	c := g.submit([]byte("{}"))
	if data, end := collect(t, c); len(data) != 100 || end.Err != nil || end.Attempts != attempts {
		t.Errorf("got %d bytes, end %+v, want 100 bytes after %d attempts", len(data), end, attempts)
	}
}

// Frames that together come just short of what credit is sent for, and then the
// largest there is: the acceptance before them must not make it one byte too many.
func TestLargestFrameFitsAfterWhatIsNotCredited(t *testing.T) {
	nearAndApart(t, largestFrameFitsAfterWhatIsNotCredited)
}

func largestFrameFitsAfterWhatIsNotCredited(t *testing.T, g *gateway) {
	const largest, first = 128 << 10, 128<<10 - 11 // with the ten bytes before the data, one less than half of the window
	g.worker(1, func(r *bus.Run) {
		r.Accept(nil)
		for _, size := range []int{first, largest} {
			if err := r.Send(bus.Part{Data: bytes.Repeat([]byte("x"), size), Events: 1}); err != nil {
				return
			}
		}
		_ = r.Send(bus.Part{End: &bus.End{}})
	})
	c := g.submit([]byte("{}"))
	if data, end := collect(t, c); len(data) != first+largest || end.Err != nil {
		t.Errorf("got %d bytes, end %+v, want %d", len(data), end, first+largest)
	}
}

// A worker sends all pieces of an answer from the same memory, whether they are
// passed on at once, kept because the reader would not have them yet, or kept
// because it was busy.
func TestWhatWasSentMayBeChanged(t *testing.T) { nearAndApart(t, whatWasSentMayBeChanged) }

func whatWasSentMayBeChanged(t *testing.T, g *gateway) {
	const pieces = 500
	var want bytes.Buffer
	for n := range pieces {
		fmt.Fprintf(&want, "%08d", n)
	}
	g.worker(1, func(r *bus.Run) {
		r.Accept(nil)
		buf := make([]byte, 8)
		for n := range pieces {
			p := bus.Part{Data: fmt.Appendf(buf[:0], "%08d", n), Events: 1}
			if n == pieces-1 {
				p.End = &bus.End{}
			}
			if err := r.Send(p); err != nil {
				t.Error(err)
			}
			copy(buf, "reused!!")
		}
	})
	c := g.submit([]byte("{}"))
	defer c.Close()
	var got []byte
	passes := 0
	pass := func() bool {
		if passes++; passes%3 == 0 {
			return false
		}
		for f, ok := c.NextData(); ok; f, ok = c.NextData() {
			got = append(got, f.Data...)
		}
		return true
	}
	for over := false; !over; {
		f, ok := c.Next()
		if !ok {
			c.Wait(pass)
			continue
		}
		got = append(got, f.Data...)
		over = f.End != nil
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes, want %d: %.200s", len(got), want.Len(), got)
	}
}

// A client that hangs up before the queue has said that it has the job leaves
// nothing there for a worker to begin.
func TestCancelBeforeTheQueueAnswers(t *testing.T) {
	g := newGateway(t, nil)
	for n := range 20 {
		g.submitFor(fmt.Sprint("client-", n), bus.LaneNormal).Cancel()
	}
	bustest.Wait(t, "all jobs to be in the queue, or to have been", func() bool { return g.everQueued() >= 20 })
	bustest.Wait(t, "the queue to be empty", func() bool { return g.queued() == 0 })
}
