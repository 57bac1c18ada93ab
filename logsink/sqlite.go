package logsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"model-proxy/internal/usage"
)

const (
	sqliteFile       = "records.db"
	rowsPerStatement = 20
)

// SQLite is a store in one file, <dir>/records.db, in WAL mode, so that other
// processes can read it while this one writes. There must be one writer. It is
// synced once for each batch: what was acknowledged to LOG outlives a loss of
// power.
type SQLite struct {
	*sqliteReader
	db       *sql.DB // one connection
	requests inserter
	attempts inserter
	bodies   inserter
	save     *sql.Stmt
	forget   *sql.Stmt
}

// migrations lead from one schema version to the next; the first makes
// version 1 of an empty file. Steps that have shipped are never changed.
//
// There is no index on time: a job_id is a UUIDv7, so the primary key is in
// the order of time already, and every index costs a tenth of the work for a
// row. Likewise only a client's own request_id needs one: without one the
// ingress uses the job_id.
var migrations = [][]string{{
	createTable("requests", requestColumns, "job_id"),
	createTable("attempts", attemptColumns, "job_id, attempt"),
	createTable("bodies", bodyColumns, "job_id, part"),
	"create table open_entries (job_id text not null, attempt integer not null, entry blob not null, primary key (job_id, attempt)) without rowid",
	"create index requests_request_id on requests (request_id) where request_id <> job_id",
	"create index attempts_request_id on attempts (request_id) where request_id <> job_id",
}, {
	// What a cost depends on and few attempts have; the others need no room for it.
	`create table spend_details (job_id text not null, attempt integer not null, cached_write_1h_tokens integer not null,
		service_tier text not null, primary key (job_id, attempt)) without rowid`,
}}

var sqliteTypes = map[kind]string{
	textColumn:     "text not null",
	integerColumn:  "integer not null",
	optionalColumn: "integer",
	realColumn:     "real not null",
	boolColumn:     "integer not null",
	jsonColumn:     "text not null",
}

func createTable(name string, columns []column, key string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "create table %s (", name)
	for _, c := range columns {
		fmt.Fprintf(&b, "%s %s, ", c.name, sqliteTypes[c.kind])
	}
	fmt.Fprintf(&b, "primary key (%s))", key)
	return b.String()
}

// OpenSQLite opens or makes the store in dir. A file of a newer schema is
// refused. The caller closes it after the Sink's Run has returned.
func OpenSQLite(dir string) (*SQLite, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make record store: %w", err)
	}
	path := filepath.Join(dir, sqliteFile)
	if err := private(path); err != nil {
		return nil, fmt.Errorf("make record store: %w", err)
	}
	db, err := openDatabase(path, "rwc", "busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "cache_size(-16000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &SQLite{db: db}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	if s.sqliteReader, err = openReader(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// private makes the file for its owner alone if there is none: it can hold prompts,
// and the directory may be one that everybody can look into. SQLite gives the
// files beside it the same mode. The mode of a file that is there is the operator's.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// openDatabase opens path; mode is SQLite's: ro or rwc.
func openDatabase(path, mode string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	name := url.URL{Scheme: "file", Path: abs, RawQuery: url.Values{
		"mode": {mode}, "_pragma": pragmas, "_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func (s *SQLite) prepare() error {
	if err := s.migrate(); err != nil {
		return err
	}
	var errs [5]error
	s.requests, errs[0] = newInserter(s.db, "requests", requestColumns)
	s.attempts, errs[1] = newInserter(s.db, "attempts", attemptColumns)
	s.bodies, errs[2] = newInserter(s.db, "bodies", bodyColumns)
	s.save, errs[3] = s.db.Prepare("insert or replace into open_entries values (?, ?, ?)")
	s.forget, errs[4] = s.db.Prepare("delete from open_entries where job_id = ? and attempt = ?")
	return errors.Join(errs[:]...)
}

// migrate brings the file to the newest schema, in one transaction.
func (s *SQLite) migrate() error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.Exec("create table if not exists schema_version (version integer not null)"); err != nil {
		return err
	}
	var version int
	if err := tx.QueryRow("select coalesce(max(version), 0) from schema_version").Scan(&version); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		for _, step := range migrations[version] {
			if _, err := tx.Exec(step); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", version+1, err)
			}
		}
		if _, err := tx.Exec("insert into schema_version values (?)", version+1); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func checkVersion(version int) error {
	if version > len(migrations) {
		return fmt.Errorf("schema %d is newer than this program's %d: use a newer model-proxy", version, len(migrations))
	}
	return nil
}

// Close closes the file.
func (s *SQLite) Close() error {
	return errors.Join(s.sqliteReader.Close(), s.db.Close())
}

// lead returns at once: a file has one writer.
func (s *SQLite) lead(context.Context) error { return nil }

func (s *SQLite) hold(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (s *SQLite) enough() (rows int, wait time.Duration) { return 5000, 250 * time.Millisecond }

func (s *SQLite) load(ctx context.Context) (loaded, error) {
	open, err := s.loadOpen(ctx)
	return loaded{open: open}, err
}

func (s *SQLite) loadOpen(ctx context.Context) ([]saved, error) {
	rows, err := s.db.QueryContext(ctx, "select job_id, attempt, entry from open_entries")
	if err != nil {
		return nil, fmt.Errorf("load open entries: %w", err)
	}
	defer rows.Close()
	var list []saved
	for rows.Next() {
		var e saved
		if err := rows.Scan(&e.job, &e.attempt, &e.data); err != nil {
			return nil, fmt.Errorf("load open entries: %w", err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load open entries: %w", err)
	}
	ends, err := s.loadEnds(ctx)
	return append(list, ends...), err
}

// loadEnds returns how the requests ended of which an attempt is still open.
func (s *SQLite) loadEnds(ctx context.Context) ([]saved, error) {
	rows, err := s.db.QueryContext(ctx, `select `+endColumns+` from requests where job_id in (select job_id from open_entries)`)
	if err != nil {
		return nil, fmt.Errorf("load ends of requests: %w", err)
	}
	defer rows.Close()
	var list []saved
	for rows.Next() {
		var r usage.Request
		if err := rows.Scan(&r.JobID, &r.Outcome, &r.Attempts, &r.Status, &r.PromptTokens, &r.CachedReadTokens, &r.CachedWriteTokens,
			&r.CompletionTokens, &r.ReasoningTokens, &r.UsageSource, &r.CostNanoUSD); err != nil {
			return nil, fmt.Errorf("load ends of requests: %w", err)
		}
		list = append(list, endOf(&r))
	}
	return list, rows.Err()
}

// sift does nothing: each statement leaves out the rows that exist.
func (s *SQLite) sift(context.Context, *batch) error { return nil }

func (s *SQLite) write(ctx context.Context, b *batch) (written, error) {
	// The driver starts a goroutine for each statement that could be cancelled;
	// a transaction of some milliseconds is better seen through.
	n, err := s.writeAll(context.WithoutCancel(ctx), b)
	if err != nil {
		return written{}, fmt.Errorf("write records: %w", err)
	}
	return n, nil
}

func (s *SQLite) writeAll(ctx context.Context, b *batch) (n written, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return n, err
	}
	defer tx.Rollback() // after a commit it does nothing
	if n.requests, err = insert(ctx, tx, &s.requests, b.requests, appendRequest); err != nil {
		return n, err
	}
	if n.attempts, err = insert(ctx, tx, &s.attempts, b.attempts, appendAttempt); err != nil {
		return n, err
	}
	if err = insertSpendDetails(ctx, tx, b.attempts); err != nil {
		return n, err
	}
	if n.bodies, err = insert(ctx, tx, &s.bodies, b.bodies, appendBody); err != nil {
		return n, err
	}
	save, forget := tx.StmtContext(ctx, s.save), tx.StmtContext(ctx, s.forget)
	for _, e := range b.save {
		if _, err := save.ExecContext(ctx, e.job, e.attempt, e.data); err != nil {
			return n, err
		}
	}
	for _, k := range b.forget {
		if _, err := forget.ExecContext(ctx, k.job, k.attempt); err != nil {
			return n, err
		}
	}
	return n, tx.Commit()
}

// inserter adds rows to one table, many or one at a time. Several rows in one
// statement cost a third less than each in its own, and less again where they
// agree in what mostly agrees: binding values is most of the work.
type inserter struct {
	statements
	shared, own []int // columns that alike binds once, and the others
	args, fewer []any // reused; the writer is alone
}

// statements add rows: the two of rowsPerStatement, of which one is for rows with
// the same values in the shared columns, and that of one row.
type statements struct{ many, alike, one *sql.Stmt }

// mostlyAlike are columns in which rows stored together seldom differ.
var mostlyAlike = []string{
	"trace_id", "endpoint", "client_protocol", "stream", "priority", "config_revision",
	"attempts", "attempt", "deliveries", "delivery", "upstream_protocol",
	"outcome", "status", "action", "timer", "error_type", "error_message",
	"cached_write_tokens", "usage_source", "price_version", "ingress_id", "params", "warnings",
}

func newInserter(db *sql.DB, table string, columns []column) (inserter, error) {
	var in inserter
	for i, c := range columns {
		if slices.Contains(mostlyAlike, c.name) {
			in.shared = append(in.shared, i)
		} else {
			in.own = append(in.own, i)
		}
	}
	var errs [3]error
	into := "insert or ignore into " + table + " values "
	in.many, errs[0] = db.Prepare(into + placeholders(rowsPerStatement, len(columns), nil))
	in.alike, errs[1] = db.Prepare(into + placeholders(rowsPerStatement, len(columns), in.shared))
	in.one, errs[2] = db.Prepare(into + placeholders(1, len(columns), nil))
	return in, errors.Join(errs[:]...)
}

// placeholders are the values of so many rows, whose first parameters are for
// the shared columns of all of them. The first column is not one of these: its
// number in the first row is where those without a number go on from. One that
// has a number takes the driver longer to bind.
func placeholders(rows, columns int, shared []int) string {
	list, row := make([]string, rows), make([]string, columns)
	for r := range list {
		for c := range row {
			row[c] = "?"
			if n := slices.Index(shared, c); n >= 0 {
				row[c] = "?" + strconv.Itoa(1+n)
			}
		}
		if r == 0 {
			row[0] = "?" + strconv.Itoa(1+len(shared))
		}
		list[r] = "(" + strings.Join(row, ", ") + ")"
	}
	return strings.Join(list, ", ")
}

// within are the statements as part of a transaction.
func (s statements) within(ctx context.Context, tx *sql.Tx) statements {
	return statements{tx.StmtContext(ctx, s.many), tx.StmtContext(ctx, s.alike), tx.StmtContext(ctx, s.one)}
}

// share takes what is left to bind of in.args, the rows for one statement, where
// they agree in all shared columns. It reports false where they do not.
func (in *inserter) share() bool {
	columns := len(in.shared) + len(in.own)
	in.fewer = in.fewer[:0]
	for _, c := range in.shared {
		for at := c + columns; at < len(in.args); at += columns {
			if in.args[at] != in.args[c] {
				return false
			}
		}
		in.fewer = append(in.fewer, in.args[c])
	}
	for at := 0; at < len(in.args); at += columns {
		for _, c := range in.own {
			in.fewer = append(in.fewer, in.args[at+c])
		}
	}
	return true
}

// insert adds rows and returns how many of them were new.
func insert[T any](ctx context.Context, tx *sql.Tx, in *inserter, rows []*T, appendRow func([]any, *T) []any) (int, error) {
	here := in.within(ctx, tx)
	inserted := 0
	for len(rows) > 0 {
		stmt, size := here.one, 1
		if len(rows) >= rowsPerStatement {
			stmt, size = here.many, rowsPerStatement
		}
		in.args = in.args[:0]
		for _, r := range rows[:size] {
			in.args = appendRow(in.args, r)
		}
		args := in.args
		if size > 1 && in.share() {
			stmt, args = here.alike, in.fewer
		}
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return inserted, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += int(n)
		rows = rows[size:]
	}
	return inserted, nil
}
