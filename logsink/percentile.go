package logsink

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
)

// latency holds the times of one group, in milliseconds.
type latency struct{ total, ttft []float64 }

// latencies reads the times of all requests by group. Percentiles are exact:
// a file that one machine fills is small enough for it.
func latencies(ctx context.Context, tx *sql.Tx, expressions []string, where string, args []any) (map[string]*latency, error) {
	what := append(expressions[:len(expressions):len(expressions)], "total_ms", "ttft_ms")
	rows, err := tx.QueryContext(ctx, "select "+strings.Join(what, ", ")+" from requests where "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	n := len(expressions)
	group := make([]any, n)
	into := make([]any, n, n+2)
	for i := range group {
		into[i] = &group[i]
	}
	var total, ttft float64
	into = append(into, &total, &ttft)
	times := map[string]*latency{}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		key := groupKey(group)
		l := times[key]
		if l == nil {
			l = &latency{}
			times[key] = l
		}
		l.total = append(l.total, total)
		if ttft > 0 { // 0: no content was ever written
			l.ttft = append(l.ttft, ttft)
		}
	}
	for _, l := range times {
		slices.Sort(l.total)
		slices.Sort(l.ttft)
	}
	return times, rows.Err()
}

// groupKey joins the values of a group; they are all text.
func groupKey(values []any) string {
	var b strings.Builder
	for _, v := range values {
		s, _ := v.(string)
		b.WriteString(s)
		b.WriteByte(0)
	}
	return b.String()
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
