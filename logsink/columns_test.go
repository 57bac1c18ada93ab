package logsink

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStoresHaveTheSameColumns(t *testing.T) {
	for _, tc := range []struct {
		table              string
		sqlite, clickhouse []string
	}{
		{"requests", names(requestColumns), fieldNames(requestFields())},
		{"attempts", names(attemptColumns), fieldNames(attemptFields())},
		{"bodies", append(names(bodyColumns), "stored"), fieldNames(bodyFields())},
	} {
		if diff := cmp.Diff(tc.sqlite, tc.clickhouse); diff != "" {
			t.Errorf("%s: SQLite (-), ClickHouse (+):\n%s", tc.table, diff)
		}
	}
}
