package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"model-proxy/config"
	"model-proxy/internal/bus"
	"model-proxy/logsink"
)

// startSink starts the log sink, into ClickHouse where CLICKHOUSE_DSN names one,
// else into SQLite.
func (n *node) startSink(ctx context.Context) error {
	conn, err := n.connect(ctx, "sink")
	if err != nil {
		return err
	}
	consumer, err := conn.LogConsumer(ctx)
	if err != nil {
		return err
	}
	alive := bus.NewLiveness(conn)
	c := logsink.Config{Source: logsink.FromConsumer(conn.JetStream(), consumer), Liveness: alive, Queue: bus.NewOrphans(conn, alive), Log: n.log}
	closeStore, err := n.openStore(conn, &c)
	if err != nil {
		return err
	}
	if err := n.openReader(); err != nil {
		return errors.Join(err, closeStore())
	}
	n.sink = logsink.New(c)
	n.registry.MustRegister(sinkState{n.sink})
	n.start(ctx, "beats", alive.Run)
	n.start(ctx, "sink", func(ctx context.Context) error { return errors.Join(n.sink.Run(ctx), closeStore()) })
	return nil
}

// openStore opens the store that the sink c writes to.
func (n *node) openStore(conn *bus.Conn, c *logsink.Config) (closeStore func() error, err error) {
	if dsn := n.env.Vars.ClickHouseDSN; !dsn.IsZero() {
		store, err := logsink.OpenClickHouse(dsn.Reveal(), conn.JetStream(), n.bus.Replicas, n.log)
		if err != nil {
			return nil, usageError{fmt.Errorf("CLICKHOUSE_DSN: %w", err)}
		}
		c.Store = store
		return store.Close, nil
	}
	store, err := logsink.OpenSQLite(n.flags.data)
	if err != nil {
		return nil, err
	}
	c.Store = store
	return store.Close, nil
}

// openReader opens the records for queries, once for all roles of the process.
func (n *node) openReader() (err error) {
	if n.reader == nil {
		n.reader, err = openRecords(n.env, n.flags.data)
	}
	return err
}

// openRecords opens the records that CLICKHOUSE_DSN or --data leads to.
func openRecords(env *config.Environment, data string) (logsink.Reader, error) {
	if dsn := env.Vars.ClickHouseDSN; !dsn.IsZero() {
		reader, err := logsink.OpenClickHouseReader(dsn.Reveal())
		if err != nil {
			return nil, usageError{fmt.Errorf("CLICKHOUSE_DSN: %w", err)}
		}
		return reader, nil
	}
	reader, err := logsink.OpenReader(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no records under %s: is --data the gateway's?", data)
	}
	return reader, err
}
