package provider

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"model-proxy/config"
)

// pipes is a listener whose connections are made by its dial, so that client
// and server live in one synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{} // closed by Close
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- far
	return near, nil
}

// bubble runs f with a client whose every call goes to h, in fake time.
func bubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		srv := &http.Server{Handler: h}
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(ln) }()
		c := New(Options{})
		c.transport.DialContext = ln.dial
		f(t, c)
		c.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-ended
		synctest.Wait() // for net/http's own goroutines
	})
}

// say writes and flushes text after d.
func say(w http.ResponseWriter, d time.Duration, text string) {
	<-time.After(d)
	io.WriteString(w, text)
	http.NewResponseController(w).Flush()
}

const (
	sseHead = "text/event-stream"
	second  = time.Second
)

func TestTimers(t *testing.T) {
	type want struct {
		timer  Timer
		after  time.Duration
		events int
	}
	tests := []struct {
		name    string
		timers  config.Timers
		handler http.HandlerFunc
		want    want
	}{
		{"no head", config.Timers{FirstToken: 7 * second},
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			want{TimerFirstToken, 7 * second, 0}},
		{"head and comments only", config.Timers{FirstToken: 7500 * time.Millisecond, Idle: 3 * second},
			func(w http.ResponseWriter, r *http.Request) {
				for range 10 {
					say(w, second, ": wait\n\n")
				}
				<-r.Context().Done()
			},
			want{TimerFirstToken, 7500 * time.Millisecond, 7}},
		{"silence", config.Timers{FirstToken: 60 * second, Idle: 5 * second},
			func(w http.ResponseWriter, r *http.Request) {
				say(w, 30*second, "data: a\n\n")
				<-r.Context().Done()
			},
			want{TimerIdle, 35 * second, 1}},
		{"comments are life", config.Timers{FirstToken: 60 * second, Idle: 5 * second},
			func(w http.ResponseWriter, r *http.Request) {
				say(w, 2*second, "data: a\n\n")
				say(w, 4*second, ": b\n\n")
				say(w, 4*second, "data: half an event")
				<-r.Context().Done()
			},
			want{TimerIdle, 15 * second, 2}},
		{"idle is longer than first token", config.Timers{FirstToken: 2 * second, Idle: 20 * second},
			func(w http.ResponseWriter, r *http.Request) {
				say(w, second, "data: a\n\n")
				say(w, 10*second, "data: b\n\n")
				<-r.Context().Done()
			},
			want{TimerIdle, 31 * second, 2}},
		{"total", config.Timers{FirstToken: 7 * second, Total: 11 * second},
			func(w http.ResponseWriter, _ *http.Request) {
				for range 20 {
					say(w, 2*second, "data: a\n\n")
				}
			},
			want{TimerTotal, 11 * second, 5}},
		{"defaults", config.Timers{},
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			want{TimerFirstToken, 60 * second, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", sseHead)
				tt.handler(w, r)
			}
			bubble(t, handler, func(t *testing.T, c *Client) {
				start := time.Now()
				events, err := callStream(t.Context(), c, Call{URL: "http://upstream", Timers: tt.timers, Stream: true})
				got := want{after: time.Since(start), events: len(events)}
				if e, ok := errors.AsType[*TimeoutError](err); ok {
					got.timer = e.Timer
				}
				if got != tt.want {
					t.Errorf("got %v, error %v; want %v", got, err, tt.want)
				}
			})
		})
	}
}

func callStream(ctx context.Context, c *Client, call Call) ([]event, error) {
	a, err := c.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return readStream(a)
}

func TestFirstTokenBoundsPlainAnswer(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		for range 20 {
			say(w, second, `{"text":"slowly"}`)
		}
	}
	bubble(t, handler, func(t *testing.T, c *Client) {
		a, err := c.Do(t.Context(), Call{URL: "http://upstream", Timers: config.Timers{FirstToken: 7500 * time.Millisecond, Idle: 2 * second}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := a.ReadAll(1 << 20)
		if e, ok := errors.AsType[*TimeoutError](err); !ok || e.Timer != TimerFirstToken || len(body) != 7*17 {
			t.Errorf("got %d bytes, error %v; want 7 pieces and first_token", len(body), err)
		}
	})
}

func TestConnectTimer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *Client) {
		release := make(chan struct{})
		c.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			<-release
			return nil, net.ErrClosed
		}
		start := time.Now()
		_, err := c.Do(t.Context(), Call{URL: "http://upstream", Timers: config.Timers{Connect: 3 * second, FirstToken: second}})
		if e, ok := errors.AsType[*TimeoutError](err); !ok || e.Timer != TimerConnect || time.Since(start) != 3*second {
			t.Errorf("after %v got %v, want connect after 3s", time.Since(start), err)
		}
		close(release)
	})
}

func TestDeadlineIsTotal(t *testing.T) {
	handler := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	bubble(t, handler, func(t *testing.T, c *Client) {
		start := time.Now()
		_, err := c.Do(t.Context(), Call{URL: "http://upstream", Deadline: start.Add(4 * second)})
		if e, ok := errors.AsType[*TimeoutError](err); !ok || e.Timer != TimerTotal || time.Since(start) != 4*second {
			t.Errorf("after %v got %v, want total after 4s", time.Since(start), err)
		}
	})
}

// A slow client must not make its upstream look silent.
func TestIdleWaitsForReader(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sseHead)
		say(w, 0, "data: a\n\n")
		say(w, second, "data: b\n\n")
	}
	bubble(t, handler, func(t *testing.T, c *Client) {
		a, err := c.Do(t.Context(), Call{URL: "http://upstream", Timers: config.Timers{FirstToken: 5 * second}})
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range []string{"a", "b"} {
			events, err := a.Next()
			if err != nil || len(events) != 1 || string(events[0].Data) != data {
				t.Errorf("got %d events, error %v; want %q", len(events), err, data)
			}
			<-time.After(100 * second)
		}
		if _, err := a.Next(); err != io.EOF {
			t.Errorf("got error %v, want EOF", err)
		}
	})
}

func TestFinishGivesUp(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		say(w, 0, "data: [DONE]\n\n")
		<-r.Context().Done()
	}
	bubble(t, handler, func(t *testing.T, c *Client) {
		a, err := c.Do(t.Context(), Call{URL: "http://upstream"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Next(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a.Finish()
		if got := time.Since(start); got != drainLimit {
			t.Errorf("Finish took %v, want %v", got, drainLimit)
		}
	})
}

// A timer that fires long after its time, because the process did not run, lets
// what has come meanwhile be read first; what stays away is given up all the same.
func TestTimerThatOverslept(t *testing.T) {
	for _, row := range []struct {
		name string
		came bool // data, which is read after the timer fired
		want Timer
	}{{"an answer waits", true, ""}, {"no answer", false, TimerFirstToken}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var w watch
				w.init(resolve(config.Timers{FirstToken: second, Idle: time.Minute}), time.Time{}, cancel)
				w.start()
				defer w.stop()
				w.gotConn(httptrace.GotConnInfo{})
				w.mu.Lock()
				w.since, w.armed = w.since.Add(-3*second), w.armed.Add(-3*second)
				w.mu.Unlock()
				w.fire()
				if row.came {
					w.gotData()
				}
				time.Sleep(2 * secondLook)
				var timeout *TimeoutError
				got := Timer("")
				if errors.As(context.Cause(ctx), &timeout) {
					got = timeout.Timer
				}
				if got != row.want {
					t.Errorf("got %q, want %q", got, row.want)
				}
			})
		})
	}
}
