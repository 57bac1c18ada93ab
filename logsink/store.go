package logsink

import (
	"context"
	"errors"
	"time"

	"model-proxy/internal/usage"
)

// store keeps the rows: SQLite or ClickHouse.
type store interface {
	// lead waits until nobody else writes to the store.
	lead(ctx context.Context) error
	// hold keeps it so until ctx ends, and then lets the next one lead. Before,
	// it returns only with errSuperseded, when another has taken over.
	hold(ctx context.Context) error
	// load returns what the store holds for the Sink that leads.
	load(ctx context.Context) (loaded, error)
	// enough says how many rows are worth a write, and how long to wait for
	// more if there are fewer.
	enough() (rows int, wait time.Duration)
	// sift readies a batch for write, and may do so while the one before it is
	// being written. After an error the same batch must come again.
	sift(ctx context.Context, b *batch) error
	// write commits a batch that was sifted. After an error the same batch must
	// come again, until it works or another Sink loads. A row whose key exists is
	// left out, so what a batch held may come again later, cut differently. It
	// returns errSuperseded if another has taken over.
	write(ctx context.Context, b *batch) (written, error)
}

// loaded is what a store knows at the start.
type loaded struct {
	// open are the entries saved as open, each at its key, and for those of
	// them whose request has its row an entry that tells its end, at attempt 0.
	open []saved
	// acks acknowledge the messages of a batch that was in hand when the last
	// Sink ended, and is stored now.
	acks []string
}

// batch is what a store commits at once.
type batch struct {
	requests []*usage.Request
	attempts []*usage.Attempt
	bodies   []*usage.Body
	save     []saved   // open entries to keep, in place of any at the same key
	forget   []openKey // open entries that are closed
	acks     []string  // acknowledge the messages that it came in
	hand     *intent   // what ClickHouse's sift made of it
}

// rows counts what a batch brings to the tables.
func (b *batch) rows() int { return len(b.requests) + len(b.attempts) + len(b.bodies) }

func (b *batch) empty() bool {
	return b.rows()+len(b.save)+len(b.forget) == 0
}

// written counts the rows of a batch that were new.
type written struct{ requests, attempts, bodies int }

// openKey names an open attempt or, with attempt 0, a request whose row does
// not exist yet although an attempt's or its own record does.
type openKey struct {
	job     string
	attempt int
}

// saved is an open entry as a store keeps it: a message of package usage with
// that one entry.
type saved struct {
	openKey
	data []byte
	end  bool // it is none, but tells how a request ended that has its row
}

// endColumns are those of requests that loaded.open tells of an end.
const endColumns = `job_id, outcome, attempts, status,
	prompt_tokens, cached_read_tokens, cached_write_tokens, completion_tokens, reasoning_tokens, usage_source, cost_nano_usd`

// endOf tells how a request ended of which an attempt is still open.
func endOf(r *usage.Request) saved {
	return saved{openKey{r.JobID, 0}, usage.Encode("", usage.Entry{Kind: usage.KindRequest, Request: r}), true}
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
