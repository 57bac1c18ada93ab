package convert

import (
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// tally counts what became of one pair's recordings.
type tally struct {
	requests, refused, answers, streams, errors int
	reasons                                     map[string]int
}

var requestFaults = map[llm.Protocol]func([]byte) []string{
	llm.Anthropic: messagesRequestFaults, llm.OpenAI: chatRequestFaults, llm.Responses: responsesRequestFaults,
}

// others are the protocols that a recording can be converted to.
func (r recording) others() (list []llm.Protocol) {
	for _, p := range pairs {
		if p[0] == r.wire() && r.Endpoint == endpoints[r.wire()] {
			list = append(list, p[1])
		}
	}
	return list
}

// Every recorded request becomes a valid one of every other protocol or is
// refused in words; every recorded answer becomes one that clients of the others
// understand.
func TestCorpusCross(t *testing.T) {
	counts := map[[2]llm.Protocol]*tally{}
	for _, p := range pairs {
		counts[p] = &tally{reasons: map[string]int{}}
	}
	all := corpus(t)
	for _, r := range all {
		for _, other := range r.others() {
			if len(r.Request) > 0 && r.Request[0] == '{' {
				sweepRequest(t, r, other, counts[[2]llm.Protocol{r.wire(), other}])
			}
			sweepAnswer(t, r, other, counts[[2]llm.Protocol{other, r.wire()}])
		}
	}
	if all == nil {
		return
	}
	for _, p := range pairs {
		n := counts[p]
		t.Logf("%s to %s: %d requests, %d refused, %.1f %% converted; of its answers %d plain, %d streams, %d errors", p[0], p[1],
			n.requests, n.refused, 100*float64(n.requests-n.refused)/float64(n.requests), n.answers, n.streams, n.errors)
		for _, reason := range slices.Sorted(maps.Keys(n.reasons)) {
			t.Logf("  refused %d: %s", n.reasons[reason], reason)
		}
	}
}

func sweepRequest(t *testing.T, r recording, target llm.Protocol, n *tally) {
	n.requests++
	sent := string(r.Request)
	defer func() {
		if string(r.Request) != sent {
			t.Errorf("%s: the client's bytes were changed", r.ID)
		}
	}()
	x, err := New(Input{Client: r.wire(), Endpoint: r.Endpoint, Stream: r.Stream, Body: r.Request, Model: "m"}, Target{Protocol: target, Provider: "openai", Model: "up"})
	var e *llm.Error
	if errors.As(err, &e) {
		n.refused++
		n.reasons[e.Message]++
		if e.Kind != llm.BadRequest || e.Param == "" {
			t.Errorf("%s: refused with %+v, want a bad_request that names a field", r.ID, e)
		}
		return
	}
	if faults := requestFaults[target](x.Body()); faults != nil {
		t.Errorf("%s: %v\n%.1500s", r.ID, faults, x.Body())
	}
}

// sweepAnswer reads a recording as the answer to a client of another protocol.
func sweepAnswer(t *testing.T, r recording, client llm.Protocol, n *tally) {
	open := func(stream bool) *Exchange {
		body := hello
		return exchange(t, Input{Client: client, Stream: stream, Body: []byte(body), Model: "asked"}, Target{Protocol: r.wire(), Provider: "p", Model: "up"})
	}
	if r.Status != http.StatusOK {
		n.errors++
		e := open(false).Error(r.Status, http.Header{}, r.Response)
		if body := AppendError(nil, client, e, "r"); !rightShape(client, body) || e.HTTPStatus(client) < 400 {
			t.Errorf("%s: error %d %s", r.ID, e.HTTPStatus(client), body)
		}
		return
	}
	if !r.Stream {
		n.answers++
		x := open(false)
		got, err := x.Answer(nil, 200, http.Header{}, r.Response)
		if err != nil {
			if !jsonError(rawjson.Get(r.Response, "error")) && !unfinished[str(rawjson.Get(r.Response, "status"))] {
				t.Errorf("%s: %v", r.ID, err)
			}
			return
		}
		streamed, err := open(true).Answer(nil, 200, http.Header{}, r.Response)
		sameAnswer(t, r.ID, client, got, string(streamed), err)
		return
	}
	n.streams++
	streamed, _, err := relay(open(true), r.SSE)
	faults, whole := streamFaults(client, streamed)
	if faults != nil || whole != (err == nil) {
		t.Errorf("%s: %v, whole %v, error %v\n%.2000s", r.ID, faults, whole, err, streamed)
	}
	if err != nil {
		t.Logf("%s: %v", r.ID, err)
		return
	}
	plain, _, err := relay(open(false), r.SSE)
	sameAnswer(t, r.ID, client, []byte(plain), streamed, err)
	cutEverywhere(t, r, open)
}

// A whole answer and a stream of one protocol turn into each other without loss.
func TestCorpusBridge(t *testing.T) {
	n := 0
	for _, r := range corpus(t) {
		if r.Status != http.StatusOK || r.Endpoint != endpoints[r.wire()] {
			continue
		}
		open := func(stream bool) *Exchange {
			return exchange(t, Input{Client: r.wire(), Stream: stream, Body: []byte(hello), Model: "m"}, Target{Protocol: r.wire(), Provider: "p", Model: "m"})
		}
		if r.Stream {
			if plain, _, err := relay(open(false), r.SSE); err == nil && !rawjson.Valid([]byte(plain)) {
				t.Errorf("%s: not JSON: %.300s", r.ID, plain)
			}
			n++
			continue
		}
		streamed, err := open(true).Answer(nil, 200, http.Header{}, r.Response)
		if err != nil || str(rawjson.Get(r.Response, "status")) == "complete" { // in some made recordings
			continue
		}
		n++
		if faults, whole := streamFaults(r.wire(), string(streamed)); faults != nil || !whole {
			t.Errorf("%s: %v, whole %v\n%.2000s", r.ID, faults, whole, streamed)
		}
	}
	t.Logf("%d answers bridged", n)
}

// sameAnswer wants a plain answer and a stream to say the same.
func sameAnswer(t *testing.T, id string, client llm.Protocol, plain []byte, streamed string, err error) {
	t.Helper()
	if err != nil || !rawjson.Valid(plain) {
		t.Errorf("%s: error %v, plain answer %.300s", id, err, plain)
		return
	}
	back := exchange(t, Input{Client: client, Body: []byte(`{"model":"x"}`)}, Target{Protocol: client, Provider: "p", Model: "x"})
	again, _, err := relay(back, streamed)
	if err != nil {
		t.Errorf("%s: the stream cannot be read back: %v", id, err)
		return
	}
	c, _ := back.newConversion()
	want, err1 := c.client.parseAnswer(c, plain)
	got, err2 := c.client.parseAnswer(c, []byte(again))
	if err1 != nil || err2 != nil {
		t.Errorf("%s: errors %v, %v", id, err1, err2)
		return
	}
	strip := func(a *llm.Answer) (blocks []llm.Block) {
		for _, b := range a.Blocks {
			if b.Kind != llm.BlockThinking { // Chat Completions cannot tell where thinking stood
				blocks = append(blocks, llm.Block{Kind: b.Kind, Text: b.Text, Name: b.Name, ID: b.ID, Args: firstOf(b.Args, "{}")})
			}
		}
		return blocks
	}
	if d := cmp.Diff(strip(want), strip(got)); d != "" && !reordered(want, got) {
		t.Errorf("%s: plain (-) and stream (+) differ:\n%s", id, d)
	}
	if d := cmp.Diff(want.Stop, got.Stop); d != "" {
		t.Errorf("%s: stop, plain (-) and stream (+):\n%s", id, d)
	}
}

// reordered reports whether two answers have the same text and calls, though a
// message of Chat Completions tells all its text first.
func reordered(a, b *llm.Answer) bool {
	say := func(a *llm.Answer) (text, calls string) {
		for _, k := range a.Blocks {
			if k.Kind == llm.BlockCall {
				calls += k.ID + k.Name + firstOf(k.Args, "{}")
			} else if k.Kind == llm.BlockText {
				text += k.Text
			}
		}
		return text, calls
	}
	text1, calls1 := say(a)
	text2, calls2 := say(b)
	return text1 == text2 && calls1 == calls2
}

var finished = regexp.MustCompile(`"finish_reason": ?"`)

// cutEverywhere wants no beginning of a stream to pass for an answer.
func cutEverywhere(t *testing.T, r recording, open func(bool) *Exchange) {
	all := events(r.SSE)
	last := len(all) - 1
	for last > 0 && (all[last].Data == nil || strings.Contains(string(all[last].Data), "[DONE]")) {
		last--
	}
	var text strings.Builder
	step := max(1, last/10) // a tenth of the places is enough for so many streams
	for i, e := range all[:last] {
		text.Write(e.Raw)
		if i%step != 0 && i != last-1 {
			continue
		}
		got, _, err := relay(open(true), text.String())
		if err != nil {
			continue
		}
		if r.wire() == llm.OpenAI && finished.MatchString(text.String()) {
			return // whole but for its usage
		}
		t.Errorf("%s: a part of the stream passed as an answer: %.300s", r.ID, got)
		return
	}
}
