package gatewaytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answerWithin bounds every request a test makes.
const answerWithin = 10 * time.Minute

// Request is one request to the gateway, with ClientKey unless Header brings a
// key.
type Request struct {
	Path   string
	Body   string
	Header map[string]string
}

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Err    error         // how the body ended, nil if properly
	Took   time.Duration // from the request to the end
	Active time.Duration // that, by the gateway's Clock
}

// Unconfirmed reports that the client was told to come again because the queue of
// a busy machine was slow to confirm the request. It may be served all the same.
func (a Answer) Unconfirmed() bool {
	return a.Status == http.StatusServiceUnavailable && strings.Contains(a.Body, "did not confirm")
}

// Stream is an answer under way.
type Stream struct {
	Status int
	Header http.Header
	// Read is what was read of it.
	Read strings.Builder

	body   *bufio.Reader
	cancel context.CancelFunc
}

// client makes a connection of its own for every request, so that one that is
// broken off takes nothing else with it.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// Open sends a request and returns when the status line is there.
func (g *Gateway) Open(t testing.TB, r Request) (*Stream, error) {
	t.Helper()
	return g.open(t.Context(), r)
}

func (g *Gateway) open(ctx context.Context, r Request) (*Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+r.Path, strings.NewReader(r.Body))
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+ClientKey)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	resp, err := client().Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	return &Stream{Status: resp.StatusCode, Header: resp.Header, body: bufio.NewReader(resp.Body), cancel: cancel}, nil
}

// MustOpen is Open for a stream that has to begin well.
func (g *Gateway) MustOpen(t testing.TB, r Request) *Stream {
	t.Helper()
	s, err := g.Open(t, r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != http.StatusOK {
		rest, _ := s.Rest()
		t.Fatalf("status %d, want 200: %s", s.Status, rest)
	}
	return s
}

// Do sends a request and reads the whole answer.
func (g *Gateway) Do(t testing.TB, r Request) Answer {
	t.Helper()
	return g.do(t.Context(), r)
}

func (g *Gateway) do(ctx context.Context, r Request) Answer {
	began := time.Now()
	s, err := g.open(ctx, r)
	if err != nil {
		return g.timed(Answer{Err: err}, began)
	}
	body, err := s.Rest()
	return g.timed(Answer{Status: s.Status, Header: s.Header, Body: body, Err: err}, began)
}

// timed says how long an answer took that ends now.
func (g *Gateway) timed(a Answer, began time.Time) Answer {
	now := time.Now()
	a.Took, a.Active = now.Sub(began), g.Clock.Between(began, now)
	return a
}

// Go is Do on a goroutine; the answer comes on the channel.
func (g *Gateway) Go(t testing.TB, r Request) <-chan Answer {
	t.Helper()
	answer, _ := g.GoUntil(t, r)
	return answer
}

// GoUntil is Go for a request whose client may hang up.
func (g *Gateway) GoUntil(t testing.TB, r Request) (answer <-chan Answer, hangUp func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	got := make(chan Answer, 1)
	go func() { got <- g.do(ctx, r) }()
	return got, cancel
}

// Events reads n events, up to the empty line after each.
func (s *Stream) Events(n int) error {
	for n > 0 {
		line, err := s.body.ReadString('\n')
		s.Read.WriteString(line)
		if err != nil {
			return fmt.Errorf("%d events short: %w", n, err)
		}
		if line == "\n" {
			n--
		}
	}
	return nil
}

// MustEvents is Events for a stream that has to have them.
func (s *Stream) MustEvents(t testing.TB, n int) {
	t.Helper()
	if err := s.Events(n); err != nil {
		t.Fatalf("%v; got %q", err, s.Read.String())
	}
}

// Rest reads to the end and returns all that was read, from the beginning on.
func (s *Stream) Rest() (string, error) {
	defer s.cancel()
	_, err := io.Copy(&s.Read, s.body)
	return s.Read.String(), err
}

// HangUp breaks the connection off.
func (s *Stream) HangUp() { s.cancel() }

// Get reads one of the gateway's pages.
func Get(t testing.TB, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
