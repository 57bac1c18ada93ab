//go:build clickhouse

package logsink

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/e2e/clickhouse/chtest"
)

// A database whose rows were stored before there were histograms answers as if
// they always had been, also where the program that fills them dies and begins
// again.
func TestClickHouseFillsHistogramsFromRows(t *testing.T) {
	ch := chtest.Start(t)
	js, _ := logServer(t)
	s, db, dsn := openClickHouse(t, ch, js)
	now := time.Now().UTC().Truncate(time.Hour)
	b := threeThousand(now)
	ch.MustExec("CREATE DATABASE IF NOT EXISTS " + db)
	ch.MustExec("CREATE TABLE " + db + ".schema_version (version UInt32, since DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version")
	for _, step := range chMigrations(db)[0] {
		ch.MustExec(step.statement)
	}
	ch.MustExec("INSERT INTO " + db + ".schema_version (version) VALUES (1)")
	if err := s.insert(t.Context(), &intent{token: "old", requests: b.requests}); err != nil {
		t.Fatal(err)
	}
	reader, err := OpenClickHouseReader(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Usage(t.Context(), []string{"client"}, time.Time{}); err == nil || !strings.Contains(err.Error(), "start a log sink of this version") {
		t.Errorf("usage of the old schema: got error %v", err)
	}
	begin(t, s) // brings the schema up to date
	wantOnce(t, ch, db, len(b.requests), 0)
	ch.MustExec("ALTER TABLE " + db + ".schema_version DELETE WHERE version > 1 SETTINGS mutations_sync = 2") // as if it had died before its last step
	if err := s.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOnce(t, ch, db, len(b.requests), 0)

	lite := openStore(t, t.TempDir())
	if _, err := lite.write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, from := range []time.Time{{}, now.Add(-50*time.Hour - 13*time.Minute)} {
		for _, by := range [][]string{{"client"}, {"key"}, {"client", "model"}, {"hour", "key"}, {"day", "client"}} {
			wantWithinABucket(t, lite, reader, by, from)
		}
	}
}

// wantWithinABucket compares a store's answer with what histograms count: sums are
// equal, and percentiles at most half a bucket away.
func wantWithinABucket(t *testing.T, exact, counted Reader, by []string, from time.Time) {
	t.Helper()
	want, err := exact.Usage(t.Context(), by, from)
	if err != nil {
		t.Fatal(err)
	}
	got, err := counted.Usage(t.Context(), by, from)
	if err != nil {
		t.Fatalf("usage by %v since %v: %v", by, from, err)
	}
	half := math.Exp2(0.5/bucketsPerOctave) - 1
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= half*max(a, b)+0.001 })); diff != "" {
		t.Errorf("usage by %v since %v: SQLite (-), ClickHouse (+):\n%s", by, from, diff)
	}
}
