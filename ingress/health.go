package ingress

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"model-proxy/config"
	"model-proxy/internal/bus"
)

// Health of one component.
type Health struct {
	Status string `json:"status"` // ok | degraded | unhealthy
	Detail any    `json:"detail,omitempty"`
}

// Statuses of a component and of the whole.
const (
	Healthy   = "ok"
	Degraded  = "degraded" // it serves, but not all of it
	Unhealthy = "unhealthy"
)

// longWaiting is how old the log's oldest message is when the sink is behind, or
// its store away.
const longWaiting = 30 * time.Second

// firstBeats is how long after the start every worker has been heard.
const firstBeats = 2 * time.Second

// health says whether this ingress can take requests; it asks nobody.
func (s *Server) health(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	setRequestID(w, r, pathProtocol(r))
	if !s.cfg.Conn.Connected() || s.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, Health{Status: Unhealthy})
		return
	}
	writeJSON(w, http.StatusOK, Health{Status: Healthy})
}

// healthDetailed tells of every component by itself.
func (s *Server) healthDetailed(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	p := pathProtocol(r)
	setRequestID(w, r, p)
	snap := s.cfg.Snapshot()
	if !snap.AuthenticateAdmin(clientKey(r.Header)) {
		if _, no := s.authenticate(r, snap); no != nil {
			s.refuse(w, p, no)
			return
		}
	}
	report := s.Report(r.Context())
	status := http.StatusOK
	if report.Status == Unhealthy {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, report)
}

// Report is what /health/detailed answers.
type Report struct {
	Status         string            `json:"status"` // that of the worst component
	ConfigRevision string            `json:"config_revision"`
	Components     map[string]Health `json:"components"`
}

// Report asks every component how it is. It is safe for concurrent use.
func (s *Server) Report(ctx context.Context) Report {
	snap := s.cfg.Snapshot()
	return NewReport(snap.Revision, s.components(ctx, snap))
}

// NewReport makes a report of its components.
func NewReport(revision string, components map[string]Health) Report {
	r := Report{Healthy, revision, components}
	for _, c := range components {
		switch {
		case c.Status == Unhealthy:
			r.Status = Unhealthy
		case c.Status == Degraded && r.Status == Healthy:
			r.Status = Degraded
		}
	}
	return r
}

func (s *Server) components(ctx context.Context, snap *config.Snapshot) map[string]Health {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	out := map[string]Health{
		"nats":      {Status: Healthy},
		"records":   {Status: Healthy, Detail: map[string]any{"pending": s.records.Pending()}},
		"providers": s.providerHealth(snap),
		"models":    {Status: Healthy},
		"config":    {Status: Healthy},
	}
	if !s.cfg.Conn.Connected() {
		out["nats"] = Health{Status: Unhealthy, Detail: "the connection is lost"}
	}
	queue, err := s.cfg.Conn.Queue(ctx)
	out["queue"] = Health{Status: Healthy, Detail: map[string]any{"depth": queue.Depth + s.bus.Held(), "oldest_ms": queue.Oldest.Milliseconds()}}
	if err != nil {
		out["queue"] = Health{Status: Unhealthy, Detail: "JetStream does not answer"}
	}
	out["streams"], out["store"] = s.streamHealth(ctx)
	workers := s.bus.Workers()
	out["workers"] = Health{Status: Healthy, Detail: map[string]any{"seen": workers}}
	if workers == 0 {
		status := Unhealthy
		if time.Since(s.made) < firstBeats {
			status = Degraded // they may be there: none had the time to say so
		}
		out["workers"] = Health{Status: status, Detail: map[string]any{"seen": 0}}
	}
	if s.records.Full() {
		out["records"] = Health{Status: Unhealthy, Detail: map[string]any{"pending": s.records.Pending()}}
	}
	if bad := degraded(snap); len(bad) > 0 {
		out["models"] = Health{Status: Degraded, Detail: bad}
	}
	if faults := faults(snap); len(faults) > 0 {
		out["config"] = Health{Status: Degraded, Detail: faults}
	}
	if s.cfg.Components != nil {
		maps.Copy(out, s.cfg.Components(ctx))
	}
	return out
}

// streamHealth tells of the streams, and of the store as far as it shows there:
// what the log holds waits for the sink. A process with a sink knows better.
func (s *Server) streamHealth(ctx context.Context) (streams, store Health) {
	states, err := s.cfg.Conn.Streams(ctx)
	streams = Health{Status: Healthy, Detail: states}
	if err != nil {
		streams = Health{Status: Unhealthy, Detail: "JetStream does not answer, or a stream is missing"}
	}
	log := states[bus.LogStream]
	store = Health{Status: Healthy, Detail: map[string]any{"waiting": log.Messages, "oldest_ms": log.OldestMS}}
	if log.OldestMS > longWaiting.Milliseconds() {
		store.Status = Degraded
	}
	if log.MaxBytes > 0 && log.Bytes > log.MaxBytes/10*9 {
		streams.Status = Degraded // full, it refuses records, which then go to the spools
	}
	return streams, store
}

func faults(snap *config.Snapshot) []string {
	var out []string
	for _, p := range snap.Problems {
		if !p.Warning {
			out = append(out, p.Error())
		}
	}
	return out
}

// providerHealth counts the configured keys of each provider that models use.
func (s *Server) providerHealth(snap *config.Snapshot) Health {
	keys := map[string]any{}
	for _, m := range snap.Models {
		for _, r := range m.Routes {
			keys[r.Provider.Name] = map[string]any{"keys": len(r.Keys)}
		}
	}
	return Health{Status: Healthy, Detail: keys}
}
