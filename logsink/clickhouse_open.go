package logsink

import (
	"context"
	"fmt"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// loadOpen reads the entries that are open, and how those of their requests
// ended that have a row.
func (c *ClickHouse) loadOpen(ctx context.Context) ([]saved, error) {
	ctx, cancel := context.WithTimeout(ctx, chWithin)
	defer cancel()
	rows, err := c.conn.Query(ctx, fmt.Sprintf(`SELECT job_id, attempt, version, anyIf(entry, sign > 0) FROM %s.open_entries
		GROUP BY job_id, attempt, version HAVING sum(sign) > 0 ORDER BY version`, c.db))
	if err != nil {
		return nil, fmt.Errorf("load open entries: %w", err)
	}
	defer rows.Close()
	var list []saved
	for rows.Next() {
		var job, entry string
		var attempt, version int64
		if err := rows.Scan(&job, &attempt, &version, &entry); err != nil {
			return nil, fmt.Errorf("load open entries: %w", err)
		}
		key := openKey{job, int(attempt)}
		c.sieve.open[key] = version
		list = append(list, saved{openKey: key, data: []byte(entry)})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load open entries: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	ends, err := c.loadEnds(ctx)
	return append(list, ends...), err
}

func (c *ClickHouse) loadEnds(ctx context.Context) ([]saved, error) {
	rows, err := c.conn.Query(ctx, fmt.Sprintf(`SELECT %[2]s FROM %[1]s.requests
		WHERE job_id IN (SELECT job_id FROM %[1]s.open_entries GROUP BY job_id, attempt, version HAVING sum(sign) > 0)`, c.db, endColumns))
	if err != nil {
		return nil, fmt.Errorf("load ends of requests: %w", err)
	}
	defer rows.Close()
	var list []saved
	for rows.Next() {
		var r usage.Request
		var outcome, source string
		var attempts, status int64
		if err := rows.Scan(&r.JobID, &outcome, &attempts, &status, &r.PromptTokens, &r.CachedReadTokens, &r.CachedWriteTokens,
			&r.CompletionTokens, &r.ReasoningTokens, &source, &r.CostNanoUSD); err != nil {
			return nil, fmt.Errorf("load ends of requests: %w", err)
		}
		r.Outcome, r.Attempts, r.Status = usage.Outcome(outcome), int(attempts), int(status)
		r.UsageSource = llm.UsageSource(source)
		list = append(list, endOf(&r))
	}
	return list, rows.Err()
}
