package limit

import (
	"context"
	"maps"
	"strconv"
	"time"
)

const (
	hurry       = 100 * time.Millisecond // a lease spent sooner than this was too small
	refusalTime = 100 * time.Millisecond // a refusal holds this long without another look
	share       = 32                     // a lease is at most this part of the room left
	lookPause   = 5 * time.Millisecond   // before the second look at a window that seems full
)

// window is one limit over the last minute, requests or tokens, of one client.
type window struct {
	line

	// Fixed at construction.
	store   *store
	span    span
	subject string // without the bucket: "rl.<client>.<kind>."

	// Guarded by line.mu.
	bucket   int64 // the bucket have belongs to
	have     int64 // leased and not spent; below 0 while a settlement is not booked
	extra    int64 // how much to lease beyond what is asked for
	room     int64 // below the limit when last seen
	used     int64 // of the window when last seen, all leases included
	filled   moment
	quiet    bool   // nothing admitted since the last tick
	full     moment // refuse until then
	fullAt   int64  // for this limit and higher use
	roomFrom moment // when room may be back

	// Owned by the leader.
	known map[int64]int64 // sums of buckets that no clock is in any more
}

func newWindow(s *store, sp span, subject string) *window {
	return &window{store: s, span: sp, subject: subject, known: map[int64]int64{}}
}

func (w *window) take(ctx context.Context, n, limit int64) verdict {
	now, _ := w.store.clock.now() // known since Admit asked for it
	return w.line.take(ctx, w, now, n, limit)
}

func (w *window) localLocked(now moment, n, limit int64) (verdict, bool) {
	if now < w.full && limit <= w.fullAt {
		return w.refusedLocked(now, limit), true
	}
	w.turnLocked(w.span.of(now))
	if w.have < n {
		return verdict{}, false
	}
	w.have -= n
	w.quiet = false
	return w.admittedLocked(now, limit), true
}

func (w *window) admittedLocked(now moment, limit int64) verdict {
	return verdict{admitted: true, bucket: w.bucket, level: w.levelLocked(now, limit)}
}

func (w *window) refusedLocked(now moment, limit int64) verdict {
	level := w.levelLocked(now, limit)
	level.Remaining = 0
	return verdict{retry: max(now.until(w.roomFrom), time.Millisecond), level: level}
}

func (w *window) levelLocked(now moment, limit int64) Level {
	used := max(0, w.used-w.have)
	if w.filled == 0 || now > w.span.leaves(w.span.of(w.filled)) {
		used = 0 // all that was seen has left the window
	}
	level := Level{Limit: limit, Remaining: max(0, limit-used)}
	if used > 0 {
		level.Reset = now.until(w.span.leaves(w.span.of(w.filled)))
	}
	return level
}

// level is what this ingress last saw of the limit; nothing is asked.
func (w *window) level(limit int64) Level {
	now, _ := w.store.clock.now() // known since Admit asked for it
	if limit <= 0 {
		return Level{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.levelLocked(now, limit)
}

// turnLocked ends the lease of a bucket that is over.
func (w *window) turnLocked(bucket int64) {
	if bucket == w.bucket {
		return
	}
	w.bookLocked(w.bucket, -w.have)
	w.have, w.bucket = 0, bucket
}

// bookLocked adds to a bucket's counter. It is called under the lock so that
// have and the counter change in one order.
func (w *window) bookLocked(bucket, n int64) {
	w.used += n
	w.store.book(w.key(bucket), n)
}

func (w *window) key(bucket int64) string { return w.subject + strconv.FormatInt(bucket, 10) }

// fill leases room for batch. Those who would be refused are asked for once more
// after a moment: room that another ingress leased and did not need may be on
// its way back, and a refund may have reached a bucket that was remembered.
func (w *window) fill(ctx context.Context, batch []*waiter) error {
	refused, err := w.attempt(ctx, batch)
	if err != nil || len(refused) == 0 {
		return err
	}
	if err := pause(ctx, lookPause); err != nil {
		return err
	}
	clear(w.known)
	_, err = w.attempt(ctx, refused)
	return err
}

// attempt leases room and gives everyone in batch a verdict; it returns those
// refused. A bucket that ends meanwhile takes the lease with it, as does a
// window that now reaches further than what was read.
func (w *window) attempt(ctx context.Context, batch []*waiter) ([]*waiter, error) {
	for {
		now, err := w.store.now(ctx)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.turnLocked(w.span.of(now))
		bucket, ask := w.bucket, w.askLocked(now, batch)
		w.mu.Unlock()

		values, err := w.lease(ctx, now, bucket, ask)
		if err != nil {
			return nil, err
		}
		later, err := w.store.now(ctx)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		same := w.bucket == bucket && w.span.of(later) == bucket && w.span.newest(later) == w.span.newest(now)
		var refused []*waiter
		if same {
			refused = w.shareLocked(later, values, ask, batch)
		}
		w.mu.Unlock()
		if same {
			return refused, nil
		}
		w.store.book(w.key(bucket), -ask)
	}
}

// askLocked is how much to lease: what the waiting need, and more for those
// that will come if the last lease was spent in a hurry.
func (w *window) askLocked(now moment, batch []*waiter) int64 {
	need := -w.have
	for _, b := range batch {
		need += b.n
	}
	if now < w.filled.add(hurry) {
		w.extra = max(2*w.extra, 2*need)
	}
	w.extra = max(0, min(w.extra, w.room/share))
	return max(0, need+w.extra)
}

// lease adds ask to the bucket and returns the window's buckets as they were
// behind that.
func (w *window) lease(ctx context.Context, now moment, bucket, ask int64) (map[int64]int64, error) {
	oldest := w.span.oldest(now)
	maps.DeleteFunc(w.known, func(b, _ int64) bool { return b < oldest })
	ds, buckets := []delta{{w.key(bucket), ask}}, []int64{bucket}
	for b := oldest; b <= w.span.newest(now); b++ {
		if _, ok := w.known[b]; !ok && b != bucket {
			ds, buckets = append(ds, delta{w.key(b), 0}), append(buckets, b)
		}
	}
	sums, err := w.store.exchange(ctx, ds)
	if err != nil {
		return nil, err
	}
	values := maps.Clone(w.known)
	for i, b := range buckets {
		values[b] = max(0, sums[i])
		if w.span.final(b, now) {
			w.known[b] = values[b]
		}
	}
	return values, nil
}

// usedBeforeLocked is what the window held without this lease and without what was
// leased here earlier and is not spent.
func (w *window) usedBeforeLocked(values map[int64]int64, ask int64) int64 {
	used := -ask - w.have
	for _, v := range values {
		used += v
	}
	return used
}

// shareLocked answers batch in its order: each is admitted while the use before
// it is below the limit. What is left stays as the lease. Only what is above
// the limit goes back, so that another ingress that was refused because of this
// addition was refused rightly. The refused ones are returned.
func (w *window) shareLocked(now moment, values map[int64]int64, ask int64, batch []*waiter) []*waiter {
	before := w.usedBeforeLocked(values, ask)
	used, limit, largest := before, int64(0), int64(0)
	for _, b := range batch {
		limit, largest = b.limit, max(largest, b.n)
		if b.verdict.admitted = used < b.limit; b.verdict.admitted {
			used += b.n
		}
	}
	spare := ask + w.have - (used - before)
	w.room = max(0, limit-used)
	keep := min(spare, w.room)
	w.used = used + spare
	w.bookLocked(w.bucket, keep-spare)
	w.have, w.filled, w.quiet = keep, now, false
	w.trimLocked()
	var refused []*waiter
	for _, b := range batch {
		if b.verdict.admitted {
			b.verdict = w.admittedLocked(now, b.limit)
			continue
		}
		refused = append(refused, b)
		w.full, w.fullAt = now.add(refusalTime), b.limit
		// More than that above the limit are additions on their way back.
		w.roomFrom = w.roomAgain(values, min(used, b.limit+largest-1), b.limit)
		b.verdict = w.refusedLocked(now, b.limit)
	}
	return refused
}

// roomAgain is when enough buckets will have left the window.
func (w *window) roomAgain(values map[int64]int64, used, limit int64) moment {
	b := w.bucket - int64(len(values))
	for ; b < w.bucket && used >= limit; b++ {
		used -= values[b]
	}
	if used >= limit {
		return w.span.leaves(w.bucket)
	}
	return w.span.leaves(b - 1)
}

// adjust corrects an admission counted in bucket by n. Tokens found to be more
// count now; room that was not needed comes back where it was taken, if that
// still matters.
func (w *window) adjust(now moment, bucket, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnLocked(w.span.of(now))
	if n < 0 && bucket != w.bucket {
		if bucket >= w.span.oldest(now) {
			w.bookLocked(bucket, n)
		}
		return
	}
	w.have -= n
	if w.have > 0 {
		w.full = 0 // there is room here again
	}
	w.trimLocked()
}

// trimLocked books what is owed and gives back what a hurried client does not
// need.
func (w *window) trimLocked() {
	switch {
	case w.have < 0:
		w.bookLocked(w.bucket, -w.have)
		w.have = 0
	case w.have > 2*w.extra:
		w.bookLocked(w.bucket, w.extra-w.have)
		w.have = w.extra
	}
}

// tick ends the lease of a client that has paused.
func (w *window) tick(now moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnLocked(w.span.of(now))
	if w.quiet {
		w.extra = 0
	}
	w.quiet = true
	if !w.leading {
		w.trimLocked()
	}
}

// giveBack ends the lease.
func (w *window) giveBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.extra = 0
	w.trimLocked()
}

// leased is what is held here and not spent.
func (w *window) leased() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, w.have)
}
