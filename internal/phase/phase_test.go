package phase_test

import (
	"testing"
	"testing/synctest"
	"time"

	"model-proxy/internal/phase"
)

func TestWhatIsDoneAtTheSamePaceHappensTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = 250 * time.Millisecond
		var first time.Time
		for n := range 100 {
			time.Sleep(time.Duration(n) * 7 * time.Millisecond) // begun at any time
			left := phase.Next(d)
			if left <= 0 || left > d {
				t.Fatalf("next in %v, want up to %v", left, d)
			}
			time.Sleep(left)
			if first.IsZero() {
				first = time.Now()
			}
			if off := time.Since(first) % d; off != 0 {
				t.Fatalf("%v off the moments of the others", off)
			}
			if again := phase.Next(d); again != d {
				t.Fatalf("at such a moment the next comes in %v, want %v", again, d)
			}
		}
	})
}
