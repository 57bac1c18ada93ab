package router

import (
	"testing"
	"time"
)

// The way of most requests: the first key of the first route answers.
func BenchmarkFirstStep(b *testing.B) {
	m := model("m", route(provider("a", 4), "x"), route(provider("b", 2), "y"))
	m.Fallbacks = []string{"n", "o"}
	snap := snapshot(m, model("n", route(provider("c", 1), "z")), model("o", route(provider("c", 1), "z2")))
	pool, job := newTurns(), chat("m")
	b.ReportAllocs()
	for b.Loop() {
		w, err := Start(snap, job)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Next(epoch, pool); err != nil {
			b.Fatal(err)
		}
		w.Served(time.Second)
	}
}
