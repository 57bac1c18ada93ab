package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

func (a *app) addCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "add", Short: "Add a provider, a model or a key to the configuration",
		Long: `Add a provider, a model or a key to the configuration. In a terminal, what no
flag gives is asked for. A gateway with --reload sees the change at once, others
with SIGHUP.`,
		Example: "  model-proxy add provider\n  model-proxy add model glm-4.7 --route cerebras/zai-glm-4.7\n  model-proxy add key openai"}
	cmd.AddCommand(a.addProviderCommand(), a.addModelCommand(), a.addKeyCommand())
	return group(cmd)
}

// named lets a command take its --name as the one argument too.
func named(cmd *cobra.Command, name *string) {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && *name != "" && *name != args[0]:
			return usageError{fmt.Errorf("two names: %s and --name %s", args[0], *name)}
		case len(args) == 1:
			*name = args[0]
		}
		return nil
	}
}

func (a *app) addProviderCommand() *cobra.Command {
	f := flags{writes: true}
	var p config.NewProvider
	var protocol string
	cmd := &cobra.Command{Use: "provider [NAME]", Short: "Write providers/<name>.json",
		Example: "  model-proxy add provider\n  model-proxy add provider acme --base-url https://api.acme.example/v1 --protocol openai\n  model-proxy add provider lab --base-url http://10.0.0.7:8000/v1 --keyless",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			ask := a.asker()
			err := ask.fill(&p.Name, question{flag: "--name", text: "Name of the provider"})
			if err == nil {
				err = ask.fill(&p.BaseURL, question{flag: "--base-url", text: "Address, such as https://api.example.com/v1", check: httpAddress})
			}
			if err == nil {
				err = ask.fill(&protocol, question{flag: "--protocol", text: "Protocol: openai, anthropic, openai-responses, azure or gemini", preset: string(llm.OpenAI), check: knownProtocol})
			}
			if err != nil {
				return err
			}
			p.Protocol = llm.Protocol(protocol)
			file, err := config.AddProvider(a.options(&f), p)
			if err != nil {
				return refusedAdd(err)
			}
			fmt.Fprintf(a.stdout, "written: %s\n", file)
			if !p.Keyless {
				fmt.Fprintf(a.stdout, "next: model-proxy add key %s; model-proxy models discover %s\n", p.Name, p.Name)
			}
			return nil
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	fs.StringVar(&p.Name, "name", "", "the provider's name, as models refer to it")
	fs.StringVar(&p.DisplayName, "display-name", "", "its name for people (default: the name)")
	fs.StringVar(&p.BaseURL, "base-url", "", "its address, such as https://api.example.com/v1")
	fs.StringVar(&protocol, "protocol", "", "openai, anthropic, openai-responses, azure or gemini (default openai)")
	fs.BoolVar(&p.Keyless, "keyless", false, "it needs no API key")
	named(cmd, &p.Name)
	return cmd
}

func httpAddress(text string) error {
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not an http or https address", text)
	}
	return nil
}

func knownProtocol(text string) error {
	if !llm.Protocol(text).Valid() {
		return fmt.Errorf("%q is none of openai, anthropic, openai-responses, azure, gemini", text)
	}
	return nil
}

// refusedAdd tells wrong configuration, which exits with 2, from a failure.
func refusedAdd(err error) error {
	var p config.Problem
	if errors.As(err, &p) || errors.Is(err, config.ErrExists) {
		return usageError{err}
	}
	return err
}

func (a *app) addModelCommand() *cobra.Command {
	f := flags{writes: true}
	var m config.NewModel
	var routes []string
	cmd := &cobra.Command{Use: "model [NAME]", Short: "Write models/<name>.json",
		Example: "  model-proxy add model\n  model-proxy add model fast --route groq/llama-3.3-70b-versatile --route openai/gpt-5-mini --fallback gpt-5.2",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			ask := a.asker()
			err := ask.fill(&m.LogicalName, question{flag: "--name", text: "Name that clients ask for"})
			if err == nil && len(routes) == 0 {
				routes, err = a.askRoutes(ask)
			}
			if err == nil {
				m.Routes, err = parseRoutes(routes)
			}
			if err != nil {
				return err
			}
			file, err := config.AddModel(a.options(&f), m)
			if err != nil {
				return refusedAdd(err)
			}
			fmt.Fprintf(a.stdout, "written: %s\n", file)
			return nil
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	fs.StringVar(&m.LogicalName, "name", "", "the logical name, which clients ask for")
	fs.StringArrayVar(&routes, "route", nil, "provider/model, in the order of attempts; may be repeated")
	fs.StringArrayVar(&m.Fallbacks, "fallback", nil, "logical model to fall back to; may be repeated")
	named(cmd, &m.LogicalName)
	return cmd
}

// askRoutes asks for routes until an empty answer; one at least.
func (a *app) askRoutes(ask *asker) ([]string, error) {
	var routes []string
	var first string
	err := ask.fill(&first, question{flag: "--route", text: "First route, provider/model", check: isRoute})
	for more := first; err == nil && more != ""; {
		routes = append(routes, more)
		more, err = ask.ask(question{flag: "--route", text: "Next route (empty: no more)"})
	}
	return routes, err
}

func isRoute(text string) error {
	_, err := parseRoutes([]string{text})
	return err
}

// parseRoutes reads provider/model; the model's own name may hold slashes.
func parseRoutes(texts []string) ([]config.NewRoute, error) {
	var routes []config.NewRoute
	for _, text := range texts {
		provider, model, ok := strings.Cut(text, "/")
		if !ok || provider == "" || model == "" {
			return nil, usageError{fmt.Errorf("--route %q is not provider/model", text)}
		}
		routes = append(routes, config.NewRoute{Provider: provider, Model: model})
	}
	return routes, nil
}

func (a *app) addKeyCommand() *cobra.Command {
	f := flags{writes: true}
	var provider, key string
	cmd := &cobra.Command{Use: "key [PROVIDER]", Short: "Append an API key to the .env file",
		Long: `Append a provider's API key to the .env file, under the next free variable. In a
terminal the key is asked for and not shown. --key - reads it from the standard
input: other users of the machine can see a command's arguments.`,
		Example: "  model-proxy add key openai\n  pass show openai | model-proxy add key openai --key -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			ask := a.asker()
			if err := ask.fill(&provider, question{flag: "--provider", text: "Provider"}); err != nil {
				return err
			}
			secret, err := a.readKey(ask, key)
			if err != nil {
				return err
			}
			variable, err := config.AddKey(a.options(&f), provider, secret)
			if err != nil {
				return refusedAdd(err)
			}
			fmt.Fprintf(a.stdout, "written: %s, key %s; 'model-proxy keys test %s' probes it\n", variable, secret.Fingerprint(), provider)
			if snap, err := config.Load(a.options(&f)); err == nil && snap.Providers[provider] == nil {
				fmt.Fprintf(a.stderr, "warning: no provider %q is defined; 'model-proxy add provider %s' adds it\n", provider, provider)
			}
			return nil
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	fs.StringVar(&provider, "provider", "", "whose key it is")
	fs.StringVar(&key, "key", "", "the key; - reads it from the standard input")
	named(cmd, &provider)
	return cmd
}

// readKey takes the key from the flag, the standard input or the terminal.
func (a *app) readKey(ask *asker, given string) (config.Secret, error) {
	switch given {
	case "":
		typed, err := ask.secret(question{flag: "--key", text: "API key"})
		return config.NewSecret(typed), err
	case "-":
		raw, err := io.ReadAll(io.LimitReader(a.stdin, 64<<10))
		return config.NewSecret(strings.TrimSpace(string(raw))), err
	}
	return config.NewSecret(given), nil
}
