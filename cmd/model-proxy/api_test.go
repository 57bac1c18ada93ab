package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"model-proxy/e2e/gatewaytest"
)

const adminKey = "sk-admin-of-the-test"

// answer is one answer of the gateway, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with a key of its own, none if key is empty.
func (g *gateway) do(t *testing.T, method, path, key, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// described checks answers against the gateway's own /openapi.json.
type described struct {
	compiler *jsonschema.Compiler
	paths    map[string]map[string]json.RawMessage
}

func readDescription(t *testing.T, g *gateway) *described {
	t.Helper()
	raw := g.do(t, "GET", "/openapi.json", "", "").body
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	d := &described{compiler: jsonschema.NewCompiler()}
	if err := d.compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(raw), &doc); err != nil {
		t.Fatal(err)
	}
	d.paths = doc.Paths
	return d
}

// schema compiles what the description says of an answer's media type.
func (d *described) schema(t *testing.T, method, path, status, media, more string) *jsonschema.Schema {
	t.Helper()
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace
	s, err := d.compiler.Compile("openapi.json#/paths/" + escape(path) + "/" + strings.ToLower(method) + "/responses/" + status + "/content/" + escape(media) + "/schema" + more)
	if err != nil {
		t.Fatalf("%s %s %s: %v", method, path, status, err)
	}
	return s
}

func fits(t *testing.T, s *jsonschema.Schema, text, what string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s: %v in %s", what, err, text)
		return
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %v\n%s", what, err, text)
	}
}

// Every operation of the description answers as described: plain answers,
// events of streams, errors.
func TestAnswersAreAsDescribed(t *testing.T) {
	g := startChangedGateway(t, `,"protocols":["openai","anthropic","openai-responses"]`, []string{"ADMIN_API_KEY=" + adminKey})
	d := readDescription(t, g)
	chat, messages := `{"model":"m-openai","messages":[{"role":"user","content":"hello"}]}`, `{"model":"m-anthropic","max_tokens":50,"messages":[{"role":"user","content":"hello"}]}`
	stream := func(body string) string { return strings.Replace(body, "{", `{"stream":true,`, 1) }
	gatewaytest.Await(t, time.Minute, "a healthy gateway", func() bool { return g.do(t, "GET", "/health/detailed", clientKey, "").status == 200 })
	for _, c := range []struct {
		method, path, asked, key, body string
		status                         string
		header                         []string
	}{
		{"POST", "/v1/chat/completions", "", clientKey, chat, "200", nil},
		{"POST", "/v1/chat/completions", "", clientKey, stream(chat), "200", nil},
		{"POST", "/v1/chat/completions", "", "", chat, "401", nil},
		{"POST", "/v1/chat/completions", "", clientKey, "{", "400", nil},
		{"POST", "/v1/chat/completions", "", clientKey, `{"model":"none","messages":[]}`, "404", nil},
		{"POST", "/v1/chat/completions-stream", "", clientKey, chat, "200", nil},
		{"POST", "/v1/chat/completions/stream", "", clientKey, chat, "200", nil},
		{"POST", "/v1/messages", "", clientKey, messages, "200", nil},
		{"POST", "/v1/messages", "", clientKey, stream(messages), "200", nil},
		{"POST", "/v1/messages", "", "wrong", messages, "401", nil},
		{"POST", "/v1/messages", "", clientKey, "[]", "400", nil},
		{"POST", "/v1/messages-stream", "", clientKey, messages, "200", nil},
		{"POST", "/v1/messages/stream", "", clientKey, messages, "200", nil},
		{"POST", "/v1/messages/count_tokens", "", clientKey, messages, "200", nil},
		{"POST", "/v1/responses", "", clientKey, `{"model":"m-openai","input":"hello"}`, "200", nil},
		{"POST", "/v1/embeddings", "", clientKey, `{"model":"m-openai","input":"hello"}`, "200", nil},
		{"GET", "/v1/models", "", clientKey, "", "200", nil},
		{"GET", "/v1/models", "", clientKey, "", "200", []string{"anthropic-version", "2023-06-01"}},
		{"GET", "/v1/models/{id}", "/v1/models/m-openai", clientKey, "", "200", nil},
		{"GET", "/v1/models/{id}", "/v1/models/none", clientKey, "", "404", nil},
		{"GET", "/health", "", "", "", "200", nil},
		{"GET", "/health/detailed", "", clientKey, "", "200", nil},
		{"GET", "/health/detailed", "", adminKey, "", "200", nil},
		{"GET", "/health/detailed", "", "", "", "401", nil},
		{"GET", "/metrics", "", "", "", "200", nil},
		{"GET", "/openapi.json", "", "", "", "200", nil},
		{"GET", "/docs", "", "", "", "200", nil},
		{"GET", "/redoc", "", "", "", "200", nil},
		{"GET", "/console", "", "", "", "200", nil},
		{"GET", "/admin/usage", "/admin/usage?by=client,day&since=1h", adminKey, "", "200", nil},
		{"GET", "/admin/usage", "/admin/usage?by=moon", adminKey, "", "400", nil},
		{"GET", "/admin/usage", "", clientKey, "", "401", nil},
		{"GET", "/admin/keys", "", adminKey, "", "200", nil},
		{"GET", "/admin/records", "/admin/records?limit=5", adminKey, "", "200", nil},
		{"GET", "/admin/records", "/admin/records?attempts=1&since=2h", adminKey, "", "200", nil},
		{"GET", "/admin/records", "/admin/records?since=yesterday", adminKey, "", "400", nil},
		{"GET", "/admin/records", "/admin/records?attempts=perhaps", adminKey, "", "400", nil},
		{"GET", "/admin/records", "/admin/records?limit=0", adminKey, "", "400", nil},
		{"GET", "/admin/records", "/admin/records?limit=10000", adminKey, "", "200", nil},
		{"GET", "/admin/records", "/admin/records?limit=10001", adminKey, "", "400", nil},
	} {
		delete(d.paths, c.path)
		name := strings.TrimSpace(c.method + " " + c.path + " " + c.status + " " + c.asked)
		asked := c.asked
		if asked == "" {
			asked = c.path
		}
		a := g.do(t, c.method, asked, c.key, c.body, c.header...)
		if http.StatusText(a.status) == "" || c.status != strings.TrimSpace(statusText(a.status)) {
			t.Errorf("%s: got %d: %s", name, a.status, a.body)
			continue
		}
		if a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", name)
		}
		switch media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); media {
		case "application/json":
			fits(t, d.schema(t, c.method, c.path, c.status, media, ""), a.body, name)
		case "text/event-stream":
			s := d.schema(t, c.method, c.path, c.status, media, "/contentSchema")
			for _, data := range dataLines(a.body) {
				fits(t, s, data, name)
			}
		default:
			d.schema(t, c.method, c.path, c.status, media, "")
		}
	}
	for path := range d.paths {
		t.Errorf("%s is described and not tested", path)
	}
}

// dataLines are the events of a stream, without the one that only ends it.
func dataLines(stream string) []string {
	var all []string
	for line := range strings.Lines(stream) {
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok && data != "[DONE]" {
			all = append(all, data)
		}
	}
	return all
}

// /admin answers with the objects that the commands print.
func TestAdminAnswersAsTheCommandsPrint(t *testing.T) {
	g := startGatewayWith(t, []string{"ADMIN_API_KEY=" + adminKey})
	for range 3 {
		if got := g.ask(t, "X-Request-Id", "mine"); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	gatewaytest.Await(t, time.Minute, "three records", func() bool { return len(g.rows(t, "--attempts")) == 3 && len(g.rows(t)) == 3 })
	for query, args := range map[string][]string{
		"/admin/records?request_id=mine&limit=2":    {"records", "--request-id", "mine", "--limit", "2"},
		"/admin/records?attempts=1":                 {"records", "--attempts"},
		"/admin/usage?by=client,client":             {"usage", "--by", "client"},
		"/admin/usage?by=provider,model&since=1h":   {"usage", "--by", "provider,model", "--since", "1h"},
		"/admin/usage":                              {"usage"},
		"/admin/keys":                               {"keys", "list", "--config", g.conf},
		"/admin/records?since=2030-01-01T00:00:00Z": {"records", "--request-id", "none"},
	} {
		printed := g.cmd(t, append(args, "--data", g.data, "--format", "json")...).want(t, exitOK).out
		want := `{"data":[` + strings.ReplaceAll(strings.TrimSpace(printed), "\n", ",") + "]}\n"
		if got := g.do(t, "GET", query, adminKey, ""); got.body != want {
			t.Errorf("%s: got %s, want %s", query, got.body, want)
		}
	}
}

// Without an admin key the paths do not exist; without a store they say what is
// missing.
func TestAdminWithoutKeyOrStore(t *testing.T) {
	g := startGateway(t)
	for _, path := range []string{"/admin/usage", "/admin/records", "/admin/keys", "/console"} {
		if a := g.do(t, "GET", path, clientKey, ""); a.status != 404 {
			t.Errorf("%s without ADMIN_API_KEY: got %d, want 404", path, a.status)
		}
	}
	g.stop()

	nats := gatewaytest.StartNATS(t)
	w := startGatewayWith(t, []string{"NATS_URL=" + nats.URL()}) // makes the streams
	in := &gateway{environ: append(w.environ, "ADMIN_API_KEY="+adminKey)}
	in.start(t, "ingress", "--config", w.conf, "--data", t.TempDir(), "--host", "127.0.0.1", "--port", "0")
	for _, path := range []string{"/admin/usage", "/admin/records"} {
		if a := in.do(t, "GET", path, adminKey, ""); a.status != 503 || !strings.Contains(a.body, "CLICKHOUSE_DSN") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s without a store: got %d, %s; want 503 that names CLICKHOUSE_DSN, with Retry-After", path, a.status, a.body)
		}
	}
}
