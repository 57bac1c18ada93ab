//go:build clickhouse

package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/e2e/clickhouse/chtest"
	"model-proxy/internal/usage"
)

func TestMain(m *testing.M) { os.Exit(chtest.Main(m, (*testing.M).Run)) }

// openClickHouse opens a store in a database of its own.
func openClickHouse(t testing.TB, ch *chtest.Server, js jetstream.JetStream) (store *ClickHouse, db, dsn string) {
	t.Helper()
	db, dsn = ch.Database()
	return reopen(t, dsn, js), db, dsn
}

func reopen(t testing.TB, dsn string, js jetstream.JetStream) *ClickHouse {
	t.Helper()
	s, err := OpenClickHouse(dsn, js, 1, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wantOnce compares the rows of each table, and each rollup with them.
func wantOnce(t testing.TB, ch *chtest.Server, db string, requests, attempts int) {
	t.Helper()
	got := ch.MustExec(strings.ReplaceAll(`SELECT (SELECT count() FROM DB.requests), (SELECT uniqExact(job_id) FROM DB.requests),
		(SELECT count() FROM DB.attempts), (SELECT uniqExact(job_id, attempt) FROM DB.attempts),
		(SELECT sum(requests) FROM DB.usage_1h), (SELECT sum(requests) FROM DB.usage_1d),
		(SELECT sum(requests) FROM DB.perf_1m), (SELECT sum(requests) FROM DB.perf_1h), (SELECT sum(requests) FROM DB.perf_1d),
		(SELECT sum(attempts) FROM DB.attempts_1h), (SELECT sum(requests) FROM DB.keys_1h), (SELECT sum(arraySum(latency.2)) FROM DB.keys_1d),
		(SELECT sum(arraySum(latency.2)) FROM DB.client_latency_1h), (SELECT sum(arraySum(latency.2)) FROM DB.client_latency_1d)`, "DB", db))
	r, a := fmt.Sprint(requests), fmt.Sprint(attempts)
	if want := strings.Join([]string{r, r, a, a, r, r, r, r, r, a, r, r, r, r}, "\t"); got != want {
		t.Errorf("requests, distinct, attempts, distinct, usage_1h, usage_1d, perf_1m, perf_1h, perf_1d, attempts_1h, keys_1h, keys_1d, client_latency_1h, client_latency_1d:\n got %s\nwant %s", got, want)
	}
}

// interrupted is a ClickHouse store whose process dies at one write: before
// anything, with the batch kept but not inserted, in the middle of the inserts,
// or after them. Its batches are small, so that there are many to die in.
type interrupted struct {
	*ClickHouse
	writes int // left
	kill   context.CancelFunc
}

func (i *interrupted) enough() (rows int, wait time.Duration) { return 1, 50 * time.Millisecond }

func (i *interrupted) write(ctx context.Context, b *batch) (written, error) {
	if i.writes--; i.writes > 0 {
		return i.ClickHouse.write(ctx, b)
	}
	defer i.kill()
	stage := rand.IntN(4)
	var err error
	switch stage {
	case 1, 2:
		err = i.journal.begin(ctx, b.hand.data)
	case 3:
		_, err = i.ClickHouse.write(ctx, b)
	}
	if err == nil && stage == 2 {
		err = send(ctx, i.chConn, i.attempts, b.hand.token, b.hand.attempts)
	}
	return written{}, errors.Join(err, errSuperseded) // to be tried no more
}

func TestClickHouseKilledSinkLosesAndRepeatsNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		publish func(testing.TB, jetstream.JetStream, int)
		source  func(Source) Source
	}{
		{"few messages at a time", publishRecords, func(s Source) Source { return small{s} }},
		{"one batch stored while the next is gathered", publishEach, func(s Source) Source { return s }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ch := chtest.Start(t)
			js, consumer := logServer(t)
			const requests = 3000
			tc.publish(t, js, requests)
			_, db, dsn := openClickHouse(t, ch, js)
			for range 6 { // of some 40 batches in all; LOG may be empty before
				ctx, kill := context.WithTimeout(t.Context(), 5*time.Second)
				s := &interrupted{reopen(t, dsn, js), 1 + rand.IntN(4), kill}
				err := New(Config{Source: tc.source(FromConsumer(js, consumer)), Store: s, Liveness: everyoneLives{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).Run(ctx)
				if err != nil && !errors.Is(err, errSuperseded) {
					t.Fatal(err)
				}
				kill()
			}
			until(t, Config{Source: FromConsumer(js, consumer), Store: reopen(t, dsn, js), Liveness: everyoneLives{}, Log: quiet}, func(s Stats) bool {
				return ch.MustExec("SELECT (SELECT count() FROM "+db+".requests) + (SELECT count() FROM "+db+".attempts)") == fmt.Sprint(3*requests)
			})
			wantOnce(t, ch, db, requests, 2*requests)
		})
	}
}

// publishEach puts n requests with two attempts each on LOG, each in a message
// of its own.
func publishEach(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	for i := range n {
		r := &usage.Request{JobID: fmt.Sprintf("job-%06d", i), Time: usage.At(time.Now()), Outcome: usage.OK, Attempts: 2}
		var entries []usage.Entry
		for number := 1; number <= 2; number++ {
			a := &usage.Attempt{JobID: r.JobID, Attempt: number, Delivery: 1, Time: r.Time, Outcome: usage.OK}
			entries = append(entries, usage.Entry{Kind: usage.KindFinished, Ingress: "i-1", Left: time.Minute, Attempt: a})
		}
		if _, err := js.PublishAsync("log.test", usage.Encode("w-1", append(entries, usage.Entry{Kind: usage.KindRequest, Request: r})...)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// threeThousand are the rows of as many requests over three days before now, with
// an attempt each, and of one body.
func threeThousand(now time.Time) *batch {
	b := &batch{}
	for i := range 3000 {
		at := now.Add(-time.Duration(i) * 97 * time.Second)
		ms := at.UnixMilli()
		job := fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, i)
		r := &usage.Request{JobID: job, RequestID: job, Time: usage.At(at), ClientID: fmt.Sprint("client-", i%7), Model: fmt.Sprint("m", i%3),
			Provider: fmt.Sprint("p", i%2), UpstreamModel: fmt.Sprint("u", i%3), KeyFP: fmt.Sprint("key", i%5), Outcome: usage.OK, Status: 200,
			TotalMS: float64(1 + i%1000), Warnings: []string{"a", `b"c`}, Params: []byte(`{"temperature":0.5}`), Stream: i%2 == 0}
		r.PromptTokens, r.CompletionTokens, r.UsageSource = int64(i), 3, "provider"
		if i%3 != 0 {
			cost := int64(i * 1000)
			r.CostNanoUSD = &cost
		}
		if i%10 == 0 {
			r.Outcome, r.ErrorType = usage.Error, "upstream"
		}
		if i%4 != 0 {
			r.TTFTMS = float64(1 + i%100)
		}
		if i == 17 {
			r.RequestID = "my-own"
			b.bodies = append(b.bodies, &usage.Body{JobID: job, Part: 1, Request: []byte("lo"), Response: []byte("ld")},
				&usage.Body{JobID: job, Part: 0, Request: []byte("hel"), Response: []byte("wor")})
		}
		b.requests = append(b.requests, r)
		b.attempts = append(b.attempts, &usage.Attempt{JobID: job, RequestID: r.RequestID, Attempt: 1, Time: r.Time, Outcome: usage.OK, Spend: r.Spend})
	}
	return b
}

// Two stores of the same rows answer alike.
func TestClickHouseAnswersAsSQLiteDoes(t *testing.T) {
	ch := chtest.Start(t)
	js, _ := logServer(t)
	s, _, dsn := openClickHouse(t, ch, js)
	lite := openStore(t, t.TempDir())
	begin(t, s)
	now := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) // the days have the same rows whenever the test runs
	b := threeThousand(now)
	if err := s.sift(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, st := range []store{s, lite} {
		if n, err := st.write(t.Context(), b); err != nil || n.requests != 3000 || n.attempts != 3000 || n.bodies != 2 {
			t.Fatalf("got %+v, %v", n, err)
		}
	}
	reader, err := OpenClickHouseReader(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, f := range []Filter{{}, {Attempts: true}, {RequestID: "my-own"}, {Since: now.Add(-10 * time.Hour), Limit: 5000}, {Since: now.Add(-10 * time.Hour), Attempts: true, Limit: 7}} {
		want, wantErr := lite.Records(t.Context(), f)
		got, err := reader.Records(t.Context(), f)
		if err := errors.Join(wantErr, err); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("records %+v: SQLite (-), ClickHouse (+):\n%s", f, diff)
		}
	}
	for _, from := range []time.Time{{}, now.Add(-26*time.Hour - 13*time.Minute), now.Add(-90 * time.Minute), now.Add(-50 * time.Hour), now.Add(time.Hour)} {
		for _, by := range [][]string{nil, {"model"}, {"client"}, {"provider", "day"}, {"key", "hour"}, {"hour"}, {"client", "model"}, {"model", "provider"}} {
			want, wantErr := lite.Usage(t.Context(), by, from)
			got, err := reader.Usage(t.Context(), by, from)
			if err := errors.Join(wantErr, err); err != nil {
				t.Fatalf("usage by %v: %v", by, err)
			}
			if diff := cmp.Diff(want, got, near); diff != "" {
				t.Errorf("usage by %v since %v: SQLite (-), ClickHouse (+):\n%s", by, from, diff)
			}
		}
	}
}

func TestClickHouseEndIsKnownAgain(t *testing.T) {
	ch := chtest.Start(t)
	js, _ := logServer(t)
	s, _, dsn := openClickHouse(t, ch, js)
	begin(t, s)
	testEndIsKnownAgain(t, s, func() store { return reopen(t, dsn, js) })
}

// near lets percentiles differ by 2 % or 12 ms: those of digests are estimated,
// and of few values they lie between two.
var near = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= max(12, 0.02*max(a, b)) })

// begin makes s the writer until the test's end.
func begin(t testing.TB, s store) {
	t.Helper()
	if err := s.lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
}
