package logsink

import (
	"fmt"
	"slices"
	"time"
)

// rollupView fills a rollup from another table, as rows come into that.
type rollupView struct{ into, from, selects, groupBy string }

// fill inserts what the view makes of one hour's rows. The hashes that tell a
// batch that comes again play no part: who fills has emptied the rollup.
func (v rollupView) fill(db string, hour time.Time) string {
	return fmt.Sprintf(`INSERT INTO %[1]s.%[2]s SETTINGS insert_deduplicate = 0 SELECT %[3]s FROM %[1]s.%[4]s AS r
		WHERE time >= toDateTime64(%[5]d, 6, 'UTC') AND time < toDateTime64(%[6]d, 6, 'UTC') GROUP BY %[7]s`,
		db, v.into, v.selects, v.from, hour.Unix(), hour.Add(time.Hour).Unix(), v.groupBy)
}

func (v rollupView) ddl(db string) string {
	return fmt.Sprintf("CREATE MATERIALIZED VIEW IF NOT EXISTS %[1]s.%[2]s_view TO %[1]s.%[2]s AS SELECT %[3]s FROM %[1]s.%[4]s AS r GROUP BY %[5]s",
		db, v.into, v.selects, v.from, v.groupBy)
}

// rollupTables are the sums. Those by client hold counters only: they have so
// many keys that a digest for each would cost more than it saves (latencyTables
// has their latencies). Digests stand
// where few keys do, by model and provider, and with them the same counters, of
// which there are fewer to add up.
func rollupTables() []chTable {
	counters := moments + words("client_id", "model", "provider", "upstream_model") + sums(usageSums)
	digests := moments + words("model", "provider", "upstream_model") + sums(usageSums) +
		",\nlatency AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) CODEC(ZSTD(1))" +
		",\nttft AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float64, UInt8) CODEC(ZSTD(1))"
	calls := moments + words("provider", "upstream_model", "key_fp", "outcome", "action") + ",\nstatus Int64" + sums(callSums)
	const byClient, byModel = "client_id, model, provider, upstream_model, t", "model, provider, upstream_model, t"
	return []chTable{
		{name: "usage_1h", columns: counters, engine: "AggregatingMergeTree", order: byClient, partition: "toYYYYMM(t)", ttl: ttl("t", hourDays)},
		{name: "usage_1d", columns: counters, engine: "AggregatingMergeTree", order: byClient, partition: "toYear(t)"},
		{name: "perf_1m", columns: digests, engine: "AggregatingMergeTree", order: byModel, partition: "toDate(t)", ttl: ttl("t", minuteDays)},
		{name: "perf_1h", columns: digests, engine: "AggregatingMergeTree", order: byModel, partition: "toYYYYMM(t)", ttl: ttl("t", hourDays)},
		{name: "perf_1d", columns: digests, engine: "AggregatingMergeTree", order: byModel, partition: "toYear(t)"},
		{name: "attempts_1h", columns: calls, engine: "AggregatingMergeTree", order: "provider, upstream_model, key_fp, outcome, action, status, t",
			partition: "toYYYYMM(t)", ttl: ttl("t", hourDays)},
	}
}

const moments = "t DateTime('UTC') CODEC(Delta(4), ZSTD(1))"

func words(names ...string) string {
	text := ""
	for _, n := range names {
		text += ",\n" + n + " LowCardinality(String)"
	}
	return text
}

// sum is a counter of a rollup and what it adds up of the rows r. What two of
// them use is qualified: one of them bears its name.
type sum struct{ name, of string }

var (
	tokenSums = []sum{
		{"prompt_tokens", "sum(prompt_tokens)"}, {"cached_read_tokens", "sum(cached_read_tokens)"}, {"cached_write_tokens", "sum(cached_write_tokens)"},
		{"completion_tokens", "sum(completion_tokens)"}, {"reasoning_tokens", "sum(reasoning_tokens)"},
		{"cost_nano_usd", "toInt64(sum(ifNull(r.cost_nano_usd, 0)))"}, {"priced", "toInt64(count(r.cost_nano_usd))"},
		{"unpriced", "toInt64(countIf(isNull(r.cost_nano_usd) AND (r.prompt_tokens > 0 OR r.completion_tokens > 0)))"},
	}
	usageSums = slices.Concat([]sum{{"requests", "toInt64(count())"}, {"errors", "toInt64(countIf(outcome != 'ok'))"}}, tokenSums,
		[]sum{{"bytes_in", "sum(bytes_in)"}, {"bytes_out", "sum(bytes_out)"}})
	callSums = slices.Concat([]sum{{"attempts", "toInt64(count())"}}, tokenSums)
)

func sums(list []sum) string {
	text := ""
	for _, s := range list {
		text += ",\n" + s.name + " SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1))"
	}
	return text
}

// fromRows adds up rows, and fromSums adds up what a finer rollup has.
func fromRows(list []sum) string {
	text := ""
	for _, s := range list {
		text += ", " + s.of + " AS " + s.name
	}
	return text
}

func fromSums(list []sum) string {
	text := ""
	for _, s := range list {
		text += ", sum(" + s.name + ") AS " + s.name
	}
	return text
}

// How digests are made of rows and of other digests.
const (
	digestRows = ", quantilesTDigestState(0.5, 0.95, 0.99)(total_ms) AS latency, quantilesTDigestIfState(0.5, 0.95, 0.99)(ttft_ms, toUInt8(ttft_ms > 0)) AS ttft"
	digestMore = ", quantilesTDigestMergeState(0.5, 0.95, 0.99)(latency) AS latency, quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(ttft) AS ttft"
)

func rollupViews() []rollupView {
	const (
		byClient = "client_id, model, provider, upstream_model"
		byModel  = "model, provider, upstream_model"
		byCall   = "provider, upstream_model, key_fp, outcome, action, status"
		day      = "toDateTime(toStartOfDay(t), 'UTC') AS t, "
	)
	return []rollupView{
		{"usage_1h", "requests", "toStartOfHour(toDateTime(time, 'UTC')) AS t, " + byClient + fromRows(usageSums), "t, " + byClient},
		{"usage_1d", "usage_1h", day + byClient + fromSums(usageSums), "t, " + byClient},
		{"perf_1m", "requests", "toStartOfMinute(toDateTime(time, 'UTC')) AS t, " + byModel + fromRows(usageSums) + digestRows, "t, " + byModel},
		{"perf_1h", "perf_1m", "toStartOfHour(t) AS t, " + byModel + fromSums(usageSums) + digestMore, "t, " + byModel},
		{"perf_1d", "perf_1h", day + byModel + fromSums(usageSums) + digestMore, "t, " + byModel},
		{"attempts_1h", "attempts", "toStartOfHour(toDateTime(time, 'UTC')) AS t, " + byCall + fromRows(callSums), "t, " + byCall},
	}
}
