package ingress

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name, body string
		mode       streamMode
		want       asked
		params     string
		refusal    string // part of the message; "" if taken
	}{
		{"plain", `{"model":"m"}`, streamAsAsked, asked{model: "m"}, "", ""},
		{"stream", `{"stream":true,"model":"m"}`, streamAsAsked, asked{model: "m", stream: true}, "", ""},
		{"stream null", `{"stream":null,"model":"m"}`, streamAsAsked, asked{model: "m"}, "", ""},
		{"the twin always streams", `{"stream":false,"model":"m"}`, streamAlways, asked{model: "m", stream: true}, "", ""},
		{"a count never streams", `{"stream":true,"model":"m"}`, streamNever, asked{model: "m"}, "", ""},
		{"escaped model", `{"model":"\u006d/\u00e9"}`, streamAsAsked, asked{model: "m/é"}, "", ""},
		{"parameters", `{"model":"m","max_tokens":7,"temperature":0.5,"seed":1}`, streamAsAsked, asked{model: "m", maxTokens: 7}, `{"max_tokens":7,"temperature":0.5,"seed":1}`, ""},
		{"a long parameter", `{"model":"m","service_tier":"` + strings.Repeat("x", 70) + `"}`, streamAsAsked, asked{model: "m"}, "", ""},
		{"no model", `{}`, streamAsAsked, asked{}, "", "model is missing"},
		{"model is a number", `{"model":1}`, streamAsAsked, asked{}, "", "model is missing"},
		{"model twice", `{"model":"a","m\u006fdel":"b"}`, streamAsAsked, asked{}, "", "not a valid JSON object"},
		{"stream is a string", `{"model":"m","stream":"true"}`, streamAsAsked, asked{}, "", "stream must be"},
		{"an array", `[]`, streamAsAsked, asked{}, "", "not a valid JSON object"},
		{"nothing", ``, streamAsAsked, asked{}, "", "not a valid JSON object"},
		{"invalid UTF-8", "{\"model\":\"\xff\"}", streamAsAsked, asked{}, "", "not a valid JSON object"},
		{"too deep", `{"model":"m","x":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}`, streamAsAsked, asked{}, "", "not a valid JSON object"},
	} {
		got, no := inspect([]byte(c.body), c.mode)
		if c.refusal != "" {
			if no == nil || !strings.Contains(no.Message, c.refusal) {
				t.Errorf("%s: got %v, want a refusal with %q", c.name, no, c.refusal)
			}
			continue
		}
		if no != nil {
			t.Errorf("%s: refused: %v", c.name, no)
			continue
		}
		if got.model != c.want.model || got.stream != c.want.stream || got.maxTokens != c.want.maxTokens || string(got.params) != c.params {
			t.Errorf("%s: got %+v with %s, want %+v with %s", c.name, got, got.params, c.want, c.params)
		}
	}
}

func TestClientKey(t *testing.T) {
	for _, c := range []struct{ header, value, want string }{
		{"Authorization", "Bearer k", "k"},
		{"Authorization", "bearer  k ", "k"},
		{"Authorization", "BEARER k", "k"},
		{"Authorization", "k", "k"},
		{"Authorization", "", ""},
		{"Authorization", "Bearer", ""},
		{"Authorization", "Bearer ", ""},
		{"X-Api-Key", " k ", "k"},
		{"Cookie", "k", ""},
	} {
		h := http.Header{}
		h.Set(c.header, c.value)
		if got := clientKey(h); got != c.want {
			t.Errorf("%s: %s: got %q, want %q", c.header, c.value, got, c.want)
		}
	}
}

func TestRequestIDsThatAreKept(t *testing.T) {
	for id, kept := range map[string]bool{
		"abc-1_2.Z": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "é": false, "a\r\nb": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header[headerRequestID] = []string{id}
		w := httptest.NewRecorder()
		got, ours := setRequestID(w, r, pathProtocol(r))
		if ours == kept || kept && got != id || w.Header().Get(headerRequestID) != got {
			t.Errorf("%q: got %q, made here %v, header %q", id, got, ours, w.Header().Get(headerRequestID))
		}
	}
}

func TestAnthropicListPages(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for query, want := range map[string]string{
		"":                      "a b c d e false",
		"limit=2":               "a b true",
		"limit=2&after_id=b":    "c d true",
		"limit=2&after_id=d":    "e false",
		"limit=2&before_id=d":   "b c true",
		"limit=2&before_id=b":   "a false",
		"limit=0":               "a b c d e false",
		"after_id=zzz":          " false",
		"after_id=bb&limit=1":   "c true",
		"before_id=a&limit=100": " false",
	} {
		page := anthropicList(names, httptest.NewRequest(http.MethodGet, "/v1/models?"+query, nil))
		var ids []string
		for _, m := range page.Data {
			ids = append(ids, m.ID)
		}
		got := strings.Join(ids, " ") + " "
		if page.HasMore {
			got += "true"
		} else {
			got += "false"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

func TestBudgetNeverGoesOver(t *testing.T) {
	b := budget{limit: 10}
	if !b.take(6) || b.take(5) || !b.take(4) || b.take(1) {
		t.Error("took more than the limit, or less")
	}
	b.give(10)
	if b.held.Load() != 0 {
		t.Errorf("held %d after all was given back, want 0", b.held.Load())
	}
}
