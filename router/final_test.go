package router

import (
	"strings"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// What the client is told when nothing is left. Three routes of a key each
// fail in turn; the last failure stands for the rest.
func TestFinal(t *testing.T) {
	after := func(f Failure, retry string) Failure { f.Header = header("Retry-After", retry); return f }
	for _, tt := range []struct {
		name     string
		failures []Failure
		status   int
		retry    time.Duration // 0: none wanted
		code     string
		final    bool
		words    string
	}{
		{"all limited", []Failure{after(limited, "20"), after(limited, "10"), after(limited, "30")}, 429, 10 * time.Second, "rate_limit_exceeded", false, "a/x: 429; b/y: 429; c/z: 429"},
		{"limited, one refused", []Failure{refusal, after(limited, "10"), refusal}, 429, 10 * time.Second, "rate_limit_exceeded", false, "a/x: 401; b/y: 429; c/z: 401"},
		{"all refused", []Failure{refusal, answer(403, ``), answer(402, ``)}, 502, 0, "upstream_auth_failed", true, "a/x: 401; b/y: 403; c/z: 402"},
		{"all spent", []Failure{spentFail}, 502, 0, "upstream_auth_failed", true, "429"},
		{"server errors", []Failure{broken}, 500, 0, "", false, "c/z: 500"},
		{"limited and a server error", []Failure{limited, broken, limited}, 500, 0, "", false, "a/x: 429; b/y: 500; c/z: 429"},
		{"overloaded", []Failure{broken, after(answer(503, ``), "3"), broken}, 503, 3 * time.Second, "", false, "b/y: 503"},
		{"overloaded, no word of when", []Failure{answer(529, ``)}, 529, time.Second, "", false, "529"},
		{"time-outs", []Failure{late, dropped, unreached}, 504, 0, "upstream_timeout", false, "a/x: timeout; b/y: connection broken; c/z: unreachable"},
		{"cut", []Failure{dropped, unreached}, 502, 0, "upstream_stream_truncated", false, "connection broken"},
		{"not understood", []Failure{{Fault: Malformed}}, 502, 0, "upstream_malformed", false, "answer not understood"},
		{"fits no protocol", []Failure{{Fault: Unfit}}, 400, 0, "", false, "cannot be put"},
		{"fits no protocol, another is limited", []Failure{{Fault: Unfit}, after(limited, "10"), {Fault: Unfit}}, 429, 10 * time.Second, "rate_limit_exceeded", false, "a/x: cannot serve this request; b/y: 429"},
		{"unreachable", []Failure{unreached}, 502, 0, "upstream_unreachable", false, "unreachable"},
		{"missing upstream", []Failure{missing}, 404, 0, "", false, "404"},
		{"missing upstream and a server error", []Failure{missing, broken, missing}, 500, 0, "", false, "b/y: 500"},
		{"limited and a missing upstream", []Failure{missing, after(limited, "10"), missing}, 429, 10 * time.Second, "rate_limit_exceeded", false, "b/y: 429"},
		{"the request's own fault", []Failure{faulty}, 400, 0, "", false, "status 400"},
		{"no tool call from any", []Failure{answer(400, `{"error":{"code":"tool_use_failed"}}`)}, 400, 0, "", false, "status 400"},
		{"over every whole limit", []Failure{answer(429, `{"error":{"message":"Request too large for m"}}`)}, 429, time.Second, "", false, "429"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			snap := snapshot(model("m", route(provider("a", 1), "x"), route(provider("b", 1), "y"), route(provider("c", 1), "z")))
			tr := begin(t, snap, chat("m"))
			e := tr.run(tt.failures...)
			if got := e.HTTPStatus(llm.OpenAI); got != tt.status {
				t.Errorf("got status %d (%v), want %d", got, e, tt.status)
			}
			// The clock runs 1 ms for each failure.
			if low := max(0, tt.retry-3*time.Millisecond); e.RetryAfter < low || e.RetryAfter > tt.retry {
				t.Errorf("got Retry-After %v, want %v", e.RetryAfter, tt.retry)
			}
			if e.Code != tt.code || e.Final != tt.final {
				t.Errorf("got code %q, final %v, want %q, %v", e.Code, e.Final, tt.code, tt.final)
			}
			if !strings.Contains(e.Message, tt.words) {
				t.Errorf("got message %q, want %q in it", e.Message, tt.words)
			}
			for _, key := range []string{"a-1", "b-1", "c-1"} {
				if strings.Contains(e.Error(), key) || strings.Contains(e.Error(), config.NewSecret(key).Fingerprint()) {
					t.Errorf("message %q names key %s", e.Message, key)
				}
			}
		})
	}
}

// A request that meets only rests is told so by their cause.
func TestFinalOfRests(t *testing.T) {
	rest := func(s llm.Scope, cause Class, d time.Duration) llm.Rest {
		r := llm.Rest{Scope: s, Provider: "p", Cause: string(cause), For: d}
		if s == llm.ScopeKey || s == llm.ScopeKeyModel {
			r.Fingerprint = config.NewSecret("p-1").Fingerprint()
		}
		if s == llm.ScopeBreaker || s == llm.ScopeKeyModel {
			r.Model = "x"
		}
		return r
	}
	for _, tt := range []struct {
		name   string
		rest   llm.Rest
		status int
		retry  time.Duration
		final  bool
	}{
		{"rate limit", rest(llm.ScopeKeyModel, RateLimit, time.Minute), 429, time.Minute, false},
		{"provider for a rate limit", rest(llm.ScopeProvider, RateLimit, time.Minute), 429, time.Minute, false},
		{"quota", rest(llm.ScopeKey, Quota, time.Hour), 502, 0, true},
		{"refused", rest(llm.ScopeKey, Auth, time.Hour), 502, 0, true},
		{"breaker", rest(llm.ScopeBreaker, "repeated_failures", 20*time.Second), 503, 20 * time.Second, false},
		{"ill", rest(llm.ScopeKeyModel, ServerError, 20*time.Second), 503, 20 * time.Second, false},
		{"a cause of a newer version", rest(llm.ScopeKey, "unheard_of", 20*time.Second), 503, 20 * time.Second, false},
	} {
		tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), chat("m"))
		tr.pool.report(epoch, llm.Report{Rests: []llm.Rest{tt.rest}})
		e := tr.run(missing)
		if got := e.HTTPStatus(llm.OpenAI); got != tt.status || e.RetryAfter != tt.retry || e.Final != tt.final {
			t.Errorf("%s: got %d, Retry-After %v, final %v, want %d, %v, %v", tt.name, got, e.RetryAfter, e.Final, tt.status, tt.retry, tt.final)
		}
		if want := "Tried: p/x: resting."; !strings.Contains(e.Message, want) || len(tr.took) > 0 {
			t.Errorf("%s: got %q after %v, want %q after no attempt", tt.name, e.Message, tr.took, want)
		}
	}
}

// A client that comes back when it is told to is not refused for a rest that was
// known: another request may have met a longer one on the same key meanwhile.
func TestFinalKnowsLongerRests(t *testing.T) {
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), chat("m"))
	tr.next()
	f := limited
	f.Header = header("Retry-After", "2")
	tr.fail(f)
	tr.pool.report(tr.now, llm.Report{Rests: []llm.Rest{{Scope: llm.ScopeKeyModel, Provider: "p", Model: "x",
		Fingerprint: config.NewSecret("p-1").Fingerprint(), Cause: string(RateLimit), For: 20 * time.Second}}})
	if e := tr.run(missing); e.HTTPStatus(llm.OpenAI) != 429 || e.RetryAfter != 20*time.Second {
		t.Errorf("got %d, Retry-After %v, want 429, 20s", e.HTTPStatus(llm.OpenAI), e.RetryAfter)
	}
}

// What convert made of the answer reaches the client as it is, if the request
// is at fault, and with what was tried, if not.
func TestFinalKeepsWhatConvertMade(t *testing.T) {
	told := &llm.Error{Kind: llm.BadRequest, Message: "messages is empty", Param: "messages", Code: "empty_array", Status: 400, Body: []byte(`{"error":{}}`)}
	f := faulty
	f.Told = told
	tr := begin(t, snapshot(model("m", route(provider("a", 1), "x"))), chat("m"))
	tr.next()
	if v := tr.fail(f); v.Final == nil || v.Final.Param != "messages" || string(v.Final.Body) != `{"error":{}}` {
		t.Errorf("got %+v, want what convert made", v.Final)
	}

	f = broken
	f.Told = &llm.Error{Kind: llm.ServerError, Message: "The server had an error.", Status: 500, Body: []byte(`{}`)}
	tr = begin(t, snapshot(model("m", route(provider("a", 1), "x"))), chat("m"))
	e := tr.run(f)
	if want := "The server had an error. Tried: a/x: 500."; e.Message != want || e.Body != nil || e.Status != 500 {
		t.Errorf("got %+v, want %q with status 500 and no body", e, want)
	}
	if f.Told.Body == nil {
		t.Error("the worker's own error was changed")
	}
}

func TestNothingAfterTheFirstAnswerByte(t *testing.T) {
	f := limited
	f.Sent = true
	tr := begin(t, snapshot(model("m", route(provider("a", 2), "x"))), chat("m"))
	tr.next()
	v := tr.fail(f)
	if v.Final == nil || len(v.Report.Rests) != 1 {
		t.Errorf("got %+v, want a final error and a rest", v)
	}
	if _, err := tr.walk.Next(tr.now, tr.pool); err == nil {
		t.Error("Next goes on after an answer byte was sent")
	}
}

// A refusal of our account is never shown as the client's own, whatever the
// provider's file says.
func TestRefusalIsNeverReturned(t *testing.T) {
	p := provider("p", 1)
	p.Errors[401] = config.ErrorRule{Action: string(ReturnToClient)}
	tr := begin(t, snapshot(model("m", route(p, "x"))), chat("m"))
	e := tr.run(refusal)
	if e.HTTPStatus(llm.OpenAI) != 502 || !e.Final || e.Code != "upstream_auth_failed" {
		t.Errorf("got %+v, want 502 upstream_auth_failed", e)
	}
}
