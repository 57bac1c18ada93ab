package mock

import (
	"encoding/json"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// Whatever a request says, the answer to it is valid JSON, plain and streamed.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"model":"\ud83d","messages":[{"role":"user","content":[{"type":"text","text":"weather \u0000"}]}],"tools":[{"name":"\"","input_schema":{}}],"max_tokens":1,"thinking":{"type":"enabled"}}`), 3)
	f.Add([]byte(`{"input":[{"type":"function_call_output","output":"x"}],"reasoning":{"effort":"low"},"stream":true}`), 0)
	f.Add([]byte(`{"input":[[1],[2]],"dimensions":-1}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, chunks int) {
		for endpoint, form := range wires {
			p, err := parse(endpoint, body)
			if err != nil {
				continue
			}
			r := compose(p, Fault{Chunks: min(max(chunks, 0), 100)}, 1)
			if got := form.plain(r, p); !json.Valid(got) {
				t.Errorf("%s: got invalid answer %s", endpoint, got)
			}
			var fr frames
			form.stream(&fr, r, p)
			for line := range strings.Lines(string(fr.buf)) {
				data, ok := strings.CutPrefix(line, "data: ")
				if ok && data != "[DONE]\n" && !json.Valid([]byte(data)) {
					t.Errorf("%s: got invalid event %s", endpoint, data)
				}
			}
			if got := strings.Join(r.pieces, ""); got != r.text {
				t.Errorf("%s: pieces give %q, want %q", endpoint, got, r.text)
			}
		}
		if p, err := parse(llm.Embeddings, body); err == nil && p.inputs < 5000 {
			if got := embeddings(p); !json.Valid(got) {
				t.Errorf("got invalid embeddings %s", got)
			}
		}
	})
}
