package worker

import (
	"net/http"
	"strings"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/span"
	"model-proxy/router"
)

// attempt is one call to one upstream.
type attempt struct {
	job   *job
	step  router.Step
	began time.Time

	x      *convert.Exchange
	status int
	ttft   time.Duration
	cost   int64 // nano-dollars, once it is known; see spend
	span   *span.Attempt
}

// make makes the call and relays the answer. It returns nil when the answer was
// given whole, and then the job is over.
func (a *attempt) make() *failure {
	j := a.job
	in := j.input()
	if a.step.SupplyToolResults {
		if fixed, ok := convert.SupplyToolResults(in.Client, in.Body); ok {
			in.Body = fixed
		}
	}
	route := a.step.Route
	x, err := convert.New(in, convert.Target{Protocol: a.step.Protocol, Provider: route.Provider.Name, Vendor: route.Provider.Vendor,
		Model: route.Model, Defaults: route.Provider.DefaultParameters, Capabilities: route.Capabilities, Quirks: route.Provider.Quirks})
	if err != nil {
		return refusedHere(asError(err))
	}
	a.x = x
	url := route.URL(x.Endpoint())
	if in.Stream {
		url = route.StreamURL(x.Endpoint())
	}
	a.start(url)
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
