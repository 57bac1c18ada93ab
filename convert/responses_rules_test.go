package convert

import (
	"fmt"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// responsesRequestFaults lists which rules of Responses a request breaks.
func responsesRequestFaults(body []byte) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !rawjson.Valid(body) {
		return []string{"not JSON"}
	}
	if string(rawjson.Get(body, "store")) != "false" {
		bad("would be stored")
	}
	tools := 0
	for t := range rawjson.Array(rawjson.Get(body, "tools")) {
		tools++
		kind := str(rawjson.Get(t, "type"))
		if !safeName.MatchString(str(rawjson.Get(t, "name"))) || kind == "function" && (object(rawjson.Get(t, "parameters")) == nil || boolean(rawjson.Get(t, "strict")) == nil) || kind != "function" && kind != "custom" {
			bad("tool %s", t)
		}
	}
	if tools == 0 && (rawjson.Get(body, "tool_choice") != nil || rawjson.Get(body, "parallel_tool_calls") != nil) {
		bad("tool_choice without tools")
	}
	waiting, n, last := map[string]string{}, 0, ""
	for item := range rawjson.Array(rawjson.Get(body, "input")) {
		n++
		kind, id := str(rawjson.Get(item, "type")), str(rawjson.Get(item, "call_id"))
		switch kind {
		case "function_call", "custom_tool_call":
			if waiting[id] != "" || id == "" || len(id) > 64 || kind == "function_call" && !isString(rawjson.Get(item, "arguments")) || kind == "custom_tool_call" && !isString(rawjson.Get(item, "input")) {
				bad("call %s", item)
			}
			waiting[id] = kind + "_output"
		case "function_call_output", "custom_tool_call_output":
			if waiting[id] != kind || rawjson.Get(item, "output") == nil {
				bad("output %s", item)
			}
			delete(waiting, id)
		case "reasoning":
			if rawjson.Get(item, "summary") == nil {
				bad("reasoning %s", item)
			}
		case "":
			if last == "reasoning" && str(rawjson.Get(item, "role")) != "assistant" || idle(rawjson.Get(item, "content")) && string(rawjson.Get(item, "content")) != `""` {
				bad("message %s behind %s", item, last)
			}
		default:
			bad("item %s", item)
		}
		last = kind
	}
	if n == 0 || len(waiting) > 0 || last == "reasoning" {
		bad("%d items, calls %v unanswered, last a %s", n, waiting, last)
	}
	return faults
}

// responsesJudge plays what a careful client does with the events of Responses.
type responsesJudge struct {
	faults []string
	seq    int64
	items  []string // done, as JSON
	item   string   // id of the open item, "" for none
	part   int      // the open part of it, -1 for none
	parts  int
	text   string // told of the open part, summary or call
	whole  bool
}

func (j *responsesJudge) bad(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// responsesStreamFaults judges a stream for clients of Responses.
func responsesStreamFaults(stream string) (faults []string, whole bool) {
	j := &responsesJudge{part: -1}
	for _, e := range events(stream) {
		if j.whole {
			j.bad("%q behind the end", e.Raw)
			break
		}
		j.event(e)
	}
	return j.faults, j.whole
}

func (j *responsesJudge) event(e llm.Event) {
	kind := str(rawjson.Get(e.Data, "type"))
	if !rawjson.Valid(e.Data) || string(e.Type) != kind {
		j.bad("event %q", e.Raw)
	}
	if n, ok := rawjson.Int(rawjson.Get(e.Data, "sequence_number")); !ok || n != j.seq {
		j.bad("sequence_number %d, want %d", n, j.seq)
	}
	j.seq++
	if want := []string{"response.created", "response.in_progress"}; j.seq <= 2 && kind != want[j.seq-1] {
		j.bad("event %d is %s", j.seq, kind)
	}
	switch {
	case kind == "response.created" || kind == "response.in_progress":
		if j.seq > 2 || str(rawjson.Get(e.Data, "response", "status")) != "in_progress" {
			j.bad("%s", e.Data)
		}
	case kind == "response.completed" || kind == "response.incomplete":
		j.end(kind, rawjson.Get(e.Data, "response"))
	case strings.HasPrefix(kind, "response.output_item."):
		j.outputItem(kind, e.Data)
	default:
		j.inside(kind, e.Data)
	}
}

func (j *responsesJudge) end(kind string, response []byte) {
	j.whole = true
	var output []string
	for item := range rawjson.Array(rawjson.Get(response, "output")) {
		output = append(output, string(item))
	}
	if j.item != "" || strings.Join(output, ",") != strings.Join(j.items, ",") || "response."+str(rawjson.Get(response, "status")) != kind {
		j.bad("ends with item %q open and %s, told %v", j.item, response, j.items)
	}
}

func (j *responsesJudge) outputItem(kind string, data []byte) {
	item := rawjson.Get(data, "item")
	id := str(rawjson.Get(item, "id"))
	n, _ := rawjson.Int(rawjson.Get(data, "output_index"))
	if int(n) != len(j.items) || id == "" {
		j.bad("item %d %q, want %d", n, id, len(j.items))
	}
	if kind == "response.output_item.added" {
		if j.item != "" {
			j.bad("%s opens inside %s", id, j.item)
		}
		j.item, j.parts, j.text = id, 0, ""
		return
	}
	if j.item != id || j.part >= 0 {
		j.bad("%s is done, %q is open with part %d", id, j.item, j.part)
	}
	for _, field := range []string{"arguments", "input"} {
		if v := rawjson.Get(item, field); v != nil && callKinds[str(rawjson.Get(item, "type"))] && str(v) != j.text {
			j.bad("%s told %q", item, j.text)
		}
	}
	j.item = ""
	j.items = append(j.items, string(item))
}

// inside judges an event about the inside of the open item.
func (j *responsesJudge) inside(kind string, data []byte) {
	if j.item == "" || str(rawjson.Get(data, "item_id")) != j.item {
		j.bad("%s of %s, open %q", kind, rawjson.Get(data, "item_id"), j.item)
	}
	if n, ok := rawjson.Int(rawjson.Get(data, "content_index")); ok && j.part >= 0 && int(n) != j.part {
		j.bad("%s in part %d, open %d", kind, n, j.part)
	}
	base, what := kind[:strings.LastIndex(kind, ".")], kind[strings.LastIndex(kind, ".")+1:]
	isPartEvent := strings.HasSuffix(base, "_part")
	switch {
	case isPartEvent && what == "added":
		if j.part >= 0 {
			j.bad("%s inside part %d", kind, j.part)
		}
		j.part, j.text = j.parts, ""
		j.parts++
	case isPartEvent && what == "done":
		part := rawjson.Get(data, "part")
		if j.part < 0 || firstOf(str(rawjson.Get(part, "text")), str(rawjson.Get(part, "refusal"))) != j.text {
			j.bad("%s %s, told %q in part %d", kind, part, j.text, j.part)
		}
		j.part = -1
	case what == "delta":
		if isCall := strings.Contains(kind, "_call_"); isCall != (j.part < 0) {
			j.bad("%s with part %d", kind, j.part)
		}
		j.text += str(rawjson.Get(data, "delta"))
	case what == "done":
		for _, field := range []string{"text", "refusal", "arguments", "input"} {
			if v := rawjson.Get(data, field); v != nil && str(v) != j.text {
				j.bad("%s %s, told %q", kind, v, j.text)
			}
		}
	case kind == "response.output_text.annotation.added":
	default:
		j.bad("event %s", kind)
	}
}
