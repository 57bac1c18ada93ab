package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"model-proxy/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	cmd.AddCommand(a.configValidateCommand())
	return cmd
}

func (a *app) configValidateCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{Use: "validate", Short: "Check every file and variable; exit 2 if anything is wrong",
		Example: "  model-proxy config validate --config ./config", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			snap, err := config.Load(config.Options{Dir: f.config, EnvFile: f.envFile, Environ: a.environ, Strict: true})
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
