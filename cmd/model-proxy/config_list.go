package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// States of a provider or model in lists.
const (
	stateOK       = "ok"
	stateDisabled = "disabled"
	stateNoKeys   = "no keys"
	stateDegraded = "degraded"
)

// configRow is one provider, model or client of the configuration.
type configRow struct {
	Kind   string `json:"kind"` // provider | model | client
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	File   string `json:"file"`
}

func (a *app) configListCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "list", Short: "List providers, models and clients with their state and file",
		Long: `List providers, models and clients with their state and file. A model is
degraded when none of its routes can be used; the detail says why.`,
		Example: "  model-proxy config list\n  model-proxy config list --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			a.warn(snap)
			return printRows(a, form, configRows(snap), "KIND NAME STATE DETAIL FILE", func(r configRow) []string {
				return []string{r.Kind, r.Name, r.State, r.Detail, r.File}
			})
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

// warn tells the problems of a configuration beside the answer.
func (a *app) warn(snap *config.Snapshot) {
	for _, p := range snap.Problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(a.stderr, "%s: %s\n", kind, p.Error())
	}
}

func configRows(snap *config.Snapshot) []configRow {
	var rows []configRow
	for _, name := range slices.Sorted(maps.Keys(snap.Providers)) {
		p := snap.Providers[name]
		rows = append(rows, configRow{"provider", name, providerState(p), fmt.Sprintf("%s, %d keys, %s", joined(p.Protocols), len(p.Keys), p.BaseURL), fileOf(p.File, p.Shipped)})
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Models)) {
		m := snap.Models[name]
		row := configRow{"model", name, stateOK, chain(m), fileOf(m.File, m.Shipped)}
		if m.Unusable != "" {
			row.State, row.Detail = stateDegraded, m.Unusable
		}
		rows = append(rows, row)
	}
	for _, c := range snap.Clients {
		state := stateOK
		if c.Disabled {
			state = stateDisabled
		}
		rows = append(rows, configRow{Kind: "client", Name: c.ID, State: state, Detail: clientLimits(c)})
	}
	return rows
}

func providerState(p *config.Provider) string {
	switch {
	case !p.Enabled:
		return stateDisabled
	case len(p.Keys) == 0:
		return stateNoKeys
	}
	return stateOK
}

func fileOf(file string, shipped bool) string {
	if shipped {
		return "built-in"
	}
	return file
}

// chain is the order of attempts in one line: routes, then fallback models.
func chain(m *config.Model) string {
	var steps []string
	for _, r := range m.Routes {
		steps = append(steps, r.Provider.Name+"/"+r.Model)
	}
	text := strings.Join(steps, ", ")
	if len(m.Fallbacks) > 0 {
		text += "; then " + strings.Join(m.Fallbacks, ", ")
	}
	return strings.TrimPrefix(text, "; ")
}

func clientLimits(c *config.Client) string {
	limit := func(n int64, what string) string {
		if n == 0 {
			return "any " + what
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	text := limit(c.RequestsPerMinute, "requests") + " and " + limit(c.TokensPerMinute, "tokens") + " a minute"
	if c.Models != nil {
		text += ", only " + strings.Join(slices.Sorted(maps.Keys(c.Models)), ", ")
	}
	return text
}

func joined(protocols []llm.Protocol) string {
	var names []string
	for _, p := range protocols {
		names = append(names, string(p))
	}
	return strings.Join(names, "+")
}

// modelView is one model as `config show` prints it.
type modelView struct {
	LogicalName  string      `json:"logical_name"`
	State        string      `json:"state"`
	Unusable     string      `json:"unusable,omitempty"`
	File         string      `json:"file"`
	Strategy     string      `json:"strategy"`
	Pool         string      `json:"pool"`
	TotalTimeout float64     `json:"total_timeout_seconds"`
	Routes       []routeView `json:"routes"`
	Fallbacks    []string    `json:"fallback_model_routings"`
}

type routeView struct {
	ID        string         `json:"id"`
	Provider  string         `json:"provider"`
	Model     string         `json:"model"`
	Protocols []llm.Protocol `json:"protocols"`
	BaseURL   string         `json:"base_url"`
	Weight    int            `json:"weight"`
	Timeout   float64        `json:"timeout_seconds"` // for the first token
	Keys      []keyView      `json:"keys"`
}

// keyView is a key without the key.
type keyView struct {
	Env      string `json:"env"`
	KeyFP    string `json:"key_fp"`
	LastFour string `json:"last_four"`
}

func (a *app) configShowCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "show MODEL", Short: "Show one model as the gateway resolves it",
		Example: "  model-proxy config show gpt-5.2\n  model-proxy config show gpt-5.2 --format json | jq .routes", Args: oneArg("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			m := snap.Models[args[0]]
			if m == nil {
				m = snap.Dormant[args[0]]
			}
			if m == nil {
				return fmt.Errorf("no model %q; 'model-proxy models list' lists those there are", args[0])
			}
			if form == asJSON {
				return a.printJSON(viewOf(m))
			}
			return a.showModel(viewOf(m))
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

func viewOf(m *config.Model) modelView {
	v := modelView{LogicalName: m.LogicalName, State: stateOK, Unusable: m.Unusable, File: fileOf(m.File, m.Shipped), Strategy: m.Strategy,
		Pool: m.Pool, TotalTimeout: m.TotalTimeout.Seconds(), Routes: []routeView{}, Fallbacks: append([]string{}, m.Fallbacks...)}
	if m.Unusable != "" {
		v.State = stateDegraded
	}
	for _, r := range m.Routes {
		route := routeView{ID: r.ID, Provider: r.Provider.Name, Model: r.Model, Protocols: r.Protocols, BaseURL: r.BaseURL, Weight: r.Weight,
			Timeout: r.Timers.FirstToken.Seconds(), Keys: []keyView{}}
		for _, k := range r.Keys {
			route.Keys = append(route.Keys, keyView{k.Env, k.Secret.Fingerprint(), k.Secret.LastFour()})
		}
		v.Routes = append(v.Routes, route)
	}
	return v
}

func (a *app) showModel(v modelView) error {
	fmt.Fprintf(a.stdout, "%s (%s), from %s\n", v.LogicalName, v.State, v.File)
	if v.Unusable != "" {
		fmt.Fprintf(a.stdout, "  %s\n", v.Unusable)
	}
	fmt.Fprintf(a.stdout, "  strategy %s, pool %s, at most %v a request\n", v.Strategy, v.Pool, time.Duration(v.TotalTimeout*float64(time.Second)))
	for i, r := range v.Routes {
		fmt.Fprintf(a.stdout, "  %d. %s: %s of %s by %s at %s\n", i+1, r.ID, r.Model, r.Provider, joined(r.Protocols), r.BaseURL)
		for _, k := range r.Keys {
			fmt.Fprintf(a.stdout, "     key %s %s\n", k.KeyFP, strings.TrimSpace(ending(k.LastFour)+" "+k.Env))
		}
	}
	if len(v.Fallbacks) > 0 {
		fmt.Fprintf(a.stdout, "  then %s\n", strings.Join(v.Fallbacks, ", "))
	}
	return nil
}

// ending shows a key's last four characters, "" where they are not shown.
func ending(lastFour string) string {
	if lastFour == "" {
		return ""
	}
	return "…" + lastFour
}
