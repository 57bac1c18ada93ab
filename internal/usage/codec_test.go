package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill gives every field that v holds, however deep, a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.125)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	default:
		v.SetInt(int64(*n) << 20)
	}
}

func attemptEntry(job string) Entry {
	cost := int64(1_234_500)
	return Entry{Kind: KindFinished, Process: "worker-7", Ingress: "ingress-3", Left: 58 * time.Second, Attempt: &Attempt{
		JobID: job, Attempt: 1, Time: 1_795_364_911_123_456, RequestID: job, Delivery: 1, Provider: "groq",
		UpstreamModel: "llama-3.3-70b-versatile", RouteID: "primary", KeyFP: "0123456789ab", UpstreamProtocol: "openai",
		Outcome: OK, Status: 200, Spend: Spend{PromptTokens: 812, CachedReadTokens: 512, CompletionTokens: 97, UsageSource: "provider", CostNanoUSD: &cost},
		TTFTMS: 212.31, TotalMS: 901.5, WorkerID: "worker-7",
	}}
}

const testJob = "0199d3c8-7a51-7c3e-9b1a-2f64d0c1e5aa"

// Every field of every record travels: a field that walk forgets comes back
// empty and fails here.
func TestEveryFieldTravels(t *testing.T) {
	for kind := KindStarted; kind <= KindBody; kind++ {
		var want Entry
		n := 0
		fill(reflect.ValueOf(&want).Elem(), &n)
		want.Kind, want.Process = kind, "worker-7"
		got, err := Decode(Encode("worker-7", want, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Entry{want, want}, got); diff != "" {
			t.Errorf("kind %d (-want +got):\n%s", kind, diff)
		}
	}
}

func TestZeroRecordsTravel(t *testing.T) {
	want := []Entry{
		{Kind: KindStarted, Attempt: &Attempt{}},
		{Kind: KindRequest, Request: &Request{}},
		{Kind: KindBody, Body: &Body{}},
		{Kind: KindFinished, Attempt: &Attempt{Spend: Spend{CostNanoUSD: new(int64)}}},
	}
	got, err := Decode(Encode("", want...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a program of the first version left in LOG or in its spool is read.
func TestVersion1IsRead(t *testing.T) {
	const message = "\x01\x01w\x02\x01\tingress-3\x80\x90\x8e\x91\xb0\x03$0199d3c8-7a51-7c3e-9b1a-2f64d0c1e5aa\x02\x80\xb0\xa8\xfc\xfe\xb7\xb0\x06" +
		"$0199d3c8-7a51-7c3e-9b1a-2f64d0c1e5aa\x02\x04groq\x17llama-3.3-70b-versatile\aprimary\f0123456789ab\x06openai\x02ok\x00\x00\x90\x03\x00\x00" +
		"\xd8\f\x80\b\x00\xc2\x01\x00\bprovider\x01\x88\xd9\x96\x01R\xb8\x1e\x85\xeb\x89j@\x00\x00\x00\x00\x00,\x8c@\bworker-7"
	got, err := Decode([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	want := attemptEntry(testJob)
	want.Process = "w"
	if diff := cmp.Diff([]Entry{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := Encode("w", attemptEntry(testJob))
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, ErrCorrupt},
		{"newer version", append([]byte{version + 1}, whole[1:]...), ErrVersion},
		{"newer version, no more than its header", append([]byte{version + 1}, whole[1:3]...), ErrVersion},
		{"text", []byte("no record at all"), ErrCorrupt},
		{"JSON", []byte(`{"request_id":"a"}`), ErrCorrupt},
		{"one byte", []byte{version + 1}, ErrCorrupt},
		{"zeros", make([]byte, 100), ErrCorrupt},
		{"newer version without a name", []byte{version + 1, 3, 'a', 0xff, 'b'}, ErrCorrupt},
		{"newer version with a name cut off", []byte{version + 1, 9, 'a', 'b'}, ErrCorrupt},
		{"cut off", whole[:len(whole)-1], ErrCorrupt},
		{"unknown kind", Encode("w", Entry{Kind: 99, Attempt: &Attempt{}}), ErrCorrupt},
		{"attempt without one", Encode("w", Entry{Kind: KindFinished}), ErrCorrupt},
		{"string longer than the message", []byte{version, 0xff, 0xff, 0xff, 0xff, 0x7f}, ErrCorrupt},
	}
	for _, tt := range tests {
		got, err := Decode(tt.data)
		if !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: got %v, %v; want no entry and %v", tt.name, got, err, tt.want)
		}
	}
}

func TestClippedRecordsAreSmall(t *testing.T) {
	long := strings.Repeat("ä", 1<<20)
	e := Entry{Kind: KindRequest, Request: &Request{JobID: testJob, ErrorMessage: long, Params: []byte(long), Warnings: make([]string, 1000)}}
	for i := range e.Request.Warnings {
		e.Request.Warnings[i] = long
	}
	c := clipped(&e)
	if got := len(Encode("w", *c)); got > recordBytes {
		t.Errorf("got %d bytes, want at most %d", got, recordBytes)
	}
	if len(e.Request.ErrorMessage) != len(long) || len(e.Request.Warnings[0]) != len(long) {
		t.Error("the caller's record was changed")
	}
	if got := c.Request.ErrorMessage; strings.ToValidUTF8(got, "") != got || c.Request.JobID != testJob {
		t.Errorf("got job %q and a message that ends %q", c.Request.JobID, got[len(got)-4:])
	}
}

func TestJSON(t *testing.T) {
	cost := int64(42)
	got, err := json.Marshal(Attempt{JobID: testJob, Attempt: 2, Time: 1_795_364_911_120_000, Outcome: TimedOut, Timer: "idle",
		Spend: Spend{UsageSource: "none", CostNanoUSD: &cost}, TotalMS: 60000.25})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"job_id":"0199d3c8-7a51-7c3e-9b1a-2f64d0c1e5aa","attempt":2,"time":"2026-11-22T16:28:31.120000Z","request_id":"","delivery":0,` +
		`"provider":"","upstream_model":"","route_id":"","key_fp":"","upstream_protocol":"","outcome":"timeout","action":"","timer":"idle",` +
		`"status":0,"error_type":"","error_message":"","prompt_tokens":0,"cached_read_tokens":0,"cached_write_tokens":0,` +
		`"completion_tokens":0,"reasoning_tokens":0,"usage_source":"none","cost_nano_usd":42,"ttft_ms":0,"total_ms":60000.25,"worker_id":""}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var back Attempt
	if err := json.Unmarshal(got, &back); err != nil || back.Time != 1_795_364_911_120_000 {
		t.Errorf("read back: got time %d, error %v", back.Time, err)
	}
}

// FuzzDecode: no input panics, and what can be read is written the same again.
func FuzzDecode(f *testing.F) {
	var e Entry
	n := 0
	fill(reflect.ValueOf(&e).Elem(), &n)
	e.Kind = KindRequest
	f.Add(Encode("w", e))
	f.Add(Encode("worker-7", attemptEntry(testJob), Entry{Kind: KindBody, Body: &Body{JobID: testJob, Request: []byte("{}")}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Decode(data)
		if err != nil {
			return
		}
		process := ""
		if len(entries) > 0 {
			process = entries[0].Process
		}
		once := Encode(process, entries...)
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("read what was written: %v", err)
		}
		if twice := Encode(process, again...); !bytes.Equal(once, twice) {
			t.Errorf("got  %x\nwant %x", twice, once)
		}
	})
}

func BenchmarkAppendEntry(b *testing.B) {
	e := attemptEntry(testJob)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendEntry(buf[:0], &e)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

// BenchmarkDecode reads messages of 50 attempts; divide by 50.
func BenchmarkDecode(b *testing.B) {
	entries := make([]Entry, packRecords)
	for i := range entries {
		entries[i] = attemptEntry(testJob)
	}
	data := Encode("worker-7", entries...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
