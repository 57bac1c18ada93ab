package gatewaytest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Link is a TCP connection's way that can be cut and muted: a proxy in front of one
// address. It ends with the test.
type Link struct {
	t        testing.TB
	target   string
	listener net.Listener
	over     sync.WaitGroup
	back     sync.RWMutex // taken by Mute; shared by every write towards the near end

	mu    sync.Mutex // guards the rest
	cut   bool
	conns map[net.Conn]bool
}

// NewLink opens a way to a URL such as nats://127.0.0.1:4222.
func NewLink(t testing.TB, url string) *Link {
	t.Helper()
	_, target, _ := strings.Cut(url, "://")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{t: t, target: target, listener: listener, conns: map[net.Conn]bool{}}
	l.over.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close() // it is closed once, here
		l.Cut()
		l.over.Wait()
	})
	return l
}

// URL is the way's near end, as a NATS address.
func (l *Link) URL() string { return "nats://" + l.listener.Addr().String() }

// Cut breaks every connection and refuses new ones until Heal.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		_ = c.Close() // to break it is the purpose
	}
	clear(l.conns)
}

// Heal lets new connections through.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// CutFor cuts the way for so long and heals it again.
func (l *Link) CutFor(d time.Duration) {
	l.Cut()
	<-time.After(d)
	l.Heal()
}

// Mute holds back all that comes from the far end, without breaking a
// connection, until unmute is called.
func (l *Link) Mute() (unmute func()) {
	l.back.Lock()
	return l.back.Unlock
}

// mutable is a connection's near end as the far end writes to it.
type mutable struct {
	net.Conn
	back *sync.RWMutex
}

func (m mutable) Write(b []byte) (int, error) {
	m.back.RLock()
	defer m.back.RUnlock()
	return m.Conn.Write(b)
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed by the test's end
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil || !l.keep(near, far) {
			_ = near.Close() // refused
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		l.over.Go(func() { relay(mutable{near, &l.back}, far) })
		l.over.Go(func() { relay(far, near) })
	}
}

// keep notes a pair of connections unless the way is cut.
func (l *Link) keep(pair ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range pair {
		if l.cut {
			return false
		}
		l.conns[c] = true
	}
	return true
}

// relay copies until either end breaks, and breaks the other.
func relay(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a broken connection is what this is about
	_ = to.Close()
	_ = from.Close()
}
