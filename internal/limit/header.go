package limit

import (
	"net/http"
	"strconv"
	"time"
)

// Level is how far one limit of a client is used up, as this ingress last saw
// it. The zero Level is a limit that the client does not have.
type Level struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // until all of it is free again, if nothing more comes
}

// Levels are what a client is told about its limits.
type Levels struct {
	Requests Level
	Tokens   Level
}

// Header sets X-RateLimit-Limit-, -Remaining- and -Reset-Requests and -Tokens,
// each only for a limit that exists. Reset has the form of OpenAI's, such as
// "1m8.25s".
func (l Levels) Header(h http.Header) {
	l.Requests.header(h, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
	l.Tokens.header(h, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
}

// header takes the names in the canonical form of http.Header, which spares
// each request the conversion.
func (l Level) header(h http.Header, limit, remaining, reset string) {
	if l.Limit <= 0 {
		return
	}
	v := []string{strconv.FormatInt(l.Limit, 10), strconv.FormatInt(l.Remaining, 10), max(0, l.Reset).Round(10 * time.Millisecond).String()}
	h[limit], h[remaining], h[reset] = v[0:1:1], v[1:2:2], v[2:3:3]
}
