//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"model-proxy/bench/internal/procstat"
)

// sample is what the gateway holds at one time.
type sample struct {
	at      time.Duration // since the start
	rss     int64         // bytes, all processes
	cpu     time.Duration // all processes, since their start
	figures map[string]float64
	disk    map[string]int64 // bytes by kind of file
	faults  []string         // what could not be looked at or done
}

// watched are the figures of /metrics in a sample.
var watched = []string{"go_goroutines", "process_open_fds", "model_proxy_inflight_requests", "model_proxy_records_pending", "go_memstats_heap_inuse_bytes"}

// watch looks at the processes, reloads them and replaces workers until done
// is closed.
func (f *fleet) watch(done <-chan struct{}, every time.Duration, tell func(sample)) {
	start := time.Now()
	look, reload, replace := time.NewTicker(every), time.NewTicker(reloadEvery), time.NewTicker(replaceEvery)
	defer look.Stop()
	defer reload.Stop()
	defer replace.Stop()
	var faults []string
	note := func(err error) {
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	report := func() {
		s := f.look()
		s.at, s.faults = time.Since(start), append(s.faults, faults...)
		faults = nil
		tell(s)
	}
	defer report()
	report()
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-look.C:
			report()
		case <-reload.C:
			note(f.reload(n))
		case <-replace.C:
			note(f.replace())
		}
	}
}

// look takes a sample.
func (f *fleet) look() sample {
	var pids []int
	for _, p := range f.gateway {
		pids = append(pids, p.Process.Pid)
	}
	use := procstat.Tree(pids...)
	s := sample{rss: use.RSS, cpu: use.CPU, figures: map[string]float64{}, disk: map[string]int64{}}
	if err := s.readMetrics(f.url + "/metrics"); err != nil {
		s.faults = append(s.faults, err.Error())
	}
	for _, p := range f.gateway {
		s.weigh(filepath.Join(f.dir, p.name))
	}
	s.weigh(filepath.Join(f.dir, "nats"))
	return s
}

// readMetrics keeps the watched figures.
func (s *sample) readMetrics(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		for _, name := range watched {
			if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
				if s.figures[name], err = strconv.ParseFloat(rest, 64); err != nil {
					return fmt.Errorf("metric %s: %w", name, err)
				}
			}
		}
	}
	return lines.Err()
}

// weigh adds up the files of a folder: the records, their write-ahead log, and
// what else there is, which is the queue's and the spool's.
func (s *sample) weigh(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // files of the queue come and go while we look
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		kind := "queue"
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".db"):
			kind = "records"
		case strings.HasSuffix(name, "-wal"):
			kind = "wal"
		}
		s.disk[kind] += info.Size()
		return nil
	})
}

// line is the sample in one line.
func (s sample) line(l *load) string {
	const mb = 1 << 20
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%8s  sent %7d  open %3d  faults %d | rss %4d MB  heap %4.0f MB  cpu %6.1f s  goroutines %4.0f  fds %4.0f  inflight %3.0f  pending %5.0f | records %5d MB  wal %3d MB  queue %3d MB",
		s.at.Round(time.Second), l.sent.Load(), l.sent.Load()-l.answered.Load(), l.faults,
		s.rss/mb, s.figures["go_memstats_heap_inuse_bytes"]/mb, s.cpu.Seconds(), s.figures["go_goroutines"], s.figures["process_open_fds"],
		s.figures["model_proxy_inflight_requests"], s.figures["model_proxy_records_pending"], s.disk["records"]/mb, s.disk["wal"]/mb, s.disk["queue"]/mb)
	for _, fault := range s.faults {
		text += "\n          " + fault
	}
	return text
}
