package ingress

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"model-proxy/internal/llm"
)

// unheard answers every request without reading its body.
func unheard(w http.ResponseWriter, r *http.Request) {
	hearOut(w, r, func() { writeError(w, llm.OpenAI, llm.NewError(llm.TooLarge, "too much")) })
}

// A client that writes all of its body before it reads gets its refusal, however
// large the body is.
func TestRefusalOfAClientThatReadsLast(t *testing.T) {
	s := &Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}, handler: http.HandlerFunc(unheard)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := s.http(), make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-served
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	body := make([]byte, 32<<20) // more than the connection's buffers hold
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write(body); err != nil {
		t.Fatalf("wrote %d bytes of %d: %v", n, len(body), err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d, want 413", resp.StatusCode)
	}
}

// A refusal waits for no large body, and one that does not come keeps its
// connection for no longer than unheardWithin.
func TestRefusalWaitsForNoLargeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stop := serveOne(t, &Server{handler: http.HandlerFunc(unheard)})
		defer stop()
		began := time.Now()
		if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := bufio.NewReader(client)
		resp, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("answered after %v, want at once", d)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if _, err := answer.ReadByte(); err != io.EOF {
			t.Errorf("got %v, want the end of the connection", err)
		}
		if d := time.Since(began); d > unheardWithin+time.Second {
			t.Errorf("the connection ended after %v, want %v", d, unheardWithin)
		}
	})
}
