package keysvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
)

// Bucket is the KV bucket that holds the rests. Its keys are
//
//	p.<provider>                  a provider rests
//	k.<provider>.<fingerprint>    a key
//	m.<provider>.<fp>.<model>     a key for one model
//	b.<provider>.<model>          the breaker of a provider's model is open
//	probe.b.<provider>.<model>    somebody makes the probe after its rest
//
// with every name as a bus.Token. A key lives as long as its rest.
const Bucket = "COOL"

const (
	markerTTL  = 5 * time.Second // how long the sign of an expired key stays
	deletedFor = time.Minute     // how long the sign of a reset stays
	callWithin = 2 * time.Second // bounds one call to the server
)

var letters = map[llm.Scope]string{llm.ScopeProvider: "p", llm.ScopeKey: "k", llm.ScopeKeyModel: "m", llm.ScopeBreaker: "b"}

// keyOf is the bucket's key for what rests.
func keyOf(k ref) string {
	parts := []string{letters[k.scope], bus.Token(k.provider)}
	if k.scope == llm.ScopeKey || k.scope == llm.ScopeKeyModel {
		parts = append(parts, bus.Token(k.fp))
	}
	if k.scope == llm.ScopeKeyModel || k.scope == llm.ScopeBreaker {
		parts = append(parts, bus.Token(k.model))
	}
	return strings.Join(parts, ".")
}

// value is what a key holds. Names stand in full: tokens cannot be read back.
type value struct {
	Scope    llm.Scope `json:"scope"`
	Provider string    `json:"provider"`
	Key      string    `json:"key_fp,omitempty"`
	Model    string    `json:"model,omitempty"`
	MS       int64     `json:"ms"` // length from the time of writing
	Cause    string    `json:"cause"`
	Status   int       `json:"status,omitempty"`
	By       string    `json:"by"`              // the process that wrote it
	Event    bool      `json:"event,omitempty"` // the write counts as an event
}

func (v value) rest() llm.Rest {
	return llm.Rest{Scope: v.Scope, Provider: v.Provider, Fingerprint: v.Key, Model: v.Model,
		For: time.Duration(v.MS) * time.Millisecond, Cause: v.Cause, Status: v.Status}
}

// openBucket returns the bucket, made if there is none: a memory bucket is
// lost with an unreplicated server.
func (s *Service) openBucket(ctx context.Context) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	kv, err := s.js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = s.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: Bucket, Description: "cooldowns of keys, providers and models",
			Storage: jetstream.MemoryStorage, History: 1, Replicas: s.replicas, LimitMarkerTTL: markerTTL, Metadata: bus.Mark()})
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // another worker was faster
		kv, err = s.js.KeyValue(ctx, Bucket)
	}
	if err == nil {
		err = checkVersion(ctx, kv)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", Bucket, err)
	}
	return kv, nil
}

func checkVersion(ctx context.Context, kv jetstream.KeyValue) error {
	status, err := kv.Status(ctx)
	if err != nil {
		return err
	}
	return bus.CheckMark(status.Metadata())
}

// errStale means that the key has another revision than was expected.
var errStale = errors.New("the key has changed")

// store writes v over the given revision and returns the new one. The bucket
// drops the key at the end of the rest. errStale: another write came first.
func (s *Service) store(ctx context.Context, key string, v value, revision uint64) (uint64, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("encode rest of %s: %w", key, err)
	}
	// KeyValue.Update drops the TTL, so the message is published as KV would.
	ttl := time.Duration(v.MS) * time.Millisecond
	ttl = max(time.Second, (ttl + time.Second - 1).Truncate(time.Second)) // the server counts whole seconds
	return s.publish(ctx, &nats.Msg{Subject: subjectOf(key), Data: data}, jetstream.WithMsgTTL(ttl),
		jetstream.WithExpectLastSequencePerSubject(revision))
}

// revision returns the revision of a key and whether it is live: it may also
// be the sign of a key that was deleted or has expired, or 0 for none at all.
func (s *Service) revision(ctx context.Context, key string) (revision uint64, live bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	stream, err := s.js.Stream(ctx, "KV_"+Bucket)
	if err != nil {
		return 0, false, fmt.Errorf("open bucket %s: %w", Bucket, err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, subjectOf(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read %s: %w", key, err)
	}
	marker := m.Header.Get(operationHeader) != "" || m.Header.Get(jetstream.MarkerReasonHeader) != ""
	return m.Sequence, !marker, nil
}

// operationHeader marks a deleted key; without it a message is a value.
const operationHeader = "KV-Operation"

// remove deletes a key, whatever its revision.
func (s *Service) remove(ctx context.Context, key string) error {
	m := nats.NewMsg(subjectOf(key))
	m.Header.Set(operationHeader, "DEL")
	_, err := s.publish(ctx, m, jetstream.WithMsgTTL(deletedFor))
	return err
}

func subjectOf(key string) string { return "$KV." + Bucket + "." + key }

func (s *Service) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, m, opts...)
	if stale(err) {
		return 0, errStale
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", m.Subject, err)
	}
	return ack.Sequence, nil
}

// stale reports a refused compare-and-set; replicated streams have a code of
// their own for it.
func stale(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
