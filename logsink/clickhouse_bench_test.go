//go:build clickhouse

package logsink

import (
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/clickhouse/chtest"
	"model-proxy/internal/usage"
)

// BenchmarkClickHouseSink moves records from LOG, on disk, to ClickHouse with all
// rollups: three entries and two rows a request, 50 entries a message. The
// processor time of sink and NATS and that of ClickHouse say more, on a machine
// with other work, than the rows in a second.
func BenchmarkClickHouseSink(b *testing.B) {
	ch := chtest.Start(b)
	js, consumer := logServer(b)
	asDeployed := consumer.CachedInfo().Config
	asDeployed.AckWait, asDeployed.MaxAckPending = 5*time.Second, -1 // else a batch in hand comes again
	consumer, err := js.UpdateConsumer(b.Context(), "LOG", asDeployed)
	if err != nil {
		b.Fatal(err)
	}
	s, db, _ := openClickHouse(b, ch, js)
	for first := 0; first < b.N; first += 17 {
		var entries []usage.Entry
		for i := first; i < min(first+17, b.N); i++ {
			entries = append(entries, sampleEntries(i)...)
		}
		if _, err := js.PublishAsync("log.bench", usage.Encode("w-1", entries...)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the program runs
	sink, server := processorTime(b), ch.ProcessorTime()
	b.ResetTimer()
	b.ReportAllocs()
	got := until(b, Config{Source: FromConsumer(js, consumer), Store: s, Liveness: everyoneLives{}, Log: quiet}, func(s Stats) bool {
		if s.Requests+s.Attempts < int64(2*b.N) {
			return false
		}
		b.StopTimer() // the sink waits for more before it hears that there is none
		return true
	})
	rows := float64(got.Requests + got.Attempts)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((processorTime(b)-sink).Microseconds())/rows, "sink-µs/row")
	b.ReportMetric(float64((ch.ProcessorTime()-server).Microseconds())/rows, "server-µs/row")
	wantOnce(b, ch, db, b.N, b.N)
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sampleEntries is what request i leaves on LOG.
func sampleEntries(i int) []usage.Entry {
	at := time.Now()
	ms := at.UnixMilli()
	job := fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", ms>>16, ms&0xffff, i%4096, i/4096%4096, i*7919)
	spend := usage.Spend{PromptTokens: int64(200 + i%1000), CompletionTokens: int64(50 + i%300), UsageSource: "provider"}
	cost := int64(i % 100000)
	spend.CostNanoUSD = &cost
	started := usage.Attempt{JobID: job, Attempt: 1, Time: usage.At(at), RequestID: job, Delivery: 1, Provider: fmt.Sprint("provider-", i%4),
		UpstreamModel: fmt.Sprint("model-", i%12), RouteID: "primary", KeyFP: fmt.Sprint("key-", i%8), UpstreamProtocol: "openai", WorkerID: "w-1"}
	finished := started
	finished.Outcome, finished.Status, finished.Spend, finished.TTFTMS, finished.TotalMS = usage.OK, 200, spend, float64(100+i%900), float64(900+i%9000)
	request := &usage.Request{JobID: job, Time: usage.At(at), RequestID: job, ClientID: fmt.Sprint("client-", i%200), Endpoint: "/v1/chat/completions",
		ClientProtocol: "openai", Stream: true, Priority: "normal", Model: started.UpstreamModel, ServedModel: started.UpstreamModel, ConfigRevision: "0a1b2c3d4e5f",
		Provider: started.Provider, UpstreamModel: started.UpstreamModel, RouteID: "primary", KeyFP: started.KeyFP, Attempts: 1, Deliveries: 1,
		Outcome: usage.OK, Status: 200, Spend: spend, PriceVersion: "2026-11-01", QueueMS: 1.5, TTFTMS: finished.TTFTMS, TotalMS: finished.TotalMS,
		BytesIn: 2048, BytesOut: 9000, Chunks: 120, IngressID: "i-1", WorkerID: "w-1", Params: []byte(`{"temperature":0.7,"max_tokens":1024}`)}
	return []usage.Entry{
		{Kind: usage.KindStarted, Ingress: "i-1", Left: time.Minute, Attempt: &started},
		{Kind: usage.KindFinished, Ingress: "i-1", Left: time.Minute, Attempt: &finished},
		{Kind: usage.KindRequest, Ingress: "i-1", Request: request},
	}
}

// fiveMillion are 13 days of 200 clients and 12 models, made by the server, a
// hundred thousand at a time.
const fiveMillion = `INSERT INTO DB.requests (job_id, time, request_id, client_id, endpoint, client_protocol, stream, model, served_model, provider,
	upstream_model, key_fp, attempts, deliveries, outcome, status, prompt_tokens, completion_tokens, usage_source, cost_nano_usd, queue_ms, ttft_ms, total_ms, bytes_in, bytes_out, chunks)
	SELECT concat(substring(h, 1, 8), '-', substring(h, 9, 4), '-7', substring(lower(hex(number)), 1, 3), '-8000-', lpad(lower(hex(number)), 12, '0')) AS job_id, at, job_id,
	concat('client-', toString(cityHash64(number) % 200)), '/v1/chat/completions', 'openai', number % 2, concat('model-', toString(number % 12)) AS m, m,
	concat('provider-', toString(number % 4)), m, concat('key-', toString(cityHash64(number, 2) % 16)), 1, 1, if(number % 50 = 0, 'error', 'ok'), 200,
	200 + number % 4000, 50 + number % 900, 'provider', if(number % 10 = 0, NULL, toInt64(number % 1000000)), 1.5, 100 + cityHash64(number, 3) % 2000, 500 + cityHash64(number, 4) % 20000, 2048, 9000, 120
	FROM (SELECT number, now64(6, 'UTC') - toIntervalMillisecond(toUInt64(number * 13 * 86400000 / 5000000)) AS at, lpad(lower(hex(toUnixTimestamp64Milli(at))), 12, '0') AS h FROM numbers(FIRST, 100000))
	SETTINGS max_partitions_per_insert_block = 0`

// BenchmarkClickHouseQueries asks what a console asks, over 5 million requests.
func BenchmarkClickHouseQueries(b *testing.B) {
	ch := chtest.Start(b)
	js, _ := logServer(b)
	s, db, dsn := openClickHouse(b, ch, js)
	begin(b, s)
	for first := 0; first < 5_000_000; first += 100_000 {
		ch.MustExec(strings.NewReplacer("DB", db, "FIRST", fmt.Sprint(first)).Replace(fiveMillion))
	}
	for ch.MustExec("SELECT count() FROM system.merges") != "0" { // what they use is not the queries'
		<-time.After(time.Second)
	}
	newest := ch.MustExec("SELECT max(job_id) FROM " + db + ".requests")
	r, err := OpenClickHouseReader(dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	day, week := time.Now().Add(-24*time.Hour), time.Now().Add(-7*24*time.Hour)
	for _, q := range []struct {
		name  string
		by    []string
		since time.Time
	}{
		{"model, day", []string{"model"}, day}, {"model, all", []string{"model"}, time.Time{}}, {"provider and hour, day", []string{"provider", "hour"}, day},
		{"day, all", []string{"day"}, time.Time{}}, {"client, day", []string{"client"}, day}, {"client, week", []string{"client"}, week},
		{"client, all", []string{"client"}, time.Time{}}, {"key, day", []string{"key"}, day}, {"key, all", []string{"key"}, time.Time{}},
		{"client and model, week", []string{"client", "model"}, week}, {"client and hour, day", []string{"hour", "client"}, day},
		{"client and day, week", []string{"day", "client"}, week}, {"key and hour, day", []string{"hour", "key"}, day}, {"key and day, all", []string{"day", "key"}, time.Time{}},
		{"client and key, day", []string{"client", "key"}, day},
	} {
		b.Run("usage by "+q.name, func(b *testing.B) {
			ask(b, ch, func() error {
				_, err := r.Usage(b.Context(), q.by, q.since)
				return err
			})
		})
	}
	for _, q := range []struct {
		name   string
		filter Filter
	}{{"newest 100", Filter{}}, {"newest 100 of an hour", Filter{Since: time.Now().Add(-time.Hour)}}, {"one by id", Filter{RequestID: newest}}} {
		b.Run("records, "+q.name, func(b *testing.B) {
			ask(b, ch, func() error {
				_, err := r.Records(b.Context(), q.filter)
				return err
			})
		})
	}
}

// ask repeats a query and reports, for a machine that has other work, the
// processor time that ClickHouse takes and the best of all times.
func ask(b *testing.B, ch *chtest.Server, query func() error) {
	best, before := time.Hour, ch.ProcessorTime()
	for b.Loop() {
		began := time.Now()
		if err := query(); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	b.ReportMetric(float64((ch.ProcessorTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(best.Microseconds())/1000, "best-ms")
}
