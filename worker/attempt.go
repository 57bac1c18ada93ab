package worker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// Bounds of what is held of one answer, in bytes.
const (
	maxAnswer    = 64 << 20  // a plain answer
	maxErrorBody = 256 << 10 // an error answer
	maxPreamble  = 64 << 10  // comments before the first event
)

// attempt is one call to one upstream.
type attempt struct {
	job   *job
	step  router.Step
	began time.Time

	x      *convert.Exchange
	status int
	ttft   time.Duration
}

// make makes the call and relays the answer. It returns nil when the answer was
// given whole, and then the job is over.
func (a *attempt) make() *failure {
	j := a.job
	in := j.input()
	route := a.step.Route
	x, err := convert.New(in, convert.Target{Protocol: a.step.Protocol, Provider: route.Provider.Name, Vendor: route.Provider.Vendor,
		Model: route.Model, Defaults: route.Provider.DefaultParameters, Capabilities: route.Capabilities, Quirks: route.Provider.Quirks})
	if err != nil {
		return refusedHere(asError(err))
	}
	a.x = x
	a.start()
	url := route.URL(x.Endpoint())
	if in.Stream {
		url = route.StreamURL(x.Endpoint())
	}
	answer, err := j.w.cfg.Upstream.Do(j.run.Context(), provider.Call{
		URL: url, Header: a.header(in), Body: x.Body(), Stream: in.Stream, Secret: a.step.Key.Secret,
		KeyHeader: route.Provider.KeyHeader, KeyFormat: route.Provider.KeyFormat, Timers: a.step.Timers,
		Deadline: j.began.Add(j.run.TimeLeft),
	})
	if err != nil {
		return brokenOff(err)
	}
	defer answer.Close()
	a.status = answer.Status
	if answer.Status < 200 || answer.Status > 299 {
		return a.refusedThere(answer)
	}
	if answer.EventStream() {
		return a.stream(answer)
	}
	return a.plain(answer)
}

// header is what the upstream gets besides the key: what clients may pass on,
// and what the provider's file adds.
func (a *attempt) header(in convert.Input) http.Header {
	p := a.step.Route.Provider
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if in.Stream {
		h["Accept"] = []string{"text/event-stream"}
	}
	same := in.Client == a.step.Protocol.Wire()
	for name, values := range a.job.run.Header {
		switch name {
		case "User-Agent":
		case "Anthropic-Version":
			if !same {
				continue
			}
		case "Anthropic-Beta":
			if !same {
				continue
			}
			if values = allowedBetas(values, p.Quirks.BlockBetas); values == nil {
				continue
			}
		case "Openai-Beta":
			if a.step.Protocol == llm.Anthropic {
				continue
			}
		default:
			if !p.Forwards(name) {
				continue
			}
		}
		h[name] = values
	}
	if a.step.Protocol == llm.Anthropic && h["Anthropic-Version"] == nil {
		h["Anthropic-Version"] = []string{"2023-06-01"}
	}
	for name, value := range p.Headers {
		if name = http.CanonicalHeaderKey(name); h[name] == nil || name != "Anthropic-Version" {
			h[name] = []string{value}
		}
	}
	return h
}

// allowedBetas drops the flags that a host is known to refuse.
func allowedBetas(values, blocked []string) []string {
	if len(blocked) == 0 {
		return values
	}
	var kept []string
	for _, flag := range strings.Split(strings.Join(values, ","), ",") {
		flag = strings.TrimSpace(flag)
		ok := flag != ""
		for _, b := range blocked {
			ok = ok && flag != b
		}
		if ok {
			kept = append(kept, flag)
		}
	}
	if kept == nil {
		return nil
	}
	return []string{strings.Join(kept, ",")}
}

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
	head := a.head(answer)
	if !a.job.run.Stream {
		head.ContentLength = int64(len(out))
	}
	part := bus.Part{Head: head, Data: out, Content: true}
	if a.job.run.Stream {
		part.Events = 1
	}
	return a.close(part)
}

// stream relays an answer event by event. Nothing is sent before the first
// event: until then another upstream may still answer.
func (a *attempt) stream(answer *provider.Answer) *failure {
	j := a.job
	s := a.x.Stream()
	var out []byte
	for {
		events, err := answer.Next()
		if err == io.EOF {
			return a.streamEnd(answer, s, out)
		}
		if err != nil {
			return brokenOff(err)
		}
		part := bus.Part{}
		done := false
		for _, e := range events {
			var did convert.Emitted
			out, did, err = s.Event(out, e)
			part.Events += did.Events
			part.Content = part.Content || did.Content
			if done = did.Done; err != nil || done {
				break
			}
		}
		if err != nil {
			f := a.misanswered(err, events[len(events)-1].Data)
			if part.Events > 0 { // what came before it in the same read is good
				if e := a.send(answer, part, out); e != nil {
					return brokenOff(e)
				}
			}
			f.Sent = j.sent
			return f
		}
		if part.Content && a.ttft == 0 {
			a.ttft = time.Since(a.began)
		}
		if done {
			answer.Finish()
			part.Head, part.Data = a.headOnce(answer), out
			return a.close(part)
		}
		if part.Events == 0 && !j.sent {
			if len(out) > maxPreamble {
				out = out[:0]
			}
			continue // comments alone are no answer
		}
		if len(out) == 0 {
			continue
		}
		if err := a.send(answer, part, out); err != nil {
			return brokenOff(err)
		}
		out = out[:0]
	}
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
		if v := answer.Header[name]; len(v) > 0 && h.UpstreamID == "" {
			h.UpstreamID = v[0]
		}
	}
	if w := a.x.Warnings(); len(w) > 0 {
		h.Warnings = string(convert.AppendWarnings(nil, w))
	}
	if a.job.run.Endpoint == llm.CountTokens {
		h.TokenCount = "provider"
	}
	return h
}

// close sends the last part with the job's end, and records the attempt.
func (a *attempt) close(part bus.Part) *failure {
	j := a.job
	j.last = a.x.Usage()
	part.End = j.end(nil)
	part.End.Finish = a.x.FinishReason()
	if err := j.run.Send(part); err != nil {
		return brokenOff(err)
	}
	j.w.cfg.Keys.Report(j.walk.Served(a.ttft))
	a.finish(usage.OK, nil, "")
	return nil
}

// failure is how an attempt ended that did not answer.
type failure struct {
	router.Failure
	outcome usage.Outcome
	err     error  // what happened, for the log and the router's benefit
	kind    string // for the record
	message string // for the record, free of secrets
}

// told is what the client is told once the answer has begun.
func (f *failure) told() *llm.Error {
	if f.Told != nil {
		return f.Told
	}
	if f.outcome == usage.TimedOut {
		e := llm.NewError(llm.TimedOut, "the upstream stopped sending")
		e.Code = "upstream_timeout"
		return e
	}
	e := llm.NewError(llm.BadGateway, "the upstream's answer ended before its time")
	e.Code = "upstream_stream_truncated"
	return e
}

// refusedHere is a request that cannot be made of this target.
func refusedHere(e *llm.Error) *failure {
	return &failure{Failure: router.Failure{Fault: router.Answered, Status: http.StatusBadRequest, Told: e},
		outcome: usage.Error, err: e, kind: string(e.Kind), message: e.Message}
}

// refusedThere reads an upstream's error answer.
func (a *attempt) refusedThere(answer *provider.Answer) *failure {
	body, err := answer.ReadAll(maxErrorBody)
	if err != nil && !errors.Is(err, provider.ErrBodyTooLarge) && context.Cause(a.job.run.Context()) != nil {
		return brokenOff(err)
	}
	told := a.x.Error(answer.Status, answer.Header, body)
	meant := convert.Upstream(told)
	return &failure{Failure: router.Failure{Fault: router.Answered, Status: answer.Status, Header: answer.Header, Body: body, Told: told},
		outcome: usage.Error, err: told, kind: string(meant.Kind), message: meant.Message}
}

// misanswered is a successful status with an error in it, or an answer that
// cannot be understood.
func (a *attempt) misanswered(err error, data []byte) *failure {
	e := asError(err)
	f := &failure{err: e, kind: string(e.Kind), message: e.Message, outcome: usage.Error}
	f.Failure = router.Failure{Fault: router.Answered, Status: a.status, Body: data, Told: e}
	if errors.Is(err, convert.ErrCut) {
		f.outcome, f.Fault = usage.Cut, router.Cut
		if len(data) > 0 {
			f.Fault = router.Malformed
		}
	}
	return f
}

// brokenOff is a call that ended without an answer, or within one.
func brokenOff(err error) *failure {
	f := &failure{err: err, outcome: usage.Cut, kind: "cut", message: "the connection to the upstream broke"}
	f.Fault = router.Cut
	var timeout *provider.TimeoutError
	var dial *provider.DialError
	switch {
	case errors.As(err, &timeout):
		f.Fault, f.Timer = router.Timeout, string(timeout.Timer)
		f.outcome, f.kind, f.message = usage.TimedOut, "timeout", "timer "+f.Timer+" ran out"
	case errors.As(err, &dial):
		f.Fault, f.kind, f.message = router.Dial, "unreachable", "no connection to the upstream"
	case errors.Is(err, provider.ErrEventTooLarge), errors.Is(err, provider.ErrBodyTooLarge):
		f.Fault, f.message = router.Malformed, err.Error()
	}
	return f
}
