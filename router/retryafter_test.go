package router

import (
	"net/http"
	"testing"
	"time"
)

// header makes a header of name, value pairs.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	const never = -1
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   time.Duration
	}{
		{"nothing", 429, nil, ``, never},
		{"seconds", 429, header("Retry-After", "7"), ``, 7 * time.Second},
		{"fraction", 429, header("Retry-After", "0.5"), ``, time.Second},
		{"zero is a short pause", 429, header("Retry-After", "0"), ``, time.Second},
		{"negative", 429, header("Retry-After", "-7"), ``, never},
		{"not a number", 429, header("Retry-After", "NaN"), ``, never},
		{"nonsense", 429, header("Retry-After", "soon"), ``, never},
		{"date by the upstream's clock", 429, header("Retry-After", "Mon, 04 May 2026 10:00:30 GMT", "Date", "Mon, 04 May 2026 10:00:00 GMT"), ``, 30 * time.Second},
		{"date by ours", 429, header("Retry-After", "Mon, 04 May 2026 12:01:00 GMT"), ``, time.Minute},
		{"date passed", 429, header("Retry-After", "Mon, 04 May 2026 11:00:00 GMT"), ``, time.Second},
		{"milliseconds first", 429, header("Retry-After-Ms", "1500", "Retry-After", "2"), ``, 1500 * time.Millisecond},
		{"milliseconds of 0 beside seconds", 429, header("Retry-After-Ms", "0", "Retry-After", "1"), ``, time.Second},
		{"before the resets", 429, header("Retry-After", "4", "X-Ratelimit-Reset-Tokens", "6m0s"), ``, 4 * time.Second},
		{"503", 503, header("Retry-After", "3"), ``, 3 * time.Second},
		{"delay in the body", 429, nil, `{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}`, 34500 * time.Millisecond},
		{"budget returns on a day", 400, nil, `{"error":{"message":"You have reached your specified API usage limits. You will regain access on 2026-05-06 at 00:00 UTC."}}`, 36 * time.Hour},

		{"reset ms", 429, header("X-Ratelimit-Reset-Requests", "120ms"), ``, 120 * time.Millisecond},
		{"reset minutes", 429, header("X-Ratelimit-Reset-Tokens", "6m0s"), ``, 6 * time.Minute},
		{"reset plain seconds", 429, header("X-Ratelimit-Reset-Tokens", "59.5"), ``, 59500 * time.Millisecond},
		{"reset RFC 3339", 429, header("Anthropic-Ratelimit-Tokens-Reset", "2026-05-04T12:00:10Z"), ``, 10 * time.Second},
		{"reset Unix s", 429, header("X-Ratelimit-Reset", "1777896020"), ``, 20 * time.Second},
		{"reset Unix ms", 429, header("X-Ratelimit-Reset", "1777896020000"), ``, 20 * time.Second},
		{"the limit that is used up", 429, header("X-Ratelimit-Reset-Requests", "2s", "X-Ratelimit-Remaining-Requests", "0",
			"X-Ratelimit-Reset-Tokens", "9m", "X-Ratelimit-Remaining-Tokens", "5000"), ``, 2 * time.Second},
		{"the longest of two used up", 429, header("X-Ratelimit-Reset-Requests", "2s", "X-Ratelimit-Remaining-Requests", "0",
			"X-Ratelimit-Reset-Tokens", "9s", "X-Ratelimit-Remaining-Tokens", "0"), ``, 9 * time.Second},
		{"the longest where nothing is stated", 429, header("X-Ratelimit-Reset-Requests", "2s", "X-Ratelimit-Reset-Tokens", "9s"), ``, 9 * time.Second},
		{"the shortest where all have room", 429, header("X-Ratelimit-Reset-Tokens-Minute", "9s", "X-Ratelimit-Remaining-Tokens-Minute", "10",
			"X-Ratelimit-Reset-Requests-Day", "33011.38", "X-Ratelimit-Remaining-Requests-Day", "900"), ``, 9 * time.Second},
		{"anthropic, one used up", 429, header("Anthropic-Ratelimit-Input-Tokens-Reset", "2026-05-04T12:01:00Z", "Anthropic-Ratelimit-Input-Tokens-Remaining", "0",
			"Anthropic-Ratelimit-Requests-Reset", "2026-05-04T12:00:01Z", "Anthropic-Ratelimit-Requests-Remaining", "999"), ``, time.Minute},
		{"reset on another status, room left", 500, header("X-Ratelimit-Reset-Tokens", "9s", "X-Ratelimit-Remaining-Tokens", "10"), ``, never},
		{"reset on another status, used up", 503, header("X-Ratelimit-Reset-Tokens", "9s", "X-Ratelimit-Remaining-Tokens", "0"), ``, 9 * time.Second},
		{"reset of 0 s", 429, header("X-Ratelimit-Reset-Tokens", "0s"), ``, never},
	} {
		got, ok := retryAfter(epoch, tt.status, tt.header, readError([]byte(tt.body)))
		if tt.want == never {
			if ok {
				t.Errorf("%s: got %v, want none", tt.name, got)
			}
			continue
		}
		if !ok || got != tt.want {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, ok, tt.want)
		}
	}
}

func TestRetryAfterHuge(t *testing.T) {
	for _, s := range []string{"999999999", "9999999999", "99999999999999", "1e300", "Inf", "2000000h", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		if got, ok := retryAfter(epoch, 429, header("Retry-After", s), wireError{}); !ok || got != saidAtMostQuota {
			t.Errorf("%s: got %v, %v, want %v", s, got, ok, saidAtMostQuota)
		}
	}
}

func FuzzParseWait(f *testing.F) {
	for _, s := range []string{"7", "0.5", "12ms", "6m0s", "2026-05-04T12:00:10Z", "Mon, 04 May 2026 12:01:00 GMT", "1e18", "-1", "-1m", "Inf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, _ := parseWait(s, epoch); d < 0 {
			t.Errorf("parseWait(%q) = %v, below 0", s, d)
		}
	})
}
