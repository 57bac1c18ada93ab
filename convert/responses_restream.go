package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// restream tells a whole response to a client of the same protocol that asked
// for a stream: every item and part as the upstream wrote it, with its id.
func restream(c *conversion, dst, response []byte) []byte {
	response = oneLine(response)
	w, n := &responsesWriter{c: c}, 0
	begun := with(response, "status", `"in_progress"`, "output", "[]", "usage", "null")
	for _, name := range []string{"response.created", "response.in_progress"} {
		dst = w.event(dst, &n, name, func(o *build) { o.key("response").raw(begun) })
	}
	r := restreamer{w: w, n: &n}
	for item := range rawjson.Array(rawjson.Get(response, "output")) {
		dst = r.item(dst, item)
		r.index++
	}
	status := firstOf(str(rawjson.Get(response, "status")), "completed")
	if status != "incomplete" {
		status = "completed"
	}
	return w.event(dst, &n, "response."+status, func(o *build) { o.key("response").raw(response) })
}

// restreamer writes the events of one item after another.
type restreamer struct {
	w     *responsesWriter
	n     *int
	index int    // of the item
	id    []byte // its id, as JSON
}

func (r *restreamer) item(dst, item []byte) []byte {
	r.id = rawjson.Get(item, "id")
	kind := str(rawjson.Get(item, "type"))
	empty := item
	switch kind {
	case "message":
		empty = with(item, "content", "[]", "status", `"in_progress"`)
	case "reasoning":
		empty = with(item, "summary", "[]")
	case "function_call":
		empty = with(item, "arguments", `""`, "status", `"in_progress"`)
	case "custom_tool_call":
		empty = with(item, "input", `""`, "status", `"in_progress"`)
	}
	dst = r.whole(dst, "response.output_item.added", empty)
	switch kind {
	case "message":
		dst = r.parts(dst, item)
	case "reasoning":
		dst = r.summary(dst, item)
	case "function_call":
		dst = r.text(dst, "", 0, streamed[llm.BlockCall], rawjson.Get(item, "arguments"))
	case "custom_tool_call":
		dst = r.text(dst, "", 0, streamedAs(&llm.Block{Custom: true}), rawjson.Get(item, "input"))
	}
	return r.whole(dst, "response.output_item.done", item)
}

func (r *restreamer) whole(dst []byte, name string, item []byte) []byte {
	return r.w.event(dst, r.n, name, func(o *build) {
		o.key("output_index").int(int64(r.index))
		o.key("item").raw(item)
	})
}

// within writes an event about part i of the item; field names the index, "" for
// items without parts.
func (r *restreamer) within(dst []byte, name, field string, i int, body func(o *build)) []byte {
	return r.w.event(dst, r.n, name, func(o *build) {
		o.key("item_id").raw(r.id)
		o.key("output_index").int(int64(r.index))
		if field != "" {
			o.key(field).int(int64(i))
		}
		body(o)
	})
}

func (r *restreamer) part(dst []byte, name, field string, i int, part []byte) []byte {
	return r.within(dst, name, field, i, func(o *build) { o.key("part").raw(part) })
}

// text writes one delta with all of a text, and the event that repeats it.
func (r *restreamer) text(dst []byte, field string, i int, as [2]string, text []byte) []byte {
	if !isString(text) {
		return dst
	}
	dst = r.within(dst, as[0]+".delta", field, i, func(o *build) { o.key("delta").raw(text) })
	return r.within(dst, as[0]+".done", field, i, func(o *build) { o.key(as[1]).raw(text) })
}

func (r *restreamer) parts(dst, item []byte) []byte {
	const field = "content_index"
	i := 0
	for part := range rawjson.Array(rawjson.Get(item, "content")) {
		as, empty := streamed[llm.BlockText], with(part, "text", `""`, "annotations", "[]")
		if isString(rawjson.Get(part, "refusal")) {
			as, empty = streamed[llm.BlockRefusal], with(part, "refusal", `""`)
		}
		dst = r.part(dst, "response.content_part.added", field, i, empty)
		at := 0
		for a := range rawjson.Array(rawjson.Get(part, "annotations")) {
			dst = r.within(dst, "response.output_text.annotation.added", field, i, func(o *build) {
				o.key("annotation_index").int(int64(at))
				o.key("annotation").raw(a)
			})
			at++
		}
		dst = r.text(dst, field, i, as, rawjson.Get(part, as[1]))
		dst = r.part(dst, "response.content_part.done", field, i, part)
		i++
	}
	return dst
}

func (r *restreamer) summary(dst, item []byte) []byte {
	const field = "summary_index"
	i := 0
	for part := range rawjson.Array(rawjson.Get(item, "summary")) {
		dst = r.part(dst, "response.reasoning_summary_part.added", field, i, with(part, "text", `""`))
		dst = r.text(dst, field, i, streamed[llm.BlockThinking], rawjson.Get(part, "text"))
		dst = r.part(dst, "response.reasoning_summary_part.done", field, i, part)
		i++
	}
	return dst
}
