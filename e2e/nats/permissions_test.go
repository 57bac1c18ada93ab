package nats_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// Every role does all its work with its own user's permissions.
func TestRolesHaveThePermissionsTheyNeed(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	n := gatewaytest.StartDeployedNATS(t)
	c := gatewaytest.NewClusterOn(t, n, u, gatewaytest.Setup{
		Env: []string{"MODEL_PROXY_CONCURRENCY=1", "SECOND_KEY=" + gatewaytest.SecondClient,
			"RATE_LIMIT_REQUESTS_PER_MINUTE=1000000", "RATE_LIMIT_TOKENS_PER_MINUTE=1000000000"},
		Clients: []gatewaytest.JSON{{"id": "second", "key_env": "SECOND_KEY", "max_parallel_requests": 2}}}, 1)
	p := gatewaytest.Protocols[0]
	serve := func(what string, r gatewaytest.Request, status int) {
		t.Helper()
		if a := c.Do(t, r); a.Status != status {
			t.Fatalf("%s: got %d, want %d: %s", what, a.Status, status, a.Body)
		}
	}
	serve("plain", p.Plain("hello"), 200)
	serve("stream", p.Stream("hello").With("X-Model-Proxy-Priority", "high"), 200)
	serve("a body in parts", p.Plain(strings.Repeat("hello ", 100_000)), 200)
	serve("with a parallel limit", p.Plain("hello").With("Authorization", gatewaytest.SecondClient), 200)
	slow, hangUp := c.GoUntil(t, p.Plain("slow").With("X-Mock-Ttft", "30s"))
	gatewaytest.Await(t, patience, "the only slot to be used", func() bool { return c.Workers[0].Metrics().Sum("model_proxy_worker_slots_used") == 1 })
	serve("out of time in the queue", p.Plain("late").With("X-Model-Proxy-Timeout-Ms", "300", "X-Request-Id", "late"), 504)
	gatewaytest.Await(t, patience, "the queue to be empty", func() bool { return c.Metrics().Sum("model_proxy_queue_depth") == 0 })
	hangUp()
	<-slow
	serve("a key at rest", p.Plain("hello").With("X-Mock-Status", "429"), 429)
	if row := c.AwaitRow(t, "late", patience); row.Outcome != "expired" {
		t.Errorf("outcome %s, want expired", row.Outcome)
	}
	for _, args := range [][]string{{"keys", "list"}, {"keys", "reset", "openai"}, {"status"}} {
		cmd := c.Command(append(args, "--config", c.Config())...)
		if code := cmd.ExitCode(patience); code != 0 || strings.Contains(cmd.Output(), "ermission") {
			t.Errorf("model-proxy %s: exit code %d: %s", strings.Join(args, " "), code, cmd.Output())
		}
	}
	serve("the key is reset", p.Plain("hello"), 200)
	for _, process := range []*gatewaytest.Process{c.Process, c.Sink, c.Workers[0].Process} {
		if strings.Contains(strings.ToLower(process.Output()), "permissions violation") {
			t.Errorf("a permission is missing:\n%s", process.Output())
		}
	}
}

// No role can do another's work, or read what is not for it.
func TestRolesHaveNoPermissionsBesides(t *testing.T) {
	t.Parallel()
	n := gatewaytest.StartDeployedNATS(t)
	for _, c := range []struct{ role, publish, subscribe string }{
		{role: "ingress", subscribe: "req.>"},
		{role: "ingress", subscribe: "log.>"},
		{role: "ingress", subscribe: "C.>"},
		{role: "ingress", subscribe: "_INBOX.worker.>"},
		{role: "ingress", subscribe: ">"},
		{role: "ingress", publish: "$JS.API.CONSUMER.MSG.NEXT.REQ.default-normal"},
		{role: "ingress", publish: "$JS.API.CONSUMER.CREATE.REQ.mine.req.>"},
		{role: "ingress", publish: "$JS.API.STREAM.MSG.GET.LOG"},
		{role: "ingress", publish: "$JS.API.STREAM.DELETE.REQ"},
		{role: "ingress", publish: "$KV.COOL.p.openai"},
		{role: "worker", publish: "req.default.normal.mine"},
		{role: "worker", subscribe: "req.>"},
		{role: "worker", subscribe: "R.>"},
		{role: "worker", subscribe: "_INBOX.logsink.>"},
		{role: "worker", publish: "$JS.API.CONSUMER.MSG.NEXT.LOG.sink"},
		{role: "worker", publish: "$JS.API.STREAM.PURGE.LOG"},
		{role: "logsink", publish: "req.default.normal.mine"},
		{role: "logsink", publish: "log.mine"},
		{role: "logsink", publish: "$JS.API.CONSUMER.MSG.NEXT.REQ.default-normal"},
		{role: "logsink", subscribe: "R.>"},
		{role: "admin", publish: "req.default.normal.mine"},
		{role: "admin", publish: "$JS.API.STREAM.DELETE.LOG"},
		{role: "admin", subscribe: "R.>"},
		{role: "admin", subscribe: "req.>"},
	} {
		denied := make(chan error, 16)
		nc, err := nats.Connect(n.URL(), nats.UserInfo(c.role, n.Passwords[c.role]), nats.CustomInboxPrefix("_INBOX."+c.role),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
		if err != nil {
			t.Fatal(err)
		}
		what := "publish to " + c.publish
		if c.subscribe != "" {
			what = "subscribe to " + c.subscribe
			_, err = nc.SubscribeSync(c.subscribe)
		} else {
			err = nc.Publish(c.publish, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s, %s: got %v, want a permission violation", c.role, what, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s may %s", c.role, what)
		}
		nc.Close()
	}
}
