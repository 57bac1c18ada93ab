package worker

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"model-proxy/config"
	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// How a call broke off decides what the router makes of it, what stands in its
// record, and what a client is told whose answer had begun.
func TestBrokenOff(t *testing.T) {
	for _, c := range []struct {
		err     error
		fault   router.Fault
		outcome usage.Outcome
		timer   string
		kind    string
		code    string // of what the client is told
	}{
		{&provider.TimeoutError{Timer: provider.TimerConnect}, router.Timeout, usage.TimedOut, "connect", "timeout", "upstream_timeout"},
		{&provider.TimeoutError{Timer: provider.TimerFirstToken}, router.Timeout, usage.TimedOut, "first_token", "timeout", "upstream_timeout"},
		{fmt.Errorf("read: %w", &provider.TimeoutError{Timer: provider.TimerIdle}), router.Timeout, usage.TimedOut, "idle", "timeout", "upstream_timeout"},
		{&provider.DialError{Err: io.EOF}, router.Dial, usage.Cut, "", "unreachable", "upstream_stream_truncated"},
		{&provider.CutError{Err: io.ErrUnexpectedEOF}, router.Cut, usage.Cut, "", "cut", "upstream_stream_truncated"},
		{provider.ErrEventTooLarge, router.Malformed, usage.Cut, "", "cut", "upstream_stream_truncated"},
		{fmt.Errorf("answer: %w", provider.ErrBodyTooLarge), router.Malformed, usage.Cut, "", "cut", "upstream_stream_truncated"},
		{errors.New("anything else"), router.Cut, usage.Cut, "", "cut", "upstream_stream_truncated"},
	} {
		f := brokenOff(c.err)
		if f.Fault != c.fault || f.outcome != c.outcome || f.Timer != c.timer || f.kind != c.kind || f.told().Code != c.code {
			t.Errorf("%v: got %v, %s, timer %q, %s, told %s; want %v, %s, timer %q, %s, told %s",
				c.err, f.Fault, f.outcome, f.Timer, f.kind, f.told().Code, c.fault, c.outcome, c.timer, c.kind, c.code)
		}
	}
}

// A client whose answer had begun is told which time was over.
func TestTimeOver(t *testing.T) {
	for timer, want := range map[provider.Timer]string{
		provider.TimerIdle:  "the upstream stopped sending",
		provider.TimerTotal: "the answer took longer than it may",
	} {
		if got := brokenOff(&provider.TimeoutError{Timer: timer}).told().Message; got != want {
			t.Errorf("%s: got %q, want %q", timer, got, want)
		}
	}
}

// An answer with a good status that holds an error, or is none.
func TestMisanswered(t *testing.T) {
	said := llm.NewError(llm.Overloaded, "try later")
	cut := fmt.Errorf("%w: no end", convert.ErrCut)
	for _, c := range []struct {
		name    string
		err     error
		data    string
		fault   router.Fault
		outcome usage.Outcome
	}{
		{"an error event", said, `{"error":{}}`, router.Answered, usage.Error},
		{"an event that is not understood", cut, `{"nonsense`, router.Malformed, usage.Cut},
		{"no proper end", cut, "", router.Cut, usage.Cut},
	} {
		a := &attempt{status: 200, step: router.Step{Route: &config.Route{Provider: &config.Provider{}}}}
		f := a.misanswered(c.err, []byte(c.data))
		if f.Fault != c.fault || f.outcome != c.outcome || f.Status != 200 || f.told() == nil {
			t.Errorf("%s: got %v, %s, status %d; want %v, %s, 200", c.name, f.Fault, f.outcome, f.Status, c.fault, c.outcome)
		}
	}
}

func TestStoppedOutcome(t *testing.T) {
	for cause, want := range map[error]usage.Outcome{
		bus.ErrFenced:      usage.Fenced,
		bus.ErrCancelled:   usage.Cancelled,
		bus.ErrIngressLost: usage.Cancelled,
		bus.ErrStopped:     usage.Cancelled,
	} {
		if got := stoppedOutcome(cause); got != want {
			t.Errorf("%v: got %s, want %s", cause, got, want)
		}
	}
}

// What is not meant for clients is not shown to them.
func TestAsError(t *testing.T) {
	told := llm.NewError(llm.NotFound, "no such model")
	if got := asError(fmt.Errorf("route: %w", told)); got != told {
		t.Errorf("got %v, want the error within", got)
	}
	if got := asError(errors.New("dial tcp 10.0.0.7:443: secret")); got.Kind != llm.ServerError || got.Message != "internal error" {
		t.Errorf("got %v, want an internal error without its cause", got)
	}
}
