package ingress

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"model-proxy/internal/llm"
)

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	conn chan net.Conn
	over context.Context
}

func (l oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.over.Done():
		return nil, net.ErrClosed
	}
}

func (l oneConn) Close() error { return nil }

func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// serveOne serves one connection, on which nothing is held back: a write waits for
// its reader. What it returns beside the client's end stops the server.
func serveOne(t *testing.T, s *Server) (client net.Conn, stop func()) {
	s.cfg.Log = slog.New(slog.DiscardHandler)
	ctx, over := context.WithCancel(t.Context())
	client, far := net.Pipe()
	l := oneConn{conn: make(chan net.Conn, 1), over: ctx}
	l.conn <- far
	server, served := s.http(), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return client, func() {
		_ = client.Close()
		over()
		_ = server.Close()
		<-served
	}
}

// A caller whose body never ends is told so, and does not keep its connection.
func TestEndlessBody(t *testing.T) {
	s := &Server{cfg: Config{MaxRequestBytes: 1 << 20}}
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		status int
		within time.Duration
	}{
		{"read", func(w http.ResponseWriter, r *http.Request) {
			if _, no := s.readBody(w, r); no != nil {
				writeError(w, llm.OpenAI, no.Error)
			}
		}, http.StatusRequestTimeout, bodyWithin},
		{"refused unread", func(w http.ResponseWriter, _ *http.Request) {
			writeError(w, llm.OpenAI, llm.NewError(llm.Unauthorized, "who are you?"))
		}, http.StatusUnauthorized, requestWithin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.handler = tt.handle
				client, stop := serveOne(t, s)
				var sending sync.WaitGroup
				defer sending.Wait()
				defer stop()
				sending.Go(func() {
					_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
					for err == nil {
						<-time.After(time.Second) // in the bubble's time
						_, err = io.WriteString(client, " ")
					}
				})
				began := time.Now()
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if d := time.Since(began); resp.StatusCode != tt.status || d > tt.within+time.Second {
					t.Errorf("got %d after %v, want %d within %v", resp.StatusCode, d, tt.status, tt.within)
				}
			})
		})
	}
}

// A caller that reads no answer does not keep its connection for ever.
func TestAnswerThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		client, stop := serveOne(t, &Server{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began := time.Now()
			_, _ = w.Write(make([]byte, 64<<10))
			ended <- time.Since(began)
		})})
		defer stop()
		if _, err := io.WriteString(client, "GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-ended:
			if d != answerWithin {
				t.Errorf("given up after %v, want %v", d, answerWithin)
			}
		case <-time.After(time.Hour): // in the bubble's time
			t.Error("an hour later the answer still waits for its reader")
		}
	})
}
