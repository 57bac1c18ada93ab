package fault_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider/mock"
)

const (
	wrongKey = "ck-e2e-stolen-or-mistyped-0815"
	maxBody  = 256 << 10
)

// raw is one request as its bytes; what is left out is as it should be.
type raw struct {
	name   string
	method string
	path   string // after the protocol's own
	key    string
	header string // more lines
	body   string
	length int    // Content-Length, if not the body's
	tail   string // sent again and again, until an answer comes
	status int
	code   string // OpenAI's, if any
}

const (
	noKey   = "-"
	unknown = -1 // as length: the body is chunked
)

// badInputs holds MODEL where each protocol's model belongs.
var badInputs = []raw{
	{name: "no key", key: noKey, status: 401, code: "invalid_api_key"},
	{name: "wrong key", key: wrongKey, status: 401, code: "invalid_api_key"},
	{name: "wrong key and no body", key: wrongKey, body: " ", status: 401, code: "invalid_api_key"},
	{name: "empty body", body: " ", status: 400},
	{name: "no JSON", body: "hello", status: 400},
	{name: "JSON cut short", body: `{"model":"MODEL","messages":[`, status: 400},
	{name: "JSON and more", body: `{"model":"MODEL","messages":[]} {}`, status: 400},
	{name: "a list", body: `["model"]`, status: 400},
	{name: "model twice", body: `{"model":"MODEL","messages":[],"model":"MODEL"}`, status: 400},
	{name: "model twice, once escaped", body: `{"model":"MODEL","messages":[],"\u006dodel":"MODEL"}`, status: 400},
	{name: "stream twice", body: `{"model":"MODEL","stream":true,"messages":[],"stream":false}`, status: 400},
	{name: "no model", body: `{"messages":[]}`, status: 400},
	{name: "model is a number", body: `{"model":7,"messages":[]}`, status: 400},
	{name: "stream is a word", body: `{"model":"MODEL","stream":"yes","messages":[]}`, status: 400},
	{name: "unknown model", body: `{"model":"no-such-model","messages":[]}`, status: 404, code: "model_not_found"},
	{name: "invalid UTF-8", body: "{\"model\":\"MODEL\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}", status: 400},
	{name: "nested too deeply", body: `{"model":"MODEL","messages":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}`, status: 400},
	{name: "nested beyond reason", body: `{"model":"MODEL","messages":` + strings.Repeat("[", 100_000), status: 400},
	{name: "too large by its own word", body: "{", length: maxBody + 1, status: 413, code: "request_too_large"},
	{name: "absurdly large by its own word", body: "{", length: 1 << 40, status: 413, code: "request_too_large"},
	{name: "endless", length: unknown, tail: strings.Repeat("0123456789abcdef", 256), status: 413, code: "request_too_large"},
	{name: "large header lines", header: "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n", status: 431},
	{name: "many header lines", header: strings.Repeat("X-Many: "+strings.Repeat("x", 100)+"\r\n", 600), status: 431},
	{name: "compressed", header: "Content-Encoding: gzip\r\n", status: 415},
	{name: "wrong method", method: "GET", status: 405},
	{name: "unknown path", path: "/nothing/here", status: 404},
	{name: "time-out of no number", header: "X-Model-Proxy-Timeout-Ms: soon\r\n", status: 400},
	{name: "time-out below 1", header: "X-Model-Proxy-Timeout-Ms: 0\r\n", status: 400},
	{name: "time-out beyond all numbers", header: "X-Model-Proxy-Timeout-Ms: 99999999999999999999\r\n", status: 400},
}

// Whatever a client sends is answered within a second, with the right status and
// the exact error shape of the API it called, and the gateway stays well.
func TestBadInput(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{fmt.Sprintf("MAX_REQUEST_BYTES=%d", maxBody)}, Flags: []string{"--log-level", "debug"}})
	for _, p := range gatewaytest.Protocols {
		for _, in := range badInputs {
			t.Run(string(p.Protocol)+"/"+in.name, func(t *testing.T) {
				began := time.Now()
				status, header, body := in.send(t, g, p)
				if took := g.Clock.Since(began); took > time.Second {
					t.Errorf("answered after %v, want within 1 s", took)
				}
				in.check(t, p, status, header, body)
			})
		}
		checkServes(t, g, p)
	}
	if n := len(u.Requests()); n != len(gatewaytest.Protocols) {
		t.Errorf("the upstream saw %d requests, want only the %d good ones", n, len(gatewaytest.Protocols))
	}
	if strings.Contains(g.Output(), wrongKey) {
		t.Error("a client's wrong key stands in the log")
	}
}

// check checks an answer to a bad request.
func (in raw) check(t *testing.T, p gatewaytest.Protocol, status int, header http.Header, body string) {
	t.Helper()
	if status != in.status {
		t.Errorf("got %d: %s; want %d", status, body, in.status)
	}
	e, err := p.ReadError(body)
	if err != nil {
		t.Fatal(err)
	}
	if want := wantType(p, in.status); e.Type != want {
		t.Errorf("got the type %s, want %s: %s", e.Type, want, body)
	}
	if p.Protocol == llm.OpenAI && in.code != "" && e.Code != in.code {
		t.Errorf("got the code %q, want %q", e.Code, in.code)
	}
	id := header.Get("X-Request-Id")
	if id == "" || p.Protocol == llm.Anthropic && (header.Get("Request-Id") != id || !strings.Contains(body, id)) {
		t.Errorf("got the ids %q and %q: %s; want one, also in Anthropic's body", id, header.Get("Request-Id"), body)
	}
	if strings.Contains(body, wrongKey) {
		t.Errorf("the answer repeats the key: %s", body)
	}
}

// wantType is the error type that the API has for a status.
func wantType(p gatewaytest.Protocol, status int) string {
	types := map[int]string{401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}
	if want, ok := types[status]; ok && p.Protocol == llm.Anthropic {
		return want
	}
	return "invalid_request_error"
}

// send writes the request to a connection of its own and reads the answer.
func (in raw) send(t *testing.T, g *gatewaytest.Gateway, p gatewaytest.Protocol) (int, http.Header, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- in.write(conn, p) }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close(), conn.Close()); err != nil {
		t.Fatalf("answer %d: %v", resp.StatusCode, err)
	}
	<-written // an endless request ends with its connection
	return resp.StatusCode, resp.Header, string(body)
}

// write writes the request's bytes.
func (in raw) write(w io.Writer, p gatewaytest.Protocol) error {
	body := strings.ReplaceAll(in.body, "MODEL", p.Model)
	if in.body == "" && in.tail == "" {
		body = p.Plain("hello").Body
	}
	method, key, framing := in.method, in.key, fmt.Sprintf("Content-Length: %d", max(in.length, len(body)))
	if method == "" {
		method = http.MethodPost
	}
	if key == "" {
		key = gatewaytest.ClientKey
	}
	authorization := "Authorization: Bearer " + key + "\r\n"
	if key == noKey {
		authorization = ""
	}
	if in.length == unknown {
		framing = "Transfer-Encoding: chunked"
	}
	_, err := fmt.Fprintf(w, "%s %s HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n%s%s%s\r\n\r\n%s",
		method, p.Path+in.path, authorization, in.header, framing, body)
	for err == nil && in.tail != "" {
		_, err = fmt.Fprintf(w, "%x\r\n%s\r\n", len(in.tail), in.tail)
	}
	return err
}
