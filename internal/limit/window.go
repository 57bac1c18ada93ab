package limit

import (
	"context"
	"strconv"
	"time"
)

const (
	hurry       = 100 * time.Millisecond // a lease spent sooner than this was too small
	refusalTime = 100 * time.Millisecond // a refusal holds this long without another look
	share       = 32                     // a lease is at most this part of the room left
	staleAfter  = time.Second            // no refusal rests on older values
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
	quiet    bool   // no fill since the last tick
	full     moment // refuse until then
	fullAt   int64  // for this limit and higher use
	roomFrom moment // when room may be back

	// Owned by the leader.
	known   map[int64]int64 // sums of buckets that no clock is in any more
	knownAt moment          // when the oldest of them was read
}

func newWindow(s *store, sp span, subject string) *window {
	return &window{store: s, span: sp, subject: subject, known: map[int64]int64{}}
}

func (w *window) take(ctx context.Context, now moment, n, limit int64) verdict {
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
	level := Level{Limit: limit, Remaining: max(0, limit-used)}
	if used > 0 {
		level.Reset = now.until(w.span.leaves(w.bucket))
	}
	return level
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

// fill leases room for batch. A bucket that ends meanwhile takes the lease with
// it, as does a window that now reaches further than what was read; and a
// refusal that rests on old values is looked at again.
func (w *window) fill(ctx context.Context, batch []*waiter) error {
	for {
		now, err := w.store.now(ctx)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.turnLocked(w.span.of(now))
		bucket, ask := w.bucket, w.askLocked(now, batch)
		w.mu.Unlock()

		values, err := w.lease(ctx, now, bucket, ask)
		if err != nil {
			return err
		}
		later, err := w.store.now(ctx)
		if err != nil {
			return err
		}
		w.mu.Lock()
		ended := w.span.of(later) != bucket || w.bucket != bucket || w.span.newest(later) != w.span.newest(now)
		again := !ended && w.wouldRefuseLocked(values, ask, batch) && w.knownAt != 0 && later > w.knownAt.add(staleAfter)
		if ended || again {
			w.mu.Unlock()
			w.store.book(w.key(bucket), -ask)
			if again {
				clear(w.known)
				w.knownAt = 0
			}
			continue
		}
		w.shareLocked(later, values, ask, batch)
		w.mu.Unlock()
		return nil
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
	read := []int64{bucket}
	values := map[int64]int64{}
	for b := w.span.oldest(now); b <= w.span.newest(now); b++ {
		if v, ok := w.known[b]; ok {
			values[b] = v
		} else if b != bucket {
			read = append(read, b)
		}
	}
	ds := make([]delta, len(read))
	for i, b := range read {
		ds[i].subject = w.key(b)
	}
	ds[0].n = ask
	sums, err := w.store.exchange(ctx, ds)
	if err != nil {
		return nil, err
	}
	for i, b := range read {
		values[b] = max(0, sums[i])
		if w.span.final(b, now) {
			w.known[b] = values[b]
			if w.knownAt == 0 {
				w.knownAt = now
			}
		}
	}
	for b := range w.known {
		if b < w.span.oldest(now) {
			delete(w.known, b)
		}
	}
	return values, nil
}

// usedBefore is what the window held without this lease and without what was
// leased here earlier and is not spent.
func (w *window) usedBeforeLocked(values map[int64]int64, ask int64) int64 {
	used := -ask - w.have
	for _, v := range values {
		used += v
	}
	return used
}

func (w *window) wouldRefuseLocked(values map[int64]int64, ask int64, batch []*waiter) bool {
	used := w.usedBeforeLocked(values, ask)
	for _, b := range batch {
		if used >= b.limit {
			return true
		}
		used += b.n
	}
	return false
}

// shareLocked answers batch in its order: each is admitted while the use before
// it is below the limit. What is left stays as the lease, as far as there is
// room, and the rest goes back.
func (w *window) shareLocked(now moment, values map[int64]int64, ask int64, batch []*waiter) {
	before := w.usedBeforeLocked(values, ask)
	used, limit := before, int64(0)
	for _, b := range batch {
		limit = b.limit
		if b.verdict.admitted = used < b.limit; b.verdict.admitted {
			used += b.n
		}
	}
	spare := ask + w.have - (used - before)
	w.room = max(0, limit-used)
	keep := min(spare, w.room/share)
	w.used = used + spare
	w.bookLocked(w.bucket, keep-spare)
	w.have, w.filled, w.quiet = keep, now, false
	w.trimLocked()
	for _, b := range batch {
		if b.verdict.admitted {
			b.verdict = w.admittedLocked(now, b.limit)
			continue
		}
		w.full, w.fullAt = now.add(refusalTime), b.limit
		w.roomFrom = w.roomAgain(values, used, b.limit)
		b.verdict = w.refusedLocked(now, b.limit)
	}
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

// tick lets the lease of a client that has slowed down shrink to nothing.
func (w *window) tick(now moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnLocked(w.span.of(now))
	if w.quiet {
		w.extra /= 2
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
