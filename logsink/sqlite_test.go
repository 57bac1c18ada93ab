package logsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/usage"
)

func openStore(t testing.TB, dir string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func store1(t testing.TB, s *SQLite, b batch) written {
	t.Helper()
	n, err := s.write(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func printed(t testing.TB, r Reader, f Filter, format string) string {
	t.Helper()
	rows, err := r.Records(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return format1(t, rows, format)
}

func format1(t testing.TB, rows *Rows, format string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Format(&out, rows, format); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// fill gives every field of a record a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case json.RawMessage:
		v.SetBytes([]byte(`{"temperature":0.5}`))
		return
	case usage.Time:
		v.SetInt(1_795_364_911_123_456)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"one", "two"}))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.125)
	default:
		v.SetInt(int64(*n))
	}
}

// A row holds every field of its record, under the record's JSON keys and in
// their order: one forgotten in schema.go fails here.
func TestRowsAreRecords(t *testing.T) {
	var request usage.Request
	var attempt usage.Attempt
	n := 0
	fill(reflect.ValueOf(&request).Elem(), &n)
	fill(reflect.ValueOf(&attempt).Elem(), &n)
	s := openStore(t, t.TempDir())
	store1(t, s, batch{requests: []*usage.Request{&request}, attempts: []*usage.Attempt{&attempt}})

	want, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	wantLine := strings.TrimSuffix(string(want), "}") + `,"request_body":"","response_body":""}` + "\n"
	if diff := cmp.Diff(wantLine, printed(t, s, Filter{}, "json")); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if want, err = json.Marshal(attempt); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want)+"\n", printed(t, s, Filter{Attempts: true}, "json")); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
}

// Rows that go into one statement are stored as they are, whether they agree in
// all that rows mostly agree in, or not.
func TestManyRowsAreRecords(t *testing.T) {
	var r [2]usage.Request
	var a [2]usage.Attempt
	n := 0
	for i := range r {
		fill(reflect.ValueOf(&r[i]).Elem(), &n)
		fill(reflect.ValueOf(&a[i]).Elem(), &n)
	}
	var full batch
	var want [2]string // newest first
	for i := range 2*rowsPerStatement + 3 {
		which := 0
		if i >= rowsPerStatement {
			which = i % 2
		}
		request, attempt := r[which], a[which]
		request.JobID, attempt.JobID = fmt.Sprintf("job %03d", i), fmt.Sprintf("job %03d", i)
		full.requests, full.attempts = append(full.requests, &request), append(full.attempts, &attempt)
		for k, one := range []any{request, attempt} {
			line, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			want[k] = string(line) + "\n" + want[k]
		}
	}
	s := openStore(t, t.TempDir())
	if n := store1(t, s, full); n.requests != len(full.requests) || n.attempts != len(full.attempts) {
		t.Errorf("got %+v new rows, want %d of each", n, len(full.requests))
	}
	got := strings.ReplaceAll(printed(t, s, Filter{}, "json"), `,"request_body":"","response_body":""}`, "}")
	if diff := cmp.Diff(want[0], got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1], printed(t, s, Filter{Attempts: true}, "json")); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func request(job string, second int) *usage.Request {
	return &usage.Request{
		JobID: job, RequestID: "r-" + job, Time: usage.At(time.Date(2026, 11, 22, 16, 0, second, 0, time.UTC)),
		ClientID: "client-1", Model: "glm", Provider: "groq", KeyFP: "0123456789ab", Outcome: usage.OK, Status: 200,
		Spend: usage.Spend{PromptTokens: 10, CompletionTokens: 5}, TTFTMS: 100, TotalMS: 1000,
	}
}

func TestFirstRowOfAKeyStays(t *testing.T) {
	s := openStore(t, t.TempDir())
	first, second := request("a", 1), request("a", 1)
	first.Outcome, second.Outcome = usage.Incomplete, usage.OK
	n := store1(t, s, batch{requests: []*usage.Request{first, second}})
	if n.requests != 1 {
		t.Errorf("got %d rows of one batch, want 1", n.requests)
	}
	if n = store1(t, s, batch{requests: []*usage.Request{second, request("b", 2)}}); n.requests != 1 {
		t.Errorf("got %d new rows, want 1", n.requests)
	}
	var many []*usage.Request
	for i := range 3*rowsPerStatement + 7 {
		many = append(many, request(fmt.Sprint("many-", i%50), 3))
	}
	if n = store1(t, s, batch{requests: many}); n.requests != 50 {
		t.Errorf("got %d new rows, want 50", n.requests)
	}
	rows, err := s.Records(t.Context(), Filter{RequestID: "r-a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows.Values) != 1 || rows.Values[0][18] != "incomplete" {
		t.Errorf("got %v, want one row with outcome incomplete", rows.Values)
	}
}

func TestRecordsFilter(t *testing.T) {
	s := openStore(t, t.TempDir())
	var b batch
	for i := range 5 {
		job := fmt.Sprint("j", i)
		b.requests = append(b.requests, request(job, i))
		b.attempts = append(b.attempts, &usage.Attempt{JobID: job, Attempt: 1, Time: request(job, i).Time, RequestID: "r-" + job})
		b.attempts = append(b.attempts, &usage.Attempt{JobID: job, Attempt: 2, Time: request(job, i).Time, RequestID: "r-" + job})
	}
	store1(t, s, b)
	since := time.Date(2026, 11, 22, 16, 0, 3, 0, time.UTC)
	tests := []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all, newest first", Filter{}, "j4 j3 j2 j1 j0"},
		{"limit", Filter{Limit: 2}, "j4 j3"},
		{"since", Filter{Since: since}, "j4 j3"},
		{"request id", Filter{RequestID: "r-j2"}, "j2"},
		{"request id too old", Filter{RequestID: "r-j2", Since: since}, ""},
		{"attempts", Filter{Attempts: true, Limit: 3}, "j4/2 j4/1 j3/2"},
		{"attempts of one request", Filter{Attempts: true, RequestID: "r-j1"}, "j1/2 j1/1"},
	}
	for _, tt := range tests {
		rows, err := s.Records(t.Context(), tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range rows.Values {
			name := v[0].(string)
			if tt.filter.Attempts {
				name += fmt.Sprint("/", v[1])
			}
			got = append(got, name)
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, g, tt.want)
		}
	}
}

// Real keys begin with the time; the bound on them must not hide a row.
func TestSinceWithRealKeys(t *testing.T) {
	s := openStore(t, t.TempDir())
	since := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)
	var b batch
	for minute := range 200 {
		at := since.Add(time.Duration(minute-150) * time.Minute)
		r := request(fmt.Sprintf("%08x-%04x-7000-8000-000000000000", at.UnixMilli()>>16, at.UnixMilli()&0xffff), 0)
		r.Time = usage.At(at)
		b.requests = append(b.requests, r)
	}
	store1(t, s, b)
	for _, tt := range []struct {
		since time.Time
		want  int
	}{{since, 50}, {since.Add(time.Microsecond), 49}, {since.Add(-150 * time.Minute), 200}, {time.Unix(0, 0), 200}, {since.Add(time.Hour), 0}} {
		rows, err := s.Records(t.Context(), Filter{Since: tt.since, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(rows.Values); got != tt.want {
			t.Errorf("since %v: got %d rows, want %d", tt.since, got, tt.want)
		}
		for i := 1; i < len(rows.Values); i++ {
			if rows.Values[i-1][1].(string) < rows.Values[i][1].(string) {
				t.Errorf("since %v: row %d is newer than the one before it", tt.since, i)
			}
		}
	}
}

func TestBodiesAreJoined(t *testing.T) {
	s := openStore(t, t.TempDir())
	long := strings.Repeat("é", 1000)
	store1(t, s, batch{
		requests: []*usage.Request{request("a", 1)},
		bodies: []*usage.Body{
			{JobID: "a", Part: 1, Request: []byte(long[1:1000]), Response: []byte(`{"ok":true}`)},
			{JobID: "a", Part: 0, Request: []byte(long[:1])},
			{JobID: "a", Part: 2, Request: []byte(long[1000:])},
		},
	})
	rows, err := s.Records(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	last := len(rows.Columns) - 1
	if got := rows.Values[0][last-1]; got != long {
		t.Errorf("got request body %.20q…, want %.20q…", got, long)
	}
	if got := rows.Values[0][last]; got != `{"ok":true}` {
		t.Errorf("got response body %q", got)
	}
}

func TestUsage(t *testing.T) {
	s := openStore(t, t.TempDir())
	var b batch
	for i := range 100 {
		r := request(fmt.Sprintf("j%03d", i), 0)
		r.Time = usage.At(time.Date(2026, 11, 22, 15+i/50, 0, 0, 0, time.UTC))
		r.TotalMS, r.TTFTMS = float64(i+1), float64(i%2)*float64(i+1) // no content in every other
		if i < 10 {
			r.ClientID, r.Outcome = "client-2", usage.Error
			cost := int64(7)
			r.CostNanoUSD = &cost
		}
		b.requests = append(b.requests, r)
	}
	store1(t, s, b)
	const header = "requests,errors,prompt_tokens,cached_read_tokens,cached_write_tokens,completion_tokens,reasoning_tokens,cost_nano_usd,p50_ms,p95_ms,p99_ms,ttft_p50_ms,ttft_p95_ms,unpriced\n"
	tests := []struct {
		by    []string
		since time.Time
		want  string
	}{
		{nil, time.Time{}, header + "100,10,1000,0,0,500,0,70,50,95,99,50,96,90\n"},
		{[]string{"client"}, time.Time{}, "client," + header +
			"client-1,90,0,900,0,0,450,0,,55,96,100,56,96,90\n" +
			"client-2,10,10,100,0,0,50,0,70,5,10,10,6,10,0\n"},
		{[]string{"provider", "hour"}, time.Time{}, "provider,hour," + header +
			"groq,2026-11-22T15:00:00Z,50,10,500,0,0,250,0,70,25,48,50,26,48,40\n" +
			"groq,2026-11-22T16:00:00Z,50,0,500,0,0,250,0,,75,98,100,76,98,50\n"},
		{[]string{"day", "model", "key"}, time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC), "day,model,key," + header +
			"2026-11-22,glm,0123456789ab,50,0,500,0,0,250,0,,75,98,100,76,98,50\n"},
		{nil, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), header + "0,0,0,0,0,0,0,,,,,,,0\n"},
		{[]string{"model"}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), "model," + header},
	}
	for _, tt := range tests {
		rows, err := s.Usage(t.Context(), tt.by, tt.since)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, format1(t, rows, "csv")); diff != "" {
			t.Errorf("by %v since %v (-want +got):\n%s", tt.by, tt.since, diff)
		}
	}
	rows, err := s.Usage(t.Context(), []string{"client", "model", "provider", "key", "day", "hour"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(format1(t, rows, "table"), "\n"); !strings.Contains(head, "HOUR") || !strings.Contains(head, "UNPRICED") {
		t.Errorf("by everything: got the columns %s, want all", head)
	}
	if _, err := s.Usage(t.Context(), []string{"colour"}, time.Time{}); !errors.Is(err, ErrQuery) {
		t.Errorf("got %v, want ErrQuery", err)
	}
}

func TestFormats(t *testing.T) {
	rows := &Rows{Columns: []string{"client", "requests", "cost_nano_usd", "p50_ms", "stream", "params"},
		Values: [][]any{{"a\tb\x1b[31m", int64(3), nil, 1.5, true, json.RawMessage(`{"n":1}`)}}}
	tests := []struct{ format, want string }{
		{"json", `{"client":"a\tb\u001b[31m","requests":3,"cost_nano_usd":null,"p50_ms":1.5,"stream":true,"params":{"n":1}}` + "\n"},
		{"csv", "client,requests,cost_nano_usd,p50_ms,stream,params\na\tb\x1b[31m,3,,1.5,true,\"{\"\"n\"\":1}\"\n"},
		{"table", "CLIENT    REQUESTS  COST_NANO_USD  P50_MS  STREAM  PARAMS\na b [31m  3         -              1.5     true    {\"n\":1}\n"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, format1(t, rows, tt.format)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.format, diff)
		}
	}
	if err := Format(&bytes.Buffer{}, rows, "xml"); !errors.Is(err, ErrQuery) {
		t.Errorf("got %v, want ErrQuery", err)
	}
}

// Records can hold prompts: nobody else on the machine reads them, whatever
// directory they were put into.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSQLite(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("got %v, %v, want the store and its log", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: got mode %o, want 600", f.Name(), got)
		}
	}
}

func TestOpenReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder?with#odd%20name")
	if _, err := OpenReader(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: got %v, want fs.ErrNotExist", err)
	}
	s := openStore(t, dir)
	store1(t, s, batch{requests: []*usage.Request{request("a", 1)}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(dir) // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := printed(t, r, Filter{}, "json"); strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one line", got)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if _, err := s.db.Exec("insert into schema_version values (99)"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := OpenSQLite(dir)
	if err == nil || !strings.Contains(err.Error(), "schema 99 is newer") {
		t.Errorf("writer: got %v, want a refusal", err)
	}
	if _, err = OpenReader(dir); err == nil || !strings.Contains(err.Error(), "schema 99 is newer") {
		t.Errorf("reader: got %v, want a refusal", err)
	}
}

// A reader sees whole batches only, and neither side waits for the other.
func TestReadWhileWriting(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				rows, err := r.Usage(ctx, nil, time.Time{})
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				if n := rows.Values[0][0].(int64); n%100 != 0 {
					t.Errorf("got %d requests, want whole batches of 100", n)
				}
			}
		})
	}
	for i := range 50 {
		var b batch
		for k := range 100 {
			b.requests = append(b.requests, request(fmt.Sprint(i, "-", k), i))
		}
		store1(t, s, b)
	}
	cancel()
	readers.Wait()
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkWrite(b *testing.B) {
	s := openStore(b, b.TempDir())
	const size = 1000
	n := 0
	begun := cpuTime(b)
	for b.Loop() {
		var full batch
		for range size {
			n++
			job := fmt.Sprintf("0199d3c8-7a51-7c3e-9b1a-%012x", n)
			r := request(job, n%60)
			r.RequestID = job
			full.requests = append(full.requests, r)
			full.attempts = append(full.attempts, &usage.Attempt{JobID: job, Attempt: 1, Time: r.Time, RequestID: job, Delivery: 1,
				Provider: "groq", UpstreamModel: "llama-3.3-70b-versatile", RouteID: "primary", KeyFP: r.KeyFP, Outcome: usage.OK, WorkerID: "w-1"})
		}
		store1(b, s, full)
	}
	b.ReportMetric(float64(cpuTime(b)-begun)/float64(b.N)/(2*size), "cpu-ns/row")
}
