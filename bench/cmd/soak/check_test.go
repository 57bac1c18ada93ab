//go:build linux

package main

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestShares(t *testing.T) {
	if n := len(deal()); n != 100 {
		t.Errorf("the shares of all kinds come to %d, want 100", n)
	}
}

// Every request must have its one record, but for those that may never have
// been admitted.
func TestCompare(t *testing.T) {
	named := func(name string) uint8 {
		return uint8(slices.IndexFunc(kinds, func(k kind) bool { return k.name == name }))
	}
	l := newLoad("", 6)
	l.sent.Store(6)
	l.kind = []uint8{named("chat"), named("chat"), named("chat"), named("goes before"), named("failing"), named("goes before")}
	l.status = []int16{200, 200, 200, 0, 503, 0}
	tally := &tally{outcomes: make([][]string, 6), revisions: map[string]bool{}}
	rows := `{"request_id":"soak-0","outcome":"ok"}
		{"request_id":"soak-1","outcome":"ok"} {"request_id":"soak-1","outcome":"ok"}
		{"request_id":"soak-4","outcome":"ok"} {"request_id":"soak-5","outcome":"client_gone"}`
	if err := tally.add(json.NewDecoder(strings.NewReader(rows))); err != nil {
		t.Fatal(err)
	}
	tally.compare(l)
	err := l.report(io.Discard)
	if l.faults != 3 || err == nil || tally.never != 1 {
		t.Errorf("got %q, %v and %d never admitted; want faults of requests 1, 2 and 4, and one", l.texts, err, tally.never)
	}
	for i, n := range []string{"request 1 ", "request 2 ", "request 4 "} {
		if i < len(l.texts) && !strings.Contains(l.texts[i], n) {
			t.Errorf("got %q, want it to name %s", l.texts[i], n)
		}
	}
	if err := tally.add(json.NewDecoder(strings.NewReader(`{"request_id":"stranger"}`))); err == nil {
		t.Error("a record that nobody sent: got no error")
	}
}
