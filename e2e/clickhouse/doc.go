// Package clickhouse tests the gateway with its records in a real ClickHouse. The
// server is an npm package, so these tests run only when asked for:
//
//	npm ci --prefix e2e/clickhouse/engine
//	go test -tags clickhouse ./e2e/clickhouse
//	go test -tags clickhouse -run ClickHouse ./logsink
//
// SINK_KILLS is how often TestSinkKilled kills the sink, every 2 s; by default 8.
// STORE_AWAY is how long TestStoreAwayForLong goes without ClickHouse, by default 10s;
// STORE_AWAY_RATE is how many requests a second it asks meanwhile at most, by default 1000.
package clickhouse
