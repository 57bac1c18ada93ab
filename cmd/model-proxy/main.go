// Command model-proxy is the gateway: every role, the simulated provider and
// the tools around them in one binary. This package parses the command line,
// builds the roles, and starts and stops them; one file a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK      = 0 // also after a drain
	exitFailure = 1
	exitUsage   = 2 // wrong usage or configuration
)

// usageError is a fault of the command line or of the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the program with nothing hidden: tests call it as a user would.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	return (&app{environ: environ, stdin: os.Stdin, stdout: stdout, stderr: stderr}).execute(ctx, args)
}

// execute runs one command and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(a.stderr, "model-proxy: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) || !cmd.HasParent() {
		fmt.Fprintf(a.stderr, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// root is the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "model-proxy",
		Short:         "One gateway in front of every LLM provider",
		Long:          "model-proxy is one gateway in front of every LLM provider an organisation uses.\nClients speak the OpenAI or the Anthropic API to it with one key.",
		Example:       "  model-proxy run --demo        see it work, no provider key needed\n  model-proxy run --port 8000   serve the providers of ./config\n  model-proxy usage --by model  who used what",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	var showVersion bool // cobra's own flag of that name would bring in text/template, a fortieth of the binary
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if showVersion {
			a.printVersion()
			return nil
		}
		return cmd.Help()
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.runCommand(), a.ingressCommand(), a.workerCommand(), a.logsinkCommand(), a.mockCommand(),
		a.recordsCommand(), a.usageCommand(), a.configCommand(), a.keysCommand(), a.modelsCommand(), a.pricesCommand(), a.addCommand(),
		a.statusCommand(), a.doctorCommand(), a.versionCommand())
	wrongArgumentsAreUsage(root)
	return root
}

// wrongArgumentsAreUsage makes a fault of the arguments end with exitUsage.
func wrongArgumentsAreUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrongArgumentsAreUsage(c)
	}
}

// app is what every command shares.
type app struct {
	environ        []string
	stdin          *os.File
	stdout, stderr io.Writer
}
