package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/internal/llm"
	"model-proxy/logsink"
)

func (a *app) pricesRepriceCommand() *cobra.Command {
	var f flags
	var form format
	var from, to string
	var dryRun bool
	cmd := &cobra.Command{Use: "reprice --from TIME [--to TIME]", Short: "Reckon the costs of old records anew by the prices of now",
		Long: `Reckon the costs of old records anew by the prices of now, after a price was
wrong or missing. TIME is a day, a moment in RFC 3339, or a length before now.
The gateway may be running. Requests of which an attempt's record is missing
stay as they are.`,
		Example: "  model-proxy prices reprice --from 2026-11-01 --dry-run\n  model-proxy prices reprice --from 2026-11-01 --to 2026-12-01 --data /var/lib/model-proxy", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			if !env.Vars.ClickHouseDSN.IsZero() {
				return usageError{errors.New("CLICKHOUSE_DSN: costs are reckoned anew in SQLite only, for in ClickHouse the rollups would not agree with the rows; unset it")}
			}
			r := logsink.Repricing{Version: snap.Prices.Version, Price: priceOf(snap), DryRun: dryRun}
			if r.From, err = day(from, "--from"); err == nil && to != "" {
				r.To, err = day(to, "--to")
			}
			if err != nil {
				return usageError{err}
			}
			done, err := logsink.Reprice(cmd.Context(), f.data, r)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("no records under %s: is --data the gateway's?", f.data)
			}
			if form == asJSON {
				return errors.Join(a.printJSON(done), err)
			}
			fmt.Fprintf(a.stdout, "%d requests, %d with another cost now, %d left as they were because an attempt has no record, %d have no price\n",
				done.Requests, done.Changed, done.Incomplete, done.Unpriced)
			fmt.Fprintf(a.stdout, "before: %d nano-dollars; now: %d, by version %s\n", done.BeforeNanoUSD, done.CostNanoUSD, snap.Prices.Version)
			return err
		}}
	f.addConfig(cmd.Flags())
	f.addData(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	cmd.Flags().StringVar(&from, "from", "", "requests since then")
	cmd.Flags().StringVar(&to, "to", "", "requests before then (default: all that follow)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing, only say what would be")
	return cmd
}

// priceOf finds prices as the routes of a configuration get theirs.
func priceOf(snap *config.Snapshot) func(provider, upstreamModel string) *llm.Price {
	return func(provider, upstreamModel string) *llm.Price {
		vendor := provider
		if p := snap.Providers[provider]; p != nil {
			vendor = p.Vendor
		}
		if p := snap.Prices.Find(provider, vendor, upstreamModel); p != nil {
			return &p.Price
		}
		return nil
	}
}

// day reads a day in UTC, a moment in RFC 3339, or a length before now.
func day(text, flag string) (time.Time, error) {
	for _, layout := range [...]string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if g, err := parseAge(text); err == nil && g > 0 {
		return g.before(time.Now()), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: want a day such as 2026-11-01, a moment such as 2026-11-01T12:00:00Z, or a length such as 24h or 7d", flag, text)
}
