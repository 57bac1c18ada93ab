package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
)

// provider finds a provider by name.
func (a *app) provider(snap *config.Snapshot, name string) (*config.Provider, error) {
	if p := snap.Providers[name]; p != nil {
		return p, nil
	}
	return nil, usageError{fmt.Errorf("no provider %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(snap.Providers)), ", "))}
}

// askable reads the configuration and finds in it a provider that there is a
// key to ask with.
func (a *app) askable(cmd *cobra.Command, f *flags, name string) (*config.Snapshot, *config.Provider, error) {
	_, snap, err := a.load(cmd, f)
	if err != nil {
		return nil, nil, err
	}
	p, err := a.provider(snap, name)
	if err == nil && len(p.Keys) == 0 {
		err = fmt.Errorf("%s has no key; 'model-proxy add key %s' adds one", name, name)
	}
	return snap, p, err
}

// Bounds of one question to a provider.
const (
	offersWithin = 20 * time.Second
	offersBytes  = 16 << 20
)

// offers asks a provider for its models with one key. The status is 0 if it
// could not be reached.
func offers(ctx context.Context, p *config.Provider, key config.Secret) (names []string, status int, err error) {
	client := provider.New(provider.Options{})
	defer client.Close()
	header := http.Header{"Accept": {"application/json"}}
	if slices.Contains(p.Protocols, llm.Anthropic) {
		header.Set("Anthropic-Version", "2023-06-01")
	}
	for name, value := range p.Headers {
		header.Set(name, value)
	}
	answer, err := client.Do(ctx, provider.Call{Method: http.MethodGet, URL: p.ModelsURL(), Header: header, Secret: key,
		KeyHeader: p.KeyHeader, KeyFormat: p.KeyFormat, Timers: p.Timers, Deadline: time.Now().Add(offersWithin)})
	address, _, _ := strings.Cut(p.ModelsURL(), "?") // a key may stand behind it
	if err != nil {
		return nil, 0, fmt.Errorf("%s does not answer: %w", address, err)
	}
	defer answer.Close()
	body, err := answer.ReadAll(offersBytes)
	if err != nil {
		return nil, answer.Status, fmt.Errorf("read the list of models: %w", err)
	}
	if answer.Status != http.StatusOK {
		return nil, answer.Status, fmt.Errorf("%s answered %d %s", address, answer.Status, http.StatusText(answer.Status))
	}
	names, err = modelNames(body)
	return names, answer.Status, err
}

// modelNames reads {"data":[{"id"}]}, as OpenAI and Anthropic answer, or a bare
// list of the same, as Together does.
func modelNames(body []byte) ([]string, error) {
	type entry struct {
		ID string `json:"id"`
	}
	var wrapped struct {
		Data []entry `json:"data"`
	}
	if err := json.Unmarshal(body, &wrapped); err != nil {
		if err := json.Unmarshal(body, &wrapped.Data); err != nil {
			return nil, errors.New("the answer is not a list of models")
		}
	}
	names := []string{}
	for _, m := range wrapped.Data {
		names = append(names, strings.TrimPrefix(m.ID, "models/")) // Gemini's own prefix
	}
	slices.Sort(names)
	return names, nil
}
