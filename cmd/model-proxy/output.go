package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// format is how a command prints: a table for people or JSON for scripts.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
)

// addFormat adds --format.
func addFormat(fs *pflag.FlagSet, f *format) {
	*f = asTable
	fs.Var(f, "format", "table or json (a list: one object a line)")
}

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	switch v := format(text); v {
	case asTable, asJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is not table or json", text)
}

// printRows prints a list: one JSON object a line, or a table whose cells row
// makes.
func printRows[T any](a *app, f format, rows []T, header string, row func(T) []string) error {
	if f == asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t"))
	for _, r := range rows {
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(row(r), "\t"), "\t"))
	}
	return tw.Flush()
}

// printJSON prints one thing, indented.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
