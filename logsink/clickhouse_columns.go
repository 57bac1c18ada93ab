package logsink

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// field is a column of a ClickHouse table whose rows are of type T.
type field[T any] struct {
	name, kind string
	slot       func() slot[T]
}

// slot gathers the values of one column until they are sent.
type slot[T any] interface {
	add(*T)
	send(driver.BatchColumn) error
	reset()
}

// values is a slot for values of type V, which the driver knows as []V.
type values[T, V any] struct {
	get  func(*T) V
	list []V
}

func (v *values[T, V]) add(row *T) { v.list = append(v.list, v.get(row)) }

func (v *values[T, V]) send(c driver.BatchColumn) error { return c.Append(v.list) }

func (v *values[T, V]) reset() {
	clear(v.list) // texts are part of whole messages
	v.list = v.list[:0]
}

func fieldOf[T, V any](name, kind string, get func(*T) V) field[T] {
	return field[T]{name, kind, func() slot[T] { return &values[T, V]{get: get} }}
}

// The types of the columns.
const (
	chText     = "String CODEC(ZSTD(1))"
	chWord     = "LowCardinality(String) CODEC(ZSTD(1))" // of few different ones
	chInteger  = "Int64 CODEC(ZSTD(1))"
	chOptional = "Nullable(Int64) CODEC(ZSTD(1))"
	chReal     = "Float64 CODEC(ZSTD(1))"
	chBool     = "Bool CODEC(ZSTD(1))"
	chTime     = "DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1))"
	chBody     = "String CODEC(ZSTD(6))"
)

func textField[T any](name string, get func(*T) string) field[T] { return fieldOf(name, chText, get) }
func wordField[T any](name string, get func(*T) string) field[T] { return fieldOf(name, chWord, get) }
func intField[T any](name string, get func(*T) int64) field[T] {
	return fieldOf(name, chInteger, get)
}
func realField[T any](name string, get func(*T) float64) field[T] { return fieldOf(name, chReal, get) }
func timeField[T any](name string, get func(*T) time.Time) field[T] {
	return fieldOf(name, chTime, get)
}

// spendFields are the columns of Spend, in the order of its fields.
func spendFields[T any](spend func(*T) *usage.Spend) []field[T] {
	return []field[T]{
		intField("prompt_tokens", func(r *T) int64 { return spend(r).PromptTokens }),
		intField("cached_read_tokens", func(r *T) int64 { return spend(r).CachedReadTokens }),
		intField("cached_write_tokens", func(r *T) int64 { return spend(r).CachedWriteTokens }),
		intField("completion_tokens", func(r *T) int64 { return spend(r).CompletionTokens }),
		intField("reasoning_tokens", func(r *T) int64 { return spend(r).ReasoningTokens }),
		wordField("usage_source", func(r *T) string { return source(spend(r).UsageSource) }),
		fieldOf("cost_nano_usd", chOptional, func(r *T) *int64 { return spend(r).CostNanoUSD }),
	}
}

func source(s llm.UsageSource) string {
	if s == "" {
		return string(llm.UsageNone)
	}
	return string(s)
}

// requestFields are the columns of requests, in the order of requestColumns.
func requestFields() []field[usage.Request] {
	type R = usage.Request
	return slices.Concat([]field[R]{
		textField("job_id", func(r *R) string { return r.JobID }),
		timeField("time", func(r *R) time.Time { return r.Time.Time() }),
		textField("request_id", func(r *R) string { return r.RequestID }),
		textField("trace_id", func(r *R) string { return r.TraceID }),
		wordField("client_id", func(r *R) string { return r.ClientID }),
		wordField("endpoint", func(r *R) string { return string(r.Endpoint) }),
		wordField("client_protocol", func(r *R) string { return string(r.ClientProtocol) }),
		fieldOf("stream", chBool, func(r *R) bool { return r.Stream }),
		wordField("priority", func(r *R) string { return r.Priority }),
		wordField("model", func(r *R) string { return r.Model }),
		wordField("served_model", func(r *R) string { return r.ServedModel }),
		wordField("config_revision", func(r *R) string { return r.ConfigRevision }),
		wordField("provider", func(r *R) string { return r.Provider }),
		wordField("upstream_model", func(r *R) string { return r.UpstreamModel }),
		wordField("route_id", func(r *R) string { return r.RouteID }),
		wordField("key_fp", func(r *R) string { return r.KeyFP }),
		intField("attempts", func(r *R) int64 { return int64(r.Attempts) }),
		intField("deliveries", func(r *R) int64 { return int64(r.Deliveries) }),
		wordField("outcome", func(r *R) string { return string(r.Outcome) }),
		intField("status", func(r *R) int64 { return int64(r.Status) }),
		wordField("error_type", func(r *R) string { return r.ErrorType }),
		textField("error_message", func(r *R) string { return r.ErrorMessage }),
	}, spendFields(func(r *R) *usage.Spend { return &r.Spend }), []field[R]{
		wordField("price_version", func(r *R) string { return r.PriceVersion }),
		realField("queue_ms", func(r *R) float64 { return r.QueueMS }),
		realField("ttft_ms", func(r *R) float64 { return r.TTFTMS }),
		realField("total_ms", func(r *R) float64 { return r.TotalMS }),
		intField("bytes_in", func(r *R) int64 { return r.BytesIn }),
		intField("bytes_out", func(r *R) int64 { return r.BytesOut }),
		intField("chunks", func(r *R) int64 { return r.Chunks }),
		wordField("ingress_id", func(r *R) string { return r.IngressID }),
		wordField("worker_id", func(r *R) string { return r.WorkerID }),
		textField("params", func(r *R) string { return jsonObject(r.Params) }),
		textField("warnings", func(r *R) string { return jsonList(r.Warnings) }),
	})
}

// attemptFields are the columns of attempts, in the order of attemptColumns.
func attemptFields() []field[usage.Attempt] {
	type A = usage.Attempt
	return slices.Concat([]field[A]{
		textField("job_id", func(a *A) string { return a.JobID }),
		intField("attempt", func(a *A) int64 { return int64(a.Attempt) }),
		timeField("time", func(a *A) time.Time { return a.Time.Time() }),
		textField("request_id", func(a *A) string { return a.RequestID }),
		intField("delivery", func(a *A) int64 { return int64(a.Delivery) }),
		wordField("provider", func(a *A) string { return a.Provider }),
		wordField("upstream_model", func(a *A) string { return a.UpstreamModel }),
		wordField("route_id", func(a *A) string { return a.RouteID }),
		wordField("key_fp", func(a *A) string { return a.KeyFP }),
		wordField("upstream_protocol", func(a *A) string { return string(a.UpstreamProtocol) }),
		wordField("outcome", func(a *A) string { return string(a.Outcome) }),
		wordField("action", func(a *A) string { return a.Action }),
		wordField("timer", func(a *A) string { return a.Timer }),
		intField("status", func(a *A) int64 { return int64(a.Status) }),
		wordField("error_type", func(a *A) string { return a.ErrorType }),
		textField("error_message", func(a *A) string { return a.ErrorMessage }),
	}, spendFields(func(a *A) *usage.Spend { return &a.Spend }), []field[A]{
		realField("ttft_ms", func(a *A) float64 { return a.TTFTMS }),
		realField("total_ms", func(a *A) float64 { return a.TotalMS }),
		wordField("worker_id", func(a *A) string { return a.WorkerID }),
	})
}

// bodyRow is a part of a body, with the time of the batch that brings it: bodies
// have no time of their own, and are kept for a time.
type bodyRow struct {
	*usage.Body
	stored time.Time
}

func bodyFields() []field[bodyRow] {
	type B = bodyRow
	return []field[B]{
		textField("job_id", func(b *B) string { return b.JobID }),
		intField("part", func(b *B) int64 { return int64(b.Part) }),
		fieldOf("request_body", chBody, func(b *B) string { return string(b.Request) }),
		fieldOf("response_body", chBody, func(b *B) string { return string(b.Response) }),
		fieldOf("stored", "DateTime('UTC')", func(b *B) time.Time { return b.stored }),
	}
}

// openRow tells that an entry is open since a version, or, with sign -1, that
// it is not any more.
type openRow struct {
	Job     string
	Attempt int
	Version int64
	Sign    int8
	Entry   []byte
	Stored  int64 // seconds since the Unix epoch
}

func openFields() []field[openRow] {
	type O = openRow
	return []field[O]{
		textField("job_id", func(o *O) string { return o.Job }),
		intField("attempt", func(o *O) int64 { return int64(o.Attempt) }),
		fieldOf("version", "Int64", func(o *O) int64 { return o.Version }),
		fieldOf("sign", "Int8", func(o *O) int8 { return o.Sign }),
		fieldOf("entry", chText, func(o *O) string { return string(o.Entry) }),
		fieldOf("stored", "DateTime('UTC')", func(o *O) time.Time { return time.Unix(o.Stored, 0).UTC() }),
	}
}

// ddl lists the columns as CREATE TABLE wants them.
func ddl[T any](fields []field[T]) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s %s,\n", f.name, f.kind)
	}
	return strings.TrimSuffix(b.String(), ",\n")
}

func fieldNames[T any](fields []field[T]) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}
