package logsink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// fakeBus is a Source and a Liveness whose time is that of a synctest bubble.
type fakeBus struct {
	mu     sync.Mutex
	queue  []Message
	unread uint64 // messages that State claims besides the queue
	away   bool
	slow   bool // every second fetch brings nothing, the others one message
	odd    bool // the last fetch brought nothing
	died   map[string]time.Time
}

func (f *fakeBus) Fetch(ctx context.Context, _ int, wait time.Duration) ([]Message, error) {
	pause(ctx, wait)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, nil // a lost connection looks like silence
	}
	n := len(f.queue)
	if f.slow {
		f.odd = !f.odd
		if n = min(n, 1); f.odd {
			n = 0
		}
	}
	messages := f.queue[:n]
	f.queue = f.queue[n:]
	return messages, nil
}

func (f *fakeBus) Ack(ctx context.Context, _ []string) error { return ctx.Err() }

func (f *fakeBus) State(context.Context) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return State{}, errors.New("no connection")
	}
	return State{Unread: uint64(len(f.queue)), Unacked: f.unread}, nil
}

func (f *fakeBus) Silence(process string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.died[process]; ok {
		return time.Since(at)
	}
	return 0
}

func (f *fakeBus) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeBus) send(process string, entries ...usage.Entry) {
	f.set(func() {
		f.queue = append(f.queue, Message{Data: usage.Encode(process, entries...)})
	})
}

func (f *fakeBus) kill(process string) {
	f.set(func() { f.died[process] = time.Now() })
}

// scene is a sink that runs in a bubble, on a real store.
type scene struct {
	*fakeBus
	t     *testing.T
	store *SQLite
	stop  func()
}

func play(t *testing.T, act func(t *testing.T, s *scene)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{fakeBus: &fakeBus{died: map[string]time.Time{}}, t: t}
		s.start(dir)
		act(t, s)
		s.stop()
	})
}

func (s *scene) start(dir string) {
	s.t.Helper()
	var err error
	if s.store, err = OpenSQLite(dir); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error)
	sink := New(Config{Source: s.fakeBus, Store: s.store, Liveness: s.fakeBus, Log: quiet})
	go func() { done <- sink.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := errors.Join(<-done, s.store.Close()); err != nil {
			s.t.Error(err)
		}
	}
}

// want compares the rows, as attempt:outcome and request:outcome/error type,
// and the open entries, as job/attempt.
func (s *scene) want(rows, open string) {
	s.t.Helper()
	synctest.Wait()
	query := func(q string) string {
		var list []string
		rows, err := s.store.db.Query(q)
		if err != nil {
			s.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				s.t.Fatal(err)
			}
			list = append(list, line)
		}
		return strings.Join(list, " ")
	}
	got := query("select job_id || '/' || attempt || ':' || outcome from attempts union all select job_id || ':' || outcome || '/' || error_type from requests order by 1")
	if diff := cmp.Diff(rows, got); diff != "" {
		s.t.Errorf("rows (-want +got):\n%s", diff)
	}
	got = query("select job_id || '/' || attempt from open_entries order by 1")
	if diff := cmp.Diff(open, got); diff != "" {
		s.t.Errorf("open entries (-want +got):\n%s", diff)
	}
}

func attempt1(kind usage.Kind, job string, number int, outcome usage.Outcome) usage.Entry {
	return usage.Entry{Kind: kind, Ingress: "i", Left: time.Minute, Attempt: &usage.Attempt{
		JobID: job, Attempt: number, Delivery: 1, RequestID: job, Provider: "groq", Outcome: outcome, WorkerID: "w",
	}}
}

func requestEntry(job string, outcome usage.Outcome) usage.Entry {
	return usage.Entry{Kind: usage.KindRequest, Ingress: "i", Request: &usage.Request{JobID: job, Outcome: outcome}}
}

func TestOpenAttemptIsKeptUntilItFinishes(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		time.Sleep(time.Second)
		s.want("", "a/1")
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Error), attempt1(usage.KindStarted, "a", 2, ""))
		time.Sleep(time.Second)
		s.want("a/1:error", "a/0 a/2")
		s.send("w", attempt1(usage.KindFinished, "a", 2, usage.OK))
		time.Sleep(time.Second)
		s.want("a/1:error a/2:ok", "a/0")
		s.send("i", requestEntry("a", usage.OK))
		time.Sleep(time.Second)
		s.want("a/1:error a/2:ok a:ok/", "")
	})
}

func TestRequestMayComeFirst(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		time.Sleep(time.Second)
		s.send("i", requestEntry("a", usage.ClientGone))
		s.send("i", requestEntry("b", usage.OK))
		time.Sleep(time.Second)
		s.want("a:client_gone/ b:ok/", "a/1")
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Cancelled), attempt1(usage.KindFinished, "b", 1, usage.OK))
		time.Sleep(time.Second)
		s.want("a/1:cancelled a:client_gone/ b/1:ok b:ok/", "")
	})
}

func TestLostClosesWhatItsDeliveryHadOpen(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Error), attempt1(usage.KindStarted, "a", 2, ""))
		time.Sleep(time.Second)
		// The ingress knows of one attempt only; the worker had made two.
		s.send("i", attempt1(usage.KindLost, "a", 1, usage.WorkerLost))
		s.send("i", attempt1(usage.KindLost, "never-dialled", 1, usage.WorkerLost), requestEntry("never-dialled", usage.Error))
		time.Sleep(time.Second)
		s.want("a/1:error a/2:worker_lost never-dialled/1:worker_lost never-dialled:error/", "a/0")
		rows, err := s.store.Records(t.Context(), Filter{Attempts: true, RequestID: "a", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := rows.Values[0][5]; got != "groq" {
			t.Errorf("got provider %v, want the one that started named", got)
		}
		// A worker that comes back is too late.
		s.send("w", attempt1(usage.KindFinished, "a", 2, usage.Fenced))
		s.send("i", requestEntry("a", usage.OK))
		time.Sleep(time.Second)
		s.want("a/1:error a/2:worker_lost a:ok/ never-dialled/1:worker_lost never-dialled:error/", "")
	})
}

func TestFencedIfItsReportCameFirst(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Fenced))
		s.send("i", attempt1(usage.KindLost, "a", 1, usage.WorkerLost), requestEntry("a", usage.OK))
		time.Sleep(time.Second)
		s.want("a/1:fenced a:ok/", "")
	})
}

func TestSilentWorkerAndIngress(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		e := attempt1(usage.KindStarted, "a", 1, "")
		e.Request = &usage.Request{ClientID: "client-1", Model: "glm"}
		s.send("w", e)
		time.Sleep(20 * time.Second)
		s.kill("w")
		time.Sleep(20 * time.Second)
		s.want("", "a/1") // its ingress lives and will say what became of it
		s.kill("i")
		time.Sleep(silence - time.Second)
		s.want("", "a/1")
		time.Sleep(3 * time.Second)
		s.want("a/1:worker_lost a:incomplete/ingress_lost", "")
		rows, err := s.store.Records(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(rows.Values[0][2], rows.Values[0][4], rows.Values[0][9], rows.Values[0][12], rows.Values[0][16])
		if want := fmt.Sprint("a", "client-1", "glm", "groq", 1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// A worker that dies before its last report went out leaves an open attempt of a
// request that has its row: that row tells what became of it.
func TestWorkerDiesAfterItsAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{fakeBus: &fakeBus{died: map[string]time.Time{}}, t: t}
		s.start(dir)
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Error), attempt1(usage.KindStarted, "a", 2, ""), attempt1(usage.KindStarted, "b", 1, ""))
		time.Sleep(time.Second)
		answered := requestEntry("a", usage.OK)
		answered.Request.Attempts = 2
		s.send("i", answered, requestEntry("b", usage.Incomplete))
		s.kill("w")
		time.Sleep(silence - 2*time.Second)
		s.want("a/1:error a:ok/ b:incomplete/", "a/2 b/1")
		s.stop() // a sink that starts anew knows it too
		s.start(dir)
		time.Sleep(silence + 4*time.Second)
		s.want("a/1:error a/2:ok a:ok/ b/1:worker_lost b:incomplete/", "")
		var reason, none string
		err := s.store.db.QueryRow("select max(error_type), min(error_type) from attempts where attempt = 2 or job_id = 'b'").Scan(&reason, &none)
		if err != nil || reason != "worker_lost" || none != "" {
			t.Errorf("error types of the lost attempt and of the answered one: got %q, %q, %v", reason, none, err)
		}
		s.stop()
	})
}

func TestIngressDiesWorkerReports(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.kill("i")
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.Cancelled))
		time.Sleep(5 * time.Second)
		s.want("a/1:cancelled", "a/0")
		time.Sleep(silence)
		s.want("a/1:cancelled a:incomplete/ingress_lost", "")
	})
}

func TestDeadlinePassed(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		time.Sleep(time.Minute + lateness - time.Second)
		s.want("", "a/1")
		time.Sleep(3 * time.Second)
		s.want("a/1:worker_lost", "a/0") // the ingress lives: its record is on its way
		s.send("i", requestEntry("a", usage.Error))
		time.Sleep(time.Second)
		s.want("a/1:worker_lost a:error/", "")
	})
}

func TestNothingIsClosedOutOfTouch(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		time.Sleep(time.Second)
		s.set(func() { s.away = true })
		s.kill("w")
		s.kill("i")
		time.Sleep(5 * time.Minute)
		s.want("", "a/1")
		s.set(func() { s.away = false })
		time.Sleep(5 * time.Second) // the worker's spool needs that long
		s.want("", "a/1")
		s.send("w", attempt1(usage.KindFinished, "a", 1, usage.OK))
		s.send("i", requestEntry("a", usage.OK))
		time.Sleep(time.Minute)
		s.want("a/1:ok a:ok/", "")
	})
}

func TestNothingIsClosedBehindUnreadMessages(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		s.kill("w")
		s.kill("i")
		s.set(func() { s.unread = 3 })
		time.Sleep(5 * time.Minute)
		s.want("", "a/1")
		s.set(func() { s.unread = 0 })
		time.Sleep(2 * time.Second)
		s.want("a/1:worker_lost a:incomplete/ingress_lost", "")
	})
}

func TestRestartRemembersWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{fakeBus: &fakeBus{died: map[string]time.Time{}}, t: t}
		s.start(dir)
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		s.send("w", attempt1(usage.KindFinished, "b", 1, usage.OK))
		s.send("w", attempt1(usage.KindStarted, "c", 1, ""))
		time.Sleep(time.Second)
		s.want("b/1:ok", "a/1 b/0 c/1")
		s.stop()
		s.start(dir)
		s.send("w", attempt1(usage.KindFinished, "c", 1, usage.OK))
		s.send("i", requestEntry("c", usage.OK))
		s.kill("w")
		s.kill("i")
		time.Sleep(time.Second)
		s.want("b/1:ok c/1:ok c:ok/", "a/1 b/0")
		time.Sleep(silence + 2*time.Second)
		s.want("a/1:worker_lost a:incomplete/ingress_lost b/1:ok b:incomplete/ingress_lost c/1:ok c:ok/", "")
		s.stop()
	})
}

// A message that comes again after its job was closed opens nothing for good.
func TestOldMessagesComeAgain(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""), attempt1(usage.KindFinished, "a", 1, usage.OK))
		s.send("i", requestEntry("a", usage.OK))
		time.Sleep(time.Second)
		s.send("w", attempt1(usage.KindStarted, "a", 1, ""))
		time.Sleep(time.Minute + lateness + 2*time.Second)
		s.want("a/1:ok a:ok/", "")
	})
}

func TestCostOfALostRequestIsTheSum(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		one, two := int64(100), int64(23)
		first, second := attempt1(usage.KindFinished, "a", 1, usage.Cut), attempt1(usage.KindFinished, "a", 2, usage.Cancelled)
		first.Attempt.CostNanoUSD, second.Attempt.CostNanoUSD = &one, &two
		second.Attempt.PromptTokens = 7
		s.send("w", first)
		time.Sleep(time.Second)
		s.send("w", second)
		s.kill("i")
		time.Sleep(silence + 2*time.Second)
		var cost, prompt, attempts int64
		if err := s.store.db.QueryRow("select cost_nano_usd, prompt_tokens, attempts from requests").Scan(&cost, &prompt, &attempts); err != nil {
			t.Fatal(err)
		}
		if cost != 123 || prompt != 7 || attempts != 2 {
			t.Errorf("got cost %d, %d prompt tokens, %d attempts; want 123, 7, 2", cost, prompt, attempts)
		}
	})
}

// A worker may die with the record of an answer that its client has got.
func TestAnsweredAttemptHasARowThoughItsWorkerDied(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		answered := requestEntry("j", usage.OK)
		answered.Request.Attempts, answered.Request.WorkerID = 1, "w"
		s.send("i", answered)
		time.Sleep(time.Minute)
		s.want("j:ok/", "j/1") // the worker lives, and may yet tell
		s.kill("w")
		time.Sleep(time.Minute)
		s.want("j/1:ok j:ok/", "")
		late := attempt1(usage.KindFinished, "j", 1, usage.OK)
		s.send("w", late)
		time.Sleep(time.Second)
		s.want("j/1:ok j:ok/", "")
	})
}

// testEndIsKnownAgain checks that a sink that begins anew knows all that the row of
// a request says of its end: the row of the attempt that answered may yet have to be
// made of it. reopen opens what was written by the store.
func testEndIsKnownAgain(t *testing.T, s store, reopen func() store) {
	want := request("j", 1)
	want.Attempts, want.Status = 1, 200
	want.Spend = usage.Spend{PromptTokens: 840, CachedReadTokens: 509, CachedWriteTokens: 30, CompletionTokens: 594, ReasoningTokens: 20,
		UsageSource: llm.UsageProvider, CostNanoUSD: nano(8984325)}
	open := attempt1(usage.KindStarted, "j", 1, "")
	b := &batch{requests: []*usage.Request{want}, save: []saved{{openKey: openKey{"j", 1}, data: usage.Encode("w", open)}}}
	err := s.sift(t.Context(), b)
	if err == nil {
		_, err = s.write(t.Context(), b)
	}
	if err != nil {
		t.Fatal(err)
	}
	known, err := reopen().load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr, now := newTracker(), time.Now()
	for _, e := range known.open {
		if err := tr.restore(e, now); err != nil {
			t.Fatal(err)
		}
	}
	tr.sweep(now, now, nobodyLives{})
	rows := tr.cut(now).attempts
	if len(rows) != 1 {
		t.Fatalf("got %d rows of attempts, want that of the one that answered", len(rows))
	}
	got := rows[0]
	if diff := cmp.Diff(want.Spend, got.Spend); diff != "" || got.Outcome != usage.OK || got.Status != 200 {
		t.Errorf("got %s, %d, want ok, 200; spend (-want +got):\n%s", got.Outcome, got.Status, diff)
	}
}

type nobodyLives struct{}

func (nobodyLives) Silence(string) time.Duration { return time.Hour }

func TestEndIsKnownAgain(t *testing.T) {
	dir := t.TempDir()
	testEndIsKnownAgain(t, openStore(t, dir), func() store { return openStore(t, dir) })
}

// An ingress that has lost its worker, or NATS, does not hear what an answer that
// had begun has cost. The attempts tell, whichever comes first.
func TestUnheardEndCostsWhatItsAttemptsDid(t *testing.T) {
	used := usage.Spend{PromptTokens: 7, CompletionTokens: 3, UsageSource: llm.UsageEstimated, CostNanoUSD: nano(70)}
	incomplete := requestEntry("j", usage.Incomplete)
	incomplete.Request.Attempts, incomplete.Request.UsageSource = 1, llm.UsageNone
	started, finished := attempt1(usage.KindStarted, "j", 1, ""), attempt1(usage.KindFinished, "j", 1, usage.Cancelled)
	started.Attempt.Spend, finished.Attempt.Spend = usage.Spend{PromptTokens: 7, UsageSource: llm.UsageEstimated, CostNanoUSD: nano(20)}, used
	started.Request = &usage.Request{JobID: "j", ClientID: "c", PriceVersion: "v1"}
	lost := attempt1(usage.KindLost, "j", 1, usage.WorkerLost)
	for _, c := range []struct {
		name string
		act  func(s *scene, restart func())
		want string
	}{
		{"attempt first", func(s *scene, _ func()) { s.send("w", started, finished); s.send("i", incomplete) }, "cancelled 7+3 estimated 70 v1"},
		{"request first", func(s *scene, _ func()) {
			s.send("w", started)
			s.send("i", incomplete)
			time.Sleep(time.Second)
			s.want("", "j/0 j/1")
			s.send("w", finished)
		}, "cancelled 7+3 estimated 70 v1"},
		{"another sink in between", func(s *scene, restart func()) {
			s.send("w", started)
			s.send("i", incomplete)
			time.Sleep(time.Second)
			restart()
			s.want("", "j/0 j/1")
			s.send("i", incomplete) // LOG gives it again
			time.Sleep(time.Second)
			s.send("w", finished)
		}, "cancelled 7+3 estimated 70 v1"},
		{"lost", func(s *scene, _ func()) { s.send("w", started); s.send("i", lost, incomplete) }, "worker_lost 7+0 estimated 20 v1"},
		{"dead without a word", func(s *scene, _ func()) {
			s.send("w", started)
			s.send("i", incomplete)
			s.kill("w")
			time.Sleep(time.Minute)
		}, "worker_lost 7+0 estimated 20 v1"},
		{"dead with its ingress", func(s *scene, restart func()) {
			s.send("w", started)
			s.send("i", incomplete)
			time.Sleep(time.Second)
			restart()
			s.kill("w")
			s.kill("i")
			time.Sleep(time.Minute)
		}, "worker_lost 7+0 estimated 20 v1"},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := &scene{fakeBus: &fakeBus{died: map[string]time.Time{}}, t: t}
			s.start(dir)
			c.act(s, func() { s.stop(); s.start(dir) })
			time.Sleep(2 * time.Second)
			var got, outcome string
			err := s.store.db.QueryRow(`select a.outcome || ' ' || r.prompt_tokens || '+' || r.completion_tokens || ' ' || r.usage_source || ' ' ||
				coalesce(r.cost_nano_usd, '-') || ' ' || r.price_version, r.outcome from requests r join attempts a on a.job_id = r.job_id`).Scan(&got, &outcome)
			if err != nil || got != c.want || outcome != "incomplete" {
				t.Errorf("%s: got %s %s, %v, want incomplete %s", c.name, outcome, got, err, c.want)
			}
			var open int
			if err := s.store.db.QueryRow("select count(*) from open_entries").Scan(&open); err != nil || open != 0 {
				t.Errorf("%s: %d entries are open at the end, %v", c.name, open, err)
			}
			s.stop()
		})
	}
}

// A sink that is told to stop stores what LOG holds, however slowly it comes.
func TestStoppedSinkLeavesNothingInLog(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{fakeBus: &fakeBus{died: map[string]time.Time{}, slow: true}, t: t}
		s.start(dir)
		synctest.Wait()
		for _, job := range []string{"a", "b", "c"} {
			s.send("i", requestEntry(job, usage.OK))
		}
		s.stop()
		s.start(dir) // to look into the store
		s.want("a:ok/ b:ok/ c:ok/", "")
		s.stop()
	})
}

// A worker that had told of nothing but its newest attempt when it died is known
// by its ingress to have made those before.
func TestLostWorkerMadeAttemptsBefore(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.send("w", attempt1(usage.KindStarted, "a", 2, ""), attempt1(usage.KindFinished, "b", 1, usage.Error))
		for _, job := range []string{"a", "b", "c"} {
			s.send("i", attempt1(usage.KindLost, job, 1, usage.WorkerLost), attempt1(usage.KindLost, job, 2, usage.WorkerLost), requestEntry(job, usage.Error))
		}
		time.Sleep(time.Second)
		s.want("a/1:worker_lost a/2:worker_lost a:error/ b/1:error b/2:worker_lost b:error/ c/1:worker_lost c/2:worker_lost c:error/", "")
	})
}

// What a call had cost whose worker was lost is estimated by the worker when it
// begins, and belongs to the request's cost.
func TestLostAttemptCostsItsPrompt(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		estimate := usage.Spend{PromptTokens: 7, UsageSource: llm.UsageEstimated, CostNanoUSD: nano(70)}
		for _, job := range []string{"a", "b", "c"} { // c's worker dies before it can say anything
			started := attempt1(usage.KindStarted, job, 1, "")
			started.Attempt.Spend = estimate
			if job != "c" {
				s.send("w", started)
			}
			lost := attempt1(usage.KindLost, job, 1, usage.WorkerLost)
			lost.Attempt.UsageSource = llm.UsageNone
			s.send("i", lost)
		}
		time.Sleep(time.Second)
		ok := requestEntry("a", usage.OK)
		ok.Request.Attempts, ok.Request.Spend = 2, usage.Spend{UsageSource: llm.UsageProvider, CostNanoUSD: nano(5)}
		finished := attempt1(usage.KindFinished, "a", 2, usage.OK)
		finished.Attempt.Spend = ok.Request.Spend
		s.send("w2", finished)
		s.send("i", ok, requestEntry("b", usage.Error), requestEntry("c", usage.Error))
		time.Sleep(time.Second)
		for query, want := range map[string]string{
			"select group_concat(job_id || attempt || ':' || prompt_tokens || '/' || usage_source || '/' || coalesce(cost_nano_usd, '-'), ' ') from attempts": "a1:7/estimated/70 a2:0/provider/5 b1:7/estimated/70 c1:0/none/-",
			"select group_concat(job_id || ':' || coalesce(cost_nano_usd, '-'), ' ') from requests":                                                           "a:75 b:70 c:-",
		} {
			var got string
			if err := s.store.db.QueryRow(strings.Replace(query, " from ", " from (select * from ", 1) + " order by job_id)").Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// While a batch is being stored the next one is gathered: what that brings must not
// change a row that is on its way.
func TestRowsOnTheirWayDoNotChange(t *testing.T) {
	lost := func(number int) *usage.Entry {
		e := attempt1(usage.KindLost, "a", number, usage.WorkerLost)
		e.Attempt.Spend = usage.Spend{UsageSource: llm.UsageEstimated, CostNanoUSD: nano(70)}
		e.Attempt.Delivery = number
		return &e
	}
	started, request := attempt1(usage.KindStarted, "a", 2, ""), requestEntry("a", usage.Error)
	started.Attempt.Delivery = 2
	tr, now := newTracker(), time.Now()
	for _, e := range []*usage.Entry{lost(1), &started, &request} {
		tr.apply(e, now)
	}
	stored := tr.cut(now).requests[0]
	tr.apply(lost(2), now)
	if got := *stored.CostNanoUSD; got != 70 {
		t.Errorf("the row's cost became %d with the next batch, want 70", got)
	}
}
