package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

func (a *app) pricesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "prices", Short: "Look at the price list, check it, reckon old costs anew",
		Long: `Look at the price list behind cost_nano_usd, check it, reckon old costs anew.
Prices come from prices.json in the configuration folder, then from the list in
the binary; docs/prices.md says which one a model has.`,
		Example: "  model-proxy prices list\n  model-proxy prices verify\n  model-proxy prices list --all --format json | jq 'select(.provider == \"openai\")'"}
	cmd.AddCommand(a.pricesListCommand(), a.pricesVerifyCommand(), a.pricesRepriceCommand())
	return group(cmd)
}

// priceRow is the price of one route, or one entry of the list. Rates are in
// dollars for a million tokens, null where there is no price.
type priceRow struct {
	Model         string               `json:"model"` // logical; "" for an entry of the list
	Route         string               `json:"route"`
	Provider      string               `json:"provider"`
	UpstreamModel string               `json:"upstream_model"`
	Rates         *ratesView           `json:"dollars_per_million"`
	Tiers         []tierView           `json:"tiers"`
	Services      map[string]ratesView `json:"service_tiers"` // below their first tier
	Entry         string               `json:"entry"`         // where it stands in its list: provider/model
	Date          string               `json:"date"`
	Source        string               `json:"source"`
	File          string               `json:"file"`
	PriceVersion  string               `json:"price_version"`
}

type ratesView struct {
	Input        json.Number `json:"input"`
	CacheRead    json.Number `json:"cache_read"`
	CacheWrite   json.Number `json:"cache_write"`
	CacheWrite1h json.Number `json:"cache_write_1h"`
	Output       json.Number `json:"output"`
	Reasoning    json.Number `json:"reasoning"`
}

type tierView struct {
	AbovePrompt int64 `json:"above_prompt_tokens"`
	ratesView
}

func (a *app) pricesListCommand() *cobra.Command {
	var f flags
	var form format
	var all bool
	cmd := &cobra.Command{Use: "list", Short: "List the price of every route of every model",
		Long: `List the price of every route of every model, in dollars for a million tokens,
with the date it was true, where it comes from and the list's version.`,
		Example: "  model-proxy prices list\n  model-proxy prices list --all --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			rows := routePrices(snap)
			if all {
				rows = listedPrices(&snap.Prices)
			} else if len(rows) == 0 {
				fmt.Fprintln(a.stderr, "no model has a usable route; --all lists every price there is")
			}
			err = printRows(a, form, rows, "MODEL ROUTE INPUT CACHE_READ CACHE_WRITE WRITE_1H OUTPUT LONG_PROMPTS DATE FROM", priceRow.cells)
			if form == asTable && err == nil {
				_, err = fmt.Fprintf(a.stdout, "\nDollars for a million tokens. Version %s.\n", snap.Prices.Version)
			}
			return err
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	cmd.Flags().BoolVar(&all, "all", false, "every entry of the list in place of the configured routes")
	return cmd
}

func routePrices(snap *config.Snapshot) []priceRow {
	var rows []priceRow
	for _, name := range slices.Sorted(maps.Keys(snap.Models)) {
		for _, r := range snap.Models[name].Routes {
			row := priceRow{Model: name, Route: r.ID, Provider: r.Provider.Name, UpstreamModel: r.Model, PriceVersion: snap.Prices.Version}
			row.fill(r.Price)
			rows = append(rows, row)
		}
	}
	return rows
}

func listedPrices(list *config.PriceList) []priceRow {
	var rows []priceRow
	for _, p := range list.All() {
		row := priceRow{Provider: p.Provider, UpstreamModel: p.Model, PriceVersion: list.Version}
		row.fill(p)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b priceRow) int { return cmp.Compare(a.Entry, b.Entry) })
	return rows
}

// fill sets what the price says; nil says nothing.
func (r *priceRow) fill(p *config.Price) {
	r.Tiers, r.Services = []tierView{}, map[string]ratesView{}
	if p == nil {
		return
	}
	rates := viewOfRates(&p.Rates)
	r.Rates, r.Entry, r.Date, r.Source, r.File = &rates, p.Name(), p.Date, p.Source, fileOf(p.File, p.Shipped)
	for i := range p.Tiers {
		r.Tiers = append(r.Tiers, tierView{p.Tiers[i].AbovePrompt, viewOfRates(&p.Tiers[i].Rates)})
	}
	for tier, served := range p.Services {
		r.Services[tier] = viewOfRates(&served.Rates)
	}
}

func viewOfRates(r *llm.Rates) ratesView {
	number := func(rate int64) json.Number { return json.Number(config.Dollars(rate)) }
	return ratesView{number(r.Input), number(r.CacheRead), number(r.CacheWrite), number(r.CacheWrite1h), number(r.Output), number(r.Reasoning)}
}

// cells is the row as a table shows it.
func (r priceRow) cells() []string {
	cells := []string{cmp.Or(r.Model, "-"), r.Provider + "/" + r.UpstreamModel}
	if r.Rates == nil {
		return append(cells, "no price")
	}
	var long []string
	for _, t := range r.Tiers {
		long = append(long, fmt.Sprintf("%s, %s above %d", t.Input, t.Output, t.AbovePrompt))
	}
	v := r.Rates
	return append(cells, v.Input.String(), v.CacheRead.String(), v.CacheWrite.String(), v.CacheWrite1h.String(), v.Output.String(),
		cmp.Or(strings.Join(long, "; "), "-"), r.Date, r.File)
}
