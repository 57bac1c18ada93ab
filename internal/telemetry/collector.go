package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector sends spans over HTTP. It is an otlptrace.Client. OpenTelemetry's own
// links a gRPC library that it does not use, 2.4 MB of the binary.
type collector struct {
	settings
	http *http.Client
}

func newCollector(s settings) (*collector, error) {
	conf, err := s.tls()
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = conf
	return &collector{s, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// tls is nil where the system's certificates do.
func (s settings) tls() (*tls.Config, error) {
	if s.ca == "" && s.cert == "" && s.key == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf(otlp+"CERTIFICATE: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(otlp + "CERTIFICATE: no certificate in " + s.ca)
		}
	}
	if s.cert != "" || s.key != "" {
		own, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fmt.Errorf(otlp+"CLIENT_CERTIFICATE and _KEY: %w", err)
		}
		conf.Certificates = []tls.Certificate{own}
	}
	return conf, nil
}

// Start implements otlptrace.Client: the first spans connect.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *collector) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// retryAfter is how long a collector rests that asks to be tried again.
const retryAfter = time.Second

// UploadTraces implements otlptrace.Client. It tries again until the time of one
// export is over where the collector says that it may take the spans later.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, c.timeout)
	defer stop()
	for {
		status, err := c.post(ctx, body)
		if err != nil {
			return err
		}
		switch status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			if status < 200 || status > 299 {
				return fmt.Errorf("the collector answers %d", status)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the collector answers %d", status)
		case <-time.After(retryAfter):
		}
	}
}

// encode writes spans as OTLP has them.
func (c *collector) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	plain, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans}) // on the wire the same as a request to export them
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	if !c.gzip {
		return plain, nil
	}
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	if _, err := z.Write(plain); err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	return small.Bytes(), nil
}

func (c *collector) post(ctx context.Context, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("send spans: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // read, the connection serves the next ones
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	return resp.StatusCode, err
}
