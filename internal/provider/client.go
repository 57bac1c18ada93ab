// Package provider makes one HTTP call to an upstream and yields the events of
// its answer. It bounds the call by four timers and tells apart how a call can
// end: not dialled, out of time, cut, refused or whole. It knows no protocol
// beyond server-sent events: what an event means is convert's work, which call
// to make next is router's.
package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

const (
	// dialLimit ends a dial whose call has gone: net/http lets a dial run on
	// in the hope that another call can use the connection. It also bounds
	// connect timers, which are seldom over 10 s.
	dialLimit = 30 * time.Second
	// idleConnLimit lies below the 60 s after which common load balancers
	// close an idle connection, so that a call seldom meets a closing one.
	idleConnLimit = 45 * time.Second
	// streamWindow bounds what HTTP/2 buffers for one stream that is not read.
	streamWindow = 512 << 10

	// DefaultMaxEvent is the longest event accepted, in bytes. The official
	// SDKs take lines up to 32 MB.
	DefaultMaxEvent = 64 << 20
)

// Options are the fixed settings of a Client. The zero value is ready to use.
type Options struct {
	// Proxy chooses the HTTP proxy for a request. nil obeys HTTP_PROXY,
	// HTTPS_PROXY and NO_PROXY, which never apply to loopback addresses.
	Proxy func(*http.Request) (*url.URL, error)
	// TLS is the base of every TLS connection; nil means the system's roots.
	TLS *tls.Config
	// MaxEvent is the longest event accepted, in bytes; 0 means DefaultMaxEvent.
	MaxEvent int
	// Reach says which addresses FetchFile may connect to; nil means those of
	// the public internet.
	Reach func(netip.AddrPort) bool
}

// Client makes calls and keeps their connections for later ones. A process
// needs one; it is safe for concurrent use.
type Client struct {
	transport *http.Transport
	files     *http.Transport // of FetchFile
	readers   sync.Pool       // of *reader
	maxEvent  int
}

// New returns a Client. Close it when no call runs any more.
func New(o Options) *Client {
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.MaxEvent == 0 {
		o.MaxEvent = DefaultMaxEvent
	}
	conf := o.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if conf.ClientSessionCache == nil {
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	}
	if o.Reach == nil {
		o.Reach = public
	}
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
	return &Client{
		transport: &http.Transport{
			Proxy:                  o.Proxy,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        conf,
			TLSHandshakeTimeout:    dialLimit,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    4096,
			IdleConnTimeout:        idleConnLimit,
			MaxResponseHeaderBytes: 1 << 20,
			DisableCompression:     true, // bytes pass as they are
			HTTP2: &http.HTTP2Config{
				SendPingTimeout:           15 * time.Second, // finds a dead peer under a quiet stream
				PingTimeout:               10 * time.Second,
				MaxReceiveBufferPerStream: streamWindow,
			},
		},
		files:    fileTransport(conf.Clone(), o.Reach),
		readers:  sync.Pool{New: func() any { return newReader() }},
		maxEvent: o.MaxEvent,
	}
}

// Close closes the connections that no call uses.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.files.CloseIdleConnections()
}

// Do sends one request and returns once the answer's head has come, whatever
// its status; redirects are answers like any other. The caller closes the
// Answer. An error is a *DialError if nothing was sent, a *TimeoutError or a
// *CutError; if ctx has ended, it is ctx's cause.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &Answer{client: c, stream: call.Stream}
	a.watch.init(resolve(call.Timers), call.Deadline, cancel)
	a.trace.GotConn = a.watch.gotConn

	req, err := call.request(httptrace.WithClientTrace(ctx, &a.trace))
	if err != nil {
		cancel(errClosed)
		return nil, err
	}
	a.watch.start()
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		a.watch.stop()
		err = a.watch.explain(ctx, err)
		cancel(errClosed)
		return nil, err
	}
	a.Status, a.Header = resp.StatusCode, resp.Header
	a.resp = resp
	return a, nil
}

// request builds the HTTP request. Its errors never hold the URL, which may
// carry a key in its query.
func (c *Call) request(ctx context.Context) (*http.Request, error) {
	method := c.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("build request: %w", err)
	}
	if len(c.Body) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
	req.Header = c.headers()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	c.authorize(req.Header)
	return req, nil
}
