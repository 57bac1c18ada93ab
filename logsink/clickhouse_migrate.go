package logsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// chMigrations lead from one schema version to the next, as SQLite's do. A step
// may run again after a crash, so each is made to do nothing the second time, or
// to begin anew. A view is never dropped and made again, because what arrives
// between is lost to it: a new column is added to both tables, and then the view
// is altered with MODIFY QUERY. A new view may be made after its table was filled:
// who migrates is the only writer, and writes nothing meanwhile.
//
// Rows are kept in the order of job_id, a UUIDv7: by time. So the newest are
// read first, and whether a key exists is a look at the newest part of the
// table, made for every row before it is stored.
func chMigrations(db string) [][]chStep {
	return [][]chStep{
		slices.Concat(makeTables(db, chTables()), makeTables(db, rollupTables()), makeViews(db, rollupViews())),
		addLatencies(db),
	}
}

// addLatencies adds the rollups with histograms and fills them.
func addLatencies(db string) []chStep {
	hours, days := latencyViews()
	steps := slices.Concat(makeTables(db, latencyTables()), makeViews(db, days))
	for _, t := range latencyTables() {
		steps = append(steps, chStep{statement: "TRUNCATE TABLE " + db + "." + t.name})
	}
	for _, v := range hours {
		steps = append(steps, chStep{fill: &v})
	}
	return append(steps, makeViews(db, hours)...)
}

// chStep is one step of a migration: a statement or, if fill is set, what that
// view would have made of the requests that are there, hour by hour.
type chStep struct {
	statement string
	fill      *rollupView
}

func makeTables(db string, tables []chTable) []chStep {
	var steps []chStep
	for _, t := range tables {
		steps = append(steps, chStep{statement: t.ddl(db)})
	}
	return steps
}

func makeViews(db string, views []rollupView) []chStep {
	var steps []chStep
	for _, v := range views {
		steps = append(steps, chStep{statement: v.ddl(db)})
	}
	return steps
}

// fillWithin bounds how long one rollup is filled: some 4 µs of processor time a
// request.
const fillWithin = 6 * time.Hour

// ErrSchema is wrapped by the error for a database that a newer program made.
var ErrSchema = errors.New("schema is newer than this program: use a newer model-proxy")

// migrate brings the database to the newest schema. Only the writer does it,
// which is the lock.
func (c *ClickHouse) migrate(ctx context.Context) error {
	if err := c.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+c.db); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	err := c.exec(ctx, "CREATE TABLE IF NOT EXISTS "+c.db+".schema_version (version UInt32, since DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version")
	if err != nil {
		return fmt.Errorf("make schema_version: %w", err)
	}
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	for steps := chMigrations(c.db); version < len(steps); version++ {
		for _, step := range steps[version] {
			if err := c.apply(ctx, step); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", version+1, err)
			}
		}
		if err := c.exec(ctx, fmt.Sprintf("INSERT INTO %s.schema_version (version) VALUES (%d)", c.db, version+1)); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}
	return nil
}

func (c *ClickHouse) apply(ctx context.Context, step chStep) error {
	if step.fill == nil {
		return c.exec(ctx, step.statement)
	}
	ctx, cancel := context.WithTimeout(ctx, fillWithin)
	defer cancel()
	hours, err := c.hours(ctx)
	if err != nil {
		return fmt.Errorf("look up hours of requests: %w", err)
	}
	if len(hours) > 0 {
		c.log.Info("a new rollup is filled from the requests that are there", "rollup", step.fill.into, "hours", len(hours))
	}
	for _, hour := range hours {
		if err := c.conn.Exec(ctx, step.fill.fill(c.db, hour)); err != nil {
			return fmt.Errorf("fill %s: %w", step.fill.into, err)
		}
	}
	return nil
}

// hours returns the hours that have requests.
func (c *chConn) hours(ctx context.Context) (hours []time.Time, err error) {
	rows, err := c.conn.Query(ctx, "SELECT DISTINCT toStartOfHour(toDateTime(time, 'UTC')) AS hour FROM "+c.db+".requests ORDER BY hour")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var hour time.Time
		if err := rows.Scan(&hour); err != nil {
			return nil, err
		}
		hours = append(hours, hour)
	}
	return hours, rows.Err()
}

// version returns the schema's version, 0 for an empty database. It returns an
// error that wraps ErrSchema if it is newer than this program's.
func (c *chConn) version(ctx context.Context) (int, error) {
	var version uint32
	if err := c.conn.QueryRow(ctx, "SELECT max(version) FROM "+c.db+".schema_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if known := len(chMigrations(c.db)); int(version) > known {
		return 0, fmt.Errorf("database %s has schema %d, this program knows %d: %w", c.db, version, known, ErrSchema)
	}
	return int(version), nil
}

// Codes of ClickHouse's errors.
const (
	chUnknownTable    = 60
	chUnknownDatabase = 81
)

// missing reports whether err says that nothing was ever stored.
func missing(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && (e.Code == chUnknownTable || e.Code == chUnknownDatabase)
}
