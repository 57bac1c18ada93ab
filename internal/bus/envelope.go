package bus

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/llm"
)

// Version of the bus protocol. Until 1.0 both ends must be of the same.
const Version = 1

// ErrVersion is returned for a job or a stream of a gateway of another version.
var ErrVersion = errors.New("another version of the bus")

// Job is one admitted request on the bus. It is not changed after Submit.
type Job struct {
	ID        string // UUIDv7; keys every row and every deduplication
	RequestID string // what X-Request-Id says; may repeat
	Client    string
	Endpoint  llm.Endpoint
	Stream    bool
	Model     string // as the client asked
	Mode      string // X-Model-Proxy-Conversion-Mode, "" for the default
	Blocks    bool   // X-Model-Proxy-Content-Blocks
	Pool      string
	Lane      string
	Trace     string      // traceparent
	State     string      // tracestate, "" for none
	Header    http.Header // request headers that may reach an upstream
	Deadline  time.Time
	Body      []byte
}

// queueBytes is how much of the queue's bound on bytes a job takes.
func (j *Job) queueBytes() int64 {
	if len(j.Body) > inlineBody {
		return 0
	}
	return int64(len(j.Body))
}

// Everything a worker needs to know travels in one header, fields separated by
// ';' and values escaped as in a URL: a header of its own for each would cost
// the hot path a map entry and a line of text parsing apiece.
const (
	jobHeader   = "Mp-Job"
	traceHeader = "Traceparent"
	stateHeader = "Tracestate"
	ttlHeader   = "Nats-TTL"
	fwdPrefix   = "Mp-Fwd-" // before the name of a forwarded request header
)

// outlives is how long a job stays in the queue after its deadline. Its ingress
// takes it out then; where the ingress is gone, others find it here (Orphans).
const outlives = 30 * time.Second

// inlineBody is the largest body that travels in the message itself; a larger
// one stays with the ingress and is pulled in parts.
const inlineBody = 256 << 10

// Delivery is what a worker reads from the envelope.
type Delivery struct {
	Job
	Number   int // 1 for the first publication
	Attempts int // attempts made before this delivery
	TimeLeft time.Duration

	reply    string // R.<ingress>.<token>
	bodySize int    // > 0: the body is to be pulled
	version  int    // of the bus, as its ingress speaks it
}

// Ingress is the id of the process that holds the client.
func (d *Delivery) Ingress() string {
	_, rest, _ := strings.Cut(d.reply, ".")
	id, _, _ := strings.Cut(rest, ".")
	return id
}

// Size is that of the body, wherever it is.
func (d *Delivery) Size() int { return max(len(d.Body), d.bodySize) }

func (j *Job) subject() string {
	return "req." + Token(j.Pool) + "." + j.Lane + "." + Token(j.Client)
}

// message builds the envelope of a job's n-th delivery.
func (j *Job) message(subject, reply string, delivery, attempts int) *nats.Msg {
	left := time.Until(j.Deadline)
	var b strings.Builder
	b.Grow(256)
	field := func(name, value string) {
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(escape(value))
		b.WriteByte(';')
	}
	field("v", strconv.Itoa(Version))
	field("job", j.ID)
	field("n", strconv.Itoa(delivery))
	field("made", strconv.Itoa(attempts))
	field("to", reply)
	field("left", strconv.FormatInt(left.Milliseconds(), 10))
	field("client", j.Client)
	field("at", string(j.Endpoint))
	field("model", j.Model)
	field("id", j.RequestID)
	field("pool", j.Pool)
	if j.Stream {
		field("stream", "1")
	}
	if j.Mode != "" {
		field("mode", j.Mode)
	}
	if j.Blocks {
		field("blocks", "1")
	}
	m := &nats.Msg{Subject: subject, Reply: reply, Data: j.Body}
	if len(j.Body) > inlineBody {
		field("size", strconv.Itoa(len(j.Body)))
		m.Data = nil
	}
	m.Header = nats.Header{
		jobHeader:     {b.String()},
		nats.MsgIdHdr: {j.ID + "-" + strconv.Itoa(delivery)},
		ttlHeader:     {strconv.FormatInt(max(1, int64((left+outlives+time.Second-1)/time.Second)), 10) + "s"},
	}
	if j.Trace != "" {
		m.Header[traceHeader] = []string{j.Trace}
	}
	if j.State != "" {
		m.Header[stateHeader] = []string{j.State}
	}
	for name, values := range j.Header {
		m.Header[fwdPrefix+name] = values
	}
	return m
}

// escape escapes only what needs it: most values are plain, and QueryEscape copies.
func escape(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '/', c == ':':
		default:
			return url.QueryEscape(s)
		}
	}
	return s
}

// parseDelivery reads an envelope. The body shares m's memory. With ErrVersion it
// returns what it has understood.
func parseDelivery(m *nats.Msg) (*Delivery, error) {
	d := &Delivery{Job: Job{Body: m.Data, Lane: laneOf(m.Subject)}}
	if v := m.Header[traceHeader]; len(v) > 0 {
		d.Trace = v[0]
	}
	if v := m.Header[stateHeader]; len(v) > 0 {
		d.State = v[0]
	}
	line := ""
	if v := m.Header[jobHeader]; len(v) > 0 {
		line = v[0]
	}
	for line != "" {
		var field string
		field, line, _ = strings.Cut(line, ";")
		name, value, _ := strings.Cut(field, "=")
		if strings.ContainsAny(value, "%+") {
			plain, err := url.QueryUnescape(value)
			if err != nil {
				return nil, fmt.Errorf("field %s of a job: %w", name, err)
			}
			value = plain
		}
		d.set(name, value)
	}
	if d.version != Version {
		return d, fmt.Errorf("%w: the job's is %d, this worker's is %d", ErrVersion, d.version, Version)
	}
	if d.ID == "" || d.reply == "" || d.Number < 1 {
		return nil, errors.New("job without an id, a reply subject or a delivery number")
	}
	for name, values := range m.Header {
		if rest, ok := strings.CutPrefix(name, fwdPrefix); ok {
			if d.Header == nil {
				d.Header = http.Header{}
			}
			d.Header[rest] = values
		}
	}
	return d, nil
}

// set takes one field of the job's header. Others are of no concern here.
func (d *Delivery) set(name, value string) {
	switch name {
	case "v":
		d.version, _ = strconv.Atoi(value)
	case "job":
		d.ID = value
	case "n":
		d.Number, _ = strconv.Atoi(value)
	case "made":
		d.Attempts, _ = strconv.Atoi(value)
	case "to":
		d.reply = value
	case "left":
		left, _ := strconv.ParseInt(value, 10, 64)
		d.TimeLeft = time.Duration(left) * time.Millisecond
	case "client":
		d.Client = value
	case "at":
		d.Endpoint = llm.Endpoint(value)
	case "model":
		d.Model = value
	case "id":
		d.RequestID = value
	case "pool":
		d.Pool = value
	case "stream":
		d.Stream = value == "1"
	case "mode":
		d.Mode = value
	case "blocks":
		d.Blocks = value == "1"
	case "size":
		d.bodySize, _ = strconv.Atoi(value)
	}
}
