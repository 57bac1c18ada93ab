package logsink

import (
	"context"
	"errors"
	"time"

	"model-proxy/internal/usage"
)

// store keeps the rows. SQLite is one; ClickHouse is to be another.
type store interface {
	// load returns the entries saved as open, each at its key, and for those of
	// them whose request has its row an entry that tells its end, at attempt 0.
	load(ctx context.Context) ([]saved, error)
	// write commits a batch whole or not at all. A row whose key exists is
	// left out, so the same batch may come again, also cut differently.
	write(ctx context.Context, b *batch) (written, error)
}

// batch is what a store commits at once.
type batch struct {
	requests []*usage.Request
	attempts []*usage.Attempt
	bodies   []*usage.Body
	save     []saved   // open entries to keep, in place of any at the same key
	forget   []openKey // open entries that are closed
}

func (b *batch) empty() bool {
	return len(b.requests)+len(b.attempts)+len(b.bodies)+len(b.save)+len(b.forget) == 0
}

// reset empties b and lets go of what it held.
func (b *batch) reset() {
	clear(b.requests)
	clear(b.attempts)
	clear(b.bodies)
	clear(b.save)
	*b = batch{b.requests[:0], b.attempts[:0], b.bodies[:0], b.save[:0], b.forget[:0]}
}

// written counts the rows of a batch that were new.
type written struct{ requests, attempts, bodies int }

// openKey names an open attempt or, with attempt 0, a request whose row does
// not exist yet although an attempt's does.
type openKey struct {
	job     string
	attempt int
}

// saved is an open entry as a store keeps it: a message of package usage with
// that one entry.
type saved struct {
	openKey
	data []byte
}

// ErrQuery is wrapped by the errors of queries that ask for what there is not.
var ErrQuery = errors.New("invalid query")

// Reader answers queries about what was recorded. It is safe for concurrent
// use.
type Reader interface {
	// Records returns request or attempt rows, newest first.
	Records(ctx context.Context, f Filter) (*Rows, error)
	// Usage sums up the requests since a time, the zero time meaning all, for
	// each combination of the columns in by: client, model, provider, key,
	// day, hour. Another name is an error that wraps ErrQuery.
	Usage(ctx context.Context, by []string, since time.Time) (*Rows, error)
	Close() error
}

// DefaultLimit is the number of records where a Filter names none.
const DefaultLimit = 100

// Filter selects records.
type Filter struct {
	RequestID string    // "" means any
	Attempts  bool      // attempt rows in place of request rows
	Since     time.Time // the zero time means all
	Limit     int       // <= 0 means DefaultLimit
}

// Rows is the answer to a query. A value is nil, a string, an int64, a
// float64, a bool or, where the column holds JSON, a json.RawMessage.
type Rows struct {
	Columns []string
	Values  [][]any
}
