package main

import (
	"testing"
	"time"
)

func TestParseAge(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration // -1 if it is refused
	}{
		{"90m", 90 * time.Minute},
		{"24h", 24 * time.Hour},
		{"7d", 7 * 24 * time.Hour},
		{"0", 0},
		{"0d", 0},
		{"-1h", -1},
		{"-1d", -1},
		{"1.5d", -1},
		{"99999999999d", -1},
		{"7", -1},
		{"", -1},
		{"week", -1},
	} {
		got, err := parseAge(c.text)
		if (err != nil) != (c.want < 0) || err == nil && time.Duration(got) != c.want {
			t.Errorf("%q: got %v, %v; want %v", c.text, time.Duration(got), err, c.want)
		}
	}
	now := time.Date(2026, 1, 8, 0, 0, 0, 0, time.UTC)
	if got := age(24 * time.Hour).before(now); !got.Equal(now.AddDate(0, 0, -1)) {
		t.Errorf("a day before %v: got %v", now, got)
	}
	if got := age(0).before(now); !got.IsZero() {
		t.Errorf("since the beginning: got %v, want the zero time", got)
	}
}
