package logsink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"model-proxy/internal/usage"
)

// sieve decides what of a batch is new. The batch before may not be stored yet,
// so the sieve remembers what was in it; all before that are in the database.
type sieve struct {
	*chConn
	open   map[openKey]int64   // versions of the entries that are open
	before [3]map[openKey]bool // keys of the batch before: of requests, attempts and bodies
}

// sift leaves out of b the rows whose key exists, in the database, in the batch
// before or earlier in b, and says what becomes of the entries that are open.
func (s *sieve) sift(ctx context.Context, b *batch) (*intent, error) {
	hand := &intent{Acks: b.acks, Stored: time.Now().Unix()}
	var seen [3]map[openKey]bool
	var errs [3]error
	var lookups sync.WaitGroup
	lookups.Go(func() {
		hand.requests, seen[0], errs[0] = leaveOut(ctx, s.chConn, "requests", "", b.requests, s.before[0], func(r *usage.Request) openKey { return openKey{r.JobID, 0} })
	})
	lookups.Go(func() {
		hand.attempts, seen[1], errs[1] = leaveOut(ctx, s.chConn, "attempts", "attempt", b.attempts, s.before[1], func(a *usage.Attempt) openKey { return openKey{a.JobID, a.Attempt} })
	})
	lookups.Go(func() {
		hand.bodies, seen[2], errs[2] = leaveOut(ctx, s.chConn, "bodies", "part", b.bodies, s.before[2], func(b *usage.Body) openKey { return openKey{b.JobID, b.Part} })
	})
	lookups.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	s.before = seen
	s.siftOpen(b, hand)
	return hand, nil
}

// siftOpen tells hand which open entries b brings and which it ends.
func (s *sieve) siftOpen(b *batch, hand *intent) {
	end := func(k openKey) {
		if old, ok := s.open[k]; ok {
			hand.Open = append(hand.Open, openRow{Job: k.job, Attempt: k.attempt, Version: old, Sign: -1, Stored: hand.Stored})
			delete(s.open, k)
		}
	}
	version := time.Now().UnixNano() // tells this entry from another one at the same key
	for _, e := range b.save {
		end(e.openKey)
		hand.Open = append(hand.Open, openRow{e.job, e.attempt, version, 1, e.data, hand.Stored})
		s.open[e.openKey] = version
	}
	for _, k := range b.forget {
		end(k)
	}
}

// leaveOut returns the rows whose key is new, the first of each, and all the keys
// that are in the table or on their way there.
func leaveOut[T any](ctx context.Context, c *chConn, table, number string, rows []*T, before map[openKey]bool, key func(*T) openKey) (fresh []*T, seen map[openKey]bool, err error) {
	if len(rows) == 0 {
		return nil, nil, nil
	}
	if seen, err = existing(ctx, c, table, number, rows, key); err != nil {
		return nil, nil, fmt.Errorf("look up keys of %s: %w", table, err)
	}
	fresh = make([]*T, 0, len(rows))
	for _, r := range rows {
		if k := key(r); !seen[k] && !before[k] {
			seen[k] = true
			fresh = append(fresh, r)
		}
	}
	return fresh, seen, nil
}

// existing asks which of the rows' keys have a row. number is the second column
// of the key, if it has one.
func existing[T any](ctx context.Context, c *chConn, table, number string, rows []*T, key func(*T) openKey) (map[openKey]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, chWithin)
	defer cancel()
	wanted, err := ext.NewTable("wanted", ext.Column("job_id", chcolumn.Type("String")))
	if err != nil {
		return nil, err
	}
	first, last := "", ""
	for _, r := range rows {
		job := key(r).job
		if first == "" || job < first {
			first = job
		}
		last = max(last, job)
		if err := wanted.Append(job); err != nil {
			return nil, err
		}
	}
	if number == "" {
		number = "toInt64(0)"
	}
	found, err := c.conn.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(wanted)),
		fmt.Sprintf("SELECT job_id, %s FROM %s.%s WHERE job_id BETWEEN ? AND ? AND job_id IN wanted", number, c.db, table), first, last)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	seen := make(map[openKey]bool, len(rows))
	for found.Next() {
		var job string
		var n int64
		if err := found.Scan(&job, &n); err != nil {
			return nil, err
		}
		seen[openKey{job, int(n)}] = true
	}
	return seen, found.Err()
}
