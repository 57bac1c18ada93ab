package logsink

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// wide is the number of columns from which a table shows only those of brief.
const wide = 24

// brief are the columns of a table that is too wide for a terminal.
var brief = []string{
	"time", "request_id", "attempt", "client_id", "model", "provider", "upstream_model", "key_fp", "outcome", "timer", "status",
	"error_type", "prompt_tokens", "completion_tokens", "cost_nano_usd", "ttft_ms", "total_ms",
}

// Format writes rows as a table for people, as JSON with one object a line,
// keys in the order of the columns, or as CSV with a header line. Another
// format is an error that wraps ErrQuery.
func Format(w io.Writer, rows *Rows, format string) error {
	switch format {
	case "table":
		return writeTable(w, rows)
	case "json":
		return writeJSON(w, rows)
	case "csv":
		return writeCSV(w, rows)
	}
	return fmt.Errorf("%w: cannot print as %q: use table, json or csv", ErrQuery, format)
}

func writeTable(w io.Writer, rows *Rows) error {
	var shown []int
	for i, name := range rows.Columns {
		if len(rows.Columns) < wide || slices.Contains(brief, name) {
			shown = append(shown, i)
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	cells := make([]string, len(shown))
	for i, column := range shown {
		cells[i] = strings.ToUpper(rows.Columns[column])
	}
	fmt.Fprintln(tw, strings.Join(cells, "\t"))
	for _, values := range rows.Values {
		for i, column := range shown {
			cells[i] = cell(values[column])
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// cell is a value as a table shows it: on one line, "-" for none.
func cell(v any) string {
	s := text(v)
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' ' // no tabs, and no control sequences for the terminal
		}
		return r
	}, s)
}

// text is a value as CSV holds it: "" for none.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case json.RawMessage:
		return string(x)
	}
	return fmt.Sprint(v)
}

func writeCSV(w io.Writer, rows *Rows) error {
	cw := csv.NewWriter(w)
	cw.Write(rows.Columns) // Flush keeps the first error for Error
	for _, values := range rows.Values {
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = text(v)
		}
		cw.Write(cells)
	}
	cw.Flush()
	return cw.Error()
}

func writeJSON(w io.Writer, rows *Rows) error {
	bw := bufio.NewWriter(w)
	for i := range rows.Values {
		line, err := rows.appendObject(nil, i)
		if err != nil {
			return err
		}
		bw.Write(line) // Flush returns the first error
		bw.WriteByte('\n')
	}
	return bw.Flush()
}

// appendObject writes row i as a JSON object.
func (r *Rows) appendObject(dst []byte, i int) ([]byte, error) {
	dst = append(dst, '{')
	for c, name := range r.Columns {
		if c > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		value, err := json.Marshal(r.Values[i][c])
		if err != nil {
			return nil, fmt.Errorf("print %s: %w", name, err)
		}
		dst = append(dst, value...)
	}
	return append(dst, '}'), nil
}
