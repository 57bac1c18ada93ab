package usage

// The bits of an entry's parts byte.
const (
	hasAttempt = 1 << iota
	hasRequest
	hasBody
)

func (e *Entry) walk(w *wire) {
	var parts uint8
	if e.Attempt != nil {
		parts |= hasAttempt
	}
	if e.Request != nil {
		parts |= hasRequest
	}
	if e.Body != nil {
		parts |= hasBody
	}
	small(w, &e.Kind)
	small(w, &parts)
	str(w, &e.Ingress)
	integer(w, &e.Left)
	if parts&hasAttempt != 0 {
		if e.Attempt == nil {
			e.Attempt = new(Attempt)
		}
		e.Attempt.walk(w)
	}
	if parts&hasRequest != 0 {
		if e.Request == nil {
			e.Request = new(Request)
		}
		e.Request.walk(w)
	}
	if parts&hasBody != 0 {
		if e.Body == nil {
			e.Body = new(Body)
		}
		e.Body.walk(w)
	}
}

func (r *Request) walk(w *wire) {
	str(w, &r.JobID)
	integer(w, &r.Time)
	str(w, &r.RequestID)
	str(w, &r.TraceID)
	str(w, &r.ClientID)
	str(w, &r.Endpoint)
	str(w, &r.ClientProtocol)
	flag(w, &r.Stream)
	str(w, &r.Priority)
	str(w, &r.Model)
	str(w, &r.ServedModel)
	str(w, &r.ConfigRevision)
	str(w, &r.Provider)
	str(w, &r.UpstreamModel)
	str(w, &r.RouteID)
	str(w, &r.KeyFP)
	integer(w, &r.Attempts)
	integer(w, &r.Deliveries)
	str(w, &r.Outcome)
	integer(w, &r.Status)
	str(w, &r.ErrorType)
	str(w, &r.ErrorMessage)
	r.Spend.walk(w)
	str(w, &r.PriceVersion)
	float(w, &r.QueueMS)
	float(w, &r.TTFTMS)
	float(w, &r.TotalMS)
	integer(w, &r.BytesIn)
	integer(w, &r.BytesOut)
	integer(w, &r.Chunks)
	str(w, &r.IngressID)
	str(w, &r.WorkerID)
	raw(w, &r.Params)
	list(w, &r.Warnings)
}

func (a *Attempt) walk(w *wire) {
	str(w, &a.JobID)
	integer(w, &a.Attempt)
	integer(w, &a.Time)
	str(w, &a.RequestID)
	integer(w, &a.Delivery)
	str(w, &a.Provider)
	str(w, &a.UpstreamModel)
	str(w, &a.RouteID)
	str(w, &a.KeyFP)
	str(w, &a.UpstreamProtocol)
	str(w, &a.Outcome)
	str(w, &a.Action)
	str(w, &a.Timer)
	integer(w, &a.Status)
	str(w, &a.ErrorType)
	str(w, &a.ErrorMessage)
	a.Spend.walk(w)
	float(w, &a.TTFTMS)
	float(w, &a.TotalMS)
	str(w, &a.WorkerID)
}

func (s *Spend) walk(w *wire) {
	integer(w, &s.PromptTokens)
	integer(w, &s.CachedReadTokens)
	integer(w, &s.CachedWriteTokens)
	integer(w, &s.CompletionTokens)
	integer(w, &s.ReasoningTokens)
	str(w, &s.UsageSource)
	if w.version > 1 {
		integer(w, &s.CachedWrite1hTokens)
		str(w, &s.ServiceTier)
	}
	optional(w, &s.CostNanoUSD)
}

func (b *Body) walk(w *wire) {
	str(w, &b.JobID)
	integer(w, &b.Part)
	raw(w, &b.Request)
	raw(w, &b.Response)
}
