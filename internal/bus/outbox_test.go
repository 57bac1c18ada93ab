package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Whatever the urgencies, messages arrive in the order in which they were sent.
func TestOutboxKeepsOrder(t *testing.T) {
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("s")
	if err != nil {
		t.Fatal(err)
	}
	o := newOutbox(nc)
	const n = 3000
	for i := range n {
		u := canWait
		if i%7 == 3 {
			u = atOnce
		}
		o.send(u, message{"s", []byte{byte(i >> 8), byte(i)}})
	}
	for i := range n {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, n, err)
		}
		if got := int(m.Data[0])<<8 | int(m.Data[1]); got != i {
			t.Fatalf("message %d: got number %d", i, got)
		}
	}
}
