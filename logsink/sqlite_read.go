package logsink

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"model-proxy/internal/usage"
)

// sqliteReader answers queries through connections of its own, which never
// wait for the writer.
type sqliteReader struct{ db *sql.DB }

// OpenReader opens the SQLite store in dir for queries only, also while
// another process writes it. The error wraps fs.ErrNotExist if there is none.
func OpenReader(dir string) (Reader, error) {
	path := filepath.Join(dir, sqliteFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open records: %w", err)
	}
	r, err := openReader(path)
	if err != nil {
		return nil, err
	}
	var version int
	if err := r.db.QueryRow("select max(version) from schema_version").Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), r.Close())
	}
	if err := checkVersion(version); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), r.Close())
	}
	return r, nil
}

func openReader(path string) (*sqliteReader, error) {
	db, err := openDatabase(path, "ro", "busy_timeout(5000)", "query_only(1)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	return &sqliteReader{db}, nil
}

func (r *sqliteReader) Close() error { return r.db.Close() }

// The parts of a body, put together again.
const (
	requestBody  = "coalesce((select group_concat(request_body, '') from (select request_body from bodies where job_id = r.job_id order by part)), '') as request_body"
	responseBody = "coalesce((select group_concat(response_body, '') from (select response_body from bodies where job_id = r.job_id order by part)), '') as response_body"
)

func (r *sqliteReader) Records(ctx context.Context, f Filter) (*Rows, error) {
	table, columns := "requests", requestColumns
	if f.Attempts {
		table, columns = "attempts", attemptColumns
	}
	where, args := since(f.Since)
	if f.RequestID != "" {
		where += " and (request_id = ? and job_id = ? or request_id = ? and request_id <> job_id)"
		args = append(args, f.RequestID, f.RequestID, f.RequestID)
	}
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	last, order := "job_id desc", " order by time desc, job_id desc"
	if f.Attempts {
		last, order = last+", attempt desc", order+", attempt desc"
	}
	// The rows are chosen, by key, before they are sorted and their bodies fetched.
	chosen := "(select * from " + table + " where " + where + " order by " + last + " limit ?) r"
	what := strings.Join(names(columns), ", ")
	if !f.Attempts {
		what += ", " + requestBody + ", " + responseBody
		columns = join(columns, bodyColumns[2:])
	}
	rows, err := r.db.QueryContext(ctx, "select "+what+" from "+chosen+order, append(args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("query records: %w", err)
	}
	return collect(rows, columns)
}

// since returns the condition that selects the rows from a time on. The bound
// on the key keeps SQLite from reading the whole table.
func since(t time.Time) (where string, args []any) {
	if t.IsZero() {
		return "true", nil
	}
	return "job_id >= ? and time >= ?", []any{firstJob(t), usage.At(t).String()}
}

// firstJob is before the job_id, a UUIDv7, of every row from a time on. It leaves
// room for attempts, which begin after their job, and for clocks that differ.
func firstJob(t time.Time) string {
	ms := max(0, t.Add(-time.Hour).UnixMilli())
	return fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff)
}

// collect reads all rows, giving each value the type of its column.
func collect(rows *sql.Rows, columns []column) (*Rows, error) {
	defer rows.Close()
	all := &Rows{Columns: names(columns)}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		for i, c := range columns {
			values[i] = typed(values[i], c.kind)
		}
		all.Values = append(all.Values, values)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return all, nil
}

func typed(v any, k kind) any {
	switch x := v.(type) {
	case int64:
		if k == boolColumn {
			return x != 0
		}
		if k == realColumn {
			return float64(x)
		}
	case string:
		if k == jsonColumn && json.Valid([]byte(x)) {
			return json.RawMessage(x)
		}
	}
	return v
}
