package bus

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"model-proxy/internal/llm"
)

var (
	fullAttempt = Attempt{Number: 3, ServedModel: "glm", Provider: "groq", UpstreamModel: "openai/glm-5", UpstreamProtocol: llm.OpenAI,
		RouteID: "primary", KeyFP: "0123456789ab", ConfigRevision: "abc"}
	fullHead = Head{Status: 200, ContentType: "application/json", ContentLength: -1, UpstreamID: "req_1", Warnings: `dropped;param="seed"`,
		TokenCount: "provider", Conversion: "openai; target=anthropic"}
	fullEnd = End{Err: &llm.Error{Kind: llm.RateLimited, Message: "wait", Param: "p", Code: "c", Status: 429, RetryAfter: time.Second, Final: true, Body: []byte("{}")},
		Cancelled: true, Again: true, Attempts: 2, Usage: llm.Usage{Prompt: 1, CachedRead: 2, CachedWrite: 3, CachedWrite1h: 4, Completion: 5, Reasoning: 6, Source: llm.UsageProvider},
		CostNanoUSD: 7, Priced: true, PriceVersion: "v", Finish: "stop", Warnings: "w"}
)

// encode writes a frame as a run does.
func encode(p Part, split bool) []byte {
	f := Frame{run: 77, seq: 5, Head: p.Head, End: p.End, Data: p.Data, Events: p.Events, Content: p.Content, Split: split}
	return f.append(nil)
}

func TestFramesTravel(t *testing.T) {
	long := fullEnd
	long.Err = &llm.Error{Kind: llm.BadGateway, Body: []byte(strings.Repeat("x", 1<<15))} // its length takes three bytes
	for name, p := range map[string]Part{
		"everything":       {Head: &fullHead, Data: []byte("data: {}\n\n"), Events: 1, Content: true, End: &fullEnd},
		"an end alone":     {End: &End{}},
		"a long error":     {End: &long},
		"data alone":       {Data: []byte("x"), Events: 9},
		"a head and bytes": {Head: &fullHead, Data: []byte{}},
	} {
		got, err := parseFrame(encode(p, true))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.run != 77 || got.seq != 5 || !got.Split {
			t.Errorf("%s: run %d, seq %d, split %v", name, got.run, got.seq, got.Split)
		}
		back := Part{Head: got.Head, Data: got.Data, Events: got.Events, Content: got.Content, End: got.End}
		if d := cmp.Diff(p, back, cmpopts.IgnoreUnexported(llm.Error{}), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: sent (-) and received (+) differ:\n%s", name, d)
		}
	}
}

func TestAcceptedTravels(t *testing.T) {
	sent := Frame{run: 1, Accepted: true, WorkerID: "w-1", Attempt: &fullAttempt}
	f, err := parseFrame(sent.append(nil))
	if err != nil || !f.Accepted || f.WorkerID != "w-1" || *f.Attempt != fullAttempt {
		t.Errorf("got %+v with %+v, %v", f, f.Attempt, err)
	}
}

// Whatever arrives is a frame or an error, never a panic, and every cut of a
// frame with several parts is an error or shorter data.
func FuzzParseFrame(f *testing.F) {
	f.Add(encode(Part{Head: &fullHead, Data: []byte("data: {}\n\n"), Events: 1, End: &fullEnd}, false))
	f.Add([]byte(`{"stream":"REQ","seq":1}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		got, err := parseFrame(msg)
		if err == nil && len(got.Data) > len(msg) {
			t.Errorf("%d bytes of data out of %d", len(got.Data), len(msg))
		}
	})
}

func TestEnvelopeTravels(t *testing.T) {
	job := Job{ID: "0190-7", RequestID: "r_1", Client: "team a; b=c", Endpoint: llm.Messages, Stream: true, Model: "vendor/model:free %",
		Mode: "strict", Blocks: true, Pool: "gpu", Trace: "00-1-2-01", State: "vendor=1,other=a:b", Header: http.Header{"X-Mock-Ttft": {"1s"}, "User-Agent": {"a"}}, Body: []byte("{}")}
	job.Deadline = time.Now().Add(90 * time.Second)
	d, err := parseDelivery(job.message("req.default.normal.c", "R.i-1.t", 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	want := Delivery{Job: job, Number: 2, Attempts: 3, reply: "R.i-1.t", version: Version}
	if diff := cmp.Diff(want, *d, cmp.AllowUnexported(Delivery{}), cmpopts.IgnoreFields(Job{}, "Deadline", "Lane"), cmpopts.IgnoreFields(Delivery{}, "TimeLeft")); diff != "" {
		t.Errorf("published (-) and delivered (+) differ:\n%s", diff)
	}
	if d.TimeLeft < 89*time.Second || d.TimeLeft > 90*time.Second {
		t.Errorf("time left: got %v, want about 90 s", d.TimeLeft)
	}
	if d.Ingress() != "i-1" {
		t.Errorf("ingress: got %q, want i-1", d.Ingress())
	}
}

func TestForeignEnvelopesAreRefused(t *testing.T) {
	job := Job{ID: "1", Body: []byte("{}")}
	m := job.message("req.default.normal.c", "R.i.t", 1, 0)
	for name, line := range map[string]string{
		"another version": strings.Replace(m.Header.Get(jobHeader), "v=1;", "v=2;", 1),
		"no id":           strings.Replace(m.Header.Get(jobHeader), "job=1;", "", 1),
		"nothing":         "",
		"bad escape":      "v=1;job=%zz;",
	} {
		m.Header.Set(jobHeader, line)
		if d, err := parseDelivery(m); err == nil {
			t.Errorf("%s: taken as %+v", name, d)
		}
	}
}

func TestDeliveriesStandInTheReplySubject(t *testing.T) {
	for reply, want := range map[string]int{
		"$JS.ACK.REQ.default-normal.3.10.11.1700000000000000000.0":                 3,
		"$JS.ACK.hub.ACCHASH.REQ.default-normal.2.10.11.1700000000000000000.0.tok": 2,
		"nonsense": 1,
	} {
		r := &Run{msg: (&Job{}).message("req.default.normal.c", reply, 1, 0)}
		if got := r.deliveries(); got != want {
			t.Errorf("%s: got %d, want %d", reply, got, want)
		}
	}
}

// A frame that came before is not wanted: the reader can go on all the same.
func TestUnwantedFrameLeavesTheReaderItsTurn(t *testing.T) {
	c := &Call{run: 5, next: 3, ready: make(chan struct{}, 1), pass: func() bool { return true }} // its reader waits
	c.hand(&Frame{run: 5, seq: 2, Data: []byte("x")}, false, time.Now())
	if !c.turn.TryLock() {
		t.Error("the reader cannot go on")
	}
	if len(c.queue) > 0 {
		t.Errorf("%d frames taken, want none", len(c.queue))
	}
}
