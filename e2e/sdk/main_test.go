// Package sdk_test speaks to a running gateway with the vendors' own Go SDKs. It
// starts one itself, or uses the one that MODEL_PROXY_URL names.
package sdk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"

	"model-proxy/e2e/harness"
)

// gateway is set once by TestMain, before any test runs.
var gateway *harness.Gateway

func TestMain(m *testing.M) {
	code := 1
	err := harness.With(func(g *harness.Gateway) error {
		gateway = g
		code = m.Run()
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// models are asked by every test of both SDKs. A row whose upstream speaks
// another protocol than the SDK goes through the conversion.
var models = []string{"e2e-openai", "e2e-anthropic", "e2e-responses"}

// forEachModel runs f as a subtest for every model.
func forEachModel(t *testing.T, f func(t *testing.T, model string)) {
	t.Helper()
	for _, model := range models {
		t.Run(model, func(t *testing.T) { f(t, model) })
	}
}

const (
	unknownModel = "no-such-model"

	// A GIF of one pixel.
	pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

	answerHeader   = "X-E2e-Answer"
	parallelAnswer = "parallel"
)

var weatherProperties = map[string]any{"city": map[string]any{"type": "string"}}

// checkCity wants a tool call's arguments to name the city.
func checkCity(t *testing.T, arguments, want string) {
	t.Helper()
	var got struct{ City string }
	if err := json.Unmarshal([]byte(arguments), &got); err != nil || got.City != want {
		t.Errorf("arguments: got %s (%v), want the city %s", arguments, err, want)
	}
}

// outcomes counts the upstream's requests by how they ended, once at least n
// have finished.
func outcomes(t *testing.T, n int64) (finished int64, by map[string]int64) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/_mock/requests?wait=%d&timeout=5s", gateway.MockURL, n))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Finished int64
		Outcomes map[string]int64
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d requests finished upstream (%v), want %d within 5 s", page.Finished, page.Outcomes, n)
	}
	return page.Finished, page.Outcomes
}
