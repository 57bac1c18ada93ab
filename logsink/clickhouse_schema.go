package logsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// chTable is a table as it is made. Every one remembers the tokens of its last
// inserts, also those that are filled by views: without that a batch that comes
// again would be added up again.
type chTable struct {
	name, columns, engine, order, partition, ttl string
	settings                                     string // beyond those of all
}

func (t chTable) ddl(db string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s (\n%s\n) ENGINE = %s ORDER BY (%s) PARTITION BY %s", db, t.name, t.columns, t.engine, t.order, t.partition)
	if t.ttl != "" {
		fmt.Fprintf(&b, " TTL %s DELETE", t.ttl)
	}
	fmt.Fprintf(&b, " SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1%s", t.settings)
	return b.String()
}

// rollupView fills a rollup from another table.
type rollupView struct{ into, from, selects, groupBy string }

func (v rollupView) ddl(db string) string {
	return fmt.Sprintf("CREATE MATERIALIZED VIEW IF NOT EXISTS %[1]s.%[2]s_view TO %[1]s.%[2]s AS SELECT %[3]s FROM %[1]s.%[4]s AS r GROUP BY %[5]s",
		db, v.into, v.selects, v.from, v.groupBy)
}

// chMigrations lead from one schema version to the next, as SQLite's do; the
// database's name takes the place of %s. A step may run again after a crash, so
// each is made to do nothing the second time. A view is never dropped and made
// again, because what arrives between is lost to it: a new column is added to
// both tables, and then the view is altered with MODIFY QUERY.
//
// Rows are kept in the order of job_id, a UUIDv7: by time. So the newest are
// read first, and whether a key exists is a look at the newest part of the
// table, made for every row before it is stored.
func chMigrations(db string) [][]string {
	var first []string
	for _, t := range chTables() {
		first = append(first, t.ddl(db))
	}
	for _, v := range rollupViews() {
		first = append(first, v.ddl(db))
	}
	return [][]string{first}
}

// Days that rows are kept. An operator changes them with ALTER TABLE … MODIFY TTL.
const (
	rowDays    = 90
	bodyDays   = 7
	hourDays   = 400 // rollups by the hour
	minuteDays = 14
	openDays   = 2
)

func ttl(column string, days int) string {
	return fmt.Sprintf("toDateTime(%s) + INTERVAL %d DAY", column, days)
}

const findByID = ",\nINDEX by_request_id request_id TYPE bloom_filter(0.01) GRANULARITY 1"

func chTables() []chTable {
	return append([]chTable{
		{name: "requests", columns: ddl(requestFields()) + findByID + ",\nINDEX by_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1",
			engine: "ReplacingMergeTree", order: "job_id", partition: "toDate(time)", ttl: ttl("time", rowDays)},
		{name: "attempts", columns: ddl(attemptFields()) + findByID,
			engine: "ReplacingMergeTree", order: "job_id, attempt", partition: "toDate(time)", ttl: ttl("time", rowDays)},
		{name: "bodies", columns: ddl(bodyFields()), settings: ", index_granularity = 1024",
			engine: "ReplacingMergeTree", order: "job_id, part", partition: "toDate(stored)", ttl: ttl("stored", bodyDays)},
		{name: "open_entries", columns: ddl(openFields()),
			engine: "VersionedCollapsingMergeTree(sign, version)", order: "job_id, attempt, version", partition: "toDate(stored)", ttl: ttl("stored", openDays)},
	}, rollupTables()...)
}

// rollupTables are the sums. Those by client hold counters only: they have so
// many keys that a digest for each would cost more than it saves. Digests stand
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

// ErrSchema is wrapped by the error for a database that a newer program made.
var ErrSchema = errors.New("schema is newer than this program: use a newer model-proxy")

// migrate brings the database to the newest schema. Only the writer does it,
// which is the lock.
func (c *ClickHouse) migrate(ctx context.Context) error {
	if err := c.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+c.db); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	err := c.exec(ctx, "CREATE TABLE IF NOT EXISTS "+c.db+".schema_version (version UInt32, since DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version")
	if err != nil {
		return fmt.Errorf("make schema_version: %w", err)
	}
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	for steps := chMigrations(c.db); version < len(steps); version++ {
		for _, step := range steps[version] {
			if err := c.exec(ctx, step); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", version+1, err)
			}
		}
		if err := c.exec(ctx, fmt.Sprintf("INSERT INTO %s.schema_version (version) VALUES (%d)", c.db, version+1)); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}
	return nil
}

// version returns the schema's version, 0 for an empty database. It returns an
// error that wraps ErrSchema if it is newer than this program's.
func (c *chConn) version(ctx context.Context) (int, error) {
	var version uint32
	if err := c.conn.QueryRow(ctx, "SELECT max(version) FROM "+c.db+".schema_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if known := len(chMigrations(c.db)); int(version) > known {
		return 0, fmt.Errorf("database %s has schema %d, this program knows %d: %w", c.db, version, known, ErrSchema)
	}
	return int(version), nil
}

// Codes of ClickHouse's errors.
const (
	chUnknownTable    = 60
	chUnknownDatabase = 81
)

// missing reports whether err says that nothing was ever stored.
func missing(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && (e.Code == chUnknownTable || e.Code == chUnknownDatabase)
}
