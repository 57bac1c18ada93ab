package fault_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider/mock"
)

// Keys without a vendor's prefix, which no pattern knows.
const (
	plainKey = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	adminKey = "admin-e2e-40d1c2b3a495"
)

// echo is an upstream that repeats the key it was sent in every kind of error.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	said := fmt.Sprintf("the key %q is not good enough", r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))
	fault := fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, said)
	stream := fmt.Sprintf("data: %s\n\n", fault)
	begun := `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hello"},"finish_reason":null}]}` + "\n\n"
	if strings.HasSuffix(r.URL.Path, "/messages") {
		fault = fmt.Sprintf(`{"type":"error","error":{"type":"invalid_request_error","message":%q}}`, said)
		stream = fmt.Sprintf("event: error\ndata: %s\n\n", fault)
		begun = "event: message_start\ndata: " + `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n"
	}
	var status int
	switch _, _ = fmt.Sscanf(r.Header.Get("X-Mock-Status"), "%d", &status); {
	case status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, fault)
	case !bytes.Contains(body, []byte(`"stream":true`)):
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, fault)
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("X-Mock-Chunks") != "" {
			fmt.Fprint(w, begun)
		}
		fmt.Fprint(w, stream)
	}
}

// A provider's key, a client's and the admin's are nowhere but in the process:
// not in answers, records, kept bodies, logs, the queue's files or the console's
// figures, even where an upstream repeats the key.
func TestKeysAreNowhere(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Flags: []string{"--log-level", "debug"}, Env: []string{"OPENAI_API_KEY=" + plainKey,
		"ANTHROPIC_API_KEY=" + plainKey, "ADMIN_API_KEY=" + adminKey, "LOG_BODIES=all", "KEY_COOLDOWN_SECONDS=0"}})
	secrets := []string{plainKey, adminKey, gatewaytest.ClientKey, wrongKey}
	check := func(where, text string) {
		for _, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s holds a key: …%s…", where, text[max(0, i-100):min(len(text), i+len(s)+20)])
			}
		}
	}

	u.Instead(http.HandlerFunc(echo))
	asked := 0
	for _, p := range gatewaytest.Protocols {
		other := map[llm.Protocol]string{llm.OpenAI: "claude", llm.Anthropic: "gpt"}[p.Protocol]
		for name, r := range map[string]gatewaytest.Request{"plain": p.Plain("hello"), "stream": p.Stream("hello"),
			"stream that has begun": p.Stream("hello").With("X-Mock-Chunks", "1"), "converted": p.Of(other).Plain("hello"), "converted stream": p.Of(other).Stream("hello")} {
			for _, status := range []string{"", "400", "401", "404", "429", "500"} {
				a := g.Do(t, r.With("X-Mock-Status", status))
				check(fmt.Sprintf("%s, %s, %s: the answer", p.Protocol, name, status), a.Body+fmt.Sprint(a.Header))
				asked++
			}
		}
		g.Do(t, p.Plain("hello").With("Authorization", "Bearer "+wrongKey))
	}
	u.Instead(nil)
	checkServes(t, g, gatewaytest.Protocols[0])
	asked++

	gatewaytest.Await(t, soon, "all records", func() bool { return len(g.Requests(t, "")) == asked })
	for _, path := range []string{"/metrics", "/health", "/openapi.json"} {
		_, body := gatewaytest.Get(t, g.URL+path)
		check(path, body)
	}
	for _, args := range []string{"records --limit 1000 --format json", "records --attempts --limit 1000 --format json", "usage --by key,client", "keys list", "status"} {
		c := gatewaytest.Start(t, args, []string{"HOME=" + t.TempDir()}, append(strings.Fields(args), "--data", g.Data)...)
		if code := c.ExitCode(soon); code != 0 {
			t.Errorf("%s: exit code %d", args, code)
		}
		check(args, c.Output())
	}
	g.Signal(os.Interrupt)
	g.ExitCode(soon)
	check("the log", g.Output())
	err := filepath.WalkDir(g.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		check(path, string(content))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
