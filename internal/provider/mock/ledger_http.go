package mock

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// ledgerPage is what GET /_mock/requests answers. The numbers count everything
// since the start or the last DELETE, the list only the last 10,000.
type ledgerPage struct {
	Total    int64             `json:"total"`
	Finished int64             `json:"finished"`
	Outcomes map[Outcome]int64 `json:"outcomes"`
	Requests []Entry           `json:"requests"`
}

// serveLedger shows or empties the ledger. GET ?wait=N&timeout=5s waits until
// N requests have finished, and answers 504 with what there is if they have
// not in time; ?bodies=1 adds the bodies.
func (m *Mock) serveLedger(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		status := m.awaitFinished(r)
		page := m.ledger.page()
		if r.FormValue("bodies") == "" {
			for i := range page.Requests {
				page.Requests[i].Body = ""
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(page) // an error means that the reader has gone
	case http.MethodDelete:
		m.ledger.empty()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// awaitFinished obeys wait and timeout and returns the status to answer.
func (m *Mock) awaitFinished(r *http.Request) int {
	if r.FormValue("wait") == "" {
		return http.StatusOK
	}
	n, err := strconv.ParseInt(r.FormValue("wait"), 10, 64)
	if err != nil {
		return http.StatusBadRequest
	}
	limit := 5 * time.Second
	if v := r.FormValue("timeout"); v != "" {
		if err := duration(&limit, v); err != nil {
			return http.StatusBadRequest
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	if err := m.ledger.await(ctx, func() bool { return m.ledger.finished >= n }); err != nil {
		return http.StatusGatewayTimeout
	}
	return http.StatusOK
}

func (l *ledger) page() ledgerPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ledgerPage{l.total, l.finished, maps.Clone(l.outcomes), l.entriesLocked()}
}

// empty forgets all entries. Requests still running are not counted when they end.
func (l *ledger) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rec := range l.records {
		rec.forgotten = true
	}
	l.records, l.bodies, l.bare, l.total, l.finished = nil, 0, 0, 0, 0
	clear(l.outcomes)
	l.tellLocked()
}
