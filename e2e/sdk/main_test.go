// Package sdk_test speaks to a running gateway with the vendors' own Go SDKs.
package sdk_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// soon bounds what happens as a matter of course, also on a busy machine.
const soon = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// gateway is one gateway in front of the simulated provider.
type gateway struct {
	*gatewaytest.Gateway
	upstream *gatewaytest.Upstream
}

func start(t *testing.T) *gateway {
	t.Helper()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(gatewaytest.Recorded(u.Mock))
	return &gateway{gatewaytest.Run(t, u, gatewaytest.EachProtocol(u.URL)), u}
}

// models are asked by every test of both SDKs. A row whose upstream speaks
// another protocol than the SDK goes through the conversion.
var models = []string{"e2e-openai", "e2e-anthropic", "e2e-openai-responses"}

// forEachModel runs f as a subtest for every model of one gateway.
func forEachModel(t *testing.T, f func(t *testing.T, g *gateway, model string)) {
	t.Helper()
	g := start(t)
	for _, model := range models {
		t.Run(model, func(t *testing.T) { f(t, g, model) })
	}
}

const (
	unknownModel = "no-such-model"

	// A GIF of one pixel.
	pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

	answerHeader   = gatewaytest.AnswerHeader
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

// awaitCancelled waits until the newest request upstream has been cancelled.
func (g *gateway) awaitCancelled(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	err := g.upstream.Await(ctx, func(all []mock.Entry) bool {
		return len(all) > 0 && all[len(all)-1].Outcome == mock.OutcomeCancelled
	})
	if err != nil {
		t.Errorf("upstream: got %s, want the last one cancelled", gatewaytest.Outcomes(g.upstream.Requests()))
	}
}
