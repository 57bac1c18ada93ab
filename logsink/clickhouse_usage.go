package logsink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// chGrouping is how Usage groups by one name: in the rows and in the rollups.
// The rollups with digests do not know every one.
type chGrouping struct {
	rows, rollup string // "" if no rollup knows it
	inDigests    bool
}

// inDigests reports whether the rollups with digests know all groups.
func inDigests(groups []chGrouping) bool {
	return !slices.ContainsFunc(groups, func(g chGrouping) bool { return !g.inDigests })
}

var chGroupings = map[string]chGrouping{
	"client":   {"client_id", "client_id", false},
	"model":    {"model", "model", true},
	"provider": {"provider", "provider", true},
	"key":      {"key_fp", "", false},
	"day":      {"formatDateTime(time, '%F', 'UTC')", "formatDateTime(t, '%F', 'UTC')", true},
	"hour":     {"formatDateTime(time, '%FT%H:00:00Z', 'UTC')", "formatDateTime(t, '%FT%H:00:00Z', 'UTC')", true},
}

// span is a time and the table that answers for it.
type span struct {
	hours, days bool // rollups; neither means rows
	where       string
}

// spans cuts the time since from into days, hours and what is left, so that each
// is asked of the coarsest table that knows it.
func spans(from time.Time, byHour bool) []span {
	if from.IsZero() {
		return []span{{days: !byHour, hours: byHour, where: "true"}}
	}
	hour := from.UTC().Truncate(time.Hour)
	if hour.Before(from) {
		hour = hour.Add(time.Hour)
	}
	day := hour.Truncate(24 * time.Hour)
	if day.Before(hour) {
		day = day.Add(24 * time.Hour)
	}
	list := []span{
		{where: fmt.Sprintf("job_id >= '%s' AND job_id < '%s' AND time >= fromUnixTimestamp64Micro(%d, 'UTC') AND time < toDateTime64(%d, 6, 'UTC')",
			firstJob(from), firstJob(hour.Add(2*time.Hour)), from.UnixMicro(), hour.Unix())},
	}
	if byHour {
		return append(list, span{hours: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC')", hour.Unix())})
	}
	return append(list,
		span{hours: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC') AND t < toDateTime(%d, 'UTC')", hour.Unix(), day.Unix())},
		span{days: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC')", day.Unix())})
}

// rollup is the name of the span's table.
func (s span) rollup(name string) string {
	switch {
	case s.days:
		return name + "_1d"
	case s.hours:
		return name + "_1h"
	}
	return "requests"
}

// Usage adds up rollups, and rows only for what is left of the first hour. The
// percentiles of what no digest knows, clients and keys, come from all rows, and so
// do the sums of keys; percentiles of digests are within a percent.
func (r *chReader) Usage(ctx context.Context, by []string, from time.Time) (*Rows, error) {
	var groups []chGrouping
	for _, name := range by {
		g, ok := chGroupings[name]
		if !ok {
			return nil, fmt.Errorf("%w: cannot group by %q: use client, model, provider, key, day or hour", ErrQuery, name)
		}
		groups = append(groups, g)
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
	byHour := slices.Contains(by, "hour")
	queries.Go(func() { sums, errs[0] = r.usageSums(ctx, groups, from, spans(from, byHour)) })
	queries.Go(func() { percentiles, errs[1] = r.percentiles(ctx, groups, from, byHour) })
	queries.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("query usage: %w", err)
	}
	rows := &Rows{Columns: slices.Concat(by, figures)}
	for _, s := range sums {
		p, ok := percentiles[strings.Join(s.key, "\x00")]
		if !ok {
			p = make([]any, len(percentileNames)) // older than the rows that are kept
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
func (r *chReader) usageSums(ctx context.Context, groups []chGrouping, from time.Time, parts []span) ([]grouped, error) {
	rollup := "perf"
	if !inDigests(groups) {
		rollup = "usage"
	}
	if slices.ContainsFunc(groups, func(g chGrouping) bool { return g.rollup == "" }) {
		parts = []span{{where: rowsSince(from)}}
	}
	var selects []string
	for _, p := range parts {
		what := chKeys(groups, p) + strings.TrimPrefix(fromSums(usageSums), ", ")
		if !p.days && !p.hours {
			what = chKeys(groups, p) + strings.TrimPrefix(fromRows(usageSums), ", ")
		}
		selects = append(selects, fmt.Sprintf("SELECT %s FROM %s.%s AS r WHERE %s GROUP BY ALL", what, r.db, p.rollup(rollup), p.where))
	}
	what := ""
	for _, name := range usageColumns[:len(usageColumns)-1] {
		what += ", toInt64(sum(" + name + "))"
	}
	rows, err := r.query(ctx, fmt.Sprintf("SELECT %s%s, toInt64(sum(unpriced)), if(sum(priced) = 0, NULL, toInt64(sum(cost_nano_usd))) FROM (%s) %s",
		keyNames(groups), strings.TrimPrefix(what, ", "), strings.Join(selects, " UNION ALL "), groupAndOrder(groups)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []grouped
	err = chScan(rows, groups, len(usageColumns), func(key []string, sums []int64, cost *int64) {
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
		var into []any
		for i := range key {
			into = append(into, &key[i])
		}
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

// percentileNames are the last of figures.
var percentileNames = figures[len(usageColumns) : len(figures)-1]

// percentiles computes those of each group, from digests where they know it.
func (r *chReader) percentiles(ctx context.Context, groups []chGrouping, from time.Time, byHour bool) (map[string][]any, error) {
	text := r.fromDigests(groups, spans(from, byHour))
	if !inDigests(groups) {
		text = r.fromRows(groups, from)
	}
	rows, err := r.query(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string][]any{}
	for rows.Next() {
		key := make([]string, len(groups))
		var latency, ttft []float32
		var into []any
		for i := range key {
			into = append(into, &key[i])
		}
		if err := rows.Scan(append(into, &latency, &ttft)...); err != nil {
			return nil, err
		}
		found[strings.Join(key, "\x00")] = []any{known(latency[0]), known(latency[1]), known(latency[2]), known(ttft[0]), known(ttft[1])}
	}
	return found, rows.Err()
}

// fromDigests is the query for percentiles that merges digests.
func (r *chReader) fromDigests(groups []chGrouping, parts []span) string {
	var selects []string
	for _, p := range parts {
		digest := digestMore
		if !p.days && !p.hours {
			digest = digestRows
		}
		selects = append(selects, fmt.Sprintf("SELECT %s%s FROM %s.%s WHERE %s GROUP BY ALL", chKeys(groups, p), strings.TrimPrefix(digest, ", "), r.db, p.rollup("perf"), p.where))
	}
	return fmt.Sprintf("SELECT %squantilesTDigestMerge(0.5, 0.95, 0.99)(latency), quantilesTDigestIfMerge(0.5, 0.95, 0.99)(ttft) FROM (%s) %s",
		keyNames(groups), strings.Join(selects, " UNION ALL "), groupAndOrder(groups))
}

// rowsSince selects the rows since a time.
func rowsSince(from time.Time) string {
	if from.IsZero() {
		return "true"
	}
	return fmt.Sprintf("job_id >= '%s' AND time >= fromUnixTimestamp64Micro(%d, 'UTC')", firstJob(from), from.UnixMicro())
}

// fromRows is the query for percentiles that reads rows.
func (r *chReader) fromRows(groups []chGrouping, from time.Time) string {
	return fmt.Sprintf("SELECT %squantilesTDigest(0.5, 0.95, 0.99)(total_ms), quantilesTDigestIf(0.5, 0.95, 0.99)(ttft_ms, ttft_ms > 0) FROM %s.requests WHERE %s %s",
		chKeys(groups, span{}), r.db, rowsSince(from), groupAndOrder(groups))
}

// known is a percentile, nil if there was nothing to compute it from.
func known(p float32) any {
	if math.IsNaN(float64(p)) {
		return nil
	}
	return math.Round(float64(p)*1000) / 1000
}

// chKeys selects what a span is grouped by, as k0, k1 and so on.
func chKeys(groups []chGrouping, s span) string {
	text := ""
	for i, g := range groups {
		expression := g.rollup
		if !s.days && !s.hours {
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
