package router

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// saidAtLeast stands for a wait of 0 s or a date that has passed: the
	// upstream asks for a pause but not for a longer one.
	saidAtLeast = time.Second
	// saidAtMost bounds what an upstream may ask of a key for a rate limit.
	saidAtMost = 24 * time.Hour
	// saidAtMostQuota bounds it for a spent quota: budgets return by the month.
	saidAtMostQuota = 31 * 24 * time.Hour
)

// retryAfter reads how long an answered error asks us to wait, and whether it
// does: retry-after-ms, retry-after in seconds or as a date, a delay in the
// body, and on a 429 the x-ratelimit-reset-* and anthropic-ratelimit-*-reset
// of the limits that are used up. Negative and unreadable values do not count.
func retryAfter(now time.Time, status int, h http.Header, e wireError) (time.Duration, bool) {
	base := now // dates are relative to the upstream's own clock, where it shows it
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		base = date
	}
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return seconds(ms / 1000), true // 0 beside a retry-after of 1 was seen from Azure
	}
	if d, ok := parseWait(h.Get("Retry-After"), base); ok {
		return max(d, saidAtLeast), true
	}
	if d, ok := parseWait(e.retryDelay, base); ok {
		return max(d, saidAtLeast), true
	}
	if d, ok := regainDate(e.message, base); ok {
		return max(d, saidAtLeast), true
	}
	if d := limitReset(h, base, status); d > 0 {
		return d, true
	}
	return 0, false
}

// parseWait reads a wait in any form in use: seconds, also with a fraction
// (59.70), Go-like durations (12ms, 6m0s), an HTTP date, RFC 3339, or a Unix
// time in s or ms. A moment that has passed is 0.
func parseWait(s string, base time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case math.IsNaN(n) || n < 0:
			return 0, false
		case n >= 1e12: // Unix milliseconds
			return until(time.UnixMilli(int64(min(n, 1e15))), base), true
		case n >= 1e9: // Unix seconds
			return until(time.Unix(int64(n), 0), base), true
		}
		return seconds(n), true
	}
	if d, err := time.ParseDuration(s); err == nil {
		return min(max(0, d), saidAtMostQuota), d >= 0
	}
	if at, err := http.ParseTime(s); err == nil {
		return until(at, base), true
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return until(at, base), true
	}
	return 0, false
}

// until is the wait from base to a moment, 0 if that has passed.
func until(at, base time.Time) time.Duration {
	return min(max(0, at.Sub(base)), saidAtMostQuota)
}

// seconds turns n into a duration without overflow.
func seconds(n float64) time.Duration {
	return time.Duration(min(n, saidAtMostQuota.Seconds()) * float64(time.Second))
}

// regainDate reads Anthropic's 400 for a spent monthly budget: "… You will
// regain access on 2025-08-01 at 00:00 UTC."
func regainDate(message string, base time.Time) (time.Duration, bool) {
	_, rest, ok := strings.Cut(message, "regain access on ")
	const form = "2006-01-02 at 15:04 UTC"
	if !ok || len(rest) < len(form) {
		return 0, false
	}
	at, err := time.Parse(form, rest[:len(form)])
	if err != nil {
		return 0, false
	}
	return until(at, base), true
}

// limitReset reads when the limits that are used up return: the longest of
// those with nothing remaining. On a 429 where none says so, the longest of
// those that do not state what remains, else the shortest of all: a limit with
// room left is a poor guess, so the key is tried again soon.
func limitReset(h http.Header, base time.Time, status int) time.Duration {
	var spent, unstated, roomy time.Duration
	for name, values := range h {
		kind, remaining := resetKind(strings.ToLower(name))
		if kind == "" || len(values) == 0 {
			continue
		}
		d, ok := parseWait(values[0], base)
		if !ok || d == 0 {
			continue
		}
		left, err := strconv.ParseFloat(h.Get(remaining), 64)
		switch {
		case err != nil:
			unstated = max(unstated, d)
		case left <= 0:
			spent = max(spent, d)
		case roomy == 0 || d < roomy:
			roomy = d
		}
	}
	switch {
	case spent > 0 || status != http.StatusTooManyRequests:
		return spent
	case unstated > 0:
		return unstated
	}
	return roomy
}

// resetKind splits a lower-case header name that tells when a limit returns
// into the kind of limit and the header that tells what remains of it. The
// kind is "" for any other header.
func resetKind(name string) (kind, remaining string) {
	if name == "x-ratelimit-reset" {
		return "all", "X-Ratelimit-Remaining"
	}
	if k, ok := strings.CutPrefix(name, "x-ratelimit-reset-"); ok {
		return k, "X-Ratelimit-Remaining-" + k
	}
	k, ok := strings.CutPrefix(name, "anthropic-ratelimit-")
	if !ok {
		return "", ""
	}
	k, ok = strings.CutSuffix(k, "-reset")
	if !ok {
		return "", ""
	}
	return k, "Anthropic-Ratelimit-" + k + "-Remaining"
}
