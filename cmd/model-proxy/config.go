package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"model-proxy/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration, check it, carry it elsewhere",
		Example: "  model-proxy config validate\n  model-proxy config show gpt-5.2\n  model-proxy config export > bundle.json"}
	cmd.AddCommand(a.configValidateCommand(), a.configListCommand(), a.configShowCommand(), a.configExportCommand(),
		a.configImportCommand(), a.configMigrateCommand())
	return group(cmd)
}

// group makes a command that only holds others answer with their list; an
// unknown name among them is wrong usage.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		}
		return cmd.Help()
	}
	return cmd
}

// options are where the configuration is read from, once the flags are
// resolved.
func (a *app) options(f *flags) config.Options {
	return config.Options{Dir: f.config, EnvFile: f.envFile, Environ: a.environ, Writing: f.writes}
}

// load resolves the flags and reads the configuration as `run` would.
func (a *app) load(cmd *cobra.Command, f *flags) (*config.Environment, *config.Snapshot, error) {
	env, err := a.resolve(cmd, f)
	if err != nil {
		return nil, nil, err
	}
	snap, err := config.Load(a.options(f))
	if err != nil {
		return nil, nil, usageError{err}
	}
	return env, snap, nil
}

func (a *app) configValidateCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{Use: "validate", Short: "Check every file and variable; exit 2 if anything is wrong",
		Example: "  model-proxy config validate --config ./config", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			o := a.options(&f)
			o.Strict = true
			snap, err := config.Load(o)
			if err != nil {
				return usageError{err}
			}
			for _, p := range snap.Problems {
				fmt.Fprintln(a.stdout, "warning:", p.Error())
			}
			fmt.Fprintf(a.stdout, "valid: %d models, %d providers, %d clients, revision %s\n",
				len(snap.Models), len(snap.Providers), len(snap.Clients), snap.Revision)
			return nil
		}}
	f.addConfig(cmd.Flags())
	return cmd
}

// oneArg wants exactly one argument.
func oneArg(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", name)
		case 1:
			return nil
		}
		return fmt.Errorf("one %s, not %d", name, len(args))
	}
}
