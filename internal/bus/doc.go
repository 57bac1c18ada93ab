// Package bus is the queue between ingresses and workers: an embedded or a
// remote NATS server, the streams on it, the envelope of a job, and the relay
// that carries an answer back. It promises that an admitted job runs once at a
// time, that an answer arrives whole and in order or ends in an error, and that
// neither side waits for a peer that is gone. What a job means is others' work.
//
// # The way of a job
//
//	ingress                          NATS                            worker
//	   │                              │ ◄──────── pull, n free slots ────│
//	   │── req.<pool>.<lane>.<client> ► REQ                              │
//	   │ ◄──── PubAck, or a refusal ──│ ────────────── job ─────────────►│
//	   │                              │        (delivered again? "run?") │
//	   │ ◄─────────────── R.<ingress>.<token>: accepted ─────────────────│
//	   │                              │ ◄──────────── +ACK ──────────────│
//	   │ ◄─────────────── head, events …, end ───────────────────────────│ ⇄ upstream
//	   │── C.<worker>.<run>: credit, or X ──────────────────────────────►│
//	   │── C.<worker>: ends that arrived ───────────────────────────────►│
//
// Where ingress and worker share a process with the embedded server, a job that
// finds a free slot and nothing that waits for it, its frames and their credit go
// from one to the other by a call (near.go). All else is the same.
//
// # Subjects
//
//	req.<pool>.<lane>.<client>   jobs; stream REQ, in memory, work queue
//	log.<process>                packed records; stream LOG, on disk
//	R.<ingress>.<token>          to an ingress, about one job: frames, PubAck, "run?"
//	R.<ingress>                  a worker asks which of its runs are still wanted
//	C.<worker>.<run>             to a worker, about one run: credit, resend, cancel, grant, wanted or not, parts
//	C.<worker>                   to a worker, about many: acknowledged ends, probes
//	X.<run>                      to whichever worker sends frames that nobody wants
//	part.<ingress>.<token>       a worker asks for a piece of a large body
//	hb.<process>                 a sign of life every 500 ms, with free slots or held jobs
//	sink.<writer>                a log sink asks whether the one that writes is there
//	P.<worker>.<n>.<m>.<pull>    jobs for a worker, and words about its pulls
//
// Names from outside stand in subjects as a Token.
//
// # Slots and turns
//
// A worker asks for as many jobs as it has free slots. Where more wait, its slots
// go to the lanes as 8 : 4 : 1 (slots.go). An ingress holds back what one client
// has in a lane beyond what the workers are about to take, so that the queue
// stays short and clients take turns (gate.go).
//
// # Runs, frames and credit
//
// Each delivery of a job is a run with a random number, and the ingress grants
// one run at a time. The first frame of a first delivery is its request and
// takes the grant; a worker that gets a job the queue had handed out before asks
// first. Frames of any other run are answered with a cancel.
//
// Frames are numbered. A worker keeps what it sent until credit covers it, and
// credit moves as the client takes bytes, at most 64 frames and 256 KB ahead.
// The acceptance and attempts, which the ingress itself reads, do not count. A
// gap, or a silence, makes the ingress name the frame it wants next. So the loss
// of a connection for seconds is a pause, and a slow client slows its own
// upstream and nobody else.
//
// # Death
//
// The ingress probes every worker that runs its jobs four times a second. Nobody
// listening under its name, or no beat for 2 s, means it is gone: if the client
// has no answer byte yet the job is published again, as the next delivery, at
// most twice. If it has, a worker is waited for 5 s, since it may only be
// reconnecting, and then the answer ends in an error. A worker treats its
// ingresses the same way and stops calling upstreams for those that are gone.
// What a process slept itself, on a machine that stood still, is no silence of others.
// A worker that has slept, or for which the server has, asks before it begins a call.
// A process without a connection gives up after 4 s, before others give it up. An
// ingress that hears nothing for 2 s, not even its own beats, takes no request in.
// A job that waits in the queue when its ingress dies is run by nobody, and is
// recorded by the worker that gets it, or by the log sink (orphan.go).
// No process compares its clock with another's.
package bus
