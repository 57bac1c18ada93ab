package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// age is a length of time before now, as --since takes it: what Go writes for
// a duration, such as 90m, or whole days, such as 7d. 0 means from the
// beginning.
type age time.Duration

var errAge = errors.New("want a length such as 90m, 24h or 7d")

// parseAge reads an age.
func parseAge(text string) (age, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errAge
		}
		return age(time.Duration(n) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errAge
	}
	return age(d), nil
}

// before is the moment an age before now; the zero time for an age of 0.
func (g age) before(now time.Time) time.Time {
	if g == 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(g))
}

// String and the other two make an age a pflag.Value.
func (g *age) String() string {
	if *g == 0 {
		return "0"
	}
	return time.Duration(*g).String()
}

func (g *age) Type() string { return "duration" }

func (g *age) Set(text string) (err error) {
	*g, err = parseAge(text)
	return err
}
