package mock_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"model-proxy/internal/provider/mock"
)

// ledger is what GET /_mock/requests answers.
type ledger struct {
	Total, Finished int
	Outcomes        map[string]int
	Requests        []mock.Entry
}

func readLedger(t *testing.T, url string) (int, ledger) {
	t.Helper()
	status, body := fetch(t, "GET", url, "")
	var l ledger
	if err := json.Unmarshal([]byte(body), &l); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return status, l
}

func TestLedger(t *testing.T) {
	_, url := serve(t, mock.Options{})
	body := chat("hi", streamed)
	fetch(t, "POST", url+"/v1/chat/completions?key=sk-query", body, "Authorization", "Bearer sk-secret", "X-Custom-Key", "sk-custom", "User-Agent", "me")
	fetch(t, "POST", url+"/v1/chat/completions", body, "X-Mock-Status", "500")

	status, l := readLedger(t, url+"/_mock/requests?wait=2&timeout=10s")
	if status != 200 || l.Total != 2 || l.Finished != 2 || l.Outcomes["done"] != 1 || l.Outcomes["error"] != 1 || len(l.Requests) != 2 {
		t.Fatalf("got %d %+v; want 200 and 2 requests, one done, one error", status, l)
	}
	e := l.Requests[0]
	// The fingerprint is of "sk-secret".
	if e.KeyFP != "746b4ad1ca91" || e.Header.Get("Authorization") != "key:"+e.KeyFP || e.Header.Get("User-Agent") != "me" {
		t.Errorf("got key %s, headers %v; want masked keys", e.KeyFP, e.Header)
	}
	if e.Method != "POST" || e.Path != "/v1/chat/completions" || e.Model != "m" || !e.Stream || e.BodyBytes != len(body) || e.Body != "" {
		t.Errorf("got %+v", e)
	}
	_, whole := fetch(t, "GET", url+"/_mock/requests?bodies=1", "")
	if strings.Contains(whole, "sk-") {
		t.Errorf("a key shows in %s", whole)
	}
	_, l = readLedger(t, url+"/_mock/requests?bodies=1")
	if got := l.Requests[0].Body; got != body {
		t.Errorf("body: got %q, want %q", got, body)
	}

	if status, _ := fetch(t, "DELETE", url+"/_mock/requests", ""); status != 204 {
		t.Errorf("DELETE: got %d, want 204", status)
	}
	if status, l = readLedger(t, url+"/_mock/requests?wait=1&timeout=1ms"); status != 504 || l.Total != 0 || len(l.Requests) != 0 {
		t.Errorf("emptied: got %d %+v; want 504 and nothing", status, l)
	}
	fetch(t, "POST", url+"/v1/chat/completions", body)
	if status, l = readLedger(t, url+"/_mock/requests?wait=1"); status != 200 || l.Total != 1 || l.Requests[0].Seq != 3 {
		t.Errorf("after emptying: got %d %+v; want 200 and request 3", status, l)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	m, url := serve(t, mock.Options{})
	const sent = 10_050
	for range sent {
		m.ServeHTTP(discard{http.Header{}}, httptest.NewRequest("GET", "/v1/models", nil))
	}
	list := m.Requests()
	if len(list) != 10_000 || list[0].Seq != sent-10_000+1 {
		t.Errorf("got %d entries from %d on, want the last 10000", len(list), list[0].Seq)
	}
	if _, l := readLedger(t, url+"/_mock/requests"); l.Total != sent {
		t.Errorf("total: got %d, want %d", l.Total, sent)
	}
}

func TestAwaitEnds(t *testing.T) {
	m, _ := serve(t, mock.Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := m.Await(ctx, func([]mock.Entry) bool { return false }); err != why {
		t.Errorf("got %v, want %v", err, why)
	}
}

func TestLedgerForgetsBodies(t *testing.T) {
	m, _ := serve(t, mock.Options{})
	body := chat(strings.Repeat("x", 60<<10))
	for range 600 { // 36 MB, 4 more than are kept
		req := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
		m.ServeHTTP(discard{http.Header{}}, req)
	}
	kept := 0
	list := m.Requests()
	for _, e := range list {
		kept += len(e.Body)
	}
	if kept > 32<<20 || kept < 31<<20 || list[0].Body != "" || list[599].Body != body {
		t.Errorf("got %d bytes of bodies, want nearly 32 MB and the newest", kept)
	}
}
