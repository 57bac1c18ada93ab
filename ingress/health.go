package ingress

import (
	"context"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"model-proxy/config"
)

// Health of one component.
type Health struct {
	Status string `json:"status"` // ok | degraded | unhealthy
	Detail any    `json:"detail,omitempty"`
}

const (
	healthy   = "ok"
	impaired  = "degraded"
	unhealthy = "unhealthy"
)

// health says whether this ingress can take requests; it asks nobody.
func (s *Server) health(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	setRequestID(w, r, pathProtocol(r))
	if !s.cfg.Conn.Connected() || s.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, Health{Status: unhealthy})
		return
	}
	writeJSON(w, http.StatusOK, Health{Status: healthy})
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
	report := struct {
		Health
		ConfigRevision string            `json:"config_revision"`
		Components     map[string]Health `json:"components"`
	}{Health{Status: healthy}, snap.Revision, s.components(r.Context(), snap)}
	status := http.StatusOK
	for _, c := range report.Components {
		switch {
		case c.Status == unhealthy:
			report.Status, status = unhealthy, http.StatusServiceUnavailable
		case c.Status == impaired && report.Status == healthy:
			report.Status = impaired
		}
	}
	writeJSON(w, status, report)
}

func (s *Server) components(ctx context.Context, snap *config.Snapshot) map[string]Health {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	out := map[string]Health{
		"nats":      {Status: healthy},
		"records":   {Status: healthy, Detail: map[string]any{"pending": s.records.Pending()}},
		"providers": s.providerHealth(snap),
		"models":    {Status: healthy},
		"config":    {Status: healthy},
	}
	if !s.cfg.Conn.Connected() {
		out["nats"] = Health{Status: unhealthy, Detail: "the connection is lost"}
	}
	queue, err := s.cfg.Conn.Queue(ctx)
	out["queue"] = Health{Status: healthy, Detail: map[string]any{"depth": queue.Depth, "oldest_ms": queue.Oldest.Milliseconds()}}
	if err != nil {
		out["queue"] = Health{Status: unhealthy, Detail: "JetStream does not answer"}
	}
	workers := s.bus.Workers()
	out["workers"] = Health{Status: healthy, Detail: map[string]any{"seen": workers}}
	if workers == 0 {
		out["workers"] = Health{Status: unhealthy, Detail: map[string]any{"seen": 0}}
	}
	if s.records.Full() {
		out["records"] = Health{Status: unhealthy, Detail: map[string]any{"pending": s.records.Pending()}}
	}
	if bad := degraded(snap); len(bad) > 0 {
		out["models"] = Health{Status: impaired, Detail: bad}
	}
	if faults := faults(snap); len(faults) > 0 {
		out["config"] = Health{Status: impaired, Detail: faults}
	}
	return out
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
	return Health{Status: healthy, Detail: keys}
}
