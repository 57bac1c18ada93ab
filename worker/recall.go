package worker

import (
	"model-proxy/convert"
	"model-proxy/internal/span"
)

// recall asks for thinking that the client did not send back. Without it the
// request is made all the same, so a bus that cannot be asked is no failure.
func (j *job) recall(needs *convert.NeedsThinking) map[string][]byte {
	found, err := j.w.recall.Get(j.run.Context(), j.run.Client, needs.Keys)
	if err != nil {
		j.w.cfg.Log.Warn("thinking not recalled", "request_id", j.run.RequestID, span.LogAttr(j.run.Trace), "error", err)
	}
	return found
}

// keepThinking keeps the thinking of an answer that is about to end, before the
// client can answer its calls.
func (a *attempt) keepThinking() {
	key, thinking := a.x.Kept()
	if key == "" {
		return
	}
	j := a.job
	if err := j.w.recall.Put(j.run.Context(), j.run.Client, key, thinking); err != nil {
		j.w.cfg.Log.Warn("thinking not kept", "request_id", j.run.RequestID, span.LogAttr(j.run.Trace), "error", err)
	}
}
