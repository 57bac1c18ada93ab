package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// RequestRow is a request record, as far as tests look at it.
type RequestRow struct {
	JobID            string   `json:"job_id"`
	RequestID        string   `json:"request_id"`
	TraceID          string   `json:"trace_id"`
	ClientID         string   `json:"client_id"`
	Priority         string   `json:"priority"`
	Outcome          string   `json:"outcome"`
	Status           int      `json:"status"`
	ErrorType        string   `json:"error_type"`
	ConfigRevision   string   `json:"config_revision"`
	Attempts         int      `json:"attempts"`
	Deliveries       int      `json:"deliveries"`
	Provider         string   `json:"provider"`
	ServedModel      string   `json:"served_model"`
	Warnings         []string `json:"warnings"`
	PromptTokens     int64    `json:"prompt_tokens"`
	CompletionTokens int64    `json:"completion_tokens"`
	UsageSource      string   `json:"usage_source"`
	WorkerID         string   `json:"worker_id"`
	BytesOut         int64    `json:"bytes_out"`
	QueueMS          float64  `json:"queue_ms"`
	TotalMS          float64  `json:"total_ms"`
}

// AttemptRow is an attempt record, as far as tests look at it.
type AttemptRow struct {
	JobID            string `json:"job_id"`
	RequestID        string `json:"request_id"`
	Attempt          int    `json:"attempt"`
	Delivery         int    `json:"delivery"`
	Provider         string `json:"provider"`
	KeyFP            string `json:"key_fp"`
	Outcome          string `json:"outcome"`
	Action           string `json:"action"`
	Timer            string `json:"timer"`
	Status           int    `json:"status"`
	PromptTokens     int64  `json:"prompt_tokens"`
	CompletionTokens int64  `json:"completion_tokens"`
	UsageSource      string `json:"usage_source"`
	WorkerID         string `json:"worker_id"`
}

// Answered reports whether the request went well.
func (r RequestRow) Answered() bool { return r.Outcome == "ok" }

// Answered reports whether the attempt gave the answer.
func (a AttemptRow) Answered() bool { return a.Outcome == "ok" }

// Requests reads the request records, oldest first; those of one request id, or
// all if it is "".
func (g *Gateway) Requests(t testing.TB, requestID string) []RequestRow {
	t.Helper()
	return records[RequestRow](t, g.Data, requestID)
}

// Attempts reads the attempt records, likewise.
func (g *Gateway) Attempts(t testing.TB, requestID string) []AttemptRow {
	t.Helper()
	return records[AttemptRow](t, g.Data, requestID, "--attempts")
}

// AwaitRow waits for the one record of a request.
func (g *Gateway) AwaitRow(t testing.TB, requestID string, within time.Duration) RequestRow {
	t.Helper()
	var rows []RequestRow
	Await(t, within, "the record of request "+requestID, func() bool {
		rows = g.Requests(t, requestID)
		return len(rows) > 0
	})
	if len(rows) != 1 {
		t.Fatalf("request %s has %d records: %+v", requestID, len(rows), rows)
	}
	return rows[0]
}

// AwaitAttempts waits until a request has n attempt records, and returns them
// by their numbers.
func (g *Gateway) AwaitAttempts(t testing.TB, requestID string, n int, within time.Duration) []AttemptRow {
	t.Helper()
	var rows []AttemptRow
	Await(t, within, "the attempts of request "+requestID, func() bool {
		rows = g.Attempts(t, requestID)
		return len(rows) >= n
	})
	slices.SortFunc(rows, func(a, b AttemptRow) int { return a.Attempt - b.Attempt })
	if len(rows) != n {
		t.Fatalf("request %s has %d attempt records, want %d: %+v", requestID, len(rows), n, rows)
	}
	return rows
}

// records runs the command that prints records; none are there before the store
// is.
func records[T any](t testing.TB, data, requestID string, more ...string) []T {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), startWithin)
	defer stop()
	args := append([]string{"records", "--data", data, "--format", "json", "--limit", "100000"}, more...)
	if requestID != "" {
		args = append(args, "--request-id", requestID)
	}
	cmd := exec.CommandContext(ctx, os.Getenv(binaryVar), args...)
	cmd.Env = []string{"HOME=" + data}
	cmd.Dir = data
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("model-proxy records: %v: %s", err, failed.Stderr)
		}
		t.Fatalf("model-proxy records: %v", err)
	}
	var rows []T
	for line := range bytes.Lines(out) {
		var row T
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("record %s: %v", line, err)
		}
		rows = append(rows, row)
	}
	slices.Reverse(rows)
	return rows
}
