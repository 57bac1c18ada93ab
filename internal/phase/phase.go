// Package phase lets what a process does every so often happen at the same
// moments. To be woken costs an idle process more than most of what it is woken for.
package phase

import "time"

// began is another moment in each process, so that they do not all beat at once.
var began = time.Now()

// Next is how long it is until the next moment of what is done every d: more than
// 0, and d at most.
func Next(d time.Duration) time.Duration {
	since := time.Since(began) % d
	if since < 0 { // in a bubble of testing/synctest, whose clock is another one
		since += d
	}
	return d - since
}
