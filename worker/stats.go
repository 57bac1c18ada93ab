package worker

import "model-proxy/internal/bus"

// Busy is the number of jobs being served.
func (w *Worker) Busy() int64 { return w.bus.Busy() }

// Stalls counts answers that wait for their clients.
func (w *Worker) Stalls() bus.Stalls { return w.bus.Stalls() }
