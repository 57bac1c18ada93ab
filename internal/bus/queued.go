package bus

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"model-proxy/internal/llm"
)

// pubAck notes that the queue has the job, or why it does not.
func (c *Call) pubAck(data []byte) {
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if seq, ok := quickAck(data); ok {
		ack.Seq = seq
	} else if err := json.Unmarshal(data, &ack); err != nil {
		return
	}
	if ack.Error == nil {
		c.queued(ack.Seq)
		return
	}
	if strings.Contains(ack.Error.Description, "per subject") {
		c.refused(RefusedClient)
		return
	}
	c.refused(RefusedFull)
}

// queued notes that the queue has the job, and takes it out if nobody waits for it
// any more.
func (c *Call) queued(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked, c.queueSeq, c.ackedOn = true, seq, c.in.conn.times.Load()
	if c.run == 0 && (c.cancelled || c.finished) {
		c.in.forget(seq)
	}
}

// quickAck reads the sequence out of {"stream":"REQ","seq":12}, the only form
// an unreplicated stream answers a new message with.
func quickAck(data []byte) (uint64, bool) {
	const head = `{"stream":"` + reqStream + `","seq":`
	s := string(data)
	if !strings.HasPrefix(s, head) || s[len(s)-1] != '}' {
		return 0, false
	}
	seq, err := strconv.ParseUint(s[len(head):len(s)-1], 10, 64)
	return seq, err == nil
}

// refused ends a call that the queue did not take.
func (c *Call) refused(why Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusedLocked(why)
}

func (c *Call) refusedLocked(why Refusal) {
	if c.run != 0 || c.finished {
		return
	}
	e := llm.NewError(llm.Unavailable, refusalMessages[why])
	if why == RefusedClient {
		e.Kind = llm.RateLimited
	}
	e.RetryAfter = time.Second
	if why != RefusedBus {
		e.RetryAfter = c.tenant.retryAfter(why)
	}
	c.finishLocked()
	c.queue = append(c.queue, Frame{End: &End{Err: e, Refused: why}})
	c.Wake()
}

var refusalMessages = map[Refusal]string{
	RefusedClient: "too many of your requests are waiting already",
	RefusedFull:   "the queue is full",
	RefusedBus:    "the queue cannot be reached at the moment",
}
