package logsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// chGrouping is how Usage groups by one name: in the rows and in the rollups.
type chGrouping struct{ rows, rollup string }

var chGroupings = map[string]chGrouping{
	"client":   {"client_id", "client_id"},
	"model":    {"model", "model"},
	"provider": {"provider", "provider"},
	"key":      {"key_fp", "key_fp"},
	"day":      {"formatDateTime(time, '%F', 'UTC')", "formatDateTime(t, '%F', 'UTC')"},
	"hour":     {"formatDateTime(time, '%FT%H:00:00Z', 'UTC')", "formatDateTime(t, '%FT%H:00:00Z', 'UTC')"},
}

// rollups are the tables, by the hour (_1h) and by the day (_1d), that answer for
// some groups.
type rollups struct {
	sums       string // "": no table knows the groups, rows must be read
	digests    string // percentiles are merged from these
	histograms string // or else counted from these
}

// wanted says which of the two groups are asked for that not every rollup knows.
type wanted struct{ client, key bool }

var rollupsFor = map[wanted]rollups{
	{}:                        {sums: "perf", digests: "perf"},
	{client: true}:            {sums: "usage", histograms: "client_latency"},
	{key: true}:               {sums: "keys", histograms: "keys"},
	{client: true, key: true}: {},
}

// chUsage is a question for Usage.
type chUsage struct {
	groups []chGrouping
	from   time.Time
	parts  []span // that add up to the time since from
	rollups
}

// newChUsage returns an error that wraps ErrQuery for a name that is no group.
func newChUsage(by []string, from time.Time) (*chUsage, error) {
	u := &chUsage{from: from, parts: spans(from, slices.Contains(by, "hour")),
		rollups: rollupsFor[wanted{client: slices.Contains(by, "client"), key: slices.Contains(by, "key")}]}
	if u.sums == "" {
		u.parts = []span{{where: rowsSince(from)}}
	}
	for _, name := range by {
		g, ok := chGroupings[name]
		if !ok {
			return nil, fmt.Errorf("%w: cannot group by %q: use client, model, provider, key, day or hour", ErrQuery, name)
		}
		u.groups = append(u.groups, g)
	}
	return u, nil
}

// Usage adds up rollups, and rows only for what is left of the first hour, or
// where clients and keys are wanted at once. Percentiles of digests are within a
// percent, those of histograms within 1.75 %.
func (r *chReader) Usage(ctx context.Context, by []string, from time.Time) (*Rows, error) {
	u, err := newChUsage(by, from)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	if err := r.check(ctx); err != nil {
		return nil, fmt.Errorf("query usage: %w", err)
	}
	var sums []grouped
	var percentiles map[string][]any
	var errs [2]error
	var queries sync.WaitGroup
	queries.Go(func() { sums, errs[0] = r.usageSums(ctx, u) })
	queries.Go(func() { percentiles, errs[1] = r.percentiles(ctx, u) })
	queries.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("query usage: %w", err)
	}
	rows := &Rows{Columns: slices.Concat(by, figures)}
	for _, s := range sums {
		p, ok := percentiles[strings.Join(s.key, "\x00")]
		if !ok {
			p = make([]any, len(percentileNames)) // older than what latencies are known of
		}
		rows.Values = append(rows.Values, slices.Concat(s.values, p, []any{s.unpriced}))
	}
	return rows, nil
}

// grouped is one row of an answer, and what it is grouped by.
type grouped struct {
	key      []string
	values   []any // the key among them
	unpriced int64
}

// usageColumns are the sums of figures, which stand before the percentiles.
var usageColumns = slices.Concat([]string{"requests", "errors"}, names(tokenColumns), []string{"cost_nano_usd"})

// usageSums adds up what rows and rollups hold, for each group.
func (r *chReader) usageSums(ctx context.Context, u *chUsage) ([]grouped, error) {
	var selects []string
	for _, p := range u.parts {
		what := fromSums(usageSums)
		if p.rows() {
			what = fromRows(usageSums)
		}
		selects = append(selects, fmt.Sprintf("SELECT %s%s FROM %s.%s AS r WHERE %s GROUP BY ALL",
			chKeys(u.groups, p), strings.TrimPrefix(what, ", "), r.db, p.table(u.sums), p.where))
	}
	what := ""
	for _, name := range usageColumns[:len(usageColumns)-1] {
		what += ", toInt64(sum(" + name + "))"
	}
	rows, err := r.query(ctx, fmt.Sprintf("SELECT %s%s, toInt64(sum(unpriced)), if(sum(priced) = 0, NULL, toInt64(sum(cost_nano_usd))) FROM (%s) %s",
		keyNames(u.groups), strings.TrimPrefix(what, ", "), strings.Join(selects, " UNION ALL "), groupAndOrder(u.groups)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []grouped
	err = chScan(rows, u.groups, len(usageColumns), func(key []string, sums []int64, cost *int64) {
		g := grouped{key: key}
		for _, k := range key {
			g.values = append(g.values, k)
		}
		last := len(sums) - 1
		g.unpriced = sums[last]
		for _, n := range sums[:last] {
			g.values = append(g.values, n)
		}
		if cost == nil {
			g.values = append(g.values, nil) // unknown, not free
		} else {
			g.values = append(g.values, *cost)
		}
		list = append(list, g)
	})
	return list, err
}

// chScan reads rows of a key, some sums and an optional cost.
func chScan(rows driver.Rows, groups []chGrouping, count int, row func(key []string, sums []int64, cost *int64)) error {
	for rows.Next() {
		key, sums := make([]string, len(groups)), make([]int64, count)
		var cost *int64
		into := pointers(key)
		for i := range sums {
			into = append(into, &sums[i])
		}
		if err := rows.Scan(append(into, &cost)...); err != nil {
			return err
		}
		row(key, sums, cost)
	}
	return rows.Err()
}

// chKeys selects what a span is grouped by, as k0, k1 and so on.
func chKeys(groups []chGrouping, s span) string {
	text := ""
	for i, g := range groups {
		expression := g.rollup
		if s.rows() {
			expression = g.rows
		}
		text += fmt.Sprintf("toString(%s) AS k%d, ", expression, i)
	}
	return text
}

func keyNames(groups []chGrouping) string {
	text := ""
	for i := range groups {
		text += fmt.Sprintf("k%d, ", i)
	}
	return text
}

// groupAndOrder ends a query over spans. Without groups there is one row, also
// of nothing.
func groupAndOrder(groups []chGrouping) string {
	if len(groups) == 0 {
		return ""
	}
	list := strings.TrimSuffix(keyNames(groups), ", ")
	return "GROUP BY " + list + " ORDER BY " + list
}
