package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServerConfig describes the embedded NATS server.
type ServerConfig struct {
	Dir      string // JetStream's files
	Listen   string // host:port for worker processes elsewhere, port 0 for any; "" listens nowhere
	Token    string // asked of those; required beyond loopback
	QueueMax int64  // bytes of memory for streams kept in memory; 0 means 1 GiB
	Log      *slog.Logger
}

// Server is the embedded NATS server.
type Server struct {
	ns   *server.Server
	near near
}

// ErrListen is wrapped by StartServer's error if Listen cannot be served as it
// stands: no host:port, or open to others without a Token.
var ErrListen = errors.New("--nats-listen")

// StartServer starts the embedded server and waits until it is ready.
func StartServer(c ServerConfig) (*Server, error) {
	opts := &server.Options{
		ServerName:          "model-proxy",
		DontListen:          c.Listen == "",
		NoSigs:              true,
		JetStream:           true,
		StoreDir:            c.Dir,
		JetStreamMaxMemory:  max(c.QueueMax, 1<<30),
		JetStreamMaxStore:   64 << 30,
		SyncAlways:          true, // a record acknowledged is a record on disk (pipeline: LOG)
		MaxPayload:          2 << 20,
		MaxPending:          128 << 20,
		NoFastProducerStall: true,
	}
	if c.Listen != "" {
		host, port, err := splitListen(c.Listen, c.Token)
		if err != nil {
			return nil, err
		}
		opts.Host, opts.Port, opts.Authorization = host, port, c.Token
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	if c.Log != nil {
		ns.SetLoggerV2(serverLog{c.Log}, false, false, false)
	}
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		ns.Shutdown()
		return nil, fmt.Errorf("embedded NATS was not ready within 10 s; is %s in use by another gateway?", c.Dir)
	}
	return &Server{ns: ns}, nil
}

func splitListen(addr, token string) (string, int, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%w %q: want host:port: %w", ErrListen, addr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%w %q: port must be a number up to 65535", ErrListen, addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	ip := net.ParseIP(host)
	if token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("%w beyond loopback needs NATS_TOKEN, or anyone could take jobs", ErrListen)
	}
	return host, port, nil
}

// Addr is where the server listens, "" if nowhere.
func (s *Server) Addr() string {
	if a := s.ns.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// Shutdown stops the server and waits until its files are closed.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// serverLog hands the server's own words to slog. Its notices are noise to an
// operator of a gateway, so they are debug lines.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(f string, v ...any) { l.log.Debug("nats", "said", fmt.Sprintf(f, v...)) }
func (l serverLog) Warnf(f string, v ...any)   { l.log.Debug("nats warns", "said", fmt.Sprintf(f, v...)) }
func (l serverLog) Fatalf(f string, v ...any)  { l.log.Error("nats", "said", fmt.Sprintf(f, v...)) }
func (l serverLog) Errorf(f string, v ...any)  { l.log.Error("nats", "said", fmt.Sprintf(f, v...)) }
func (l serverLog) Debugf(string, ...any)      {}
func (l serverLog) Tracef(string, ...any)      {}
