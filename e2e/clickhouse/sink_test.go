//go:build clickhouse

package clickhouse

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/clickhouse/chtest"
	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// patience bounds what has to happen; what a promise bounds is measured.
const patience = 90 * time.Second

func TestMain(m *testing.M) { os.Exit(chtest.Main(m, gatewaytest.Main)) }

// scene is a gateway of separate processes whose records go to ClickHouse.
type scene struct {
	*gatewaytest.Cluster
	t   *testing.T
	ch  *chtest.Server
	db  string
	env []string // that leads to the records
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneOn(t, gatewaytest.StartNATS(t))
}

func newSceneOn(t *testing.T, n *gatewaytest.NATS) *scene {
	t.Helper()
	ch := chtest.Start(t)
	db, dsn := ch.Database()
	env := []string{"CLICKHOUSE_DSN=" + dsn, "MODEL_PROXY_METRICS_LISTEN=127.0.0.1:0", "ADMIN_API_KEY=" + adminKey}
	u := gatewaytest.NewUpstream(t, mock.Options{})
	return &scene{gatewaytest.NewClusterOn(t, n, u, gatewaytest.Setup{Env: env}, 1), t, ch, db, env}
}

const adminKey = "admin-e2e-55cd01b7"

// load asks one request after the other, of both kinds, until stopped; stop
// returns how many were answered.
func (s *scene) load(clients int) (stop func() int) {
	atOnce := make(chan time.Time)
	close(atOnce)
	return s.pacedLoad(clients, atOnce)
}

// pacedLoad is load with one request for each tick.
func (s *scene) pacedLoad(clients int, ticks <-chan time.Time) (stop func() int) {
	var answered atomic.Int64
	var running sync.WaitGroup
	over := make(chan struct{})
	for k := range clients {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-ticks:
				}
				select {
				case <-over:
					return
				default:
				}
				r := gatewaytest.Protocols[(k+i)%2].Plain("hello")
				if i%3 == 0 {
					r = gatewaytest.Protocols[(k+i)%2].Stream("hello")
				}
				if a := s.Do(s.t, r); a.Status != 200 {
					s.t.Errorf("got %d: %s", a.Status, a.Body)
				}
				answered.Add(1)
			}
		})
	}
	return func() int {
		close(over)
		running.Wait()
		return int(answered.Load())
	}
}

// rows counts a table.
func (s *scene) rows(table string) int {
	s.t.Helper()
	text, err := s.ch.Exec("SELECT count() FROM " + s.db + "." + table)
	if err != nil {
		return 0 // not made yet
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// wantExactly waits for the rows of n requests with one attempt each, and
// compares the rollups with them.
func (s *scene) wantExactly(n int) {
	s.t.Helper()
	gatewaytest.Await(s.t, patience+time.Duration(n)*time.Second/200, fmt.Sprintf("the records of %d requests", n), func() bool {
		return s.rows("requests") >= n && s.rows("attempts") >= n
	})
	counts := func() string {
		return s.ch.MustExec(strings.ReplaceAll(`SELECT (SELECT count() FROM DB.requests), (SELECT uniqExact(job_id) FROM DB.requests),
		(SELECT count() FROM DB.attempts), (SELECT uniqExact(job_id, attempt) FROM DB.attempts),
		(SELECT sum(requests) FROM DB.usage_1h), (SELECT sum(requests) FROM DB.usage_1d), (SELECT sum(requests) FROM DB.perf_1m),
		(SELECT sum(requests) FROM DB.perf_1h), (SELECT sum(requests) FROM DB.perf_1d), (SELECT sum(attempts) FROM DB.attempts_1h),
		(SELECT sum(requests) FROM DB.keys_1h), (SELECT sum(arraySum(latency.2)) FROM DB.keys_1d),
		(SELECT sum(arraySum(latency.2)) FROM DB.client_latency_1h), (SELECT sum(arraySum(latency.2)) FROM DB.client_latency_1d)`, "DB", s.db))
	}
	want := strings.TrimSuffix(strings.Repeat(fmt.Sprint(n)+"\t", 14), "\t")
	for range 600 { // rows show before their rollups
		if counts() == want {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	if got := counts(); got != want {
		s.t.Errorf("requests, distinct, attempts, distinct and the ten rollups: got\n%s\nwant %d of each", got, n)
	}
	tokens := s.ch.MustExec(strings.ReplaceAll(`SELECT (SELECT sum(prompt_tokens) FROM DB.requests) = (SELECT sum(prompt_tokens) FROM DB.usage_1h)
		AND (SELECT sum(completion_tokens) FROM DB.requests) = (SELECT sum(completion_tokens) FROM DB.usage_1d)
		AND (SELECT sum(bytes_out) FROM DB.requests) = (SELECT sum(bytes_out) FROM DB.usage_1d)
		AND (SELECT sum(prompt_tokens) FROM DB.attempts) = (SELECT sum(prompt_tokens) FROM DB.attempts_1h)`, "DB", s.db))
	if tokens != "1" {
		s.t.Error("tokens and bytes of the rollups are not those of the rows")
	}
}

// every waits for d, n times, and acts after each.
func every(d time.Duration, n int, act func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for range n {
		<-tick.C
		act()
	}
}

func TestSinkKilled(t *testing.T) {
	t.Parallel()
	kills := number(t, "SINK_KILLS", 8)
	s := newScene(t)
	stop := s.load(6)
	every(2*time.Second, kills, func() {
		s.Sink.Kill()
		s.RestartSink()
	})
	n := stop()
	t.Logf("%d requests, %d kills", n, kills)
	s.wantExactly(n)
}

// ClickHouse refuses connections, hangs, and dies with batches accepted, each
// under load: nothing is lost, nothing is doubled, and the lag shows.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		away, back func(*chtest.Server)
		away4      time.Duration
	}{
		{"refuses", func(ch *chtest.Server) { ch.MustExec("SYSTEM STOP LISTEN TCP"); ch.BreakConnections() }, func(ch *chtest.Server) { ch.MustExec("SYSTEM START LISTEN TCP") }, 4 * time.Second},
		{"hangs", (*chtest.Server).Pause, (*chtest.Server).Resume, 4 * time.Second},
		{"dies", (*chtest.Server).Kill, (*chtest.Server).Restart, 4 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			stop := s.load(4)
			gatewaytest.Await(t, patience, "the first rows", func() bool { return s.sinkRows() > 0 })
			tc.away(s.ch)
			gatewaytest.Await(t, patience, "the lag to show", func() bool {
				m := s.Sink.Metrics()
				return m.Sum("model_proxy_records_pending") > 0 && m.Sum("model_proxy_sink_stalled_seconds") > 3
			})
			tc.back(s.ch)
			n := stop()
			t.Logf("%d requests", n)
			s.wantExactly(n)
			gatewaytest.Await(t, patience, "the lag to end", func() bool { return s.Sink.Metrics().Sum("model_proxy_records_pending") == 0 })
			if strings.Contains(s.Sink.Output(), chtest.Password) {
				t.Error("the sink's log holds ClickHouse's password")
			}
		})
	}
}

// number reads a number from the environment, or else returns preset.
func number(t *testing.T, name string, preset int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// While ClickHouse is away LOG holds the records, not the sink's memory, and
// health and metrics say so. STORE_AWAY is for how long, 10 s by default;
// STORE_AWAY_RATE bounds the requests in a second.
func TestStoreAwayForLong(t *testing.T) {
	t.Parallel()
	away := 10 * time.Second
	if text := os.Getenv("STORE_AWAY"); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newScene(t)
	pace := time.NewTicker(time.Second / time.Duration(number(t, "STORE_AWAY_RATE", 1000)))
	defer pace.Stop()
	stop := s.pacedLoad(8, pace.C)
	gatewaytest.Await(t, patience, "the first rows", func() bool { return s.sinkRows() > 0 })
	s.ch.MustExec("SYSTEM STOP LISTEN TCP")
	s.ch.BreakConnections()
	figure := func(name string) float64 { return s.Sink.Metrics().Sum(name) }
	gatewaytest.Await(t, patience, "the sink to have all in hand that it takes", func() bool { return figure("model_proxy_sink_stalled_seconds") > 3 })
	pending, memory := figure("model_proxy_records_pending"), figure("process_resident_memory_bytes")
	most := memory
	every(away/20, 20, func() {
		now := figure("process_resident_memory_bytes")
		most = max(most, now)
		t.Logf("%.0f messages wait, %.1f MB of memory", figure("model_proxy_records_pending"), now/1e6)
	})
	wantStoreBehind(t, s.get("/health/detailed", gatewaytest.ClientKey), away)
	if now := figure("model_proxy_records_pending"); now <= pending {
		t.Errorf("%v messages wait, and %v before", now, pending)
	}
	if figure("model_proxy_sink_lag_messages") == 0 {
		t.Error("the lag does not show")
	}
	if more := most - memory; more > 32e6 {
		t.Errorf("the sink's memory has grown by %.0f MB, want it flat", more/1e6)
	}
	s.ch.MustExec("SYSTEM START LISTEN TCP")
	back := time.Now()
	n := stop()
	s.wantExactly(n)
	gatewaytest.Await(t, patience, "the lag to end", func() bool { return figure("model_proxy_records_pending") == 0 })
	t.Logf("%d requests, all stored %v after ClickHouse came back; %.1f MB of memory", n, time.Since(back).Round(time.Second/10), figure("process_resident_memory_bytes")/1e6)
}

// wantStoreBehind looks for the lag in a detailed health report. A store that has
// been away for so long degrades it; the gateway serves on.
func wantStoreBehind(t *testing.T, report []byte, away time.Duration) {
	t.Helper()
	t.Logf("health: %s", report)
	var health struct {
		Components struct {
			Store struct {
				Status string
				Detail struct {
					Waiting  int
					OldestMS int64 `json:"oldest_ms"`
				}
			}
		}
	}
	if err := json.Unmarshal(report, &health); err != nil {
		t.Fatal(err)
	}
	store := health.Components.Store
	if store.Detail.Waiting == 0 || store.Detail.OldestMS < away.Milliseconds() {
		t.Errorf("health of the store: got %+v after %v", store, away)
	}
	if away > time.Minute && store.Status != "degraded" {
		t.Errorf("health of the store: got %q after %v, want degraded", store.Status, away)
	}
}

func (s *scene) sinkRows() float64 { return s.Sink.Metrics().Sum("model_proxy_sink_rows_total") }

// Of two sinks one writes. When it dies or hangs the other takes over within
// 5 s, and when it wakes up it does no harm.
func TestTakeover(t *testing.T) { // alone: it measures
	takeover(t, newScene(t), 5*time.Second)
}

// Log sinks need no permissions for that but those that deploy gives them. How
// long it takes depends on the disk, which that server waits for.
func TestTakeoverWithPermissions(t *testing.T) {
	t.Parallel()
	s := newSceneOn(t, gatewaytest.StartDeployedNATS(t))
	for _, p := range takeover(t, s, patience) {
		if strings.Contains(strings.ToLower(p.Output()), "permissions violation") {
			t.Errorf("a permission is missing:\n%s", p.Output())
		}
	}
}

// takeover hurts the one that writes of two sinks, twice, and returns both.
func takeover(t *testing.T, s *scene, within time.Duration) []*gatewaytest.Process {
	t.Helper()
	stop := s.load(2)
	sinks := []*gatewaytest.Process{s.Sink, s.AddSink()}
	writes := func(p *gatewaytest.Process) bool { return p.Metrics().Sum("model_proxy_sink_writes") == 1 }
	gatewaytest.Await(t, patience, "the first sink to write", func() bool { return writes(sinks[0]) })
	sinks[1].AwaitLog("standing by", patience)
	if writes(sinks[1]) {
		t.Error("both sinks write")
	}
	takesOver := func(what string, p *gatewaytest.Process, hurt func()) {
		t.Helper()
		before := p.Metrics().Sum("model_proxy_sink_rows_total")
		hurt()
		began := time.Now()
		gatewaytest.Await(t, patience, "the other sink to write", func() bool {
			return writes(p) && p.Metrics().Sum("model_proxy_sink_rows_total") > before
		})
		took := s.Clock.Since(began)
		t.Logf("%s: rows by the other after %v", what, took.Round(time.Millisecond))
		if took > within {
			t.Errorf("%s: the other wrote after %v, want %v at most", what, took, within)
		}
	}
	takesOver("stopped", sinks[1], func() { sinks[0].Signal(syscall.SIGSTOP) })
	sinks[0].Signal(syscall.SIGCONT)
	sinks[0].AwaitLog("another log sink has taken over", patience)
	takesOver("killed", sinks[0], func() { sinks[1].Signal(syscall.SIGKILL) })
	s.wantExactly(stop())
	return sinks
}
