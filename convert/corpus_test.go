package convert

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// recording is one file of the corpus: what a client sent and a provider said.
type recording struct {
	ID       string          `json:"id"`
	Protocol string          `json:"protocol"`
	Provider string          `json:"provider"`
	Endpoint llm.Endpoint    `json:"endpoint"`
	Stream   bool            `json:"stream"`
	Request  json.RawMessage `json:"request"`
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"`
	SSE      string          `json:"sse"`
}

func (r recording) wire() llm.Protocol {
	return map[string]llm.Protocol{"openai-chat": llm.OpenAI, "anthropic-messages": llm.Anthropic, "openai-responses": llm.Responses}[r.Protocol]
}

// corpus reads the recordings from the folder that CORPUS names.
func corpus(t *testing.T) []recording {
	t.Helper()
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Log("CORPUS is not set: no recorded traffic was swept")
		return nil
	}
	var all []recording
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r recording
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no recordings in CORPUS=%s", dir)
	}
	return all
}

// Where both sides speak one protocol, bytes are the same on both.
func TestCorpusIdentity(t *testing.T) {
	var requests, answers, streams, failures int
	for _, r := range corpus(t) {
		body := []byte(`{"model":"m"}`)
		if len(r.Request) > 0 && r.Request[0] == '{' {
			body = r.Request
		} else if r.Stream {
			body = []byte(`{"model":"m","stream":true}`)
		}
		model, _ := rawjson.Unquote(rawjson.Get(body, "model"))
		asked := `{"include_usage":true}`
		in := Input{Client: r.wire(), Endpoint: r.Endpoint, Stream: r.Stream, Body: body}
		if r.wire() == llm.OpenAI && r.Stream { // as a client that asked for everything
			body = rawjson.AppendWithout(nil, body, func(name, _ []byte) bool { return string(name) == `"stream_options"` || string(name) == `"stream"` })
			var e rawjson.Edits
			e.Add("stream", []byte("true"))
			e.Add("stream_options", []byte(asked))
			in.Body = e.Append(nil, body)
		}
		x := exchange(t, in, Target{Protocol: r.wire(), Model: model})
		if got := string(x.Body()); got != string(in.Body) {
			t.Errorf("%s: request changed: %.200s, want %.200s", r.ID, got, in.Body)
		}
		requests++
		switch {
		case r.Status != http.StatusOK:
			e := x.Error(r.Status, http.Header{}, r.Response)
			if e.Kind != llm.BadGateway && string(AppendError(nil, r.wire(), e, "r")) != string(r.Response) && rightShape(r.wire(), r.Response) && e.Body == nil {
				t.Errorf("%s: error changed: %s", r.ID, r.Response)
			}
			failures++
		case r.Stream:
			streams++
			sweepStream(t, r, x)
		default:
			answers++
			got, err := x.Answer(nil, r.Status, http.Header{}, r.Response)
			if jsonError(rawjson.Get(r.Response, "error")) {
				if err == nil {
					t.Errorf("%s: an error with status 200 passed as an answer", r.ID)
				}
				continue
			}
			if err != nil || string(got) != string(r.Response) {
				t.Errorf("%s: answer changed, error %v", r.ID, err)
			}
		}
	}
	t.Logf("requests %d, answers %d, streams %d, errors %d", requests, answers, streams, failures)
}

func sweepStream(t *testing.T, r recording, x *Exchange) {
	got, _, err := relay(x, r.SSE)
	want := r.SSE
	if err == nil && r.wire() == llm.OpenAI && !strings.Contains(want, "[DONE]") {
		want += "data: [DONE]\n\n"
	}
	if err != nil {
		t.Logf("%s: %v", r.ID, err)
		if !strings.HasPrefix(want, got) {
			t.Errorf("%s: the part before the error changed", r.ID)
		}
		return
	}
	if strings.TrimRight(got, "\n ") != strings.TrimRight(want, "\n ") && !strings.Contains(want, `"error":null`) {
		t.Errorf("%s: stream changed:\n%.300q\n%.300q", r.ID, got, want)
	}
}
