package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"model-proxy/config"
)

func (a *app) configExportCommand() *cobra.Command {
	var f flags
	var keys bool
	cmd := &cobra.Command{Use: "export", Short: "Print your own configuration as one JSON bundle",
		Long: `Print your own providers, models, clients and variables as one JSON bundle for
'config import'. Keys are left out unless --include-keys is given.`,
		Example: "  model-proxy config export > bundle.json\n  model-proxy config export --include-keys > secret.json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			policy := config.WithoutKeys
			if keys {
				policy = config.IncludeKeys
			}
			bundle, err := config.Export(a.options(&f), policy)
			if err != nil {
				return usageError{err}
			}
			return a.printJSON(bundle)
		}}
	f.addConfig(cmd.Flags())
	cmd.Flags().BoolVar(&keys, "include-keys", false, "print API keys and client keys too")
	return cmd
}

func (a *app) configImportCommand() *cobra.Command {
	f := flags{writes: true}
	var merge bool
	var form format
	cmd := &cobra.Command{Use: "import FILE", Short: "Write a bundle's files and variables",
		Long: `Write a bundle's files into the configuration directory and its variables into
the .env file. What is there and not in the bundle is set aside as FILE.bak;
with --merge everything there stays and only new names are added. Nothing is
written if the result would not load. FILE - reads the standard input.`,
		Example: "  model-proxy config import bundle.json\n  model-proxy config import bundle.json --merge --config ./config", Args: oneArg("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			raw, err := a.read(args[0])
			if err != nil {
				return err
			}
			bundle, err := config.ParseBundle(raw)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", args[0], err)}
			}
			mode := config.ReplaceAll
			if merge {
				mode = config.KeepOwn
			}
			changes, err := config.Import(a.options(&f), bundle, mode)
			if err != nil {
				return usageError{err}
			}
			return a.printChanges(form, changes)
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	cmd.Flags().BoolVar(&merge, "merge", false, "keep what is there, add only new names")
	return cmd
}

func (a *app) configMigrateCommand() *cobra.Command {
	f := flags{writes: true}
	var form format
	cmd := &cobra.Command{Use: "migrate FILE", Short: "Split a flat models.json into one file a model",
		Long: `Split the predecessor's flat models.json into one file a model, in the
configuration directory. Models that are there already stay as they are, and
FILE is only read. Nothing is written if any entry has a fault.`,
		Example: "  model-proxy config migrate config/models.json", Args: oneArg("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			changes, err := config.Migrate(a.options(&f), args[0])
			if err != nil {
				return usageError{err}
			}
			return a.printChanges(form, changes)
		}}
	f.addConfig(cmd.Flags())
	addFormat(cmd.Flags(), &form)
	return cmd
}

// changeRow is what became of one file or variable.
type changeRow struct {
	What config.ChangeKind `json:"what"`
	Name string            `json:"name"`
}

func (a *app) printChanges(form format, changes []config.Change) error {
	var rows []changeRow
	for _, c := range changes {
		rows = append(rows, changeRow{c.What, c.Name})
	}
	return printRows(a, form, rows, "WHAT NAME", func(r changeRow) []string { return []string{string(r.What), r.Name} })
}

// read returns a file's content, that of the standard input for "-".
func (a *app) read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(name)
}
