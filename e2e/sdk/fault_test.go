package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// heard is what a program that uses an SDK has got of a stream.
type heard struct {
	text  string
	ended bool  // as a whole answer ends
	err   error // what the SDK reports, or an event that says so
}

// streams ask by each vendor's API; text is called for each piece of the answer.
var streams = map[string]func(g *gateway, ctx context.Context, model, ask string, text func()) heard{
	"chat":      (*gateway).hearChat,
	"messages":  (*gateway).hearMessages,
	"responses": (*gateway).hearResponse,
}

func (g *gateway) hearChat(ctx context.Context, model, ask string, text func()) (h heard) {
	client := g.openAI()
	stream := client.Chat.Completions.NewStreaming(ctx, chat(model, openai.UserMessage(ask)))
	defer stream.Close()
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			h.text += c.Delta.Content
			h.ended = h.ended || c.FinishReason != ""
			text()
		}
	}
	h.err = stream.Err()
	return h
}

func (g *gateway) hearMessages(ctx context.Context, model, ask string, text func()) (h heard) {
	client := g.anthropic()
	stream := client.Messages.NewStreaming(ctx, message(model, said(ask)))
	defer stream.Close()
	for stream.Next() {
		switch e := stream.Current().AsAny().(type) {
		case anthropic.ContentBlockDeltaEvent:
			h.text += e.Delta.Text
			text()
		case anthropic.MessageStopEvent:
			h.ended = true
		}
	}
	h.err = stream.Err()
	return h
}

func (g *gateway) hearResponse(ctx context.Context, model, ask string, text func()) (h heard) {
	client := g.openAI()
	stream := client.Responses.NewStreaming(ctx, respond(model, asked(ask)))
	defer stream.Close()
	for stream.Next() {
		switch e := stream.Current(); e.Type {
		case "response.output_text.delta":
			h.text += e.Delta
			text()
		case "response.completed":
			h.ended = true
		case "response.failed", "response.incomplete", "error":
			h.err = errors.New(e.RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		h.err = err
	}
	return h
}

// everyWay has one stream for each SDK and model under way at the same time, and
// returns what they heard once all are over. pieces is called for each piece.
func (g *gateway) everyWay(t *testing.T, ask string, piece func(way string)) map[string]heard {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var mu sync.Mutex
	got := map[string]heard{}
	var all sync.WaitGroup
	for sdk, hear := range streams {
		for _, model := range models {
			all.Go(func() {
				way := sdk + " of " + model
				h := hear(g, ctx, model, ask+" "+way, func() { piece(way) })
				mu.Lock()
				got[way] = h
				mu.Unlock()
			})
		}
	}
	all.Wait()
	return got
}

func nothing(string) {}

// ways is how many streams everyWay has.
var ways = len(streams) * len(models)

// A worker that is killed within an answer makes every SDK report an error, and
// none take the answer for whole, whichever protocol it came by.
func TestWorkerKilledMidStream(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Chunks: 3000, Delay: 10 * time.Millisecond}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.EachProtocol(u.URL), 1)
	g := &gateway{c.Gateway, u}
	var mu sync.Mutex
	begun := map[string]int{}
	got := g.everyWay(t, "a long story", func(way string) {
		mu.Lock()
		defer mu.Unlock()
		begun[way]++
		if len(begun) == ways && begun[way] == 3 {
			c.Workers[0].Kill()
		}
	})
	for way, h := range got {
		if h.err == nil || h.ended || h.text == "" {
			t.Errorf("%s: got %d characters, ended %t, error %v; want some, and an error in place of an end", way, len(h.text), h.ended, h.err)
		}
	}
}

// One that is killed before the first token costs no program anything.
func TestWorkerKilledBeforeFirstToken(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 2 * time.Second}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.EachProtocol(u.URL), 2)
	g := &gateway{c.Gateway, u}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		calls := u.AwaitRequests(ways, soon)
		c.Serving(calls[0]).Kill()
	}()
	got := g.everyWay(t, "hello from", nothing)
	<-killed
	for way, h := range got {
		if want := "You said: hello from " + way; h.err != nil || !h.ended || h.text != want {
			t.Errorf("%s: got %q, ended %t, error %v; want %q", way, h.text, h.ended, h.err, want)
		}
	}
	if n := len(u.Requests()); n <= ways {
		t.Errorf("%d calls: the killed worker had none", n)
	}
}

// failing are a provider's faults in a stream, and what a program gets: the whole
// answer, from a second provider, or an error.
var failing = []struct {
	name  string
	fault mock.Fault
	whole bool
	timer string // that ran out
}{
	{"silence", mock.Fault{TTFT: time.Minute}, true, "first_token"},
	{"silence after the head", mock.Fault{StallAfter: new(int)}, true, "first_token"},
	{"cut at the start", mock.Fault{CutAfter: new(int)}, true, ""},
	{"malformed at the start", mock.Fault{MalformedAfter: new(int)}, true, ""},
	{"error as first event", mock.Fault{FirstEventError: true}, true, ""},
	{"rate limit", mock.Fault{Status: 429}, true, ""},
	{"overloaded", mock.Fault{Status: 529}, true, ""},
	{"stall", mock.Fault{StallAfter: after(20), Chunks: 40}, false, "idle"},
	{"cut", mock.Fault{CutAfter: after(30), Chunks: 40}, false, ""},
	{"malformed", mock.Fault{MalformedAfter: after(20), Chunks: 40}, false, ""},
}

func after(n int) *int { return &n }

// Whatever goes wrong at a provider, a program that uses an SDK gets a whole
// answer or an error, and never takes a part for the whole.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	for _, f := range failing {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{})
			g := &gateway{gatewaytest.Run(t, u, withSpare(u.URL)), u}
			u.Script(func(r *mock.Request) *mock.Fault {
				if r.Key == gatewaytest.OpenAIKey {
					return &f.fault
				}
				return nil
			})
			for way, h := range g.everyWay(t, "hello from", nothing) {
				want := "You said: hello from " + way
				switch {
				case f.whole && (h.err != nil || !h.ended || h.text != want):
					t.Errorf("%s: got %q, ended %t, error %v; want %q", way, h.text, h.ended, h.err, want)
				case !f.whole && (h.err == nil || h.ended || h.text == ""):
					t.Errorf("%s: got %q, ended %t, error %v; want some text, and an error in place of an end", way, h.text, h.ended, h.err)
				}
			}
			g.checkTimers(t, f.timer)
		})
	}
}

// checkTimers checks that the first attempt of each request says which timer ran
// out.
func (g *gateway) checkTimers(t *testing.T, want string) {
	t.Helper()
	first := 0
	gatewaytest.Await(t, soon, "the failed attempts", func() bool {
		first = 0
		for _, a := range g.Attempts(t, "") {
			if a.Attempt == 1 {
				first++
			}
		}
		return first >= ways
	})
	for _, a := range g.Attempts(t, "") {
		if a.Attempt == 1 && a.Timer != want || a.Attempt == 1 && a.Outcome == "ok" {
			t.Errorf("first attempt at %s: %s, timer %q; want a failure, timer %q", a.Provider, a.Outcome, a.Timer, want)
		}
	}
}

const spareKey = "sk-e2e-spare-6e0b7d91aa42"

// withSpare is EachProtocol with a second provider for each model, under another
// key, and three seconds of patience.
func withSpare(url string) gatewaytest.Setup {
	s := gatewaytest.EachProtocol(url)
	s.Env = append(s.Env, "SPARE_KEY_API_KEY="+spareKey)
	for _, name := range models {
		spare := gatewaytest.With(s.Files["providers/"+name+".json"], gatewaytest.JSON{"name": "spare-" + name,
			"api_keys": gatewaytest.JSON{"env_var_patterns": []string{"SPARE_KEY_API_KEY"}}})
		s.Files["providers/spare-"+name+".json"] = spare
		s.Files["models/"+name+".json"] = gatewaytest.With(gatewaytest.Model(name, name, "spare-"+name),
			gatewaytest.JSON{"timeout_seconds": 3, "idle_timeout_seconds": 3})
	}
	return s
}

// A key at its rate limit never shows: programs get their answers from the other
// two, every worker leaves it alone, and that is one event.
func TestRateLimitedKeyNeverShows(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.FailKey(gatewaytest.OpenAIKey, mock.Fault{Status: 429, RetryAfter: "60"})
	setup := gatewaytest.Setup{Env: []string{"OPENAI_API_KEY_1=" + spareKey, "OPENAI_API_KEY_2=" + spareKey + "-2"}}
	c := gatewaytest.NewCluster(t, u, setup, 3)
	g := &gateway{c.Gateway, u}
	for i := range 30 {
		hear := []func(*gateway, context.Context, string, string, func()) heard{(*gateway).hearChat, (*gateway).hearMessages}[i%2]
		if h := hear(g, t.Context(), "gpt", fmt.Sprint("number ", i), func() {}); h.err != nil || !h.ended || !strings.HasSuffix(h.text, fmt.Sprint(i)) {
			t.Errorf("stream %d: got %q, ended %t, error %v", i, h.text, h.ended, h.err)
		}
	}
	limited := 0
	for _, e := range u.Requests() {
		if e.Status == 429 {
			limited++
		}
	}
	events := 0.0
	for _, w := range c.Workers {
		events += w.Metrics().Sum("model_proxy_cooldown_events_total")
	}
	if limited != 1 || events != 1 {
		t.Errorf("the limited key was used %d times and %v cooldowns were counted, want one of each", limited, events)
	}
}
