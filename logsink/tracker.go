package logsink

import (
	"slices"
	"strings"
	"time"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// defaultLeft is the time to the deadline for entries that do not say.
const defaultLeft = 10 * time.Minute

// tracker follows the jobs that are not complete: attempts that started and
// did not finish, and attempts whose request has no row yet. It turns entries
// into rows and has no clock or I/O of its own.
type tracker struct {
	jobs    map[string]*job
	touched map[string]*job         // by this batch
	unheard map[string]*usage.Entry // requests in this batch whose answering attempt is not known
	recent  recent
	batch   batch
}

func newTracker() *tracker {
	return &tracker{jobs: map[string]*job{}, touched: map[string]*job{}, unheard: map[string]*usage.Entry{}}
}

// restore adds an entry that a store had kept.
func (t *tracker) restore(s saved, now time.Time) error {
	entries, err := usage.Decode(s.data)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		j := t.job(s.job, e, now)
		if s.end {
			j.answer, j.done = e.Request, true
			continue
		}
		j.saved = append(j.saved, s.openKey)
		if e.Kind == usage.KindRequest && e.Request.Outcome != "" {
			j.held, j.heldSaved = e.Request, true
			continue
		}
		if e.Kind == usage.KindRequest {
			j.request, j.closed = *e.Request, true
			continue
		}
		j.open = append(j.open, attempt{*e, true})
		j.know(e)
	}
	clear(t.touched)
	return nil
}

// cut returns what the entries since the last cut come to.
func (t *tracker) cut(now time.Time) *batch {
	t.awaitUnheard(now)
	for _, j := range t.touched {
		t.release(j)
		for i := range j.open {
			if o := &j.open[i]; !o.saved {
				o.Left = j.deadline.Sub(now)
				o.Entry, o.saved = t.save(j, o.Attempt.Attempt, o.Entry), true
			}
		}
		held := j.held != nil
		if held && !j.heldSaved {
			e := t.save(j, 0, usage.Entry{Kind: usage.KindRequest, Ingress: j.ingress, Left: j.deadline.Sub(now), Request: j.held})
			j.held, j.heldSaved = e.Request, true
		}
		waiting := j.closed && !j.done && !held
		if waiting && j.changed {
			e := t.save(j, 0, usage.Entry{Kind: usage.KindRequest, Ingress: j.ingress, Left: j.deadline.Sub(now), Request: &j.request})
			j.request, j.changed = *e.Request, false
		}
		kept := j.saved[:0]
		for _, k := range j.saved {
			if k.attempt == 0 && (waiting || held) || k.attempt > 0 && j.find(k.attempt) >= 0 {
				kept = append(kept, k)
				continue
			}
			t.batch.forget = append(t.batch.forget, k)
		}
		j.saved = kept
		if len(j.open) == 0 && !waiting {
			delete(t.jobs, j.id)
		}
	}
	clear(t.touched)
	b := t.batch
	t.batch = batch{}
	return &b
}

// save adds an entry to what the store keeps. The copy it returns does not
// hold on to the message that the entry came in.
func (t *tracker) save(j *job, number int, e usage.Entry) usage.Entry {
	s := saved{openKey: openKey{j.id, number}, data: usage.Encode(e.Process, e)}
	t.batch.save = append(t.batch.save, s)
	if !slices.Contains(j.saved, s.openKey) {
		j.saved = append(j.saved, s.openKey)
	}
	if own, err := usage.Decode(s.data); err == nil && len(own) == 1 {
		return own[0]
	}
	return e
}

// apply takes one entry of LOG.
func (t *tracker) apply(e *usage.Entry, now time.Time) {
	switch e.Kind {
	case usage.KindBody:
		t.batch.bodies = append(t.batch.bodies, e.Body)
	case usage.KindRequest:
		t.finishRequest(e)
	case usage.KindStarted:
		j := t.job(e.Attempt.JobID, e, now)
		j.know(e)
		if j.find(e.Attempt.Attempt) < 0 {
			j.open = append(j.open, attempt{Entry: *e})
		}
	case usage.KindFinished:
		t.finishAttempt(e, now)
	case usage.KindLost:
		t.lose(e, now)
	}
}

// job returns the job an entry belongs to, made if it is not known.
func (t *tracker) job(id string, e *usage.Entry, now time.Time) *job {
	j := t.jobs[id]
	if j == nil {
		id = strings.Clone(id) // not the whole message
		left := e.Left
		if left <= 0 {
			left = defaultLeft
		}
		j = &job{id: id, ingress: strings.Clone(e.Ingress), deadline: now.Add(left), done: t.recent.has(id)}
		t.jobs[id] = j
	}
	t.touched[j.id] = j
	return j
}

func (t *tracker) finishRequest(e *usage.Entry) {
	j := t.jobs[e.Request.JobID]
	if j != nil && !j.done && e.Request.ErrorType == usage.IngressLost {
		return // a worker's word who did not know of the attempts; the sweep does
	}
	if j != nil && !j.done && j.mustWait(e.Request) {
		if j.held == nil {
			j.held = e.Request
		}
		t.touched[j.id] = j
		return
	}
	if j != nil {
		j.complete(e.Request)
	}
	t.batch.requests = append(t.batch.requests, e.Request)
	if answered := e.Request.Attempts; e.Request.Outcome == usage.OK && answered > 0 && !j.knows(answered) {
		t.unheard[e.Request.JobID] = e
	}
	if j == nil {
		t.recent.add(strings.Clone(e.Request.JobID))
		return
	}
	j.answered(e.Request)
	t.touched[j.id] = j
	t.recent.add(j.id)
}

// release writes the row of a request that was held, once its last attempt is closed.
func (t *tracker) release(j *job) {
	if j.held == nil || j.mustWait(j.held) {
		return
	}
	r := j.held
	j.held = nil
	j.complete(r)
	t.batch.requests = append(t.batch.requests, r)
	j.answered(r)
	t.recent.add(j.id)
}

// awaitUnheard opens the attempts that answered and of which their workers have
// said nothing so far.
func (t *tracker) awaitUnheard(now time.Time) {
	for id, e := range t.unheard {
		j := t.job(id, e, now)
		if !j.knows(e.Request.Attempts) {
			j.open = append(j.open, attempt{Entry: unheard(e)})
		}
		j.answered(e.Request)
	}
	clear(t.unheard)
}

// unheard is the attempt that answered a request, as the request's entry tells
// of it. Its worker's own word is on its way, unless the worker died before it
// could say anything.
func unheard(e *usage.Entry) usage.Entry {
	r := e.Request
	return usage.Entry{Kind: usage.KindStarted, Process: r.WorkerID, Ingress: e.Ingress, Attempt: &usage.Attempt{
		JobID: r.JobID, Attempt: r.Attempts, Time: r.Time, RequestID: r.RequestID, Delivery: r.Deliveries,
		Provider: r.Provider, UpstreamModel: r.UpstreamModel, RouteID: r.RouteID, KeyFP: r.KeyFP,
		TTFTMS: r.TTFTMS, TotalMS: r.TotalMS, WorkerID: r.WorkerID,
	}}
}

func (t *tracker) finishAttempt(e *usage.Entry, now time.Time) {
	t.batch.attempts = append(t.batch.attempts, e.Attempt)
	if r := t.unheard[e.Attempt.JobID]; r != nil && r.Request.Attempts == e.Attempt.Attempt {
		delete(t.unheard, e.Attempt.JobID)
	}
	if t.jobs[e.Attempt.JobID] == nil && t.recent.has(e.Attempt.JobID) {
		return // the request's row came first: nothing is open
	}
	j := t.job(e.Attempt.JobID, e, now)
	j.know(e)
	j.close(e.Attempt)
}

// lose closes what a lost worker had open. The ingress may not know how far
// its worker had come, so the entry stands for every open attempt of the
// delivery. The attempt it names gets a row in any case: its worker may have died
// before it could say anything.
func (t *tracker) lose(e *usage.Entry, now time.Time) {
	j := t.job(e.Attempt.JobID, e, now)
	j.know(e)
	named := j.knows(e.Attempt.Attempt)
	var lost []*usage.Attempt
	for _, o := range j.open {
		if o.Attempt.Attempt == e.Attempt.Attempt || o.Attempt.Delivery == e.Attempt.Delivery {
			lost = append(lost, merge(o.Attempt, e.Attempt))
		}
	}
	if lost == nil || !named {
		a := *e.Attempt
		a.Outcome = usage.WorkerLost
		lost = append(lost, &a)
	}
	for _, a := range lost {
		t.batch.attempts = append(t.batch.attempts, a)
		j.close(a)
	}
}

// merge returns the row of an attempt that was lost, as its worker began it
// and its ingress ended it.
func merge(started, lost *usage.Attempt) *usage.Attempt {
	a := *started
	a.Outcome = usage.WorkerLost
	a.Action = lost.Action
	a.ErrorType, a.ErrorMessage = lost.ErrorType, lost.ErrorMessage
	if a.UsageSource == "" || a.UsageSource == llm.UsageNone {
		a.Spend = lost.Spend // else the worker knew better
	}
	a.TTFTMS, a.TotalMS = lost.TTFTMS, lost.TotalMS
	if a.Status == 0 {
		a.Status = lost.Status
	}
	return &a
}
