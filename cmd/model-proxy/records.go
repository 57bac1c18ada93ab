package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/logsink"
)

func (a *app) recordsCommand() *cobra.Command {
	var f flags
	var filter logsink.Filter
	var since age
	var format string
	cmd := &cobra.Command{Use: "records", Short: "Print request or attempt records, newest first",
		Example: "  model-proxy records --since 1h\n  model-proxy records --request-id my-id --attempts --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.query(cmd, &f, &format, func(ctx context.Context, r logsink.Reader) (*logsink.Rows, error) {
				if filter.Limit < 1 {
					return nil, fmt.Errorf("%w: --limit must be at least 1", logsink.ErrQuery)
				}
				filter.Since = since.before(time.Now())
				return r.Records(ctx, filter)
			})
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	f.addData(fs)
	fs.StringVar(&filter.RequestID, "request-id", "", "only this request")
	fs.BoolVar(&filter.Attempts, "attempts", false, "print attempts in place of requests")
	fs.Var(&since, "since", "only what is younger, such as 90m, 24h or 7d (default: all)")
	fs.IntVar(&filter.Limit, "limit", logsink.DefaultLimit, "at most so many")
	fs.StringVar(&format, "format", "table", "table, json (one object a line) or csv")
	return cmd
}

func (a *app) usageCommand() *cobra.Command {
	var f flags
	var by string
	since := age(24 * time.Hour)
	var format string
	cmd := &cobra.Command{Use: "usage", Short: "Sum up who used what",
		Example: "  model-proxy usage\n  model-proxy usage --by client,model --since 7d --format csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.query(cmd, &f, &format, func(ctx context.Context, r logsink.Reader) (*logsink.Rows, error) {
				return r.Usage(ctx, fields(by), since.before(time.Now()))
			})
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	f.addData(fs)
	fs.StringVar(&by, "by", "model", "columns to sum up by: client, model, provider, key, day, hour; several with commas")
	fs.Var(&since, "since", "only what is younger, such as 90m, 24h or 7d; 0 means all")
	fs.StringVar(&format, "format", "table", "table, json (one object a line) or csv")
	return cmd
}

// fields are the columns in a list with commas, each once.
func fields(list string) []string {
	var once []string
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// query resolves the flags, opens the store, asks it and prints the answer.
func (a *app) query(cmd *cobra.Command, f *flags, format *string, ask func(context.Context, logsink.Reader) (*logsink.Rows, error)) error {
	env, err := a.resolve(cmd, f)
	if err != nil {
		return err
	}
	reader, err := openRecords(env, f.data)
	if err != nil {
		return err
	}
	defer reader.Close()
	rows, err := ask(cmd.Context(), reader)
	if err == nil {
		err = logsink.Format(a.stdout, rows, *format)
	}
	if errors.Is(err, logsink.ErrQuery) {
		return usageError{err}
	}
	return err
}
