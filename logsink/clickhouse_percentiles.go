package logsink

import (
	"context"
	"fmt"
	"math"
	"strings"
)

// percentileNames are the last of figures.
var percentileNames = figures[len(usageColumns) : len(figures)-1]

// percentiles computes those of each group, in the order of percentileNames.
func (r *chReader) percentiles(ctx context.Context, u *chUsage) (map[string][]any, error) {
	switch {
	case u.digests != "":
		return r.estimated(ctx, u, r.fromDigests(u))
	case u.histograms != "":
		return r.counted(ctx, u)
	}
	return r.estimated(ctx, u, r.fromRows(u))
}

// estimated runs a query that ends in quantiles of latency and of ttft.
func (r *chReader) estimated(ctx context.Context, u *chUsage, text string) (map[string][]any, error) {
	var latency, ttft []float32
	return r.percentilesOf(ctx, u, text, []any{&latency, &ttft}, func() []any {
		return []any{known(latency[0]), known(latency[1]), known(latency[2]), known(ttft[0]), known(ttft[1])}
	})
}

// percentilesOf runs a query for percentiles. Each of its rows is scanned into the
// values of its groups and into what follows them, of which found makes the
// percentiles.
func (r *chReader) percentilesOf(ctx context.Context, u *chUsage, text string, into []any, found func() []any) (map[string][]any, error) {
	rows, err := r.query(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]any{}
	for rows.Next() {
		key := make([]string, len(u.groups))
		if err := rows.Scan(append(pointers(key), into...)...); err != nil {
			return nil, err
		}
		all[strings.Join(key, "\x00")] = found()
	}
	return all, rows.Err()
}

// fromDigests is the query for percentiles that merges digests.
func (r *chReader) fromDigests(u *chUsage) string {
	var selects []string
	for _, p := range u.parts {
		digest := digestMore
		if p.rows() {
			digest = digestRows
		}
		selects = append(selects, fmt.Sprintf("SELECT %s%s FROM %s.%s WHERE %s GROUP BY ALL", chKeys(u.groups, p), strings.TrimPrefix(digest, ", "), r.db, p.table(u.digests), p.where))
	}
	return fmt.Sprintf("SELECT %squantilesTDigestMerge(0.5, 0.95, 0.99)(latency), quantilesTDigestIfMerge(0.5, 0.95, 0.99)(ttft) FROM (%s) %s",
		keyNames(u.groups), strings.Join(selects, " UNION ALL "), groupAndOrder(u.groups))
}

// fromRows is the query for percentiles that reads rows.
func (r *chReader) fromRows(u *chUsage) string {
	return fmt.Sprintf("SELECT %squantilesTDigest(0.5, 0.95, 0.99)(total_ms), quantilesTDigestIf(0.5, 0.95, 0.99)(ttft_ms, ttft_ms > 0) FROM %s.requests WHERE %s %s",
		chKeys(u.groups, span{}), r.db, rowsSince(u.from), groupAndOrder(u.groups))
}

// known is a percentile, nil if there was nothing to compute it from.
func known(p float32) any {
	if math.IsNaN(float64(p)) {
		return nil
	}
	return math.Round(float64(p)*1000) / 1000
}

// counted computes percentiles from histograms: like SQLite's, the first value,
// here bucket, that at least such a share does not exceed.
func (r *chReader) counted(ctx context.Context, u *chUsage) (map[string][]any, error) {
	var latency, ttft []int16
	var some bool
	return r.percentilesOf(ctx, u, r.fromHistograms(u), []any{&latency, &ttft, &some}, func() []any {
		p := []any{bucketMS(latency[0]), bucketMS(latency[1]), bucketMS(latency[2]), nil, nil}
		if some {
			p[3], p[4] = bucketMS(ttft[0]), bucketMS(ttft[1])
		}
		return p
	})
}

// fromHistograms is the query for the buckets of percentiles, and whether there
// was any first token.
func (r *chReader) fromHistograms(u *chUsage) string {
	var selects []string
	for _, p := range u.parts {
		what, groupBy := ", latency, ttft", ""
		if p.rows() {
			what, groupBy = histogramRows(), " GROUP BY ALL"
		}
		selects = append(selects, fmt.Sprintf("SELECT %s%s FROM %s.%s WHERE %s%s",
			chKeys(u.groups, p), strings.TrimPrefix(what, ", "), r.db, p.table(u.histograms), p.where, groupBy))
	}
	return fmt.Sprintf("SELECT %squantilesExactWeightedArray(0.5, 0.95, 0.99)(latency.1, latency.2), quantilesExactWeightedArray(0.5, 0.95)(ttft.1, ttft.2), max(notEmpty(ttft.1)) = 1 FROM (%s) %s",
		keyNames(u.groups), strings.Join(selects, " UNION ALL "), groupAndOrder(u.groups))
}

// pointers are what the values of a key are scanned into.
func pointers(key []string) []any {
	into := make([]any, len(key))
	for i := range key {
		into[i] = &key[i]
	}
	return into
}
