package logsink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"model-proxy/internal/usage"
)

// ErrNoRecords is wrapped by the errors of a ClickHouse Reader while no log sink
// has made the tables.
var ErrNoRecords = errors.New("no log sink has stored anything there yet")

// queryWithin bounds a query for people; ClickHouse gives up too.
const queryWithin = 60 * time.Second

// chReader answers queries from ClickHouse.
type chReader struct {
	*chConn

	mu      sync.Mutex // guards the rest
	checked bool       // the schema is one that this program knows
}

// OpenClickHouseReader prepares to query the database at the address dsn.
// Nothing is dialled yet: a database that cannot be reached, one of a newer
// schema (ErrSchema) or an empty one (ErrNoRecords) makes queries fail.
func OpenClickHouseReader(dsn string) (Reader, error) {
	conn, err := dialClickHouse(dsn)
	if err != nil {
		return nil, err
	}
	return &chReader{chConn: conn}, nil
}

// check looks at the schema's version once.
func (r *chReader) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked {
		return nil
	}
	version, err := r.version(ctx)
	if missing(err) || err == nil && version == 0 {
		return fmt.Errorf("database %s: %w", r.db, ErrNoRecords)
	}
	if err != nil {
		return err
	}
	if known := len(chMigrations(r.db)); version < known {
		return fmt.Errorf("database %s has schema %d, this program reads %d: start a log sink of this version and let it bring the database up to date", r.db, version, known)
	}
	r.checked = true
	return nil
}

// query runs a query that may not take forever.
func (r *chReader) query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	return r.conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": int(queryWithin.Seconds())})), text, args...)
}

func (r *chReader) Records(ctx context.Context, f Filter) (*Rows, error) {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	if err := r.check(ctx); err != nil {
		return nil, fmt.Errorf("query records: %w", err)
	}
	all, err := r.records(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("query records: %w", err)
	}
	return all, nil
}

func (r *chReader) records(ctx context.Context, f Filter) (*Rows, error) {
	table, columns, key, order := "requests", requestColumns, "job_id", "job_id DESC"
	if f.Attempts {
		table, columns, key, order = "attempts", attemptColumns, "job_id, attempt", "job_id DESC, attempt DESC"
	}
	where, args := chSince(f.Since)
	if f.RequestID != "" {
		where, args = where+" AND request_id = ?", append(args, f.RequestID)
	}
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	// The newest are chosen by key, in whose order they are kept; only then come
	// their other columns, and the bodies of just those.
	chosen := fmt.Sprintf("SELECT %s FROM %s.%s WHERE %s ORDER BY %s LIMIT %d", key, r.db, table, where, order, f.Limit)
	rows, err := r.query(ctx, fmt.Sprintf("SELECT %s FROM %s.%s WHERE (%s) IN (%s) ORDER BY time DESC, %s", strings.Join(names(columns), ", "), r.db, table, key, chosen, order), args...)
	if err != nil {
		return nil, err
	}
	all, err := chCollect(rows, columns)
	if err != nil || f.Attempts {
		return all, err
	}
	bodies, err := r.bodies(ctx, chosen, args)
	if err != nil {
		return nil, err
	}
	all.Columns = append(all.Columns, "request_body", "response_body")
	for i, row := range all.Values {
		request, response := "", ""
		if b := bodies[row[0].(string)]; b != nil {
			request, response = b.request.String(), b.response.String()
		}
		all.Values[i] = append(row, request, response)
	}
	return all, nil
}

// wholeBody is put together from its parts.
type wholeBody struct{ request, response strings.Builder }

// bodies reads the bodies of the jobs that a query selects.
func (r *chReader) bodies(ctx context.Context, jobs string, args []any) (map[string]*wholeBody, error) {
	rows, err := r.query(ctx, fmt.Sprintf("SELECT job_id, request_body, response_body FROM %s.bodies FINAL WHERE job_id IN (%s) ORDER BY job_id, part", r.db, jobs), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	bodies := map[string]*wholeBody{}
	for rows.Next() {
		var job, request, response string
		if err := rows.Scan(&job, &request, &response); err != nil {
			return nil, err
		}
		b := bodies[job]
		if b == nil {
			b = new(wholeBody)
			bodies[job] = b
		}
		b.request.WriteString(request)
		b.response.WriteString(response)
	}
	return bodies, rows.Err()
}

// chSince is since for ClickHouse: the bound on the key leaves out most of the
// table, that on the time is the right one.
func chSince(t time.Time) (where string, args []any) {
	if t.IsZero() {
		return "true", nil
	}
	return "job_id >= ? AND time >= fromUnixTimestamp64Micro(?, 'UTC')", []any{firstJob(t), t.UnixMicro()}
}

// chCollect reads all rows, giving each value the type of its column.
func chCollect(rows driver.Rows, columns []column) (*Rows, error) {
	defer rows.Close()
	all := &Rows{Columns: names(columns)}
	into := make([]any, len(columns))
	for i, c := range columns {
		into[i] = chTarget(c)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		values := make([]any, len(columns))
		for i, c := range columns {
			values[i] = chValue(into[i], c.kind)
		}
		all.Values = append(all.Values, values)
	}
	return all, rows.Err()
}

// chTarget is what a column is scanned into.
func chTarget(c column) any {
	switch {
	case c.name == "time":
		return new(time.Time)
	case c.kind == integerColumn:
		return new(int64)
	case c.kind == optionalColumn:
		return new(*int64)
	case c.kind == realColumn:
		return new(float64)
	case c.kind == boolColumn:
		return new(bool)
	}
	return new(string)
}

// chValue is what was scanned, as Rows holds it.
func chValue(scanned any, k kind) any {
	switch v := scanned.(type) {
	case *time.Time:
		return usage.At(*v).String()
	case *int64:
		return *v
	case **int64:
		if *v == nil {
			return nil
		}
		return **v
	case *float64:
		return *v
	case *bool:
		return *v
	case *string:
		return typed(*v, k)
	}
	return nil
}
