package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how to reach NATS: the embedded Server, or URL.
type Config struct {
	Server   *Server
	URL      string // NATS_URL; several addresses separated by commas
	Creds    string // NATS_CREDS, a file
	Token    string // NATS_TOKEN
	CA       string // NATS_CA, a file
	Cert     string // NATS_CERT, a file
	Key      string // NATS_KEY, a file
	Replicas int    // NATS_REPLICAS
	Role     string // the server's answers come to _INBOX.<role>, so that roles can be kept apart; "": to _INBOX

	QueueMaxRequests  int64 // QUEUE_MAX_REQUESTS
	QueueMaxPerClient int64 // QUEUE_MAX_PER_CLIENT
	QueueMaxBytes     int64 // QUEUE_MAX_BYTES
	LogMaxBytes       int64 // LOG_MAX_BYTES

	Log *slog.Logger
}

// Conn is one connection to NATS. It reconnects for ever by itself.
// Safe for concurrent use.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	cfg Config

	up    atomic.Bool   // the server can be reached
	times atomic.Uint64 // that the connection has come back

	mu          sync.Mutex // guards the rest
	onReconnect []func()
}

const reconnectWait = 50 * time.Millisecond

const (
	dialWithin = 2 * time.Second  // then the next server is tried, or the same again
	nearWithin = 30 * time.Second // a server in this process is there; only a machine that stands still takes long
)

// ErrURL is Connect's where Config.URL holds what is no address. It does not show
// it, for a password may stand there.
var ErrURL = errors.New("want nats://user:password@host:4222, several with commas; in a password % is %25, / is %2F, # is %23, ? is %3F, @ is %40")

// readable reports whether every address can be read as one.
func readable(addresses string) bool {
	for address := range strings.SplitSeq(addresses, ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		if _, err := url.Parse(address); err != nil {
			return false
		}
	}
	return true
}

// Connect opens a connection named for its role. With an external server it
// waits for it until ctx ends.
func Connect(ctx context.Context, cfg Config, name string) (*Conn, error) {
	if cfg.Server == nil && !readable(cfg.URL) {
		return nil, fmt.Errorf("address of NATS: %w", ErrURL)
	}
	c := &Conn{cfg: cfg}
	c.up.Store(true) // nobody sees c before it is
	opts := []nats.Option{
		nats.Name("model-proxy " + name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(dialWithin),
		nats.ReconnectHandler(func(*nats.Conn) {
			cfg.Log.Info("NATS connection is back", "role", name)
			c.up.Store(true)
			c.times.Add(1)
			c.reconnected()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.up.Store(false)
			if err != nil {
				cfg.Log.Warn("NATS connection lost", "role", name, "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.Log.Warn("NATS reports", "role", name, "error", err)
		}),
	}
	if cfg.Role != "" {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX."+cfg.Role))
	}
	opts = append(opts, cfg.security()...)
	if cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(cfg.Server.ns), nats.Timeout(nearWithin))
	}
	var err error
	for told := false; ; told = true {
		c.nc, err = nats.Connect(cfg.URL, opts...)
		if err == nil || cfg.Server != nil || errors.Is(err, nats.ErrAuthorization) {
			break
		}
		if !told {
			cfg.Log.Warn("waiting for NATS", "role", name, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c.js, err = jetstream.New(c.nc)
	return c, err
}

func (cfg *Config) security() []nats.Option {
	var opts []nats.Option
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.Token != "" {
		opts = append(opts, nats.Token(cfg.Token))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" {
		opts = append(opts, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	return opts
}

// JetStream is for the packages that keep streams and buckets of their own.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// NATS is the connection itself, for the same.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Connected reports whether the server can be reached at this moment. It never
// waits, as the client library does: that holds its lock while it dials, for
// seconds where a server, or the network before it, is mute.
func (c *Conn) Connected() bool { return c.up.Load() }

// OnReconnect calls f, on a goroutine of the connection, each time the
// connection is back after a loss.
func (c *Conn) OnReconnect(f func()) {
	c.mu.Lock()
	c.onReconnect = append(c.onReconnect, f)
	c.mu.Unlock()
}

func (c *Conn) reconnected() {
	c.mu.Lock()
	fs := c.onReconnect
	c.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// Close flushes what is buffered and closes the connection.
func (c *Conn) Close() {
	_ = c.nc.FlushTimeout(2 * time.Second) // best effort: the connection may be gone
	c.nc.Close()
}

// NewIngressID and NewWorkerID make names on the bus, a new one for each start.
func NewIngressID() string { return newID("i") }
func NewWorkerID() string  { return newID("w") }

// newID makes a name on the bus: role, dash, 10 random characters.
func newID(role string) string {
	return role + "-" + strings.ToLower(rand.Text()[:10])
}
