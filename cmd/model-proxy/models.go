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

func (a *app) modelsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "List logical models, or what a provider offers",
		Example: "  model-proxy models list\n  model-proxy models discover openai"}
	cmd.AddCommand(a.modelsListCommand(), a.modelsDiscoverCommand())
	return group(cmd)
}

// modelRow is one logical model.
type modelRow struct {
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Why       string   `json:"why,omitempty"` // it is not ok
	Routes    []string `json:"routes"`        // provider/model, in the order of attempts
	Fallbacks []string `json:"fallbacks"`
}

func (a *app) modelsListCommand() *cobra.Command {
	var f flags
	var form format
	var all bool
	cmd := &cobra.Command{Use: "list", Short: "List the logical models that clients can ask for",
		Example: "  model-proxy models list\n  model-proxy models list --all --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			rows := modelRows(snap.Models)
			if all {
				rows = append(rows, modelRows(snap.Dormant)...)
			}
			return printRows(a, form, rows, "MODEL STATE ROUTES", func(r modelRow) []string {
				detail := strings.Join(r.Routes, ", ")
				if r.Why != "" {
					detail = r.Why
				} else if len(r.Fallbacks) > 0 {
					detail += "; then " + strings.Join(r.Fallbacks, ", ")
				}
				return []string{r.Name, r.State, detail}
			})
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	cmd.Flags().BoolVar(&all, "all", false, "also the built-in models that no configured key can serve")
	return cmd
}

func modelRows(models map[string]*config.Model) []modelRow {
	var rows []modelRow
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := models[name]
		row := modelRow{Name: name, State: stateOK, Why: m.Unusable, Routes: []string{}, Fallbacks: append([]string{}, m.Fallbacks...)}
		if m.Unusable != "" {
			row.State = stateDegraded
		}
		for _, r := range m.Routes {
			row.Routes = append(row.Routes, r.Provider.Name+"/"+r.Model)
		}
		rows = append(rows, row)
	}
	return rows
}

// offerRow is one model that a provider offers.
type offerRow struct {
	Model    string   `json:"model"`
	Serves   []string `json:"serves"` // logical models with a route to it
	Provider string   `json:"provider"`
}

func (a *app) modelsDiscoverCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "discover PROVIDER", Short: "Ask a provider which models it offers",
		Example: "  model-proxy models discover openai\n  model-proxy models discover ollama --format json", Args: oneArg("PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			p, err := a.provider(snap, args[0])
			if err != nil {
				return err
			}
			if len(p.Keys) == 0 {
				return fmt.Errorf("%s has no key; 'model-proxy add key %s' adds one", p.Name, p.Name)
			}
			names, _, err := offers(cmd.Context(), p, p.Keys[0].Secret)
			if err != nil {
				return err
			}
			var rows []offerRow
			for _, name := range names {
				rows = append(rows, offerRow{name, served(snap, p, name), p.Name})
			}
			return printRows(a, form, rows, "MODEL SERVES", func(r offerRow) []string { return []string{r.Model, strings.Join(r.Serves, ", ")} })
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

// served names the logical models with a route to a provider's model.
func served(snap *config.Snapshot, p *config.Provider, model string) []string {
	names := []string{}
	for name, m := range snap.Models {
		if slices.ContainsFunc(m.Routes, func(r *config.Route) bool { return r.Provider == p && r.Model == model }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
	if err != nil {
		return nil, 0, fmt.Errorf("%s does not answer: %w", p.ModelsURL(), err)
	}
	defer answer.Close()
	body, err := answer.ReadAll(offersBytes)
	if err != nil {
		return nil, answer.Status, fmt.Errorf("read the list of models: %w", err)
	}
	if answer.Status != http.StatusOK {
		return nil, answer.Status, fmt.Errorf("%s answered %d %s", p.ModelsURL(), answer.Status, http.StatusText(answer.Status))
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
