package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"model-proxy/config"
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
			snap, p, err := a.askable(cmd, &f, args[0])
			if err != nil {
				return err
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
