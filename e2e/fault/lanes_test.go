package fault_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// X-Model-Proxy-Priority picks the lane; a client's own priority is the default
// and the limit; what is no lane is refused.
func TestPriority(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	const batch, chat = "ck-e2e-batch-11aa22bb33", "ck-e2e-chat-44cc55dd66"
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{"BATCH_KEY=" + batch, "CHAT_KEY=" + chat}, Clients: []gatewaytest.JSON{
		{"id": "batch", "key_env": "BATCH_KEY", "priority": "low"}, {"id": "chat", "key_env": "CHAT_KEY", "priority": "high"}}})
	p := gatewaytest.Protocols[0]
	for i, c := range []struct{ key, asks, want string }{
		{gatewaytest.ClientKey, "", "normal"},
		{gatewaytest.ClientKey, "high", "high"},
		{gatewaytest.ClientKey, "low", "low"},
		{batch, "", "low"},
		{batch, "high", "low"},
		{chat, "", "high"},
		{chat, "normal", "normal"},
	} {
		id := "lane-" + strconv.Itoa(i)
		call := p.Plain("hello").With("Authorization", c.key, "X-Request-Id", id)
		if c.asks != "" {
			call = call.With("X-Model-Proxy-Priority", c.asks)
		}
		if a := g.Do(t, call); a.Status != 200 {
			t.Fatalf("%s: got %d: %s", id, a.Status, a.Body)
		}
		if row := g.AwaitRow(t, id, soon); row.Priority != c.want {
			t.Errorf("asking for %q: priority %q, want %q", c.asks, row.Priority, c.want)
		}
	}
	for _, p := range gatewaytest.Protocols {
		a := g.Do(t, p.Plain("hello").With("X-Model-Proxy-Priority", "urgent"))
		if a.Status != 400 {
			t.Errorf("got %d, want 400: %s", a.Status, a.Body)
		}
		if err := p.CheckError(a.Body); err != nil {
			t.Error(err)
		}
	}
}

// A burst of many times what the workers can take, from one client over two
// ingresses: another client's trickle hardly waits; what is over the client's
// bound is refused with a time to come back; what is too late never reaches a
// worker; each has one answer and one record.
func TestBurstFromOneClient(t *testing.T) {
	t.Parallel()
	const slots, bound, burst, late = 4, 60, 150, 10
	const mean = 100 * time.Millisecond
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: mean}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{
		Env: []string{"MODEL_PROXY_CONCURRENCY=" + strconv.Itoa(slots), "QUEUE_MAX_PER_CLIENT=" + strconv.Itoa(bound), "CLIENT_API_KEY_2=" + gatewaytest.SecondClient}}, 1)
	both := []*gatewaytest.Gateway{c.Gateway, c.AddIngress()}
	p := gatewaytest.Protocols[0]
	full := make(chan struct{})
	serve := sync.OnceFunc(func() { close(full) })
	t.Cleanup(serve)
	u.Script(func(*mock.Request) *mock.Fault { <-full; return nil })
	sent, statuses := 0, map[int]int{}
	send := func(call gatewaytest.Request) <-chan gatewaytest.Answer {
		sent++
		return both[sent%2].Go(t, call.With("X-Request-Id", "burst-"+strconv.Itoa(sent)))
	}
	count := func(answers []<-chan gatewaytest.Answer) {
		for _, answer := range answers {
			a := <-answer
			statuses[a.Status]++
			if wait, _ := strconv.Atoi(a.Header.Get("Retry-After")); a.Status == 429 && wait < 1 {
				t.Errorf("refused with Retry-After %q", a.Header.Get("Retry-After"))
			}
			if a.Status == 503 && !a.Unconfirmed() {
				t.Errorf("got %d: %s", a.Status, a.Body)
			}
		}
	}
	var answers, tooLate []<-chan gatewaytest.Answer
	for range slots {
		answers = append(answers, send(p.Plain("burst")))
	}
	u.AwaitRequests(slots, soon) // until serve, all others wait
	for range late {
		tooLate = append(tooLate, send(p.Plain("burst").With("X-Model-Proxy-Timeout-Ms", "150")))
	}
	for range burst - slots - late {
		answers = append(answers, send(p.Plain("burst")))
	}
	gatewaytest.Await(t, soon, "the client's share to be full", func() bool {
		return both[0].Metrics().Sum("model_proxy_rejected_total")+both[1].Metrics().Sum("model_proxy_rejected_total") > 0
	})
	count(tooLate)
	gatewaytest.Await(t, soon, "the records of those that were late, who have left the queue by then", func() bool {
		return outcomes(c.Requests(t, ""), "expired") == statuses[504]
	})
	serve()
	var waits []time.Duration
	trickled := 0
	for len(waits) < 20 {
		trickled++
		a := both[trickled%2].Do(t, p.Plain("trickle").With("Authorization", gatewaytest.SecondClient, "X-Request-Id", "trickle-"+strconv.Itoa(trickled)))
		if a.Unconfirmed() && trickled < 25 {
			continue
		}
		if a.Status != 200 {
			t.Fatalf("trickle: got %d: %s", a.Status, a.Body)
		}
		ms, err := strconv.ParseFloat(a.Header.Get("X-Model-Proxy-Queue-Ms"), 64)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, time.Duration(ms*float64(time.Millisecond)))
	}
	count(answers)
	t.Logf("burst: %v", statuses)
	served := statuses[200] + statuses[503] // what a busy machine does not confirm in time may be served all the same
	if statuses[429] == 0 || statuses[504] == 0 || statuses[503] > burst/10 || served+statuses[429]+statuses[504] != burst {
		t.Errorf("answers to the burst: %v; want 200, some 429, and 504 for those that were late", statuses)
	}
	want := burst - statuses[429] + trickled
	gatewaytest.Await(t, patience, "a record for each admitted request", func() bool { return len(c.Requests(t, "")) >= want })
	expired := 0
	var burstWaits []time.Duration
	for _, row := range c.Requests(t, "") {
		if row.ClientID == "default" && row.Outcome == "ok" {
			burstWaits = append(burstWaits, time.Duration(row.QueueMS*float64(time.Millisecond)))
		}
		if row.Outcome == "expired" {
			expired++
			if row.Attempts != 0 || len(c.Attempts(t, row.RequestID)) != 0 {
				t.Errorf("%s expired, after %d attempts", row.RequestID, row.Attempts)
			}
		}
	}
	trickle, burstWait := middle(waits), middle(burstWaits)
	t.Logf("the trickle waited %v, the burst %v (medians)", trickle, burstWait)
	if trickle > burstWait/2 { // which a busy machine makes longer too
		t.Errorf("the trickle waited %v, the burst %v; want much less than that", trickle, burstWait)
	}
	if rows := len(c.Requests(t, "")); rows != want || len(u.Requests()) > want-expired {
		t.Errorf("%d records and %d calls for %d requests, %d of them expired", rows, len(u.Requests()), want, expired)
	}
	for _, g := range both {
		gatewaytest.Await(t, soon, "the queue to be empty", func() bool { return g.Metrics().Sum("model_proxy_queue_depth") == 0 })
	}
}

// outcomes counts the rows with an outcome.
func outcomes(rows []gatewaytest.RequestRow, outcome string) (n int) {
	for _, row := range rows {
		if row.Outcome == outcome {
			n++
		}
	}
	return n
}

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
