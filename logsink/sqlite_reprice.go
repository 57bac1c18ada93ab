package logsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// Repricing says which costs to reckon anew, and by which prices.
type Repricing struct {
	From, To time.Time // of the requests, To itself left out; the zero times are the beginning and the end
	Version  string    // of the price list
	Price    func(provider, upstreamModel string) *llm.Price
	DryRun   bool // only count
}

// Repriced is what a Repricing came to. Its sums leave out requests without a
// cost.
type Repriced struct {
	Requests      int   `json:"requests"`   // all of the time
	Changed       int   `json:"changed"`    // whose cost is another one now
	Incomplete    int   `json:"incomplete"` // left as they were: an attempt has no record
	Unpriced      int   `json:"unpriced"`   // used tokens and have no cost now
	BeforeNanoUSD int64 `json:"before_nano_usd"`
	CostNanoUSD   int64 `json:"cost_nano_usd"`
}

// repriceAtOnce is how many requests share a transaction. The gateway's own
// writes wait for it.
const repriceAtOnce = 500

// Reprice reckons costs anew in the SQLite store in dir, also while a gateway
// writes there. Requests of which an attempt's record is missing keep their
// cost: it holds more than the rest shows. What was done stays done if it ends
// with an error. The error wraps fs.ErrNotExist if there is no store.
func Reprice(ctx context.Context, dir string, r Repricing) (Repriced, error) {
	if _, err := os.Stat(filepath.Join(dir, sqliteFile)); err != nil {
		return Repriced{}, fmt.Errorf("open records: %w", err)
	}
	s, err := OpenSQLite(dir)
	if err != nil {
		return Repriced{}, err
	}
	p := repricer{Repricing: r, db: s.db}
	for more := true; more && err == nil; {
		more, err = p.step(ctx)
	}
	if err != nil {
		err = fmt.Errorf("reckon costs anew: %w", err)
	}
	return p.sum, errors.Join(err, s.Close())
}

// repricer walks through the requests in the order of their keys.
type repricer struct {
	Repricing
	db    *sql.DB
	after string // the job_id up to which all is done
	sum   Repriced
}

// pricedRequest is one request while its cost is reckoned.
type pricedRequest struct {
	id       string
	endpoint llm.Endpoint
	attempts int  // made, by the request's record
	found    int  // with a record of their own
	used     bool // any tokens
	before   sql.NullInt64
	version  string
	bill     usage.Bill
}

// step reckons the next requests in one transaction; more tells that it may
// not have been the last.
func (p *repricer) step(ctx context.Context) (more bool, err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // after a commit it does nothing
	requests, err := p.requests(ctx, tx)
	if err != nil || len(requests) == 0 {
		return false, err
	}
	byID := map[string]*pricedRequest{}
	for _, r := range requests {
		byID[r.id] = r
	}
	p.after = requests[len(requests)-1].id
	attempts, err := p.attempts(ctx, tx, requests[0].id, p.after, byID)
	if err != nil {
		return false, err
	}
	for _, a := range attempts {
		if r := byID[a.job]; r.found == r.attempts {
			if err := p.update(ctx, tx, "update attempts set cost_nano_usd = ? where job_id = ? and attempt = ?", nullable(a.CostNanoUSD), a.job, a.number); err != nil {
				return false, err
			}
		}
	}
	for _, r := range requests {
		if err := p.finish(ctx, tx, r); err != nil {
			return false, err
		}
	}
	return len(requests) == repriceAtOnce, tx.Commit()
}

// requests returns the next ones of the time.
func (p *repricer) requests(ctx context.Context, tx *sql.Tx) ([]*pricedRequest, error) {
	where, args := since(p.From)
	if !p.To.IsZero() {
		where, args = where+" and time < ?", append(args, usage.At(p.To).String())
	}
	rows, err := tx.QueryContext(ctx, `select job_id, endpoint, attempts, prompt_tokens + completion_tokens > 0, cost_nano_usd, price_version from requests
		where `+where+` and job_id > ? order by job_id limit ?`, append(args, p.after, repriceAtOnce)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*pricedRequest
	for rows.Next() {
		r := &pricedRequest{}
		if err := rows.Scan(&r.id, &r.endpoint, &r.attempts, &r.used, &r.before, &r.version); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// pricedAttempt is one attempt with its new cost.
type pricedAttempt struct {
	job    string
	number int
	usage.Spend
}

// attempts reckons those of the requests between two keys.
func (p *repricer) attempts(ctx context.Context, tx *sql.Tx, first, last string, of map[string]*pricedRequest) ([]pricedAttempt, error) {
	rows, err := tx.QueryContext(ctx, `select a.job_id, a.attempt, provider, upstream_model, outcome, `+strings.Join(names(tokenColumns), ", ")+`,
		usage_source, cost_nano_usd, coalesce(cached_write_1h_tokens, 0), coalesce(service_tier, '')
		from attempts a left join spend_details d on d.job_id = a.job_id and d.attempt = a.attempt
		where a.job_id >= ? and a.job_id <= ?`, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []pricedAttempt
	for rows.Next() {
		a := pricedAttempt{}
		s := &a.Spend
		var provider, model string
		var outcome usage.Outcome
		if err := rows.Scan(&a.job, &a.number, &provider, &model, &outcome, &s.PromptTokens, &s.CachedReadTokens, &s.CachedWriteTokens,
			&s.CompletionTokens, &s.ReasoningTokens, &s.UsageSource, &s.CostNanoUSD, &s.CachedWrite1hTokens, &s.ServiceTier); err != nil {
			return nil, err
		}
		r := of[a.job]
		if r == nil {
			continue // of another time
		}
		r.found++
		if outcome != usage.WorkerLost || s.UsageSource != llm.UsageNone { // else nobody knows what it used
			s.CostNanoUSD = nil
			if cost, ok := usage.Cost(p.Price(provider, model), r.endpoint, s.Usage()); ok {
				s.CostNanoUSD = &cost
			}
		}
		r.bill.Add(s)
		list = append(list, a)
	}
	return list, rows.Err()
}

// finish writes a request's new cost and counts it.
func (p *repricer) finish(ctx context.Context, tx *sql.Tx, r *pricedRequest) error {
	p.sum.Requests++
	p.sum.BeforeNanoUSD += r.before.Int64
	if r.attempts == 0 {
		return nil
	}
	if r.found != r.attempts {
		p.sum.Incomplete++
		p.sum.CostNanoUSD += r.before.Int64
		return nil
	}
	var now sql.NullInt64
	now.Int64, now.Valid = r.bill.Total()
	p.sum.CostNanoUSD += now.Int64
	if !now.Valid && r.used {
		p.sum.Unpriced++
	}
	if now != r.before {
		p.sum.Changed++
	}
	if now == r.before && r.version == p.Version {
		return nil
	}
	return p.update(ctx, tx, "update requests set cost_nano_usd = ?, price_version = ? where job_id = ?", now, p.Version, r.id)
}

func (p *repricer) update(ctx context.Context, tx *sql.Tx, statement string, args ...any) error {
	if p.DryRun {
		return nil
	}
	_, err := tx.ExecContext(ctx, statement, args...)
	return err
}

func nullable(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

// insertSpendDetails keeps what no column of attempts has and a cost depends on.
func insertSpendDetails(ctx context.Context, tx *sql.Tx, attempts []*usage.Attempt) error {
	for _, a := range attempts {
		if a.CachedWrite1hTokens == 0 && a.ServiceTier == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, "insert or ignore into spend_details values (?, ?, ?, ?)", a.JobID, a.Attempt, a.CachedWrite1hTokens, a.ServiceTier); err != nil {
			return err
		}
	}
	return nil
}
