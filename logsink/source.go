package logsink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Source is LOG as the sink reads it.
type Source interface {
	// Fetch returns up to limit messages in the order of the stream, waiting
	// at most wait for them. None and no error means that none came.
	Fetch(ctx context.Context, limit int, wait time.Duration) ([]Message, error)
	// Ack acknowledges messages by their Reply, and returns once LOG has
	// confirmed it, or does not know them any more: then they come again. To
	// acknowledge one again does no harm.
	Ack(ctx context.Context, replies []string) error
	// State says how LOG stands. An error means that it cannot be reached.
	State(ctx context.Context) (State, error)
}

// Message is one message of LOG.
type Message struct {
	Data  []byte
	Reply string // acknowledges this message alone
}

// State counts messages of LOG.
type State struct {
	Unread  uint64 // not fetched yet
	Unacked uint64 // fetched, by this sink or one before it, and not acknowledged
}

// Liveness says which processes of the pipeline are still there.
type Liveness interface {
	// Silence is how long nothing was heard of a worker or ingress. Time in
	// which nothing could be heard of anyone, because the bus was away, does
	// not count; one never heard of is silent since listening began.
	Silence(process string) time.Duration
}

// ackWithin bounds the wait for a confirmation.
const ackWithin = 2 * time.Second

// consumer is a Source on JetStream.
type consumer struct {
	conn     *nats.Conn
	consumer jetstream.Consumer
}

// FromConsumer reads LOG through c, a durable pull consumer with AckPolicy
// AckExplicit and a MaxAckPending of some thousand. What a killed sink had in
// hand comes back after AckWait; 5 s suit, for the slowest batch takes less.
//
// The policy must not be AckAll. A new sink gets new messages before AckWait
// has brought those of a killed one back, and would acknowledge them unseen.
func FromConsumer(js jetstream.JetStream, c jetstream.Consumer) Source {
	return &consumer{js.Conn(), c}
}

// Fetch waits for one message, and then lets the others come together: each on its
// own would wake half a dozen goroutines on its way.
func (c *consumer) Fetch(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	until := time.Now().Add(wait)
	fetched, err := c.consumer.Fetch(1, jetstream.FetchMaxWait(wait))
	messages, pending, err := read(nil, fetched, err)
	if len(messages) == 0 || limit == 1 {
		return messages, err
	}
	if pending < limit-1 {
		pause(ctx, time.Until(until))
	}
	fetched, err = c.consumer.FetchNoWait(limit - 1)
	messages, _, _ = read(messages, fetched, err) // the first has come; what is wrong shows the next time
	return messages, nil
}

// read adds what was fetched. pending is how many messages LOG had behind the last
// of them.
func read(messages []Message, fetched jetstream.MessageBatch, err error) (all []Message, pending int, _ error) {
	if err != nil {
		return messages, 0, fmt.Errorf("fetch from log: %w", err)
	}
	for m := range fetched.Messages() {
		messages = append(messages, Message{m.Data(), m.Reply()})
		if meta, err := m.Metadata(); err == nil {
			pending = int(meta.NumPending)
		}
	}
	if err := fetched.Error(); err != nil && len(messages) == 0 && !errors.Is(err, nats.ErrTimeout) {
		return nil, 0, fmt.Errorf("fetch from log: %w", err)
	}
	return messages, pending, nil
}

// Ack asks LOG to answer the last acknowledgement: those before it were on the
// same way, so it has them too.
func (c *consumer) Ack(ctx context.Context, replies []string) error {
	if len(replies) == 0 {
		return nil
	}
	last := len(replies) - 1
	for _, r := range replies[:last] {
		if err := c.conn.Publish(r, nil); err != nil {
			return fmt.Errorf("acknowledge records: %w", err)
		}
	}
	asking, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	_, err := c.conn.RequestWithContext(asking, replies[last], nil)
	if err != nil && !c.forgotten(ctx, replies[last]) {
		return fmt.Errorf("acknowledge records: %w", err)
	}
	return nil
}

// forgotten reports whether LOG does not know that it has handed a message out. A
// server that was killed may have lost how far it was. It never answers the
// acknowledgement then (nats-server, processAckMsgLocked: "Check if this ack is
// above the current pointer"); it hands the message out again, and what is in it
// is left out as for any message that comes twice.
func (c *consumer) forgotten(ctx context.Context, reply string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	info, err := c.consumer.Info(ctx)
	return err == nil && info.Delivered.Stream < streamSeq(reply)
}

// streamSeq is the place in LOG of the message that a reply acknowledges, 0 where
// it does not say. It is $JS.ACK.<stream>.<consumer>.<deliveries>.<place>.…, with a
// domain and an account hash before the stream on servers that use them.
func streamSeq(reply string) uint64 {
	fields := strings.Split(reply, ".")
	at := 5
	if len(fields) > 10 {
		at = 7
	}
	if len(fields) <= at {
		return 0
	}
	seq, err := strconv.ParseUint(fields[at], 10, 64)
	if err != nil {
		return 0
	}
	return seq
}

func (c *consumer) State(ctx context.Context) (State, error) {
	info, err := c.consumer.Info(ctx)
	if err != nil {
		return State{}, fmt.Errorf("look at log: %w", err)
	}
	return State{Unread: info.NumPending, Unacked: uint64(info.NumAckPending)}, nil
}
