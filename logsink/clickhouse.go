package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/usage"
)

const (
	chDatabase = "model_proxy" // where the address names none
	chEnough   = 20_000        // rows that are worth an insert: ten thousand in each of two tables
	chWait     = time.Second   // for as many
	chWithin   = 30 * time.Second
)

// ClickHouse is a store in a ClickHouse database. Several sinks may have one:
// one of them writes. What a batch adds is first kept in NATS, whole, and then
// inserted under a token that ClickHouse remembers, so that the same batch may
// be inserted again after a loss of the connection, of ClickHouse or of the
// sink, by this sink or the next, and counts once, in the rollups too. Rows
// whose key exists are left out before.
type ClickHouse struct {
	*chConn
	journal *journal
	log     *slog.Logger

	requests *chInserter[usage.Request]
	attempts *chInserter[usage.Attempt]
	bodies   *chInserter[bodyRow]
	opens    *chInserter[openRow]

	// Owned by the Sink's Run.
	open map[openKey]int64 // versions of the entries that are open
	kept []byte            // by the writer before, which may not have stored it
	hand *intent           // kept in the journal and not stored, or nil
}

// chConn is a connection pool and the database that queries name.
type chConn struct {
	conn driver.Conn
	db   string // quoted
}

// plainName is a database's name that needs no thought about quoting.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// dialClickHouse prepares connections to the address dsn, which may hold a
// password and is never shown. Nothing is dialled yet.
func dialClickHouse(dsn string) (*chConn, error) {
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil || len(opts.Addr) == 0 {
		return nil, errors.New("address of ClickHouse: want clickhouse://user:password@host:9000/database") // err may quote the password
	}
	if opts.Protocol != clickhouse.Native {
		return nil, errors.New("address of ClickHouse: want the native protocol, clickhouse://host:9000, in place of HTTP")
	}
	db := opts.Auth.Database
	if db == "" {
		db = chDatabase
	}
	if !plainName.MatchString(db) {
		return nil, fmt.Errorf("address of ClickHouse: database %q: want letters, digits and _", db)
	}
	opts.Auth.Database = "" // it may not exist yet
	opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	opts.DialTimeout = 5 * time.Second
	opts.ReadTimeout = chWithin
	opts.MaxOpenConns = 8
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("address of ClickHouse: %w", err)
	}
	return &chConn{conn, "`" + db + "`"}, nil
}

func (c *chConn) exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, chWithin)
	defer cancel()
	return c.conn.Exec(ctx, statement)
}

// Close closes the connections.
func (c *chConn) Close() error { return c.conn.Close() }

// OpenClickHouse prepares the store at the address dsn. The journal that makes
// one of several sinks the writer is kept in NATS, in so many replicas. The
// database is made or migrated when the Sink runs. The caller closes the store
// after Run has returned.
func OpenClickHouse(dsn string, js jetstream.JetStream, replicas int, log *slog.Logger) (*ClickHouse, error) {
	conn, err := dialClickHouse(dsn)
	if err != nil {
		return nil, err
	}
	return &ClickHouse{chConn: conn, journal: newJournal(js, replicas, log), log: log,
		requests: newChInserter("requests", requestFields()), attempts: newChInserter("attempts", attemptFields()),
		bodies: newChInserter("bodies", bodyFields()), opens: newChInserter("open_entries", openFields())}, nil
}

func (c *ClickHouse) enough() (rows int, wait time.Duration) { return chEnough, chWait }

// lead waits until this sink is the writer, whatever stands in its way.
func (c *ClickHouse) lead(ctx context.Context) error {
	return c.insist(ctx, "log sink cannot ask to write, trying again", func() (err error) {
		c.kept, err = c.journal.lead(ctx)
		return err
	})
}

func (c *ClickHouse) hold(ctx context.Context) error { return c.journal.hold(ctx) }

// load waits until ClickHouse answers, and stores what the writer before may have
// left unfinished.
func (c *ClickHouse) load(ctx context.Context) (l loaded, err error) {
	err = c.insist(ctx, "ClickHouse is not ready, trying again", func() (err error) {
		l, err = c.takeUp(ctx)
		return err
	})
	return l, err
}

// insist tries until it works, ctx ends or the error is one that stays.
func (c *ClickHouse) insist(ctx context.Context, complaint string, try func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := try()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrSchema) || errors.Is(err, usage.ErrVersion) {
			return err
		}
		c.log.Error(complaint, "error", err, "wait", wait)
		pause(ctx, wait)
	}
}

func (c *ClickHouse) takeUp(ctx context.Context) (l loaded, err error) {
	c.hand, c.open = nil, map[openKey]int64{}
	if err := c.migrate(ctx); err != nil {
		return l, err
	}
	if c.kept != nil {
		hand, err := decodeIntent(c.kept)
		if err != nil {
			return l, err
		}
		if err := c.insert(ctx, hand); err != nil {
			return l, fmt.Errorf("store the batch in hand: %w", err)
		}
		l.acks = hand.Acks
	}
	l.open, err = c.loadOpen(ctx)
	return l, err
}

func (c *ClickHouse) write(ctx context.Context, b *batch) (written, error) {
	if c.hand == nil {
		hand, err := c.prepare(ctx, b)
		if err != nil {
			return written{}, fmt.Errorf("prepare records: %w", err)
		}
		if err := c.journal.begin(ctx, hand.encode()); err != nil {
			return written{}, fmt.Errorf("prepare records: %w", err)
		}
		c.hand = hand
	}
	if err := c.insert(ctx, c.hand); err != nil {
		return written{}, fmt.Errorf("write records: %w", err)
	}
	n := written{len(c.hand.requests), len(c.hand.attempts), len(c.hand.bodies)}
	for _, o := range c.hand.Open {
		if key := (openKey{o.Job, o.Attempt}); o.Sign > 0 {
			c.open[key] = o.Version
		} else if c.open[key] == o.Version {
			delete(c.open, key)
		}
	}
	c.hand = nil
	return n, nil
}

// prepare leaves out of b the rows whose key exists, in the database or earlier
// in b, and says what becomes of the entries that are open.
func (c *ClickHouse) prepare(ctx context.Context, b *batch) (*intent, error) {
	hand := &intent{Acks: b.acks, Stored: time.Now().Unix()}
	var errs [3]error
	var lookups sync.WaitGroup
	lookups.Go(func() {
		hand.requests, errs[0] = leaveOut(ctx, c.chConn, "requests", "", b.requests, func(r *usage.Request) openKey { return openKey{r.JobID, 0} })
	})
	lookups.Go(func() {
		hand.attempts, errs[1] = leaveOut(ctx, c.chConn, "attempts", "attempt", b.attempts, func(a *usage.Attempt) openKey { return openKey{a.JobID, a.Attempt} })
	})
	lookups.Go(func() {
		hand.bodies, errs[2] = leaveOut(ctx, c.chConn, "bodies", "part", b.bodies, func(b *usage.Body) openKey { return openKey{b.JobID, b.Part} })
	})
	lookups.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	version := time.Now().UnixNano() // tells this entry from another one at the same key
	for _, s := range b.save {
		if old, ok := c.open[s.openKey]; ok {
			hand.Open = append(hand.Open, openRow{Job: s.job, Attempt: s.attempt, Version: old, Sign: -1, Stored: hand.Stored})
		}
		hand.Open = append(hand.Open, openRow{s.job, s.attempt, version, 1, s.data, hand.Stored})
	}
	for _, k := range b.forget {
		if old, ok := c.open[k]; ok {
			hand.Open = append(hand.Open, openRow{Job: k.job, Attempt: k.attempt, Version: old, Sign: -1, Stored: hand.Stored})
		}
	}
	return hand, nil
}

// leaveOut returns the rows whose key is new: the first of each.
func leaveOut[T any](ctx context.Context, c *chConn, table, number string, rows []*T, key func(*T) openKey) ([]*T, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	seen, err := existing(ctx, c, table, number, rows, key)
	if err != nil {
		return nil, fmt.Errorf("look up keys of %s: %w", table, err)
	}
	fresh := make([]*T, 0, len(rows))
	for _, r := range rows {
		if k := key(r); !seen[k] {
			seen[k] = true
			fresh = append(fresh, r)
		}
	}
	return fresh, nil
}

// existing asks which of the rows' keys have a row. number is the second column
// of the key, if it has one.
func existing[T any](ctx context.Context, c *chConn, table, number string, rows []*T, key func(*T) openKey) (map[openKey]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, chWithin)
	defer cancel()
	wanted, err := ext.NewTable("wanted", ext.Column("job_id", chcolumn.Type("String")))
	if err != nil {
		return nil, err
	}
	first, last := "", ""
	for _, r := range rows {
		job := key(r).job
		if first == "" || job < first {
			first = job
		}
		last = max(last, job)
		if err := wanted.Append(job); err != nil {
			return nil, err
		}
	}
	if number == "" {
		number = "toInt64(0)"
	}
	found, err := c.conn.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(wanted)),
		fmt.Sprintf("SELECT job_id, %s FROM %s.%s WHERE job_id BETWEEN ? AND ? AND job_id IN wanted", number, c.db, table), first, last)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	seen := make(map[openKey]bool, len(rows))
	for found.Next() {
		var job string
		var n int64
		if err := found.Scan(&job, &n); err != nil {
			return nil, err
		}
		seen[openKey{job, int(n)}] = true
	}
	return seen, found.Err()
}
