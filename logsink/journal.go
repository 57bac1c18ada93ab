package logsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	journalBucket = "SINK"
	writerKey     = "writer"
	partSize      = 512 << 10 // of a batch, at most

	renewEvery   = 500 * time.Millisecond
	presumedDead = 2 * time.Second // a writer that has not renewed, though its process answers or cannot be asked
	askEvery     = 200 * time.Millisecond
	askWithin    = 500 * time.Millisecond
)

// errSuperseded is returned once another sink has taken over.
var errSuperseded = errors.New("another log sink has taken over")

// journal makes one sink of several the writer, and keeps the batch that the
// writer is about to store until the next one. All of it hangs on one key of a
// KV bucket, which names the writer and its batch and is changed by
// compare-and-set only: whoever takes over changes it, so that the one before
// can begin no batch any more, however late it notices.
//
//	SINK  writer                      {writer, batch, parts}
//	      batch.<writer>.<0|1>.<n>    the parts of the batch and of the one before
//	sink.<writer>                     nobody listening means that its process is gone
type journal struct {
	// Fixed at construction.
	js       jetstream.JetStream
	replicas int
	log      *slog.Logger

	mu       sync.Mutex // guards the rest
	kv       jetstream.KeyValue
	self     string // "" while another writes
	revision uint64 // of the writer key
	state    writerState
}

// writerState is the value of the writer key.
type writerState struct {
	Writer string `json:"writer"` // "" if it has stepped down
	Count  uint64 `json:"count"`  // so that no two values are alike
	Batch  string `json:"batch"`  // where its parts are; "" if there is none
	Parts  int    `json:"parts"`
}

func newJournal(js jetstream.JetStream, replicas int, log *slog.Logger) *journal {
	return &journal{js: js, replicas: max(1, replicas), log: log}
}

// lead waits until this sink is the writer, and returns the batch that the one
// before may not have stored completely, nil if there is none. hold must run
// from then on.
func (j *journal) lead(ctx context.Context) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	self := nuid.Next()
	if err := j.takeOver(ctx, self); err != nil {
		return nil, err
	}
	if j.state.Batch == "" {
		return nil, nil
	}
	var batch []byte
	for n := range j.state.Parts {
		part, err := j.kv.Get(ctx, j.state.Batch+"."+strconv.Itoa(n))
		if err != nil {
			return nil, fmt.Errorf("read the batch in hand: %w", err)
		}
		batch = append(batch, part.Value()...)
	}
	return batch, nil
}

// open finds or makes the bucket.
func (j *journal) open(ctx context.Context) error {
	if j.kv != nil {
		return nil
	}
	kv, err := j.js.KeyValue(ctx, journalBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = j.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: journalBucket, Replicas: j.replicas,
			Description: "which log sink writes, and the batch it has in hand", LimitMarkerTTL: time.Minute})
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // another sink was faster
		kv, err = j.js.KeyValue(ctx, journalBucket)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.kv = kv
	return nil
}

// takeOver waits for the writer key to be free, or its holder dead, and writes
// self into it.
func (j *journal) takeOver(ctx context.Context, self string) error {
	var seen uint64 // the revision at the last look
	var since time.Time
	for waiting := false; ; {
		entry, err := j.kv.Get(ctx, writerKey)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			if err = j.claim(ctx, self, writerState{}, 0); err == nil {
				return nil
			}
		}
		if err == nil {
			var state writerState
			if err := json.Unmarshal(entry.Value(), &state); err != nil {
				return fmt.Errorf("read journal: %w", err)
			}
			if entry.Revision() != seen {
				seen, since = entry.Revision(), time.Now()
			}
			if state.Writer == "" || time.Since(since) >= presumedDead || j.gone(ctx, state.Writer) {
				if err := j.claim(ctx, self, state, seen); err == nil {
					return nil
				}
			} else if !waiting {
				waiting = true
				j.log.Info("standing by: another log sink writes")
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx, askEvery)
	}
}

// claim makes self the writer in place of the one in state.
func (j *journal) claim(ctx context.Context, self string, state writerState, revision uint64) error {
	state.Writer = self
	state.Count++
	value, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if revision, err = j.kv.Update(ctx, writerKey, value, revision); err != nil {
		return err
	}
	j.self, j.state, j.revision = self, state, revision
	return nil
}

// gone reports whether NATS knows that a writer's process is not there.
func (j *journal) gone(ctx context.Context, writer string) bool {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, err := j.js.Conn().RequestWithContext(ctx, "sink."+writer, nil)
	return errors.Is(err, nats.ErrNoResponders)
}

// hold keeps this sink the writer until ctx ends, and then lets the next one
// have it. Before, it returns only with errSuperseded.
func (j *journal) hold(ctx context.Context) error {
	j.mu.Lock()
	alive, err := j.js.Conn().Subscribe("sink."+j.self, func(m *nats.Msg) { _ = m.Respond(nil) }) // who asks will ask again
	j.mu.Unlock()
	if err == nil {
		defer alive.Unsubscribe()
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return j.stepDown(context.WithoutCancel(ctx))
		case <-tick.C:
		}
		if err := j.renew(ctx); errors.Is(err, errSuperseded) {
			return err
		}
	}
}

func (j *journal) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, presumedDead)
	defer cancel()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.swap(ctx, j.state)
}

// stepDown frees the writer key. What is in hand stays named in it.
func (j *journal) stepDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, presumedDead)
	defer cancel()
	j.mu.Lock()
	defer j.mu.Unlock()
	free := j.state
	free.Writer = ""
	err := j.swap(ctx, free)
	j.self = ""
	if err != nil && !errors.Is(err, errSuperseded) {
		j.log.Warn("log sink could not step down; the next one waits for it", "error", err)
	}
	return nil
}

// begin keeps a batch until the next begin. The batch before must be stored and
// acknowledged. It returns errSuperseded if another sink has taken over.
func (j *journal) begin(ctx context.Context, batch []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := j.state
	slot := "0"
	if next.Batch == "batch."+j.self+".0" {
		slot = "1" // never over the batch that the key names
	}
	foreign := next.Batch != "" && next.Batch != "batch."+j.self+".0" && next.Batch != "batch."+j.self+".1"
	next.Batch, next.Parts = "batch."+j.self+"."+slot, 0
	size := min(partSize, int(j.js.Conn().MaxPayload()/2))
	for rest := batch; len(rest) > 0; next.Parts++ {
		n := min(size, len(rest))
		if _, err := j.kv.Put(ctx, next.Batch+"."+strconv.Itoa(next.Parts), rest[:n]); err != nil {
			return fmt.Errorf("keep batch: %w", err)
		}
		rest = rest[n:]
	}
	if err := j.swap(ctx, next); err != nil {
		return err
	}
	if foreign {
		j.tidy(ctx)
	}
	return nil
}

// tidy removes the parts of other writers' batches. It may fail: the next one
// who takes over tidies too.
func (j *journal) tidy(ctx context.Context) {
	const space = "$KV." + journalBucket + "."
	stream, err := j.js.Stream(ctx, "KV_"+journalBucket)
	if err != nil {
		j.log.Warn("old batches not removed", "error", err)
		return
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(space+"batch.>"))
	if err != nil {
		j.log.Warn("old batches not removed", "error", err)
		return
	}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, space)
		if strings.HasPrefix(key, "batch."+j.self+".") {
			continue
		}
		if err := j.kv.Purge(ctx, key, jetstream.PurgeTTL(time.Minute)); err != nil {
			j.log.Warn("old batch not removed", "error", err)
			return
		}
	}
}

// swap changes the writer key from j.state to next, which it makes distinct. If
// the answer to an earlier try was lost, the key may have moved on by our own
// hand.
func (j *journal) swap(ctx context.Context, next writerState) error {
	if j.self == "" {
		return errSuperseded
	}
	next.Count = j.state.Count + 1
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	revision, err := j.kv.Update(ctx, writerKey, value, j.revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		revision, err = j.ours(ctx, value)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.state, j.revision = next, revision
	return nil
}

// ours looks who has changed the writer key. It returns the key's revision if
// it holds value, an error to try again upon if it holds another value of ours,
// and errSuperseded if it is not ours any more.
func (j *journal) ours(ctx context.Context, value []byte) (uint64, error) {
	entry, err := j.kv.Get(ctx, writerKey)
	if err != nil {
		return 0, err
	}
	if bytes.Equal(entry.Value(), value) {
		return entry.Revision(), nil
	}
	var state writerState
	if err := json.Unmarshal(entry.Value(), &state); err != nil {
		return 0, err
	}
	if state.Writer != j.self {
		j.self = ""
		return 0, errSuperseded
	}
	if entry.Revision() > j.revision { // else a replica that lags
		j.state, j.revision = state, entry.Revision()
	}
	return 0, errors.New("the key has moved on by an earlier try")
}
