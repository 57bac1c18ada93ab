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
)

// chInserter sends rows to one table, column by column.
type chInserter[T any] struct {
	table string
	names string
	slots []slot[T]
}

func newChInserter[T any](table string, fields []field[T]) *chInserter[T] {
	in := &chInserter[T]{table: table, names: strings.Join(fieldNames(fields), ", ")}
	for _, f := range fields {
		in.slots = append(in.slots, f.slot())
	}
	return in
}

// insertOnce are the settings of every insert. Each of them has, or had in a
// version that is still in use, a default by which a batch that comes again
// would count twice in the rollups, or a batch of late records be refused.
func insertOnce(token string) clickhouse.Settings {
	return clickhouse.Settings{
		"insert_deduplication_token": token,
		"insert_deduplicate":         1,
		"async_insert":               0,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"max_partitions_per_insert_block":                    0,
		"throw_on_max_partitions_per_insert_block":           0,
		"materialized_views_ignore_errors":                   0,
	}
}

// insert stores what is in hand, which may have happened already, wholly or in
// part.
func (c *ClickHouse) insert(ctx context.Context, hand *intent) error {
	stored := time.Unix(hand.Stored, 0).UTC()
	bodies := make([]*bodyRow, len(hand.bodies))
	for i, b := range hand.bodies {
		bodies[i] = &bodyRow{b, stored}
	}
	opens := make([]*openRow, len(hand.Open))
	for i := range hand.Open {
		opens[i] = &hand.Open[i]
	}
	var errs [4]error
	var tables sync.WaitGroup
	tables.Go(func() { errs[0] = send(ctx, c.chConn, c.requests, hand.token, hand.requests) })
	tables.Go(func() { errs[1] = send(ctx, c.chConn, c.attempts, hand.token, hand.attempts) })
	tables.Go(func() { errs[2] = send(ctx, c.chConn, c.bodies, hand.token, bodies) })
	tables.Go(func() { errs[3] = send(ctx, c.chConn, c.opens, hand.token, opens) })
	tables.Wait()
	return errors.Join(errs[:]...)
}

// send inserts rows into one table under the batch's token.
func send[T any](ctx context.Context, c *chConn, in *chInserter[T], token string, rows []*T) (err error) {
	if len(rows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, chWithin)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertOnce(in.table+"-"+token)))
	b, err := c.conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s.%s (%s)", c.db, in.table, in.names))
	if err != nil {
		return fmt.Errorf("insert into %s: %w", in.table, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("insert into %s: %w", in.table, err), abort(b))
		}
	}()
	for i, s := range in.slots {
		for _, r := range rows {
			s.add(r)
		}
		err = s.send(b.Column(i))
		s.reset()
		if err != nil {
			return err
		}
	}
	return b.Send()
}

// abort gives up a batch; one that was sent needs none.
func abort(b driver.Batch) error {
	if err := b.Abort(); err != nil && !errors.Is(err, clickhouse.ErrBatchAlreadySent) {
		return err
	}
	return nil
}
