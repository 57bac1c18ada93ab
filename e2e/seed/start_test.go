package seed_test

import (
	"strings"
	"testing"

	"model-proxy/e2e/gatewaytest"
)

// Without a client key it starts, says so, and lets nobody in.
func TestNoClientKey(t *testing.T) {
	t.Parallel()
	g := prepare(t)
	g.write(".env", "OPENAI_API_KEY=sk-seed-openai-aaaa1111\n")
	g.launch(environment)
	g.awaitAddress()
	g.AwaitLog(`every API request is answered 401`, soon)
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/messages/count_tokens"} {
		for _, key := range []string{"", "Bearer ", "Bearer undefined", clientKey} {
			g.do("POST", path, `{"model":"gpt-5.2","messages":[]}`, "Authorization", key).want(t, 401)
		}
	}
	g.do("GET", "/v1/models", "").want(t, 401)
	g.do("GET", "/health/detailed", "").want(t, 401)
	g.do("GET", "/health", "").want(t, 200)
	if n := len(g.upstream.Requests()); n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
}

// REQUIRE_CLIENT_API_KEY and FAIL_ON_STARTUP_VALIDATION end the start with exit
// code 2, and every fault is named.
func TestStartUpValidation(t *testing.T) {
	t.Parallel()
	broken := map[string]string{
		"config/models/bad.json":    "{\n  \"logical_name\": \"bad\",\n  \"model_routings\": [{\"provider\": 7, \"model\": \"x\"}]\n}",
		"config/providers/bad.json": "{\n  \"name\": \"bad\",\n  \"endpoints\": {\"base_url\": \"https://${NOT_SET_ANYWHERE}/v1\"}\n}",
		"config/models/twice.json":  `{"logical_name": "gpt-5.2", "model_routings": [{"provider": "openai", "model": "x"}]}`,
	}
	named := []string{"bad.json:3: model_routings[0].provider", "bad.json:3: endpoints.base_url", "NOT_SET_ANYWHERE", "gpt-5.2"}
	for name, c := range map[string]struct {
		env    []string
		dotenv string
		files  map[string]string
		want   []string
	}{
		"no client":  {[]string{"REQUIRE_CLIENT_API_KEY=true"}, "OPENAI_API_KEY=sk-seed-openai-aaaa1111\n", nil, []string{"REQUIRE_CLIENT_API_KEY", "CLIENT_API_KEY"}},
		"files":      {[]string{"FAIL_ON_STARTUP_VALIDATION=true"}, dotEnv, broken, named},
		"a variable": {[]string{"FAIL_ON_STARTUP_VALIDATION=true", "KEY_COOLDOWN_SECONDS=soon"}, dotEnv, nil, []string{"KEY_COOLDOWN_SECONDS"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := prepare(t)
			g.write(".env", c.dotenv)
			for file, text := range c.files {
				g.write(file, text)
			}
			g.launch(append(c.env, environment...))
			if code := g.ExitCode(soon); code != 2 {
				t.Errorf("exit code %d, want 2: %s", code, g.Output())
			}
			for _, want := range c.want {
				if !strings.Contains(g.Output(), want) {
					t.Errorf("got %s, want %s in it", g.Output(), want)
				}
			}
		})
	}

	// Otherwise the invalid files are left out, the rest serves, and health says so.
	g := prepare(t)
	for file, text := range broken {
		if !strings.Contains(file, "twice") {
			g.write(file, text)
		}
	}
	g.launch(environment)
	g.awaitAddress()
	g.chat("gpt-5.2").want(t, 200)
	g.chat("bad").want(t, 404)
	gatewaytest.Await(t, soon, "a degraded configuration in /health/detailed", func() bool {
		a := g.do("GET", "/health/detailed", "", "Authorization", clientKey)
		return a.status == 200 && strings.Contains(a.body, `"status":"degraded"`) && strings.Contains(a.body, "bad.json:3")
	})
}
