package nats_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// thinker is an upstream of Messages that thinks before it calls a tool. As the
// vendor does, it refuses a result whose call comes without that thinking while
// a budget is set.
type thinker struct{ calls atomic.Int64 }

const thought = `{"type":"thinking","thinking":"I should look.","signature":"c2ln"}`

func (u *thinker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	var asked struct {
		Thinking struct{ Type string }
		Messages []struct{ Content json.RawMessage }
	}
	_ = json.Unmarshal(body, &asked) // what is no request has no messages
	answer := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
	content := func(blocks, stop string) string {
		return fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[%s],"stop_reason":%q,"usage":{"input_tokens":1,"output_tokens":1}}`, blocks, stop)
	}
	if len(asked.Messages) < 3 {
		id := fmt.Sprintf("toolu_%s_%020d", strings.TrimPrefix(r.Header.Get("X-Served-By"), "worker-"), u.calls.Add(1))
		answer(200, content(thought+`,{"type":"tool_use","id":"`+id+`","name":"look","input":{}}`, "tool_use"))
		return
	}
	has := strings.HasPrefix(string(asked.Messages[1].Content), "["+thought)
	switch on := asked.Thinking.Type == "enabled"; {
	case on && !has:
		answer(400, `{"type":"error","error":{"type":"invalid_request_error","message":"Expected thinking before the tool_use"}}`)
	default:
		answer(200, content(fmt.Sprintf(`{"type":"text","text":"thinking %v by %s"}`, on && has, r.Header.Get("X-Served-By")), "end_turn"))
	}
}

// The thinking before a call is kept for the client by whichever worker served
// the call, and goes before it again by whichever serves the result; nobody else
// gets it. All with the permissions that deploy gives to workers.
func TestThinkingIsKeptForTheNextWorker(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(&thinker{})
	n := gatewaytest.StartDeployedNATS(t)
	provider := gatewaytest.With(gatewaytest.Provider("anthropic", "anthropic", u.URL), gatewaytest.JSON{
		"quirks": gatewaytest.JSON{"reasoning_cache": true},
		"models": gatewaytest.JSON{"claude-upstream": gatewaytest.JSON{"thinking": "budget", "max_output_tokens": 64000}}})
	c := gatewaytest.NewClusterOn(t, n, u, gatewaytest.Setup{Env: []string{"CLIENT_API_KEY_2=" + gatewaytest.SecondClient},
		Files: map[string]gatewaytest.JSON{"providers/anthropic.json": provider}}, 2)
	const question = `{"model":"claude","reasoning_effort":"low","tools":[{"type":"function","function":{"name":"look"}}],"messages":[{"role":"user","content":"q"}`
	ask := func(more string, header ...string) string {
		t.Helper()
		a := c.Do(t, gatewaytest.Request{Path: "/v1/chat/completions", Body: question + more + `]}`}.With(header...))
		if a.Status != 200 || a.Err != nil {
			t.Fatalf("got %d, %v: %s", a.Status, a.Err, a.Body)
		}
		return a.Body
	}
	result := func(id string, header ...string) string {
		t.Helper()
		return ask(fmt.Sprintf(`,{"role":"assistant","content":null,"tool_calls":[{"id":%q,"type":"function","function":{"name":"look","arguments":"{}"}}]},`+
			`{"role":"tool","tool_call_id":%q,"content":"1"}`, id, id), header...)
	}
	var ids []string // of the calls that the first worker has served
	for tries := 0; len(ids) < 4 && tries < 200; tries++ {
		var answer struct {
			Choices []struct {
				Message struct {
					ToolCalls []struct{ ID string } `json:"tool_calls"`
				}
			}
		}
		if err := json.Unmarshal([]byte(ask("")), &answer); err != nil || len(answer.Choices) != 1 || len(answer.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("got %+v, %v; want one call", answer, err)
		}
		if id := answer.Choices[0].Message.ToolCalls[0].ID; strings.HasPrefix(id, "toolu_1_") {
			ids = append(ids, id)
		}
	}
	if len(ids) < 4 {
		t.Fatalf("the first worker has served %d requests", len(ids))
	}
	c.Workers[0].Kill()
	found := 0 // not always on a busy machine: nothing waits long for the cache
	for _, id := range ids {
		if body := result(id); strings.Contains(body, "thinking true by worker-2") {
			found++
		} else if !strings.Contains(body, "thinking false by worker-2") {
			t.Errorf("got %s, want the second worker's answer", body)
		}
		if body := result(id, "Authorization", gatewaytest.SecondClient); !strings.Contains(body, "thinking false") {
			t.Errorf("another client: got %s, want no thinking", body)
		}
	}
	if found == 0 {
		t.Errorf("no thinking found again\nworker 1: %s\nworker 2: %s", c.Workers[0].Output(), c.Workers[1].Output())
	}
	if out := strings.ToLower(c.Workers[1].Output()); strings.Contains(out, "permissions violation") {
		t.Errorf("a permission is missing:\n%s", out)
	}
}
