// Package ingress authenticates clients, admits their requests, publishes each
// as a job and relays the answer to the client. It is stateless: what it holds
// is bound to an open connection. Which provider answers is the worker's work.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"

	"model-proxy/config"
	"model-proxy/internal/bus"
	"model-proxy/internal/limit"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
)

// Config is what an ingress needs.
type Config struct {
	ID              string // from bus.NewIngressID
	Conn            *bus.Conn
	Snapshot        func() *config.Snapshot // the configuration at this moment
	Records         *usage.Packer           // runs for longer than the ingress
	Replicas        int                     // of the limits' stream and bucket
	MaxRequestBytes int64                   // of one body
	MaxBodyMemory   int64                   // of all bodies held at a time
	Drain           time.Duration
	Cut             <-chan struct{} // closed to end a drain at once
	Tracer          *span.Tracer    // nil traces nothing
	Log             *slog.Logger
	// Components adds to /health/detailed what only the process knows. It
	// replaces what the ingress says of a component of the same name. May be nil.
	Components func(context.Context) map[string]Health
	// Mount adds pages that are not the ingress's own (/metrics, /docs, …).
	Mount func(*httprouter.Router)
}

// Server is one ingress. Run serves until its context ends.
type Server struct {
	// Fixed at construction.
	cfg     Config
	made    time.Time
	bus     *bus.Ingress
	limits  *limit.Limiter
	records *usage.Packer
	handler http.Handler
	metrics metrics

	draining   atomic.Bool
	cut        atomic.Bool // the drain is over: nothing is waited for any more
	limitsAway atomic.Bool // as the operator was told
	bodies     budget
	inFlight   sync.WaitGroup // requests, and what is left to do after their answers
}

// New builds an ingress; it does no I/O.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, records: cfg.Records, bodies: budget{limit: cfg.MaxBodyMemory}}
	s.bus = bus.NewIngress(cfg.Conn, bus.IngressConfig{ID: cfg.ID, Lost: s.recordLoss, Log: cfg.Log})
	limits, err := limit.New(cfg.Conn.NATS(), limit.Options{ID: cfg.ID, Replicas: cfg.Replicas})
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	s.limits = limits
	s.handler = s.routes()
	return s, nil
}

// ID is the ingress's name on the bus and in records.
func (s *Server) ID() string { return s.bus.ID() }

// endpoint is one path that takes requests for models.
type endpoint struct {
	llm.Endpoint
	mode streamMode
}

// streamMode says whether the answer is a stream.
type streamMode int

const (
	streamAsAsked streamMode = iota // as the body's stream member says
	streamAlways
	streamNever
)

// endpoints maps the paths to what they stand for. The twins that always
// stream are the predecessor's.
var endpoints = []struct {
	path string
	endpoint
}{
	{"/v1/chat/completions", endpoint{llm.ChatCompletions, streamAsAsked}},
	{"/v1/chat/completions-stream", endpoint{llm.ChatCompletions, streamAlways}},
	{"/v1/chat/completions/stream", endpoint{llm.ChatCompletions, streamAlways}},
	{"/v1/messages", endpoint{llm.Messages, streamAsAsked}},
	{"/v1/messages-stream", endpoint{llm.Messages, streamAlways}},
	{"/v1/messages/stream", endpoint{llm.Messages, streamAlways}},
	{"/v1/messages/count_tokens", endpoint{llm.CountTokens, streamNever}},
	{"/v1/responses", endpoint{llm.ResponsesAPI, streamAsAsked}},
	{"/v1/embeddings", endpoint{llm.Embeddings, streamNever}},
}

func (s *Server) routes() http.Handler {
	r := httprouter.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound = s.tidied(r)
	r.GlobalOPTIONS = http.HandlerFunc(s.options)
	r.MethodNotAllowed = http.HandlerFunc(s.methodNotAllowed)
	for _, e := range endpoints {
		r.POST(e.path, func(w http.ResponseWriter, req *http.Request, _ httprouter.Params) { s.serve(w, req, e.endpoint) })
	}
	for _, p := range pages {
		handle := func(w http.ResponseWriter, req *http.Request, ps httprouter.Params) { p.handle(s, w, req, ps) }
		r.GET(p.path, handle)
		r.HEAD(p.path, handle) // net/http leaves the body out
	}
	if s.cfg.Mount != nil {
		s.cfg.Mount(r)
	}
	return s.cors(r)
}

// answerWithin bounds all requests but the admitted ones, from the header on to the
// answer's last byte: whoever sends no end of a body that is refused, or reads no
// answer, does not keep a connection for ever. It is longer than a body and a query of the records may take.
const answerWithin = 3 * time.Minute

// requestWithin bounds the request alone, so that there is time left to answer.
const requestWithin = answerWithin - 30*time.Second

// Run serves listener until ctx ends, then lets what is in flight finish for up
// to cfg.Drain. It returns when all is over and every record is with cfg.Records.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var parts sync.WaitGroup
	faults := make(chan error, 4)
	part := func(run func(context.Context) error) {
		parts.Go(func() {
			if err := run(work); err != nil {
				faults <- err
			}
		})
	}
	started := make(chan struct{})
	part(func(ctx context.Context) error { return s.bus.Run(ctx, started) })
	part(s.limits.Run)
	select {
	case <-started:
	case err := <-faults:
		stop()
		parts.Wait()
		return err
	}

	server := s.http()
	served := make(chan error, 1)
	parts.Go(func() { served <- server.Serve(listener) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	case err = <-faults:
	}
	s.drain(server)
	stop()
	parts.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// http is the server that clients speak to.
func (s *Server) http() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ReadTimeout:       requestWithin, // of bodies that nobody reads; readBody sets its own
		WriteTimeout:      answerWithin,
		MaxHeaderBytes:    1 << 20, // what is over maxHeader gets its 431 from us, in the caller's protocol
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// drain stops accepting and waits for what is in flight. What is left at the end
// of its patience is told so.
func (s *Server) drain(server *http.Server) {
	s.draining.Store(true)
	patience, end := context.WithTimeout(context.Background(), s.cfg.Drain)
	defer end()
	go func() {
		select {
		case <-s.cfg.Cut:
			end()
		case <-patience.Done():
		}
	}()
	if err := server.Shutdown(patience); err != nil {
		s.cfg.Log.Warn("requests cut at the end of the drain", "in_flight", s.metrics.inFlight.Load())
		s.cut.Store(true)
		s.bus.WakeAll()
		last, end := context.WithTimeout(context.Background(), lingerFor)
		defer end()
		if server.Shutdown(last) != nil {
			_ = server.Close() // whoever is left takes no bytes
		}
	}
	s.inFlight.Wait()
}
