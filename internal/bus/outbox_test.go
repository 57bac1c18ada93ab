package bus

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Frames that wait together arrive as one message for each ingress, each frame
// where it would have gone alone and in the order in which it was sent.
func TestOutboxBundlesFrames(t *testing.T) {
	var sent []message
	o := &outbox{last: time.Now(), timer: time.NewTimer(time.Hour), publish: func(subject string, data []byte) error {
		sent = append(sent, message{subject, bytes.Clone(data)})
		return nil
	}}
	frame := func(n int) []byte { return []byte{frameMark, 0, 0, 0, 1, 0, 0, 0, byte(n)} }
	o.send(canWait, message{"R.i-1.a", frame(0)})
	o.send(canWait, message{"$JS.ACK.x", []byte("+ACK")})
	o.send(canWait, message{"R.i-2.c", frame(1)})
	o.send(canWait, message{"R.i-1.b", frame(2)})
	o.send(atOnce, message{"R.i-1.a", frame(3)})
	got := map[string]string{}
	for _, m := range sent {
		if m.subject != "R.i-1."+bundleToken {
			got[m.subject] += fmt.Sprintf("%q", m.data)
			continue
		}
		for r := (reader{b: m.data}); len(r.b) > 0; {
			token, f := r.bytes(), r.bytes()
			got["R.i-1."+string(token)] += fmt.Sprintf("%q", f)
		}
	}
	want := map[string]string{
		"R.i-1.a": fmt.Sprintf("%q%q", frame(0), frame(3)), "R.i-1.b": fmt.Sprintf("%q", frame(2)),
		"R.i-2.c": fmt.Sprintf("%q", frame(1)), "$JS.ACK.x": `"+ACK"`,
	}
	if d := cmp.Diff(want, got); d != "" || len(sent) != 3 {
		t.Errorf("%d messages, want 3; want (-), got (+):\n%s", len(sent), d)
	}
}

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
	o := newOutbox(nc.Publish)
	const n = 3000
	for i := range n {
		u := canWait
		if i%7 == 3 {
			u = atOnce
		}
		o.send(u, message{"s", []byte{byte(i >> 8), byte(i)}})
	}
	for i := range n {
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, n, err)
		}
		if got := int(m.Data[0])<<8 | int(m.Data[1]); got != i {
			t.Fatalf("message %d: got number %d", i, got)
		}
	}
}
