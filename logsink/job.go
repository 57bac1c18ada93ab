package logsink

import (
	"time"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// job is one request of which something is open.
type job struct {
	id        string
	ingress   string
	deadline  time.Time // by the sink's own clock
	request   usage.Request
	done      bool           // its row exists, so request does not matter any more
	answer    *usage.Request // what that row says of the end, if an attempt was open then
	held      *usage.Request // its record, which waits for its last attempt, see mustWait
	closed    bool           // at least one attempt's row exists
	lost      int64          // nano-dollars of attempts whose workers were lost
	changed   bool           // request differs from what is saved
	heldSaved bool           // held is in the store
	open      []attempt
	saved     []openKey // in the store
}

// attempt is one that started. Its entry holds the attempt.
type attempt struct {
	usage.Entry
	saved bool
}

// know adds to j.request what a worker's entry tells of the request.
func (j *job) know(e *usage.Entry) {
	if j.done {
		return
	}
	r := &j.request
	if r.ClientID == "" && e.Request != nil {
		attempts, deliveries, spend := r.Attempts, r.Deliveries, r.Spend
		*r = *e.Request
		r.Attempts, r.Deliveries, r.Spend = attempts, deliveries, spend
	}
	a := e.Attempt
	r.JobID = j.id
	if r.RequestID == "" {
		r.RequestID = a.RequestID
	}
	if r.Time == 0 {
		r.Time = a.Time
	}
	r.Deliveries = max(r.Deliveries, a.Delivery)
	j.changed = true
}

// close notes that attempt a has its row.
func (j *job) close(a *usage.Attempt) {
	if i := j.find(a.Attempt); i >= 0 {
		j.open = append(j.open[:i], j.open[i+1:]...)
	}
	j.closed = true
	if a.Outcome == usage.WorkerLost && a.CostNanoUSD != nil {
		j.lost += *a.CostNanoUSD
	}
	if j.done || a.Attempt < j.request.Attempts {
		return
	}
	r := &j.request
	again := a.Attempt == r.Attempts
	r.Attempts = a.Attempt
	r.Provider, r.UpstreamModel, r.RouteID, r.KeyFP = a.Provider, a.UpstreamModel, a.RouteID, a.KeyFP
	r.WorkerID = a.WorkerID
	cost := r.CostNanoUSD
	r.Spend = a.Spend
	r.CostNanoUSD = cost
	if a.CostNanoUSD != nil && !again {
		total := *a.CostNanoUSD
		if cost != nil {
			total += *cost
		}
		r.CostNanoUSD = &total
	}
	j.changed = true
}

// endUnheard reports whether the ingress that wrote r did not hear of its last
// attempt's end, with what all of them used: it has lost the worker, or NATS.
func endUnheard(r *usage.Request) bool {
	return r.Outcome != usage.OK && r.Attempts > 0 && r.PriceVersion == ""
}

// mustWait reports whether what r used is told by an attempt that is still open.
func (j *job) mustWait(r *usage.Request) bool {
	return endUnheard(r) && j.find(r.Attempts) >= 0
}

// complete adds to a request's record what attempts tell of what it has used.
func (j *job) complete(r *usage.Request) {
	if !j.done && endUnheard(r) && j.request.Attempts == r.Attempts {
		r.Spend, r.PriceVersion = j.request.Spend, j.request.PriceVersion
		return
	}
	j.addLost(r)
}

// addLost adds to a request's cost that of the attempts whose workers were lost:
// who wrote the record knew only those of the last worker. A sink that starts in
// between does not know either.
func (j *job) addLost(r *usage.Request) {
	switch {
	case j.lost == 0:
	case r.CostNanoUSD != nil:
		total := *r.CostNanoUSD + j.lost
		r.CostNanoUSD = &total
	case r.UsageSource == "" || r.UsageSource == llm.UsageNone: // no other attempt used anything
		lost := j.lost // which may grow while the row is being stored
		r.CostNanoUSD = &lost
	}
}

// answered notes that the request has its row.
func (j *job) answered(r *usage.Request) {
	j.done = true
	j.answer = &usage.Request{JobID: j.id, Outcome: r.Outcome, Attempts: r.Attempts, Status: r.Status, Spend: r.Spend}
}

// knows reports whether a worker has told of an attempt. A nil job knows of none.
func (j *job) knows(number int) bool {
	return j != nil && (number <= j.request.Attempts || j.find(number) >= 0)
}

// find returns the index in j.open of an attempt, or -1.
func (j *job) find(number int) int {
	for i := range j.open {
		if j.open[i].Attempt.Attempt == number {
			return i
		}
	}
	return -1
}
