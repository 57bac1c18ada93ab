package worker

import (
	"io"
	"sync"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/usage"
)

// Bounds of what is held of one answer, in bytes.
const (
	maxAnswer    = 64 << 20  // a plain answer
	maxErrorBody = 256 << 10 // an error answer
	maxPreamble  = 64 << 10  // comments before the first event
	maxID        = 256       // the upstream's name for it; a longer one would spoil the client's header lines
)

// outputs are for what one read from an upstream comes to.
var outputs = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// maxOutput is the capacity above which one is not kept, in bytes.
const maxOutput = 64 << 10

// plain relays an answer in one piece.
func (a *attempt) plain(answer *provider.Answer) *failure {
	body, err := answer.ReadAll(maxAnswer)
	if err != nil {
		return brokenOff(err)
	}
	out, err := a.x.Answer(nil, answer.Status, answer.Header, body)
	if err != nil {
		return a.misanswered(err, body)
	}
	a.ttft = time.Since(a.began)
	if a.x.Paused() {
		return nil
	}
	head := a.head(answer)
	if !a.job.run.Stream {
		head.ContentLength = int64(len(out))
	}
	part := bus.Part{Head: head, Data: out, Given: true, Content: true}
	if a.job.run.Stream {
		part.Events = 1
	}
	return a.close(part)
}

// stream relays an answer event by event. Nothing is sent before the first
// event: until then another upstream may still answer.
func (a *attempt) stream(answer *provider.Answer) *failure {
	pooled := outputs.Get().(*[]byte)
	out := *pooled
	defer func() { // every Send has made a copy
		if cap(out) <= maxOutput {
			*pooled = out[:0]
			outputs.Put(pooled)
		}
	}()
	for {
		events, err := answer.Next()
		if err == io.EOF {
			return a.streamEnd(answer, a.s, out)
		}
		if err != nil {
			return brokenOff(err)
		}
		var got read
		out, got = a.convertEvents(out, events)
		if got.err != nil {
			return a.misread(answer, got, out)
		}
		if got.Content && a.ttft == 0 {
			a.ttft = time.Since(a.began)
		}
		switch {
		case got.done:
			answer.Finish()
			got.Head, got.Data = a.headOnce(answer), out
			return a.close(got.Part)
		case got.Events == 0 && !a.job.sent && !a.x.Paused(): // comments alone are no answer
			if len(out) > maxPreamble {
				out = out[:0]
			}
		case len(out) > 0:
			if err := a.send(answer, got.Part, out); err != nil {
				return brokenOff(err)
			}
			out = out[:0]
		}
		if a.x.Paused() {
			answer.Finish()
			return nil
		}
	}
}

// read is what the events of one read from an upstream come to.
type read struct {
	bus.Part        // of which it sets Events and Content
	done     bool   // the last event of the answer is among them
	err      error  // why one of them is not understood; those before it are good
	bad      []byte // that one
}

// convertEvents appends what events come to, up to the answer's end, a pause, or
// one that is not understood.
func (a *attempt) convertEvents(out []byte, events []llm.Event) ([]byte, read) {
	var got read
	for i := range events {
		var did convert.Emitted
		out, did, got.err = a.s.Event(out, events[i])
		got.Events += did.Events
		got.Content = got.Content || did.Content
		got.done = did.Done
		if got.err != nil {
			got.bad = events[i].Data
			break
		}
		if got.done || a.x.Paused() {
			break
		}
	}
	return out, got
}

// misread ends a stream with an event that is not understood. What came before it
// in the same read goes to the client.
func (a *attempt) misread(answer *provider.Answer, got read, out []byte) *failure {
	f := a.misanswered(got.err, got.bad)
	if got.Events > 0 {
		if err := a.send(answer, got.Part, out); err != nil {
			return brokenOff(err)
		}
	}
	f.Sent = a.job.sent
	return f
}

// streamEnd is called at the end of the upstream's bytes.
func (a *attempt) streamEnd(answer *provider.Answer, s *convert.Stream, out []byte) *failure {
	before := len(out)
	out, err := s.End(out)
	if err != nil {
		f := a.misanswered(err, nil)
		f.Sent = a.job.sent
		return f
	}
	if a.ttft == 0 {
		a.ttft = time.Since(a.began)
	}
	part := bus.Part{Head: a.headOnce(answer), Data: out, Content: true}
	if len(out) > before && a.job.run.Stream {
		part.Events = 1
	}
	if !a.job.run.Stream && part.Head != nil {
		part.Head.ContentLength, part.Head.ContentType = int64(len(out)), "application/json"
	}
	return a.close(part)
}

func (a *attempt) send(answer *provider.Answer, part bus.Part, out []byte) error {
	part.Head, part.Data = a.headOnce(answer), out
	if err := a.job.run.Send(part); err != nil {
		return err
	}
	a.job.sent = true
	return nil
}

// headOnce is the head, before anything was sent.
func (a *attempt) headOnce(answer *provider.Answer) *bus.Head {
	if a.job.sent {
		return nil
	}
	return a.head(answer)
}

func (a *attempt) head(answer *provider.Answer) *bus.Head {
	h := &bus.Head{Status: answer.Status, ContentType: "application/json", ContentLength: -1}
	client := a.job.run.Endpoint.Protocol()
	if client == a.step.Protocol.Wire() {
		if v := answer.Header["Content-Type"]; len(v) > 0 && !a.job.run.Stream {
			h.ContentType = v[0]
		}
	} else {
		h.Conversion = string(convert.AppendConversion(nil, client, a.step.Protocol))
	}
	for _, name := range [...]string{"X-Request-Id", "Request-Id"} {
		if v := answer.Header[name]; len(v) > 0 && len(v[0]) <= maxID && h.UpstreamID == "" {
			h.UpstreamID = v[0]
		}
	}
	if w := a.x.Warnings(); len(w) > 0 {
		h.Warnings = string(convert.AppendWarnings(nil, w))
		a.job.warned = len(w)
	}
	if a.job.run.Endpoint == llm.CountTokens {
		h.TokenCount = "provider"
	}
	return h
}

// close sends the last part with the job's end, and records the attempt.
func (a *attempt) close(part bus.Part) *failure {
	j := a.job
	a.keepThinking()
	j.last = a.x.Whole(a.x.Usage())
	part.End = j.end(nil)
	bill, spent := j.bill, a.spend(a.x.Usage(), true)
	bill.Add(&spent)
	j.charge(part.End, &bill)
	part.End.Finish = a.x.FinishReason()
	if err := j.run.Send(part); err != nil {
		return brokenOff(err)
	}
	j.w.cfg.Keys.Report(j.walk.Served(a.ttft))
	a.finish(usage.OK, nil, "")
	return nil
}
