package logsink

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// groupings are the names that Usage can group by. All are text.
var groupings = map[string]string{
	"client":   "client_id",
	"model":    "model",
	"provider": "provider",
	"key":      "key_fp",
	"day":      "substr(time, 1, 10)",
	"hour":     "substr(time, 1, 13) || ':00:00Z'",
}

// figures are the columns of Usage after those it groups by.
var figures = slices.Concat([]string{"requests", "errors"}, names(tokenColumns),
	[]string{"cost_nano_usd", "p50_ms", "p95_ms", "p99_ms", "ttft_p50_ms", "ttft_p95_ms", "unpriced"})

// group is the sum of some requests.
type group struct {
	key      []string
	requests int64
	errors   int64
	tokens   [5]int64 // in the order of tokenColumns
	cost     int64
	priced   bool  // at least one request has a cost
	unpriced int64 // requests that used tokens and have none
	total    []float64
	ttft     []float64 // of the requests that had content
}

// Usage reads every request of the time and sums up here: SQLite would sort
// them all to group them, and once more for each percentile.
func (r *sqliteReader) Usage(ctx context.Context, by []string, from time.Time) (*Rows, error) {
	var expressions []string
	for _, name := range by {
		expression, ok := groupings[name]
		if !ok {
			return nil, fmt.Errorf("%w: cannot group by %q: use client, model, provider, key, day or hour", ErrQuery, name)
		}
		expressions = append(expressions, expression)
	}
	groups, err := r.sum(ctx, expressions, from)
	if err != nil {
		return nil, fmt.Errorf("query usage: %w", err)
	}
	if len(by) == 0 && len(groups) == 0 {
		groups = []*group{{}} // nothing is an answer too
	}
	slices.SortFunc(groups, func(a, b *group) int { return slices.Compare(a.key, b.key) })
	rows := &Rows{Columns: slices.Concat(by, figures)}
	for _, g := range groups {
		rows.Values = append(rows.Values, g.row())
	}
	return rows, nil
}

func (r *sqliteReader) sum(ctx context.Context, expressions []string, from time.Time) ([]*group, error) {
	what := slices.Concat(expressions, []string{"outcome <> 'ok'"}, names(tokenColumns), []string{"cost_nano_usd", "total_ms", "ttft_ms"})
	where, args := since(from)
	rows, err := r.db.QueryContext(ctx, "select "+strings.Join(what, ", ")+" from requests where "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var (
		key         = make([]sql.RawBytes, len(expressions))
		failed      int64
		tokens      [5]int64
		cost        sql.NullInt64
		total, ttft float64

		into   []any
		joined []byte
		groups = map[string]*group{}
	)
	for i := range key {
		into = append(into, &key[i])
	}
	into = append(into, &failed)
	for i := range tokens {
		into = append(into, &tokens[i])
	}
	into = append(into, &cost, &total, &ttft)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		joined = joined[:0]
		for _, k := range key {
			joined = append(append(joined, k...), 0)
		}
		g := groups[string(joined)]
		if g == nil {
			g = newGroup(key)
			groups[string(joined)] = g
		}
		g.add(failed, &tokens, cost, total, ttft)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var list []*group
	for _, g := range groups {
		list = append(list, g)
	}
	return list, nil
}

func newGroup(key []sql.RawBytes) *group {
	g := &group{}
	for _, k := range key {
		g.key = append(g.key, string(k))
	}
	return g
}

func (g *group) add(failed int64, tokens *[5]int64, cost sql.NullInt64, total, ttft float64) {
	g.requests++
	g.errors += failed
	for i, n := range tokens {
		g.tokens[i] += n
	}
	g.cost += cost.Int64
	g.priced = g.priced || cost.Valid
	if !cost.Valid && (tokens[0] > 0 || tokens[3] > 0) { // prompt, completion
		g.unpriced++
	}
	g.total = append(g.total, total)
	if ttft > 0 { // 0: no content was ever written
		g.ttft = append(g.ttft, ttft)
	}
}

// row returns the values of g's columns.
func (g *group) row() []any {
	slices.Sort(g.total)
	slices.Sort(g.ttft)
	var row []any
	for _, k := range g.key {
		row = append(row, k)
	}
	row = append(row, g.requests, g.errors)
	for _, n := range g.tokens {
		row = append(row, n)
	}
	if g.priced {
		row = append(row, g.cost)
	} else {
		row = append(row, nil) // unknown, not free
	}
	return append(row, percentile(g.total, 0.50), percentile(g.total, 0.95), percentile(g.total, 0.99),
		percentile(g.ttft, 0.50), percentile(g.ttft, 0.95), g.unpriced)
}

// percentile returns the smallest of the sorted values that at least a share p
// of them does not exceed, or nil if there are none.
func percentile(sorted []float64, p float64) any {
	if len(sorted) == 0 {
		return nil
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
