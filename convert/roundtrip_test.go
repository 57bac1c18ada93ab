package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// essence is what a request says, apart from how it is cut into messages and
// parts: who says what, calls, results, tools and the plain parameters.
func essence(t *testing.T, p llm.Protocol, body []byte) string {
	t.Helper()
	n := notes{}
	r := protocols[p].parseRequest(body, &n)
	if n.err != nil {
		t.Fatalf("%v in %s", n.err, body)
	}
	var b strings.Builder
	last := ""
	say := func(who, what string) {
		if who != last {
			fmt.Fprintf(&b, "\n%s: ", who)
		}
		last = who
		b.WriteString(what)
	}
	var walk func(who string, blocks []llm.Block)
	walk = func(who string, blocks []llm.Block) {
		for _, k := range blocks {
			switch k.Kind {
			case llm.BlockResult:
				say("result", "")
				walk("result", k.Content)
				last = ""
			case llm.BlockCall:
				input, _ := argsObject(nil, k.Args)
				say("call", k.Name+compact(input))
				last = ""
			case llm.BlockImage, llm.BlockDocument:
				say(who, fmt.Sprintf("[%s %.20s %s]", sniff(k.Media.Type, k.Media.Data), k.Media.Data, k.Media.URL))
			case llm.BlockThinking, llm.BlockRedacted:
			default:
				if !blank(k.Text) {
					say(who, k.Text)
				}
			}
		}
	}
	for _, turn := range r.Turns {
		walk(string(turn.Role), turn.Blocks)
	}
	for _, tool := range r.Tools {
		schema := tool.Schema
		if schema == nil || string(schema) == "{}" {
			schema = []byte(openSchema)
		}
		fmt.Fprintf(&b, "\ntool %s %s", tool.Name, tool.Description)
		if bytes.Contains(schema, []byte(`"type"`)) {
			b.WriteString(compact(schema))
		}
	}
	choice := r.Choice
	if len(r.Tools) == 0 || choice.Kind == llm.ChoiceAuto { // auto is what is meant where nothing is said
		choice = llm.ToolChoice{}
	}
	fmt.Fprintf(&b, "\n%d %s %v %s %s", choice.Kind, choice.Name, r.Stop, r.Temperature, r.TopP)
	return b.String()
}

func compact(data []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return string(data)
	}
	return b.String()
}

// A request that converts without a warning says the same after the way there
// and back.
func TestCorpusRoundTrip(t *testing.T) {
	n := 0
	for _, r := range corpus(t) {
		if len(r.Request) == 0 || r.Request[0] != '{' {
			continue
		}
		for _, other := range r.others() {
			if thereAndBack(t, r, other) {
				n++
			}
		}
	}
	t.Logf("%d requests went there and back", n)
}

// thereAndBack reports whether the way there and back was free of warnings.
func thereAndBack(t *testing.T, r recording, other llm.Protocol) bool {
	there, err := New(Input{Client: r.wire(), Endpoint: r.Endpoint, Body: r.Request, Model: "m"}, Target{Protocol: other, Provider: "openai", Model: "up"})
	if err != nil || len(there.Warnings()) > 0 {
		return false
	}
	back, err := New(Input{Client: other, Endpoint: endpoints[other], Body: there.Body(), Model: "up"}, Target{Protocol: r.wire(), Provider: "openai", Model: "m"})
	if err != nil {
		t.Errorf("%s by %s: back again: %v", r.ID, other, err)
		return false
	}
	if len(back.Warnings()) > 0 {
		return false
	}
	if want, got := essence(t, r.wire(), r.Request), essence(t, r.wire(), back.Body()); got != want {
		t.Errorf("%s by %s:\nwant %.600s\ngot  %.600s", r.ID, other, want, got)
	}
	return true
}

// How a stream is framed makes no difference to what it becomes.
func TestCorpusFraming(t *testing.T) {
	variants := map[string]func(string) string{
		"CRLF":     func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n") },
		"no space": func(s string) string { return strings.ReplaceAll(s, "data: ", "data:") },
		"comments": func(s string) string { return strings.ReplaceAll(s, "\n\n", "\n\n: PROCESSING\n\n") },
	}
	for _, r := range corpus(t) {
		if !r.Stream || strings.Contains(r.SSE, "\r") {
			continue
		}
		for _, client := range r.others() {
			reframe(t, r, client, variants)
		}
	}
}

func reframe(t *testing.T, r recording, client llm.Protocol, variants map[string]func(string) string) {
	open := func() *Exchange {
		return exchange(t, Input{Client: client, Stream: true, Body: []byte(hello), Model: "asked"}, Target{Protocol: r.wire(), Provider: "p", Model: "up"})
	}
	want, _, wantErr := relay(open(), r.SSE)
	for name, change := range variants {
		got, _, err := relay(open(), change(r.SSE))
		if got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%s, %s: got %.300q, error %v, want %.300q, error %v", r.ID, name, got, err, want, wantErr)
		}
	}
}
