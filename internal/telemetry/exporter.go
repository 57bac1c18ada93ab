package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// newExporter makes the exporter that the settings ask for. It connects when
// the first spans leave.
func newExporter(ctx context.Context, s settings) (trace.SpanExporter, error) {
	conf, err := s.tls()
	if err != nil {
		return nil, err
	}
	if s.protocol == overGRPC {
		options := []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(s.endpoint), otlptracegrpc.WithHeaders(s.headers), otlptracegrpc.WithTimeout(s.timeout)}
		if s.gzip {
			options = append(options, otlptracegrpc.WithCompressor("gzip"))
		}
		if conf != nil {
			options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(conf)))
		}
		return otlptrace.New(ctx, otlptracegrpc.NewClient(options...))
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(s.endpoint), otlptracehttp.WithHeaders(s.headers), otlptracehttp.WithTimeout(s.timeout),
		otlptracehttp.WithCompression(otlptracehttp.NoCompression)}
	if s.gzip {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if conf != nil {
		options = append(options, otlptracehttp.WithTLSClientConfig(conf))
	}
	return otlptrace.New(ctx, otlptracehttp.NewClient(options...))
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

// counted passes spans on and counts them. It logs when a collector cannot be
// reached and when it can again, once each, and nothing in between.
type counted struct {
	trace.SpanExporter
	log *slog.Logger

	exported, lost atomic.Int64
	away           atomic.Bool
}

func (c *counted) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		c.lost.Add(int64(len(spans)))
		if c.away.CompareAndSwap(false, true) {
			c.log.Warn("spans lost: the collector does not take them", "error", err)
		}
		return nil // it is told: the library would print it too
	}
	c.exported.Add(int64(len(spans)))
	if c.away.CompareAndSwap(true, false) {
		c.log.Info("the collector takes spans again")
	}
	return nil
}
