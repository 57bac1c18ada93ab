package worker

// Busy is the number of jobs being served.
func (w *Worker) Busy() int64 { return w.bus.Busy() }

// Pending is the number of records that LOG has not confirmed yet.
func (w *Worker) Pending() int64 { return w.records.Pending() }
