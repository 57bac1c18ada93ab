package logsink

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

	"model-proxy/internal/usage"
)

// intent is a batch as it is kept until it is stored: not the messages it came
// in but what they came to, so that to store it again needs nothing else.
type intent struct {
	Rows   []byte    // requests, attempts and bodies as a message of package usage
	Open   []openRow // what became of open entries
	Acks   []string  // how to acknowledge the messages
	Stored int64     // seconds since the Unix epoch

	requests []*usage.Request
	attempts []*usage.Attempt
	bodies   []*usage.Body
	token    string // stands for exactly this batch
	data     []byte // all of it, as the journal keeps it
}

// encode sets the intent's data and its token, a hash over that. The places of
// the messages in LOG are in it, so that no two batches are alike.
func (in *intent) encode() {
	entries := make([]usage.Entry, 0, len(in.requests)+len(in.attempts)+len(in.bodies))
	for _, r := range in.requests {
		entries = append(entries, usage.Entry{Kind: usage.KindRequest, Request: r})
	}
	for _, a := range in.attempts {
		entries = append(entries, usage.Entry{Kind: usage.KindFinished, Attempt: a})
	}
	for _, b := range in.bodies {
		entries = append(entries, usage.Entry{Kind: usage.KindBody, Body: b})
	}
	in.Rows = usage.Encode("", entries...)
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(in); err != nil {
		panic(err) // a bug: all of it can be encoded
	}
	in.Rows = nil
	in.token = tokenOf(plain.Bytes())
	in.data = s2.Encode(nil, plain.Bytes())
}

func tokenOf(plain []byte) string {
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:])
}

// decodeIntent reads what encode wrote. It returns an error that wraps
// usage.ErrVersion if a newer program wrote it.
func decodeIntent(data []byte) (*intent, error) {
	plain, err := s2.Decode(nil, data)
	if err != nil {
		return nil, fmt.Errorf("read the batch in hand: %w", err)
	}
	in := &intent{token: tokenOf(plain)}
	if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(in); err != nil {
		return nil, fmt.Errorf("read the batch in hand: %w", err)
	}
	entries, err := usage.Decode(in.Rows)
	if err != nil {
		return nil, fmt.Errorf("read the batch in hand: %w", err)
	}
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case usage.KindRequest:
			in.requests = append(in.requests, e.Request)
		case usage.KindFinished:
			in.attempts = append(in.attempts, e.Attempt)
		case usage.KindBody:
			in.bodies = append(in.bodies, e.Body)
		default:
			return nil, errors.New("read the batch in hand: an entry that is no row")
		}
	}
	return in, nil
}
