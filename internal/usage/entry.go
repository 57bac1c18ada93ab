package usage

import "time"

// Kind says what an Entry reports.
type Kind uint8

const (
	KindStarted  Kind = 1 // by the worker: an attempt is about to dial
	KindFinished Kind = 2 // by the worker: it ended; repeats all that KindStarted held
	KindLost     Kind = 3 // by the ingress: the worker of an attempt is gone
	KindRequest  Kind = 4 // by the ingress: the request ended
	KindBody     Kind = 5 // by the ingress: what LOG_BODIES keeps of it
)

// Entry is one line of LOG, in the order in which its writer knew it. The
// first entry that closes a key makes the row, later ones are only counted.
type Entry struct {
	Kind Kind

	// Process is the worker or ingress that wrote the entry. Packer sets it.
	Process string
	// Ingress is the one that holds the job's client, "" if not known. When
	// it falls silent the sink writes the request's row in its place.
	Ingress string
	// Left is the time to the request's deadline when the entry was written.
	// A duration, because no two processes compare their clocks.
	Left time.Duration

	// Attempt is set for KindStarted, KindFinished and KindLost. A KindLost
	// holds at least JobID, Attempt, Delivery, Time and WorkerID.
	Attempt *Attempt
	// Request is set for KindRequest. A worker may set what it knows (client,
	// endpoint, model, …) in its own entries too, so that a request whose
	// ingress dies still leaves a row that names its client.
	Request *Request
	// Body is set for KindBody.
	Body *Body
}

// complete reports whether e holds what its kind promises.
func (e *Entry) complete() bool {
	switch e.Kind {
	case KindStarted, KindFinished, KindLost:
		return e.Attempt != nil
	case KindRequest:
		return e.Request != nil
	case KindBody:
		return e.Body != nil
	}
	return false
}
