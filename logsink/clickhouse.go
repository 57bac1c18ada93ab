package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
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

	sieve sieve

	// Owned by the Sink's Run.
	kept  []byte  // by the writer before, which may not have stored it
	begun *intent // what the journal keeps since the last load
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
	return insist(ctx, c.log, "log sink cannot ask to write, trying again", func() (err error) {
		c.kept, err = c.journal.lead(ctx)
		return err
	})
}

func (c *ClickHouse) hold(ctx context.Context) error { return c.journal.hold(ctx) }

// load waits until ClickHouse answers, and stores what the writer before may have
// left unfinished.
func (c *ClickHouse) load(ctx context.Context) (l loaded, err error) {
	err = insist(ctx, c.log, "ClickHouse is not ready, trying again", func() (err error) {
		l, err = c.takeUp(ctx)
		return err
	})
	return l, err
}

func (c *ClickHouse) takeUp(ctx context.Context) (l loaded, err error) {
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
	c.begun, c.sieve = nil, sieve{chConn: c.chConn, open: map[openKey]int64{}}
	l.open, err = c.loadOpen(ctx)
	return l, err
}

// sift leaves out of b what has a row already.
func (c *ClickHouse) sift(ctx context.Context, b *batch) error {
	hand, err := c.sieve.sift(ctx, b)
	if err != nil {
		return fmt.Errorf("prepare records: %w", err)
	}
	hand.encode()
	b.hand = hand
	return nil
}

// write keeps what sift left of b in the journal, which must not hold anything
// else that is not stored, and inserts it.
func (c *ClickHouse) write(ctx context.Context, b *batch) (written, error) {
	hand := b.hand
	if c.begun != hand {
		if err := c.journal.begin(ctx, hand.data); err != nil {
			return written{}, fmt.Errorf("prepare records: %w", err)
		}
		c.begun, hand.data = hand, nil
	}
	if err := c.insert(ctx, hand); err != nil {
		return written{}, fmt.Errorf("write records: %w", err)
	}
	return written{len(hand.requests), len(hand.attempts), len(hand.bodies)}, nil
}
