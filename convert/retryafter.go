package convert

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter is how long an error answer asks to wait, 0 if it does not say:
// retry-after-ms, retry-after in seconds or as a date (reckoned from the
// answer's own Date), and on a 429 the latest of the rate limits' resets.
// Anthropic sends retry-after on success too, where it means nothing.
func RetryAfter(status int, h http.Header) time.Duration {
	if status < 400 {
		return 0
	}
	date, _ := http.ParseTime(h.Get("Date"))
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return bounded(time.Duration(ms * float64(time.Millisecond)))
	}
	if d := delay(h.Get("Retry-After"), date); d > 0 {
		return d
	}
	if status != http.StatusTooManyRequests {
		return 0
	}
	return latestReset(h, date)
}

// latestReset reads x-ratelimit-reset-* (durations) and anthropic-ratelimit-*-reset
// (times), of those limits only that have nothing remaining, or of all if none
// says so.
func latestReset(h http.Header, date time.Time) time.Duration {
	var spent, all time.Duration
	for name, values := range h {
		lower := strings.ToLower(name)
		var remaining string
		switch {
		case strings.HasPrefix(lower, "x-ratelimit-reset"):
			remaining = strings.Replace(lower, "reset", "remaining", 1)
		case strings.HasPrefix(lower, "anthropic-ratelimit-") && strings.HasSuffix(lower, "-reset"):
			remaining = strings.TrimSuffix(lower, "reset") + "remaining"
		default:
			continue
		}
		d := delay(values[0], date)
		all = max(all, d)
		if h.Get(remaining) == "0" {
			spent = max(spent, d)
		}
	}
	if spent > 0 {
		return spent
	}
	return all
}

// delay reads seconds, Go-like durations (6m0s, 12ms), HTTP dates and RFC 3339
// times. A time counts from date and is 0 without one.
func delay(s string, date time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if secs, err := strconv.ParseFloat(s, 64); err == nil {
		return bounded(time.Duration(secs * float64(time.Second)))
	}
	if d, err := time.ParseDuration(s); err == nil {
		return bounded(d)
	}
	at, err := http.ParseTime(s)
	if err != nil {
		at, err = time.Parse(time.RFC3339, s)
	}
	if err != nil || date.IsZero() {
		return 0
	}
	return bounded(at.Sub(date))
}

// bounded takes out what no honest host would mean.
func bounded(d time.Duration) time.Duration {
	if d < 0 || d > 7*24*time.Hour {
		return 0
	}
	return d
}
