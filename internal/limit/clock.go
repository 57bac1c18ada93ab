package limit

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// span is the timing of buckets; tests use a shorter one.
type span struct {
	bucket time.Duration // length of one bucket
	window time.Duration // what a limit speaks of
	skew   time.Duration // the most by which two processes' clocks differ
}

var minute = span{bucket: 10 * time.Second, window: time.Minute, skew: 500 * time.Millisecond}

// moment is a time of the server's clock in nanoseconds since 1970.
type moment int64

func (m moment) add(d time.Duration) moment      { return m + moment(d) }
func (m moment) until(to moment) time.Duration   { return time.Duration(to - m) }
func (s span) of(m moment) int64                 { return int64(m) / int64(s.bucket) }
func (s span) end(bucket int64) moment           { return moment((bucket + 1) * int64(s.bucket)) }
func (s span) oldest(now moment) int64           { return s.of(now.add(-s.window - s.skew)) }
func (s span) newest(now moment) int64           { return s.of(now.add(s.skew)) }
func (s span) final(bucket int64, m moment) bool { return m > s.end(bucket).add(s.skew) }

// leaves is when a bucket drops out of the window.
func (s span) leaves(bucket int64) moment { return s.end(bucket).add(s.window + s.skew) }

// clock estimates the server's time: what the server said once, plus what this
// process's monotonic clock has counted since. It never reads the wall clock.
type clock struct {
	start time.Time    // any moment; only its monotonic reading counts
	zero  atomic.Int64 // the server's time at start; 0: not known yet
	skew  time.Duration
}

// now returns the server's time, and false if it was never learnt.
func (c *clock) now() (moment, bool) {
	zero := c.zero.Load()
	return moment(zero + int64(time.Since(c.start))), zero != 0
}

// learn asks the server for its time. The answer was written between question
// and receipt, so taking the middle errs by half the round trip at most; a
// round trip that would err too much is refused and the old estimate stays.
// A fifth of skew is left for drift between two askings.
func (c *clock) learn(ctx context.Context, js jetstream.JetStream) error {
	sent := time.Since(c.start)
	stream, err := js.Stream(ctx, countStream)
	if err != nil {
		return fmt.Errorf("ask for the server's time: %w", err)
	}
	received := time.Since(c.start)
	if trip := received - sent; trip > c.skew*4/5 {
		return fmt.Errorf("ask for the server's time: the answer took %v", trip)
	}
	at := stream.CachedInfo().TimeStamp
	if at.IsZero() {
		return fmt.Errorf("ask for the server's time: the server is older than 2.10")
	}
	c.zero.Store(at.UnixNano() - int64(sent+received)/2)
	return nil
}
