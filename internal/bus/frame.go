package bus

import (
	"encoding/binary"
	"errors"
	"time"

	"model-proxy/internal/llm"
)

// A frame is one message from a worker to the ingress that holds the client:
//
//	parts(1) run(4) seq(4) [attempt] [head] [end] [events data…]
//
// parts says which of the bracketed parts follow. Attempt, head and end begin
// with their length; data runs to the end of the message. Whatever is known at
// one time shares a frame, so that a plain answer is one message after
// `accepted`, and a stream's last events carry its end.
const (
	partAccepted byte = 1 << iota // the job is taken; an attempt follows if one is planned
	partAttempt                   // another attempt begins
	partHead                      // status and headers
	partData                      // whole events, or a piece of a plain answer
	partEnd                       // the job is over
	flagSplit                     // data ends within an event: nothing may be written before the next frame
	flagContent                   // data holds the first content
	frameMark                     // always set: tells a frame from a PubAck, which begins with '{'
)

const frameHeader = 1 + 4 + 4

// maxFrame bounds the data of one frame, well under the smallest max_payload
// (1 MB) and half of the credit window, so that two are always under way.
const maxFrame = 128 << 10

var errNotFrame = errors.New("not a frame")

// Attempt describes one call to an upstream, as it is about to be made.
type Attempt struct {
	Number           int // counts on over deliveries, from 1
	ServedModel      string
	Provider         string
	UpstreamModel    string
	UpstreamProtocol llm.Protocol
	RouteID          string
	KeyFP            string
	ConfigRevision   string
}

// Head is what goes before the first byte of an answer.
type Head struct {
	Status        int
	ContentType   string
	ContentLength int64 // -1 where it is not known
	UpstreamID    string
	Warnings      string // X-Model-Proxy-Warnings, "" if none
	TokenCount    string // X-Model-Proxy-Token-Count, "" if none
	Conversion    string // X-Model-Proxy-Conversion, "" if none
}

// End closes a job: with an answer given, or with an error if Err is not nil.
type End struct {
	Err          *llm.Error
	Cancelled    bool    // the worker stopped: it was told to, or heard nothing of its ingress
	Again        bool    // the job was given back: the worker does not know the model or, as the ingress concludes, gave it up
	Refused      Refusal // the queue never took the job; made up by the ingress, not on the wire
	Attempts     int     // calls to upstreams so far, over all deliveries
	Usage        llm.Usage
	CostNanoUSD  int64
	Priced       bool
	PriceVersion string
	Finish       string // finish or stop reason
	Warnings     string // response-level losses, known only now
}

// Refusal is why the queue did not take a job, in the words of the metric
// model_proxy_rejected_total; "" means that it did.
type Refusal string

const (
	RefusedClient Refusal = "queue_client" // the client's own share is full
	RefusedFull   Refusal = "queue_full"
	RefusedBus    Refusal = "bus" // it cannot be reached
)

// Frame is one message of an answer, decoded. Data points into the message, or
// is what a near worker has handed over.
type Frame struct {
	run, seq uint32
	size     int  // bytes that it takes of the credit window
	borrowed bool // Data is a near worker's

	Accepted bool
	WorkerID string   // with Accepted
	Attempt  *Attempt // with Accepted where one is planned, or alone
	Head     *Head
	End      *End
	Data     []byte
	Events   int  // number of events in Data
	Content  bool // Data holds the first content
	Split    bool // the event at Data's end goes on in the next frame
	Last     bool // the job's end is here, in the next frame
}

func (a *Attempt) append(dst []byte) []byte {
	dst = appendInt(dst, int64(a.Number))
	for _, s := range [...]string{a.ServedModel, a.Provider, a.UpstreamModel, string(a.UpstreamProtocol), a.RouteID, a.KeyFP, a.ConfigRevision} {
		dst = appendString(dst, s)
	}
	return dst
}

func (r *reader) attempt() *Attempt {
	return &Attempt{Number: int(r.int()), ServedModel: r.string(), Provider: r.string(), UpstreamModel: r.string(),
		UpstreamProtocol: llm.Protocol(r.string()), RouteID: r.string(), KeyFP: r.string(), ConfigRevision: r.string()}
}

func (h *Head) append(dst []byte) []byte {
	dst = appendInt(dst, int64(h.Status))
	dst = appendInt(dst, h.ContentLength)
	for _, s := range [...]string{h.ContentType, h.UpstreamID, h.Warnings, h.TokenCount, h.Conversion} {
		dst = appendString(dst, s)
	}
	return dst
}

func (r *reader) head() *Head {
	return &Head{Status: int(r.int()), ContentLength: r.int(), ContentType: r.string(), UpstreamID: r.string(),
		Warnings: r.string(), TokenCount: r.string(), Conversion: r.string()}
}

func (e *End) append(dst []byte) []byte {
	u := &e.Usage
	for _, n := range [...]int64{int64(e.Attempts), u.Prompt, u.CachedRead, u.CachedWrite, u.CachedWrite1h, u.Completion, u.Reasoning, e.CostNanoUSD} {
		dst = appendInt(dst, n)
	}
	dst = appendBool(dst, e.Priced)
	dst = appendBool(dst, e.Cancelled)
	dst = appendBool(dst, e.Again)
	for _, s := range [...]string{string(u.Source), e.PriceVersion, e.Finish, e.Warnings} {
		dst = appendString(dst, s)
	}
	if e.Err == nil {
		return appendBool(dst, false)
	}
	dst = appendBool(dst, true)
	for _, s := range [...]string{string(e.Err.Kind), e.Err.Message, e.Err.Param, e.Err.Code, string(e.Err.Body)} {
		dst = appendString(dst, s)
	}
	dst = appendInt(dst, int64(e.Err.Status))
	dst = appendInt(dst, int64(e.Err.RetryAfter))
	return appendBool(dst, e.Err.Final)
}

func (r *reader) end() *End {
	e := &End{Attempts: int(r.int())}
	u := &e.Usage
	for _, n := range [...]*int64{&u.Prompt, &u.CachedRead, &u.CachedWrite, &u.CachedWrite1h, &u.Completion, &u.Reasoning, &e.CostNanoUSD} {
		*n = r.int()
	}
	e.Priced, e.Cancelled, e.Again = r.bool(), r.bool(), r.bool()
	u.Source = llm.UsageSource(r.string())
	e.PriceVersion, e.Finish, e.Warnings = r.string(), r.string(), r.string()
	if !r.bool() {
		return e
	}
	e.Err = &llm.Error{Kind: llm.Kind(r.string()), Message: r.string(), Param: r.string(), Code: r.string()}
	if b := r.bytes(); len(b) > 0 {
		e.Err.Body = b
	}
	e.Err.Status, e.Err.RetryAfter, e.Err.Final = int(r.int()), time.Duration(r.int()), r.bool()
	return e
}

// appendSection appends what put appends, with its length before it.
func appendSection(dst []byte, put func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0) // room for the length, two bytes: sections stay under 16 KB but for error bodies
	dst = put(dst)
	n := len(dst) - at - 2
	if n < 1<<14 {
		dst[at], dst[at+1] = byte(n)|0x80, byte(n>>7) // a uvarint of two bytes
		return dst
	}
	body := append([]byte(nil), dst[at+2:]...)
	dst = binary.AppendUvarint(dst[:at], uint64(n))
	return append(dst, body...)
}

// parts are the bits of what f holds.
func (f *Frame) parts() byte {
	parts := frameMark
	for _, p := range [...]struct {
		bit byte
		has bool
	}{{partAccepted, f.Accepted}, {partAttempt, f.Attempt != nil}, {partHead, f.Head != nil}, {partEnd, f.End != nil},
		{partData, f.Data != nil}, {flagSplit, f.Split}, {flagContent, f.Content}} {
		if p.has {
			parts |= p.bit
		}
	}
	return parts
}

// append encodes f.
func (f *Frame) append(dst []byte) []byte {
	dst = append(dst, f.parts())
	dst = binary.BigEndian.AppendUint32(dst, f.run)
	dst = binary.BigEndian.AppendUint32(dst, f.seq)
	if f.Accepted {
		dst = appendString(dst, f.WorkerID)
	}
	if f.Attempt != nil {
		dst = appendSection(dst, f.Attempt.append)
	}
	if f.Head != nil {
		dst = appendSection(dst, f.Head.append)
	}
	if f.End != nil {
		dst = appendSection(dst, f.End.append)
	}
	if f.Data != nil {
		dst = appendInt(dst, int64(f.Events))
		dst = append(dst, f.Data...)
	}
	return dst
}

// frameIDs reads only whose frame it is; ok is false for anything else.
func frameIDs(msg []byte) (run, seq uint32, ok bool) {
	if len(msg) < frameHeader || msg[0]&frameMark == 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(msg[1:]), binary.BigEndian.Uint32(msg[5:]), true
}

// parseFrame decodes a frame. The result shares msg's memory.
func parseFrame(msg []byte) (Frame, error) {
	run, seq, ok := frameIDs(msg)
	if !ok {
		return Frame{}, errNotFrame
	}
	parts := msg[0]
	f := Frame{run: run, seq: seq, size: len(msg), Split: parts&flagSplit != 0, Content: parts&flagContent != 0}
	r := reader{b: msg[frameHeader:]}
	if parts&partAccepted != 0 {
		f.Accepted, f.WorkerID = true, r.string()
	}
	if parts&partAttempt != 0 {
		f.Attempt = sub(&r, (*reader).attempt)
	}
	if parts&partHead != 0 {
		f.Head = sub(&r, (*reader).head)
	}
	if parts&partEnd != 0 {
		f.End = sub(&r, (*reader).end)
	}
	if parts&partData != 0 {
		f.Events = int(r.int())
		f.Data = r.b
	}
	return f, r.err
}

// sub reads one part that stands behind its length.
func sub[T any](r *reader, read func(*reader) T) T {
	part := reader{b: r.bytes(), err: r.err}
	v := read(&part)
	if part.err != nil {
		r.fail()
	}
	return v
}
