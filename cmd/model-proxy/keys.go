package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/keysvc"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Look at providers' API keys, probe them, end their cooldowns",
		Long: `Look at providers' API keys, probe them, end their cooldowns. Keys are shown by
fingerprint and last four characters only.`,
		Example: "  model-proxy keys list\n  model-proxy keys test openai\n  model-proxy keys reset openai"}
	cmd.AddCommand(a.keysListCommand(), a.keysTestCommand(), a.keysResetCommand())
	return group(cmd)
}

func (a *app) keysListCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "list", Short: "List every key and whether it rests",
		Long: `List every key and whether it rests, as the running gateway knows it: over
NATS_URL, else by the control socket under --data. Where no gateway runs, the
state is unknown.`,
		Example: "  model-proxy keys list\n  model-proxy keys list --format json | jq 'select(.state != \"usable\")'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			rows, err := a.keyStates(cmd.Context(), env, snap, f.data)
			if err != nil {
				return err
			}
			return printRows(a, form, rows, "PROVIDER KEY ENDS VARIABLE STATE RESTS", func(r keyRow) []string {
				var rests []string
				for _, rest := range r.Rests {
					rests = append(rests, rest.describe())
				}
				return []string{r.Provider, r.KeyFP, ending(r.LastFour), r.Env, r.State, strings.Join(rests, "; ")}
			})
		}}
	f.addConfig(cmd.Flags())
	f.addData(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

// keyStates asks the running gateway, or lists the configuration where there
// is none.
func (a *app) keyStates(ctx context.Context, env *config.Environment, snap *config.Snapshot, data string) ([]keyRow, error) {
	g, err := reach(ctx, env, snap, data)
	if errors.Is(err, errNoGateway) {
		fmt.Fprintf(a.stderr, "%v: states are unknown\n", err)
		rows := keyRows(keysvc.New(keysvc.Options{}).List(time.Now(), snap))
		for i := range rows {
			rows[i].State = keyUnknown
		}
		return rows, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := g.keys(ctx)
	return rows, errors.Join(err, g.Close())
}

func (a *app) keysResetCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{Use: "reset PROVIDER", Short: "End every cooldown of a provider, on all workers",
		Example: "  model-proxy keys reset openai", Args: oneArg("PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			env, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			if _, err := a.provider(snap, args[0]); err != nil {
				return err
			}
			g, err := reach(cmd.Context(), env, snap, f.data)
			if err != nil {
				return err
			}
			ended, err := g.reset(cmd.Context(), args[0])
			if err = errors.Join(err, g.Close()); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: %d cooldowns ended\n", args[0], ended)
			return nil
		}}
	f.addConfig(cmd.Flags())
	f.addData(cmd.Flags())
	return cmd
}

// probeRow is what a provider said to one key.
type probeRow struct {
	Provider string `json:"provider"`
	Env      string `json:"env"`
	KeyFP    string `json:"key_fp"`
	LastFour string `json:"last_four"`
	OK       bool   `json:"ok"`
	Status   int    `json:"status"` // 0 if the provider could not be reached
	Message  string `json:"message"`
}

func (a *app) keysTestCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "test PROVIDER", Short: "Ask the provider for its models with each key; exit 1 if one is refused",
		Long: `Ask the provider for its list of models with each key, one after the other. No
tokens are spent. A provider that lists its models to anyone (OpenRouter does)
accepts every key this way.`,
		Example: "  model-proxy keys test openai", Args: oneArg("PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, p, err := a.askable(cmd, &f, args[0])
			if err != nil {
				return err
			}
			rows, refused := probeAll(cmd.Context(), p)
			err = printRows(a, form, rows, "PROVIDER KEY ENDS VARIABLE STATUS MESSAGE", func(r probeRow) []string {
				return []string{r.Provider, r.KeyFP, ending(r.LastFour), r.Env, statusText(r.Status), r.Message}
			})
			if err == nil && refused > 0 {
				err = fmt.Errorf("%d of %d keys failed", refused, len(rows))
			}
			return err
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

func probeAll(ctx context.Context, p *config.Provider) (rows []probeRow, refused int) {
	for _, k := range p.Keys {
		row := probeRow{Provider: p.Name, Env: k.Env, KeyFP: k.Secret.Fingerprint(), LastFour: k.Secret.LastFour()}
		offered, status, err := offers(ctx, p, k.Secret)
		row.Status, row.OK = status, err == nil
		if err != nil {
			row.Message = err.Error()
			refused++
		} else {
			row.Message = fmt.Sprintf("accepted, %d models", len(offered))
		}
		rows = append(rows, row)
	}
	return rows, refused
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return fmt.Sprint(status)
}
