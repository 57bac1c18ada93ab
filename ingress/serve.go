package ingress

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"model-proxy/config"
	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/limit"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
)

// request is one client's request on its way. It belongs to the goroutine that
// serves it, and after that to the one that lingers for its end.
type request struct {
	s        *Server
	snap     *config.Snapshot
	client   *config.Client
	endpoint llm.Endpoint
	protocol llm.Protocol
	jobID    string
	asked
	body  []byte
	read  time.Time // when the body had been read; durations count from here
	grant *limit.Grant
	job   *bus.Job
	call  *bus.Call
	span  *span.Request

	answer
}

// serve handles every endpoint that takes requests for models.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	q := &request{s: s, endpoint: e.Endpoint, protocol: e.Protocol()}
	came := time.Now()
	id, ours := setRequestID(w, r, q.protocol)
	q.jobID = id // one id for both where the client has none of its own
	if !ours {
		q.jobID = newID()
	}
	if no := q.admit(w, r, e.mode, id); no != nil {
		if q.client != nil { // a stranger's requests leave no trace
			q.span = s.cfg.Tracer.Request(r, came)
		}
		if q.body == nil {
			hearOut(w, r, func() { q.refuse(w, no) })
		} else {
			q.refuse(w, no)
		}
		return
	}
	s.inFlight.Add(1)
	s.metrics.inFlight.Add(1)
	q.span = s.cfg.Tracer.Request(r, came)
	publication := q.span.Publish(q.job)
	var err error
	q.call, err = s.bus.Submit(q.job)
	publication.End(err)
	if err != nil {
		s.cfg.Log.Error("not published", "request_id", id, span.LogAttr(q.job.Trace), "error", err)
		q.giveBack()
		q.refuse(w, reject(rejectBus, llm.Unavailable, "the queue cannot be reached at the moment"))
		return
	}
	q.relay(w, r)
}

// refuse answers the request before it came to the queue.
func (q *request) refuse(w http.ResponseWriter, no *rejection) {
	q.span.Refused(no.reason, no.HTTPStatus(q.protocol))
	q.s.refuse(w, q.protocol, no)
}

// admit checks everything that can turn a request away, and takes what the
// request needs: all of it or nothing.
func (q *request) admit(w http.ResponseWriter, r *http.Request, mode streamMode, id string) *rejection {
	s := q.s
	if headerSize(r.Header) > maxHeader {
		e := reject(rejectTooLarge, llm.BadRequest, "the request's header lines are larger than "+strconv.Itoa(maxHeader)+" bytes")
		e.Status = http.StatusRequestHeaderFieldsTooLarge
		return e
	}
	q.snap = s.cfg.Snapshot()
	var no *rejection
	if q.client, no = s.authenticate(r, q.snap); no != nil {
		return no
	}
	if s.draining.Load() {
		return reject(rejectDraining, llm.Unavailable, "this gateway is shutting down; try again")
	}
	if s.records.Full() {
		return reject(rejectBus, llm.Unavailable, "records of usage cannot be stored at the moment")
	}
	body, no := s.readBody(w, r)
	if no != nil {
		return no
	}
	q.body, q.read = body, time.Now()
	if no = q.route(w, r, mode, id); no != nil {
		s.bodies.give(int64(len(body)))
	}
	return no
}

// route checks the body, finds the model, asks the limits and makes the job.
func (q *request) route(w http.ResponseWriter, r *http.Request, mode streamMode, id string) *rejection {
	var no *rejection
	if q.asked, no = inspect(q.body, mode); no != nil {
		return no
	}
	model, ok := q.snap.Models[q.model]
	if !ok || !allowed(q.client, q.model) {
		e := reject(rejectModel, llm.NotFound, "the model "+strconv.Quote(clip(q.model, 100))+" does not exist or is not open to this client; GET /v1/models lists those that are")
		e.Param, e.Code = "model", "model_not_found"
		return e
	}
	deadline, no := q.deadline(r, model)
	if no != nil {
		return no
	}
	lane, no := q.lane(r)
	if no != nil {
		return no
	}
	if no = q.reserve(w, r); no != nil {
		return no
	}
	job := &bus.Job{ID: q.jobID, RequestID: id, Client: q.client.ID, Endpoint: q.endpoint, Stream: q.stream,
		Model: q.model, Pool: model.Pool, Lane: lane, Deadline: deadline, Body: q.body, Header: q.forwarded(r)}
	if v := r.Header["X-Model-Proxy-Conversion-Mode"]; len(v) > 0 {
		job.Mode = string(convert.ParseMode(v[0]))
	}
	if v := r.Header["X-Model-Proxy-Content-Blocks"]; len(v) > 0 {
		job.Blocks = v[0] == "1"
	}
	if v := r.Header["Traceparent"]; len(v) > 0 { // its id goes into the records also where nothing is traced
		if _, ok := span.Parent(v[0], ""); ok {
			job.Trace = v[0]
		}
	}
	q.job = job
	return nil
}

func allowed(c *config.Client, model string) bool { return c.Models == nil || c.Models[model] }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// deadline is the model's longest, or what X-Model-Proxy-Timeout-Ms asks for.
func (q *request) deadline(r *http.Request, m *config.Model) (time.Time, *rejection) {
	v := r.Header["X-Model-Proxy-Timeout-Ms"]
	if len(v) == 0 {
		return q.read.Add(m.TotalTimeout), nil
	}
	ms, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil || ms < 1 {
		return time.Time{}, reject(rejectInvalid, llm.BadRequest, "X-Model-Proxy-Timeout-Ms must be a whole number of milliseconds above 0")
	}
	return q.read.Add(min(time.Duration(min(ms, int64(m.TotalTimeout/time.Millisecond)))*time.Millisecond, m.TotalTimeout)), nil
}

// lane is the client's own priority, or what X-Model-Proxy-Priority asks for,
// as far as the client may.
func (q *request) lane(r *http.Request) (string, *rejection) {
	wanted := ""
	if v := r.Header["X-Model-Proxy-Priority"]; len(v) > 0 {
		wanted = v[0]
	}
	lane, ok := bus.LaneOf(wanted, q.client.Priority, q.client.MaxPriority)
	if !ok {
		return "", reject(rejectInvalid, llm.BadRequest, "X-Model-Proxy-Priority must be high, normal or low")
	}
	return lane, nil
}

// reserve asks the client's limits for this request.
func (q *request) reserve(w http.ResponseWriter, r *http.Request) *rejection {
	c := limit.Client{ID: q.client.ID, RequestsPerMinute: q.client.RequestsPerMinute,
		TokensPerMinute: q.client.TokensPerMinute, MaxParallel: q.client.MaxParallelRequests}
	if !q.endpoint.UsesTokens() {
		c.TokensPerMinute = 0
	}
	grant, denied := q.s.limits.Admit(r.Context(), c, limit.Estimate{Prompt: convert.EstimateTokens(len(q.body)), MaxTokens: q.maxTokens})
	q.s.noteLimits(denied)
	if denied == nil {
		q.grant = grant
		grant.Levels().Header(w.Header())
		return nil
	}
	denied.Levels.Header(w.Header())
	return limited(denied)
}

// limited is the refusal by a limit, or for want of anybody who could be asked.
func limited(d *limit.Denied) *rejection {
	no := reject(string(d.Reason), llm.RateLimited, limitMessages[d.Reason])
	no.Code = "rate_limit_exceeded"
	if d.Reason == limit.Bus {
		no.Kind, no.Code = llm.Unavailable, ""
	}
	no.RetryAfter = d.RetryAfter
	return no
}

// noteLimits tells the operator when limits can no longer be checked, and when
// they can again: once, not for each request of an outage.
func (s *Server) noteLimits(d *limit.Denied) {
	away := d != nil && d.Reason == limit.Bus
	if s.limitsAway.Load() == away || s.limitsAway.Swap(away) == away {
		return
	}
	if away {
		s.cfg.Log.Warn("limits cannot be checked, requests are refused", "error", d.Cause)
		return
	}
	s.cfg.Log.Info("limits are checked again")
}

var limitMessages = map[limit.Reason]string{
	limit.RPM:      "this client's limit of requests per minute is reached",
	limit.TPM:      "this client's limit of tokens per minute is reached",
	limit.Parallel: "this client's limit of requests at one time is reached",
	limit.Bus:      "the limits cannot be checked at the moment",
}

// forwarded picks the request headers that may reach an upstream. What a
// provider's file lists in forward_headers rides along; the worker that chooses
// the provider drops what is not for it.
func (q *request) forwarded(r *http.Request) http.Header {
	var out http.Header
	put := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = values
	}
	for _, name := range alwaysForwarded {
		put(name, r.Header[name])
	}
	for name, values := range r.Header {
		if q.snap.Forwards(name) {
			put(name, values)
		}
	}
	return out
}

var alwaysForwarded = []string{"User-Agent", "Anthropic-Version", "Anthropic-Beta", "Openai-Beta"}

// headerSize is about how many bytes a request's header lines had.
func headerSize(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// giveBack returns what admit took, for a request that never became one.
func (q *request) giveBack() {
	q.grant.Cancel()
	q.release()
}

// release ends the request's hold on the gateway.
func (q *request) release() {
	q.grant.Release()
	q.s.bodies.give(int64(len(q.body)))
	q.s.metrics.inFlight.Add(-1)
	q.s.inFlight.Done()
}
