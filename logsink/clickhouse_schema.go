package logsink

import (
	"fmt"
	"strings"
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
	return []chTable{
		{name: "requests", columns: ddl(requestFields()) + findByID + ",\nINDEX by_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1",
			engine: "ReplacingMergeTree", order: "job_id", partition: "toDate(time)", ttl: ttl("time", rowDays)},
		{name: "attempts", columns: ddl(attemptFields()) + findByID,
			engine: "ReplacingMergeTree", order: "job_id, attempt", partition: "toDate(time)", ttl: ttl("time", rowDays)},
		{name: "bodies", columns: ddl(bodyFields()), settings: ", index_granularity = 1024",
			engine: "ReplacingMergeTree", order: "job_id, part", partition: "toDate(stored)", ttl: ttl("stored", bodyDays)},
		{name: "open_entries", columns: ddl(openFields()),
			engine: "VersionedCollapsingMergeTree(sign, version)", order: "job_id, attempt, version", partition: "toDate(stored)", ttl: ttl("stored", openDays)},
	}
}
