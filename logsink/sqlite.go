package logsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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
	rows, err := s.db.QueryContext(ctx, `select job_id, outcome, attempts, status, prompt_tokens, completion_tokens, usage_source
		from requests where job_id in (select job_id from open_entries)`)
	if err != nil {
		return nil, fmt.Errorf("load ends of requests: %w", err)
	}
	defer rows.Close()
	var list []saved
	for rows.Next() {
		var r usage.Request
		if err := rows.Scan(&r.JobID, &r.Outcome, &r.Attempts, &r.Status, &r.PromptTokens, &r.CompletionTokens, &r.UsageSource); err != nil {
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
// statement cost a third less than each in its own.
type inserter struct {
	many, one *sql.Stmt
	args      []any // reused; the writer is alone
}

func newInserter(db *sql.DB, table string, columns []column) (inserter, error) {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	into := "insert or ignore into " + table + " values "
	many, err := db.Prepare(into + strings.TrimSuffix(strings.Repeat(row+", ", rowsPerStatement), ", "))
	if err != nil {
		return inserter{}, err
	}
	one, err := db.Prepare(into + row)
	return inserter{many: many, one: one}, err
}

// insert adds rows and returns how many of them were new.
func insert[T any](ctx context.Context, tx *sql.Tx, in *inserter, rows []*T, appendRow func([]any, *T) []any) (int, error) {
	many, one := tx.StmtContext(ctx, in.many), tx.StmtContext(ctx, in.one)
	inserted := 0
	for len(rows) > 0 {
		stmt, size := one, 1
		if len(rows) >= rowsPerStatement {
			stmt, size = many, rowsPerStatement
		}
		in.args = in.args[:0]
		for _, r := range rows[:size] {
			in.args = appendRow(in.args, r)
		}
		result, err := stmt.ExecContext(ctx, in.args...)
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
