package logsink

import (
	"slices"
	"time"

	"model-proxy/internal/usage"
)

const (
	silence    = 10 * time.Second // after which a process counts as dead
	lateness   = 30 * time.Second // past the deadline, an open attempt is closed
	forgetting = time.Hour        // past the deadline, a request without a row is given up
)

// sweep closes what nobody else will close any more. It must be called only
// when LOG holds nothing unread. Attempts whose deadline was before overdue
// are closed whoever lives.
func (t *tracker) sweep(now, overdue time.Time, alive Liveness) {
	for _, j := range t.jobs {
		ingressGone := j.ingress != "" && alive.Silence(j.ingress) >= silence
		nobodyTells := ingressGone || j.done || j.held != nil // but the worker, if it lives
		for _, o := range slices.Clone(j.open) {
			if j.deadline.Before(overdue) || nobodyTells && alive.Silence(o.Process) >= silence {
				t.touched[j.id] = j
				a := j.unreported(o.Attempt)
				t.batch.attempts = append(t.batch.attempts, a)
				j.close(a)
			}
		}
		switch {
		case len(j.open) > 0 || j.done || j.held != nil:
		case ingressGone:
			t.touched[j.id] = j
			t.loseRequest(j)
		case now.Sub(j.deadline) > forgetting:
			t.touched[j.id] = j
			j.done = true
		}
	}
}

// unreported is the row of an attempt that began so and whose worker tells nothing
// more. If its request was answered by it, it was answered.
func (j *job) unreported(began *usage.Attempt) *usage.Attempt {
	a := *began
	if r := j.answer; r != nil && r.Outcome == usage.OK && r.Attempts == a.Attempt {
		a.Outcome, a.Status, a.Spend = usage.OK, r.Status, r.Spend
		return &a
	}
	a.Outcome, a.ErrorType = usage.WorkerLost, string(usage.WorkerLost)
	a.ErrorMessage = "its worker died, or never told of its end"
	return &a
}

// loseRequest writes the row of a request whose ingress died.
func (t *tracker) loseRequest(j *job) {
	r := j.request
	r.LoseIngress()
	r.IngressID = j.ingress
	t.batch.requests = append(t.batch.requests, &r)
	j.done = true
	t.recent.add(j.id)
}
