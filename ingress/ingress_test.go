package ingress

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
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

// A caller that reads no answer does not keep its connection for ever.
func TestAnswerThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := &Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}, handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began := time.Now()
			_, _ = w.Write(make([]byte, 64<<10))
			ended <- time.Since(began)
		})}
		ctx, stop := context.WithCancel(t.Context())
		client, far := net.Pipe() // holds nothing back: a write waits for its reader
		l := oneConn{conn: make(chan net.Conn, 1), over: ctx}
		l.conn <- far
		server, served := s.http(), make(chan error, 1)
		go func() { served <- server.Serve(l) }()
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
		_ = client.Close()
		stop()
		_ = server.Close()
		<-served
	})
}
