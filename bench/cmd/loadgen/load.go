//go:build linux

package main

import (
	"strconv"
	"syscall"
	"time"

	"model-proxy/bench/internal/hist"
	"model-proxy/bench/internal/procstat"
)

// load is one run.
type load struct {
	o     options
	req   []byte
	addr  syscall.SockaddrInet4
	ep    int
	conns map[int32]*conn
	idle  []*conn // the one used last at the end

	start, measure, end time.Time
	measuring, ended    bool
	nextDue             time.Time
	backlog             []time.Time
	toStart             int // closed: connections that have not begun yet

	sent, ok, chunks                   int64
	errs                               map[string]int64
	firstErr                           string
	latency, service, first, ttft, gap hist.Hist

	atMeasure, atEnd procstat.Usage
	rssMax           int64
	selfAt, selfUsed time.Duration
}

func newLoad(o options) (*load, error) {
	req, ip, port, err := o.request()
	if err != nil {
		return nil, err
	}
	l := &load{o: o, req: req, conns: map[int32]*conn{}, errs: map[string]int64{}}
	l.addr = syscall.SockaddrInet4{Port: port, Addr: ip}
	if l.ep, err = syscall.EpollCreate1(0); err != nil {
		return nil, err
	}
	// Wake from epoll at the microsecond asked for (PR_SET_TIMERSLACK).
	syscall.RawSyscall(syscall.SYS_PRCTL, 29, 1, 0)
	return l, nil
}

// run loads the endpoint and returns when the measured time is over and, in the
// open loop, what was sent has been answered.
func (l *load) run() error {
	events := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 256<<10)
	l.start = time.Now()
	l.measure = l.start.Add(l.o.warmup)
	l.end = l.measure.Add(l.o.duration)
	l.nextDue = l.start
	l.toStart = l.o.conns
	drainUntil := l.end
	if l.o.mode == "open" {
		drainUntil = l.end.Add(3 * time.Second)
	}
	var nextSweep time.Time
	for {
		now := l.mark(time.Now())
		if now.After(nextSweep) {
			nextSweep = now.Add(250 * time.Millisecond)
			l.sweep(now)
		}
		if !now.Before(drainUntil) || (!now.Before(l.end) && l.underWay() == 0 && len(l.backlog) == 0) {
			break
		}
		wake := l.issue(now)
		n, err := l.wait(events, min(time.Until(wake), time.Until(nextSweep), time.Until(drainUntil)))
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if c := l.conns[e.Fd]; c != nil {
				l.readable(c, buf)
			}
		}
	}
	if l.o.mode == "open" {
		l.countUnfinished()
	}
	return nil
}

// mark reads the processor times where the measuring begins and ends, and
// returns the time it is then.
func (l *load) mark(now time.Time) time.Time {
	switch {
	case !l.measuring && !now.Before(l.measure):
		l.measuring = true
		l.atMeasure = procstat.Tree(l.o.pids...)
		l.rssMax = l.atMeasure.RSS
		l.selfAt = selfCPU()
		return time.Now()
	case l.measuring && !l.ended && !now.Before(l.end):
		l.ended = true
		l.atEnd = procstat.Tree(l.o.pids...)
		l.rssMax = max(l.rssMax, l.atEnd.RSS)
		l.selfUsed = selfCPU() - l.selfAt
	}
	return now
}

// countUnfinished charges the server with what it has not answered.
func (l *load) countUnfinished() {
	for _, c := range l.conns {
		if c.busy && !c.due.Before(l.measure) {
			l.fail("unfinished", "")
		}
	}
	for _, due := range l.backlog {
		if !due.Before(l.measure) {
			l.fail("never sent", "")
		}
	}
}

func (l *load) underWay() int {
	n := 0
	for _, c := range l.conns {
		if c.busy {
			n++
		}
	}
	return n
}

// issue sends what is due and tells when it wants to be called again.
func (l *load) issue(now time.Time) time.Time {
	switch {
	case !now.Before(l.end):
		return l.end.Add(time.Hour)
	case l.o.mode == "closed":
		return l.issueClosed(now)
	}
	return l.issueOpen(now)
}

// issueClosed keeps every connection busy.
func (l *load) issueClosed(now time.Time) time.Time {
	for l.toStart > 0 {
		begun := l.o.conns - l.toStart
		at := l.start.Add(l.o.ramp * time.Duration(begun) / time.Duration(l.o.conns))
		if at.After(now) {
			return at
		}
		l.toStart--
		l.sendOn(l.get(), time.Now())
	}
	for len(l.idle) > 0 {
		l.sendOn(l.get(), time.Now())
	}
	if len(l.conns) < l.o.conns { // the server closed one
		l.sendOn(l.get(), time.Now())
		return now
	}
	return l.end
}

// issueOpen sends at the rate, whatever the server does.
func (l *load) issueOpen(now time.Time) time.Time {
	step := time.Duration(float64(time.Second) / l.o.rate)
	for !l.nextDue.After(now) {
		l.backlog = append(l.backlog, l.nextDue)
		l.nextDue = l.nextDue.Add(step)
	}
	for len(l.backlog) > 0 && (len(l.idle) > 0 || len(l.conns) < l.o.conns) {
		due := l.backlog[0]
		l.backlog = l.backlog[1:]
		l.sendOn(l.get(), due)
	}
	return l.nextDue
}

// readable reads from a connection.
func (l *load) readable(c *conn, buf []byte) {
	n, err := syscall.Read(c.fd, buf)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	now := time.Now()
	if n <= 0 {
		l.closed(c, now)
		return
	}
	if !c.busy {
		l.fail("stray bytes", string(buf[:n]))
		l.drop(c)
		return
	}
	if c.firstByte.IsZero() {
		c.firstByte = now
	}
	c.take(l, buf[:n], now)
	if c.bad != "" {
		l.finish(c, c.bad, c.sample())
	} else if c.phase == complete {
		l.complete(c, now)
	}
}

// closed deals with a connection that the server has closed.
func (l *load) closed(c *conn, now time.Time) {
	switch {
	case !c.busy:
		l.drop(c)
	case c.untilClose && c.phase == inBody:
		c.phase = complete
		l.complete(c, now)
	case c.used && c.phase == inHead && len(c.raw) == 0: // before it read the request
		due := c.due
		l.drop(c)
		if !due.Before(l.measure) {
			l.sent-- // sent once more, counted once
		}
		l.sendOn(l.get(), due)
	default:
		l.finish(c, "cut off", string(c.raw))
	}
}

// complete judges a whole answer and counts it.
func (l *load) complete(c *conn, now time.Time) {
	if c.status != 200 {
		l.finish(c, "status "+strconv.Itoa(c.status), string(c.body))
		return
	}
	if why := c.verdict(&l.o); why != "" {
		l.finish(c, why, c.sample())
		return
	}
	inWindow := !now.Before(l.measure) && now.Before(l.end)
	if l.o.mode == "open" {
		inWindow = !c.due.Before(l.measure)
	}
	if inWindow {
		l.ok++
		l.latency.Add(now.Sub(c.due))
		l.service.Add(now.Sub(c.written))
		l.first.Add(c.firstByte.Sub(c.due))
		if l.o.stream {
			l.ttft.Add(c.firstText.Sub(c.due))
		}
	}
	c.busy, c.used = false, true
	if c.closing {
		l.drop(c)
	} else {
		l.idle = append(l.idle, c)
	}
}

// finish ends a request that went wrong.
func (l *load) finish(c *conn, why, sample string) {
	if !c.due.Before(l.measure) {
		l.fail(why, sample)
	}
	l.drop(c)
}

func (l *load) fail(why, sample string) {
	l.errs[why]++
	if l.firstErr == "" {
		l.firstErr = why + ": " + sample[:min(len(sample), 600)]
	}
}

// sweep ends what has taken too long and looks at the watched memory.
func (l *load) sweep(now time.Time) {
	for _, c := range l.conns {
		if c.busy && now.Sub(c.written) > l.o.timeout {
			l.finish(c, "timeout", c.sample())
		}
	}
	if l.measuring && len(l.o.pids) > 0 && now.Before(l.end) {
		l.rssMax = max(l.rssMax, procstat.Tree(l.o.pids...).RSS)
	}
}
