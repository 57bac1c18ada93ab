package limit

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHeader(t *testing.T) {
	rows := []struct {
		name   string
		levels Levels
		want   http.Header
	}{
		{"no limits", Levels{}, http.Header{}},
		{"requests", Levels{Requests: Level{Limit: 60, Remaining: 59, Reset: 68254 * time.Millisecond}}, http.Header{
			"X-Ratelimit-Limit-Requests": {"60"}, "X-Ratelimit-Remaining-Requests": {"59"}, "X-Ratelimit-Reset-Requests": {"1m8.25s"},
		}},
		{"tokens, unused", Levels{Tokens: Level{Limit: 100000, Remaining: 100000}}, http.Header{
			"X-Ratelimit-Limit-Tokens": {"100000"}, "X-Ratelimit-Remaining-Tokens": {"100000"}, "X-Ratelimit-Reset-Tokens": {"0s"},
		}},
	}
	for _, row := range rows {
		got := http.Header{}
		row.levels.Header(got)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
	h := http.Header{}
	rows[1].levels.Header(h)
	if got, want := h.Get("X-RateLimit-Remaining-Requests"), "59"; got != want {
		t.Errorf("by the documented name: got %q, want %q", got, want)
	}
}

func TestMeanAnswer(t *testing.T) {
	var m mean
	expect := func(maxTokens, want int64) {
		t.Helper()
		if got := m.expect(maxTokens); got != want {
			t.Errorf("max_tokens %d: got %d, want %d", maxTokens, got, want)
		}
	}
	expect(0, defaultAnswer)
	expect(4000, 4000) // nothing known: what the request says
	m.note(0)          // a failed request teaches nothing
	expect(0, defaultAnswer)
	m.note(800)
	expect(0, 800)
	expect(4000, 800)
	expect(50, 50)
	m.note(0)
	m.note(1600)
	expect(4000, 900)
	for range 200 {
		m.note(10)
	}
	expect(4000, 10)
}
