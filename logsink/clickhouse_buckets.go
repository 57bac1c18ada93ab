package logsink

import (
	"fmt"
	"math"
)

// Latencies of clients and keys are counted in buckets: there are so many clients
// that a digest for each would cost more than it saves, and counts add up to those
// of any longer time. A bucket is a 20th of an octave wide, so that its middle is
// at most 1.75 % from what was counted.
//
// A rollup holds the numbers of the buckets and how often each was hit, as two
// lists. What a batch brings stands there one by one; merges make one of equal
// numbers. So adding costs next to nothing.
const bucketsPerOctave = 20

// bucketOf is the number of the bucket of a column in milliseconds.
func bucketOf(column string) string {
	return fmt.Sprintf("toInt16(round(log2(greatest(%s, 0.001)) * %d))", column, bucketsPerOctave)
}

// bucketMS is the middle of a bucket, in milliseconds, rounded to microseconds.
func bucketMS(bucket int16) float64 {
	return math.Round(math.Exp2(float64(bucket)/bucketsPerOctave)*1000) / 1000
}

const histogramColumns = ",\nlatency " + histogramType + ",\nttft " + histogramType
const histogramType = "SimpleAggregateFunction(sumMap, Tuple(Array(Int16), Array(UInt64))) CODEC(ZSTD(1))"

// histogramRows makes histograms of rows, histogramMore of histograms.
func histogramRows() string {
	return ", (groupArray(" + bucketOf("total_ms") + "), arrayWithConstant(count(), toUInt64(1))) AS latency" +
		", (groupArrayIf(" + bucketOf("ttft_ms") + ", ttft_ms > 0), arrayWithConstant(countIf(ttft_ms > 0), toUInt64(1))) AS ttft"
}

const histogramMore = ", (groupArrayArray(r.latency.1), groupArrayArray(r.latency.2)) AS latency, (groupArrayArray(r.ttft.1), groupArrayArray(r.ttft.2)) AS ttft"

// latencyTables are the rollups with histograms: of clients, whose sums stand in
// usage_1h and usage_1d, and of provider keys with their sums. They are in the order
// of time, for of those by the hour a day is asked for, and lists are long to read.
func latencyTables() []chTable {
	clients := moments + words("client_id", "model", "provider") + histogramColumns
	keys := moments + words("key_fp", "model", "provider") + sums(usageSums) + histogramColumns
	const byClient, byKey = "t, client_id, model, provider", "t, key_fp, model, provider"
	return []chTable{
		{name: "client_latency_1h", columns: clients, engine: "AggregatingMergeTree", order: byClient, partition: "toYYYYMM(t)", ttl: ttl("t", hourDays)},
		{name: "client_latency_1d", columns: clients, engine: "AggregatingMergeTree", order: byClient, partition: "toYear(t)"},
		{name: "keys_1h", columns: keys, engine: "AggregatingMergeTree", order: byKey, partition: "toYYYYMM(t)", ttl: ttl("t", hourDays)},
		{name: "keys_1d", columns: keys, engine: "AggregatingMergeTree", order: byKey, partition: "toYear(t)"},
	}
}

// latencyViews fill those by the hour from requests, and those by the day from them.
func latencyViews() (hours, days []rollupView) {
	const (
		byClient = "client_id, model, provider"
		byKey    = "key_fp, model, provider"
		hour     = "toStartOfHour(toDateTime(time, 'UTC')) AS t, "
		day      = "toDateTime(toStartOfDay(r.t), 'UTC') AS t, "
	)
	hours = []rollupView{
		{"client_latency_1h", "requests", hour + byClient + histogramRows(), "t, " + byClient},
		{"keys_1h", "requests", hour + byKey + fromRows(usageSums) + histogramRows(), "t, " + byKey},
	}
	days = []rollupView{
		{"client_latency_1d", "client_latency_1h", day + byClient + histogramMore, "t, " + byClient},
		{"keys_1d", "keys_1h", day + byKey + fromSums(usageSums) + histogramMore, "t, " + byKey},
	}
	return hours, days
}
