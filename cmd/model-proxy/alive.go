package main

import (
	"encoding/json"
	"net/http"

	"model-proxy/ingress"
)

// health says whether this process can serve: 200 while each of its
// connections to NATS stands, else 503. It asks nobody, and needs no key.
func (n *node) health(w http.ResponseWriter, _ *http.Request) {
	answer, status := ingress.Health{Status: ingress.Healthy}, http.StatusOK
	for _, c := range n.conns {
		if !c.Connected() {
			answer, status = ingress.Health{Status: ingress.Unhealthy, Detail: "the connection to NATS is lost"}, http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a prober that is gone needs no answer
}
