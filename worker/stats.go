package worker

// Busy is the number of jobs being served.
func (w *Worker) Busy() int64 { return w.bus.Busy() }
