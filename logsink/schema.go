package logsink

import (
	"encoding/json"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// kind is the type of a column.
type kind uint8

const (
	textColumn kind = iota
	integerColumn
	optionalColumn // an integer that may be missing
	realColumn
	boolColumn
	jsonColumn
)

type column struct {
	name string
	kind kind
}

var tokenColumns = []column{
	{"prompt_tokens", integerColumn}, {"cached_read_tokens", integerColumn}, {"cached_write_tokens", integerColumn},
	{"completion_tokens", integerColumn}, {"reasoning_tokens", integerColumn},
}

// The columns of each table, in the order of the fields of package usage.
var (
	requestColumns = join([]column{
		{"job_id", textColumn}, {"time", textColumn}, {"request_id", textColumn}, {"trace_id", textColumn},
		{"client_id", textColumn}, {"endpoint", textColumn}, {"client_protocol", textColumn}, {"stream", boolColumn},
		{"priority", textColumn}, {"model", textColumn}, {"served_model", textColumn}, {"config_revision", textColumn},
		{"provider", textColumn}, {"upstream_model", textColumn}, {"route_id", textColumn}, {"key_fp", textColumn},
		{"attempts", integerColumn}, {"deliveries", integerColumn}, {"outcome", textColumn}, {"status", integerColumn},
		{"error_type", textColumn}, {"error_message", textColumn},
	}, tokenColumns, []column{
		{"usage_source", textColumn}, {"cost_nano_usd", optionalColumn}, {"price_version", textColumn},
		{"queue_ms", realColumn}, {"ttft_ms", realColumn}, {"total_ms", realColumn},
		{"bytes_in", integerColumn}, {"bytes_out", integerColumn}, {"chunks", integerColumn},
		{"ingress_id", textColumn}, {"worker_id", textColumn}, {"params", jsonColumn}, {"warnings", jsonColumn},
	})
	attemptColumns = join([]column{
		{"job_id", textColumn}, {"attempt", integerColumn}, {"time", textColumn}, {"request_id", textColumn},
		{"delivery", integerColumn}, {"provider", textColumn}, {"upstream_model", textColumn}, {"route_id", textColumn},
		{"key_fp", textColumn}, {"upstream_protocol", textColumn}, {"outcome", textColumn}, {"action", textColumn},
		{"timer", textColumn}, {"status", integerColumn}, {"error_type", textColumn}, {"error_message", textColumn},
	}, tokenColumns, []column{
		{"usage_source", textColumn}, {"cost_nano_usd", optionalColumn},
		{"ttft_ms", realColumn}, {"total_ms", realColumn}, {"worker_id", textColumn},
	})
	bodyColumns = []column{
		{"job_id", textColumn}, {"part", integerColumn}, {"request_body", textColumn}, {"response_body", textColumn},
	}
)

func join(lists ...[]column) []column {
	var all []column
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func names(columns []column) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	return list
}

// appendRequest adds the values of r in the order of requestColumns.
func appendRequest(dst []any, r *usage.Request) []any {
	dst = append(dst, r.JobID, r.Time.String(), r.RequestID, r.TraceID,
		r.ClientID, string(r.Endpoint), string(r.ClientProtocol), r.Stream,
		r.Priority, r.Model, r.ServedModel, r.ConfigRevision,
		r.Provider, r.UpstreamModel, r.RouteID, r.KeyFP,
		int64(r.Attempts), int64(r.Deliveries), string(r.Outcome), int64(r.Status),
		r.ErrorType, r.ErrorMessage)
	dst = appendSpend(dst, &r.Spend)
	return append(dst, r.PriceVersion,
		r.QueueMS, r.TTFTMS, r.TotalMS,
		r.BytesIn, r.BytesOut, r.Chunks,
		r.IngressID, r.WorkerID, jsonObject(r.Params), jsonList(r.Warnings))
}

// appendAttempt adds the values of a in the order of attemptColumns.
func appendAttempt(dst []any, a *usage.Attempt) []any {
	dst = append(dst, a.JobID, int64(a.Attempt), a.Time.String(), a.RequestID,
		int64(a.Delivery), a.Provider, a.UpstreamModel, a.RouteID,
		a.KeyFP, string(a.UpstreamProtocol), string(a.Outcome), a.Action,
		a.Timer, int64(a.Status), a.ErrorType, a.ErrorMessage)
	dst = appendSpend(dst, &a.Spend)
	return append(dst, a.TTFTMS, a.TotalMS, a.WorkerID)
}

func appendSpend(dst []any, s *usage.Spend) []any {
	source := s.UsageSource
	if source == "" {
		source = llm.UsageNone
	}
	var cost any
	if s.CostNanoUSD != nil {
		cost = *s.CostNanoUSD
	}
	return append(dst, s.PromptTokens, s.CachedReadTokens, s.CachedWriteTokens,
		s.CompletionTokens, s.ReasoningTokens, string(source), cost)
}

// appendBody adds the values of b in the order of bodyColumns.
func appendBody(dst []any, b *usage.Body) []any {
	return append(dst, b.JobID, int64(b.Part), string(b.Request), string(b.Response))
}

func jsonObject(params json.RawMessage) string {
	if len(params) == 0 {
		return "{}"
	}
	return string(params)
}

func jsonList(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // strings always marshal
	}
	return string(text)
}
