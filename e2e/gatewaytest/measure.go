package gatewaytest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Metrics is one scrape of /metrics.
type Metrics struct {
	t     testing.TB
	url   string
	lines []string
}

// Metrics scrapes the gateway.
func (g *Gateway) Metrics() Metrics { return scrape(g.t, g.URL) }

// Metrics scrapes a process that has --metrics-listen.
func (p *Process) Metrics() Metrics { return scrape(p.t, p.awaitAddress("metrics")) }

func scrape(t testing.TB, url string) Metrics {
	t.Helper()
	status, body := Get(t, url+"/metrics")
	if status != 200 {
		t.Fatalf("/metrics answered %d", status)
	}
	return Metrics{t, url, strings.Split(body, "\n")}
}

// Sum adds up all series of a name. A name that is not there is looked for in
// newer scrapes, for one lacks what the bus did not tell within a second; one
// that stays away fails the test.
func (m Metrics) Sum(name string) float64 {
	m.t.Helper()
	sum, found := m.sum(name)
	for try := 0; !found && try < 5; try++ {
		sum, found = scrape(m.t, m.url).sum(name)
	}
	if !found {
		m.t.Fatalf("no metric %s", name)
	}
	return sum
}

func (m Metrics) sum(name string) (sum float64, found bool) {
	m.t.Helper()
	for _, line := range m.lines {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			m.t.Fatalf("metric %q: %v", line, err)
		}
		sum, found = sum+v, true
	}
	return sum, found
}

// RSS is the memory that the process holds, in bytes. Where the system does not
// tell, the test is skipped.
func (p *Process) RSS(t testing.TB) int64 {
	t.Helper()
	for _, line := range strings.Split(p.proc(t, "status"), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmRSS in the process's status")
	return 0
}

// clockTick is the unit of processor time in /proc: 1/100 s on every Linux.
const clockTick = 10 * time.Millisecond

// CPU is the processor time that the process has used.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	stat := p.proc(t, "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime: fields 14 and 15, counted from the name on
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatalf("stat %q: %v", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

func (p *Process) proc(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), file))
	if os.IsNotExist(err) {
		t.Skip("no /proc here: nothing to measure memory and processor time by")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
