//go:build linux

package main

import (
	"syscall"
	"time"

	"model-proxy/bench/internal/hist"
)

// Result is what loadgen prints.
type Result struct {
	Sent       int64            `json:"sent"`
	OK         int64            `json:"ok"`
	Errors     map[string]int64 `json:"errors,omitempty"`
	FirstError string           `json:"first_error,omitempty"`
	Seconds    float64          `json:"seconds"`
	RPS        float64          `json:"rps"`
	ChunksPerS float64          `json:"chunks_per_s,omitempty"`
	Latency    hist.Summary     `json:"latency"`        // from when the request was due
	Service    hist.Summary     `json:"service"`        // from when it was written
	FirstByte  hist.Summary     `json:"first_byte"`     // of the head, from when it was due
	TTFT       *hist.Summary    `json:"ttft,omitempty"` // first piece of text, from when it was due
	Gap        *hist.Summary    `json:"gap,omitempty"`  // between two pieces of text
	Watched    *Watched         `json:"watched,omitempty"`
	SelfCPU    float64          `json:"self_cpu_s"`
}

// Watched is what the processes named by -pid, and their children, used.
type Watched struct {
	CPU        float64 `json:"cpu_s"`
	CPUPer1000 float64 `json:"cpu_s_per_1000"`
	RSSStart   int64   `json:"rss_start"`
	RSSMax     int64   `json:"rss_max"`
	RSSEnd     int64   `json:"rss_end"`
	Procs      int     `json:"procs"`
}

func selfCPU() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (l *load) result() Result {
	r := Result{
		Sent: l.sent, OK: l.ok, Errors: l.errs, FirstError: l.firstErr,
		Seconds: l.o.duration.Seconds(),
		RPS:     float64(l.ok) / l.o.duration.Seconds(),
		Latency: l.latency.Summary(), Service: l.service.Summary(), FirstByte: l.first.Summary(),
		SelfCPU: l.selfUsed.Seconds(),
	}
	if l.o.stream {
		t, g := l.ttft.Summary(), l.gap.Summary()
		r.TTFT, r.Gap = &t, &g
		r.ChunksPerS = float64(l.chunks) / l.o.duration.Seconds()
	}
	if len(l.o.pids) > 0 {
		w := &Watched{
			CPU:      (l.atEnd.CPU - l.atMeasure.CPU).Seconds(),
			RSSStart: l.atMeasure.RSS, RSSMax: l.rssMax, RSSEnd: l.atEnd.RSS, Procs: l.atEnd.Procs,
		}
		if l.ok > 0 {
			w.CPUPer1000 = w.CPU * 1000 / float64(l.ok)
		}
		r.Watched = w
	}
	return r
}
