package logsink

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// spent is an attempt that used tokens of "up-"+model.
func spent(job string, number int, model string, s usage.Spend) *usage.Attempt {
	return &usage.Attempt{JobID: job, Attempt: number, Provider: "acme", UpstreamModel: model, Outcome: usage.OK, Spend: s}
}

func nano(n int64) *int64 { return &n }

func TestReprice(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	at := func(day int) usage.Time { return usage.At(time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)) }
	// Keys in the order of time, as UUIDv7 are.
	row := func(job string, day, attempts int, cost *int64) *usage.Request {
		r := request(job, day)
		r.Time, r.Attempts, r.PriceVersion, r.CostNanoUSD = at(day), attempts, "old", cost
		return r
	}
	tokens := usage.Spend{PromptTokens: 10, CompletionTokens: 5, UsageSource: llm.UsageProvider}
	with := func(s usage.Spend, cost *int64) usage.Spend { s.CostNanoUSD = cost; return s }
	none := usage.Spend{UsageSource: llm.UsageNone}
	lost := spent("f1", 1, "dear", none)
	lost.Outcome = usage.WorkerLost
	counted := row("f4", 4, 1, nil)
	counted.Endpoint = llm.CountTokens
	store1(t, s, batch{
		requests: []*usage.Request{row("f0", 1, 1, nil), row("f1", 2, 2, nano(9)), row("f2", 2, 1, nano(7)), row("f3", 3, 2, nano(5)), counted, row("f5", 4, 2, nano(1)), row("f6", 5, 0, nil), row("f7", 5, 1, nano(3)), row("f8", 9, 1, nil)},
		attempts: []*usage.Attempt{
			spent("f0", 1, "dear", tokens),
			lost, spent("f1", 2, "dear", with(tokens, nano(9))),
			spent("f2", 1, "dear", with(usage.Spend{PromptTokens: 10, CachedWriteTokens: 10, CachedWrite1hTokens: 4, UsageSource: llm.UsageProvider}, nano(7))),
			spent("f3", 1, "dear", with(tokens, nano(5))), // the other one's record is missing
			spent("f4", 1, "dear", tokens),
			spent("f5", 1, "dear", with(tokens, nano(1))), spent("f5", 2, "dear", usage.Spend{PromptTokens: 10, ServiceTier: "flex", UsageSource: llm.UsageProvider}),
			spent("f7", 1, "dear", with(none, nano(3))),
			spent("f8", 1, "dear", tokens),
		}})
	price := llm.Price{Rates: llm.Rates{Input: 1000, CacheWrite: 2000, CacheWrite1h: 3000, Output: 4000}}
	how := Repricing{From: at(2).Time(), To: at(9).Time(), Version: "new", Price: func(provider, model string) *llm.Price {
		if provider != "acme" || model != "dear" {
			return nil
		}
		return &price
	}}
	before := costs(t, s)
	// f1: 10×1 + 5×4; f2: 6 for five minutes × 2 + 4 for an hour × 3; f3: as it was; f4: free; f5: one has no price for its tier; f7: used nothing.
	want := Repriced{Requests: 7, Changed: 5, Incomplete: 1, Unpriced: 1, BeforeNanoUSD: 9 + 7 + 5 + 1 + 3, CostNanoUSD: 30 + 24 + 5}
	how.DryRun = true
	if got, err := Reprice(t.Context(), dir, how); err != nil || got != want {
		t.Errorf("dry run: got %+v, %v; want %+v", got, err, want)
	}
	if diff := cmp.Diff(before, costs(t, s)); diff != "" {
		t.Errorf("a dry run changed costs (-before +after):\n%s", diff)
	}
	how.DryRun = false
	if got, err := Reprice(t.Context(), dir, how); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if diff := cmp.Diff(map[string]any{"f0 old": nil, "f1 new": int64(30), "f2 new": int64(24), "f3 old": int64(5), "f4 new": int64(0), "f5 new": nil, "f6 old": nil,
		"f7 new": int64(0), "f8 old": nil}, costs(t, s)); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
	again, err := Reprice(t.Context(), dir, how)
	if err != nil || again.Changed != 0 || again.CostNanoUSD != want.CostNanoUSD {
		t.Errorf("once more: got %+v, %v; want no change", again, err)
	}
	var sum int64
	if err := s.db.QueryRow("select sum(cost_nano_usd) from attempts where job_id between 'f1' and 'f7'").Scan(&sum); err != nil || sum != 30+24+5+30 {
		t.Errorf("attempts: got %d, %v; want %d", sum, err, 30+24+5+30)
	}
}

// costs are the requests' costs by key and price version.
func costs(t *testing.T, s *SQLite) map[string]any {
	t.Helper()
	rows, err := s.Records(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	column := func(name string) int { return slices.Index(rows.Columns, name) }
	for _, v := range rows.Values {
		all[v[column("job_id")].(string)+" "+v[column("price_version")].(string)] = v[column("cost_nano_usd")]
	}
	return all
}

// More requests than fit into one transaction are all reckoned.
func TestRepriceInSteps(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	var b batch
	for i := range 2*repriceAtOnce + 1 {
		r := request(fmt.Sprintf("j%05d", i), 0)
		r.Attempts = 1
		b.requests = append(b.requests, r)
		b.attempts = append(b.attempts, spent(r.JobID, 1, "m", usage.Spend{PromptTokens: 3, UsageSource: llm.UsageProvider}))
	}
	store1(t, s, b)
	got, err := Reprice(t.Context(), dir, Repricing{Version: "new", Price: func(string, string) *llm.Price { return &llm.Price{Rates: llm.Rates{Input: 1000}} }})
	if want := len(b.requests); err != nil || got.Requests != want || got.Changed != want || got.CostNanoUSD != int64(3*want) {
		t.Errorf("got %+v, %v; want all %d at 3", got, err, want)
	}
	if _, err := Reprice(t.Context(), t.TempDir(), Repricing{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a store: got %v, want fs.ErrNotExist", err)
	}
}
