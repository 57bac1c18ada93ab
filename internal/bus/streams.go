package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams this package owns; COOL, RL and PAR belong to keysvc
// and limit.
const (
	reqStream = "REQ"
	LogStream = "LOG" // the records that wait for the sink

	logConsumer = "sink"
	ackWait     = time.Second
	maxDeliver  = 1000 // to be given back by a busy worker counts; maxGrants bounds the rest
	dedupWindow = 5 * time.Second

	versionKey = "model-proxy-version"
)

// ensure is one try of Ensure.
func (c *Conn) ensure(ctx context.Context) error {
	for _, s := range []jetstream.StreamConfig{c.reqConfig(), c.logConfig()} {
		if err := c.ensureStream(ctx, s); err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	// The sink's consumer stands from the first record on: LOG keeps only what
	// somebody is interested in. Each message is acknowledged by itself: after a
	// crash new ones come before those that the dead sink held.
	_, err := c.js.CreateOrUpdateConsumer(ctx, LogStream, jetstream.ConsumerConfig{
		Durable: logConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second,
		MaxAckPending: -1, MaxDeliver: -1, Metadata: Mark(),
	})
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", logConsumer, LogStream, err)
	}
	return nil
}

// Mark is the metadata that everything made on the server carries.
func Mark() map[string]string { return map[string]string{versionKey: strconv.Itoa(Version)} }

// CheckMark returns an error that wraps ErrVersion if a stream's or bucket's
// metadata says that a newer version of the bus has made it. One without a mark is
// as old as can be.
func CheckMark(metadata map[string]string) error {
	if v, _ := strconv.Atoi(metadata[versionKey]); v > Version {
		return fmt.Errorf("%w: it was made by version %d of the bus, this is %d: upgrade this process", ErrVersion, v, Version)
	}
	return nil
}

func (c *Conn) reqConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: reqStream, Subjects: []string{"req.>"}, Storage: jetstream.MemoryStorage, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: c.cfg.QueueMaxPerClient,
		MaxMsgs: c.cfg.QueueMaxRequests, MaxBytes: c.cfg.QueueMaxBytes, AllowMsgTTL: true, Duplicates: dedupWindow,
		Replicas: max(1, c.cfg.Replicas), Metadata: Mark(),
	}
}

func (c *Conn) logConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: LogStream, Subjects: []string{"log.>"}, Storage: jetstream.FileStorage, Retention: jetstream.InterestPolicy,
		Discard: jetstream.DiscardNew, MaxBytes: c.cfg.LogMaxBytes, Duplicates: 2 * time.Minute,
		Replicas: max(1, c.cfg.Replicas), Metadata: Mark(),
	}
}

// Codes of a server without room for what a stream may come to hold:
// errors.json of nats-server, JSMemoryResourcesExceededErr and
// JSStorageResourcesExceededErr.
const (
	codeNoMemory  = 10028
	codeNoStorage = 10047
)

// otherMakes is how long another process may take to make a stream.
const otherMakes = 2 * time.Second

// ensureStream makes or updates a stream. One that has no room is looked for
// again: a server counts the same stream twice while two processes make it.
func (c *Conn) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	for began := time.Now(); ; {
		err := c.tryStream(ctx, want)
		if !noRoom(err) || time.Since(began) > otherMakes {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(askAgainIn):
		}
	}
}

func noRoom(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeNoMemory || api.ErrorCode == codeNoStorage)
}

func (c *Conn) tryStream(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = c.js.CreateStream(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process made it, as it wants it
			return err
		}
		stream, err = c.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if err := CheckMark(have.Metadata); err != nil || asWanted(have, want) {
		return err
	}
	_, err = c.js.UpdateStream(ctx, want)
	return err
}

// asWanted reports whether a stream has all that reqConfig and logConfig set, so that
// no process that joins has to change what the others use.
func asWanted(have, want jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, want.Subjects) && have.Storage == want.Storage && have.Retention == want.Retention &&
		have.Discard == want.Discard && have.DiscardNewPerSubject == want.DiscardNewPerSubject &&
		have.MaxMsgsPerSubject == unlimited(want.MaxMsgsPerSubject) && have.MaxMsgs == unlimited(want.MaxMsgs) && have.MaxBytes == unlimited(want.MaxBytes) &&
		have.AllowMsgTTL == want.AllowMsgTTL && have.Duplicates == want.Duplicates && have.Replicas == want.Replicas &&
		have.Metadata[versionKey] == want.Metadata[versionKey]
}

// unlimited is how the server tells a bound that was left out.
func unlimited(bound int64) int64 {
	if bound == 0 {
		return -1
	}
	return bound
}

// consumerName is the durable consumer of one pool and lane.
func consumerName(pool, lane string) string { return Token(pool) + "-" + lane }

// ensureConsumer creates the pull consumer of one pool and lane.
func (c *Conn) ensureConsumer(ctx context.Context, pool, lane string) error {
	_, err := c.js.CreateOrUpdateConsumer(ctx, reqStream, jetstream.ConsumerConfig{
		Durable: consumerName(pool, lane), FilterSubject: "req." + Token(pool) + "." + lane + ".*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: maxDeliver,
		MaxAckPending: -1, MaxWaiting: 16384, Metadata: Mark(),
	})
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", consumerName(pool, lane), reqStream, err)
	}
	return nil
}

// LogConsumer is the sink's durable consumer of LOG. Like Ensure it waits for
// JetStream.
func (c *Conn) LogConsumer(ctx context.Context) (consumer jetstream.Consumer, err error) {
	err = c.insist(ctx, func(ctx context.Context) error {
		consumer, err = c.js.Consumer(ctx, LogStream, logConsumer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", LogStream, err)
	}
	return consumer, nil
}

// StreamState is what one stream holds.
type StreamState struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"` // it refuses more
	OldestMS int64 `json:"oldest_ms"` // age of the oldest message, by the server's clock; 0 if there is none
}

// Streams asks the server what the streams hold, by their names. A message of
// LogStream is up to 50 records that no store has taken yet.
func (c *Conn) Streams(ctx context.Context) (map[string]StreamState, error) {
	all := map[string]StreamState{}
	for _, name := range [...]string{reqStream, LogStream} {
		s, err := c.js.Stream(ctx, name)
		if err != nil {
			return all, fmt.Errorf("stream %s: %w", name, err)
		}
		info := s.CachedInfo()
		state := StreamState{Messages: int64(info.State.Msgs), Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes}
		if state.Messages > 0 {
			state.OldestMS = max(0, info.TimeStamp.Sub(info.State.FirstTime).Milliseconds())
		}
		all[name] = state
	}
	return all, nil
}

// forget takes a job out of the queue, unless that is gone.
func (c *Conn) forget(seq uint64) {
	err := c.nc.Publish("$JS.API.STREAM.MSG.DELETE."+reqStream, fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, seq))
	if err != nil {
		c.cfg.Log.Debug("not taken out of the queue", "seq", seq, "error", err)
	}
}

// Queue is the state of the request queue.
type Queue struct {
	Depth  int64         // jobs that wait
	Oldest time.Duration // age of the oldest, by the server's own clock
}

// Queue asks the server how many jobs wait.
func (c *Conn) Queue(ctx context.Context) (Queue, error) {
	s, err := c.js.Stream(ctx, reqStream)
	if err != nil {
		return Queue{}, err
	}
	info := s.CachedInfo()
	q := Queue{Depth: int64(info.State.Msgs)}
	if q.Depth > 0 && !info.State.FirstTime.IsZero() {
		q.Oldest = info.TimeStamp.Sub(info.State.FirstTime)
	}
	return q, nil
}
