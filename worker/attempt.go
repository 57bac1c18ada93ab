package worker

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// attempt is one call to one upstream.
type attempt struct {
	job    *job
	step   router.Step
	began  time.Time
	called bool // the upstream was

	// Of its call, from start on.
	rec     *usage.Attempt
	request *usage.Request

	x      *convert.Exchange
	s      *convert.Stream // of an answer that comes as events
	rest   bool            // it is the rest of a paused answer
	status int
	ttft   time.Duration
	cost   int64 // nano-dollars, once it is known; see spend
	span   *span.Attempt
}

// make makes the call and relays the answer. It returns nil when the answer was
// given whole, and then the job is over, or when the upstream has paused it.
func (a *attempt) make() *failure {
	in := a.job.input()
	if err := a.convert(in); err != nil {
		return refusedHere(asError(err))
	}
	answer, err := a.call(in)
	if err != nil {
		return brokenOff(err)
	}
	defer answer.Close()
	a.status = answer.Status
	if answer.Status < 200 || answer.Status > 299 {
		return a.refusedThere(answer)
	}
	return a.relay(answer)
}

// convert prepares the request. The rest of a paused answer has been prepared.
func (a *attempt) convert(in convert.Input) error {
	if a.x != nil {
		return nil
	}
	if a.step.SupplyToolResults {
		if fixed, ok := convert.SupplyToolResults(in.Client, in.Body); ok {
			in.Body = fixed
		}
	}
	route := a.step.Route
	target := convert.Target{Protocol: a.step.Protocol, Provider: route.Provider.Name, Vendor: route.Provider.Vendor,
		Model: route.Model, Defaults: route.Provider.DefaultParameters, Required: route.Provider.Required,
		Capabilities: route.Capabilities, Quirks: route.Provider.Quirks}
	x, err := convert.New(in, target)
	if needs, ok := errors.AsType[*convert.NeedsFiles](err); ok {
		if in.Files, err = a.job.fetch(needs); err == nil {
			x, err = convert.New(in, target)
		}
	}
	if needs, ok := errors.AsType[*convert.NeedsThinking](err); ok {
		in.Thinking = a.job.recall(needs)
		x, err = convert.New(in, target)
	}
	if err != nil {
		return err
	}
	a.x, a.job.x, a.job.warned = x, x, 0
	return nil
}

func (a *attempt) call(in convert.Input) (*provider.Answer, error) {
	j, route := a.job, a.step.Route
	url := route.URL(a.x.Endpoint())
	if in.Stream {
		url = route.StreamURL(a.x.Endpoint())
	}
	a.start(url)
	return j.w.cfg.Upstream.Do(j.run.Context(), provider.Call{
		URL: url, Header: a.header(in), Body: a.x.Body(), Stream: in.Stream, Secret: a.step.Key.Secret,
		KeyHeader: route.Provider.KeyHeader, KeyFormat: route.Provider.KeyFormat, Timers: a.step.Timers,
		Deadline: j.began.Add(j.run.TimeLeft),
	})
}

// relay gives the answer to the client, in the form it comes in.
func (a *attempt) relay(answer *provider.Answer) *failure {
	events := answer.EventStream()
	if a.rest && events != (a.s != nil) {
		return brokenOff(errChangedForm)
	}
	if !events {
		return a.plain(answer)
	}
	if a.s == nil {
		a.s = a.x.Stream()
	}
	return a.stream(answer)
}

// errChangedForm: of one answer a part came as events and a part whole.
var errChangedForm = errors.New("the upstream went on with its answer in another form")

// next is another call of the same upstream with the same exchange, for the rest
// of an answer or without what was refused. It has a record of its own.
func (a *attempt) next(step router.Step) *attempt {
	return &attempt{job: a.job, step: step, began: time.Now(), x: a.x, s: a.s, rest: a.rest || a.status < 300}
}

// header is what the upstream gets besides the key and what every call has: what
// clients may pass on, and what the provider's file adds.
func (a *attempt) header(in convert.Input) http.Header {
	p := a.step.Route.Provider
	h := http.Header{}
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
