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
		(SELECT sum(attempts) FROM DB.attempts_1h)`, "DB", db))
	r, a := fmt.Sprint(requests), fmt.Sprint(attempts)
	if want := strings.Join([]string{r, r, a, a, r, r, r, r, r, a}, "\t"); got != want {
		t.Errorf("requests, distinct, attempts, distinct, usage_1h, usage_1d, perf_1m, perf_1h, perf_1d, attempts_1h:\n got %s\nwant %s", got, want)
	}
}

// interrupted is a ClickHouse store whose process dies at one write: before
// anything, with the batch kept but not inserted, in the middle of the inserts,
// or after them.
type interrupted struct {
	*ClickHouse
	writes int // left
	kill   context.CancelFunc
}

func (i *interrupted) write(ctx context.Context, b *batch) (written, error) {
	if i.writes--; i.writes > 0 {
		return i.ClickHouse.write(ctx, b)
	}
	defer i.kill()
	ctx = context.WithoutCancel(ctx)
	stage := rand.IntN(4)
	if stage == 3 {
		if _, err := i.ClickHouse.write(ctx, b); err != nil {
			return written{}, err
		}
		return written{}, errKilled
	}
	if stage == 0 {
		return written{}, errKilled
	}
	hand, err := i.prepare(ctx, b)
	if err == nil {
		err = i.journal.begin(ctx, hand.encode())
	}
	if err == nil && stage == 2 {
		err = send(ctx, i.chConn, i.attempts, hand.token, hand.attempts)
	}
	return written{}, errors.Join(err, errKilled)
}

func TestClickHouseKilledSinkLosesAndRepeatsNothing(t *testing.T) {
	ch := chtest.Start(t)
	js, consumer := logServer(t)
	const requests = 3000
	publishRecords(t, js, requests)
	_, db, dsn := openClickHouse(t, ch, js)
	for range 6 { // at most 6 × 4 batches of 15 messages
		ctx, kill := context.WithCancel(t.Context())
		s := &interrupted{reopen(t, dsn, js), 1 + rand.IntN(4), kill}
		if err := New(Config{Source: small{FromConsumer(js, consumer)}, Store: s, Liveness: everyoneLives{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).Run(ctx); err != nil {
			t.Fatal(err)
		}
		kill()
	}
	until(t, Config{Source: FromConsumer(js, consumer), Store: reopen(t, dsn, js), Liveness: everyoneLives{}, Log: quiet}, func(s Stats) bool {
		return ch.MustExec("SELECT (SELECT count() FROM "+db+".requests) + (SELECT count() FROM "+db+".attempts)") == fmt.Sprint(3*requests)
	})
	wantOnce(t, ch, db, requests, 2*requests)
}

// Two stores of the same rows answer alike.
func TestClickHouseAnswersAsSQLiteDoes(t *testing.T) {
	ch := chtest.Start(t)
	js, _ := logServer(t)
	s, _, dsn := openClickHouse(t, ch, js)
	lite := openStore(t, t.TempDir())
	begin(t, s)
	b := &batch{}
	now := time.Now().UTC().Truncate(time.Hour)
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
