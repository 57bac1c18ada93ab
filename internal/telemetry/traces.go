// Package telemetry takes the process's figures out of it: spans to a collector
// by OpenTelemetry's own variables, metrics to Prometheus. What a span says is
// package span's; what the metrics count, the records say.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"model-proxy/internal/span"
)

// Traces sends spans to a collector. The nil Traces sends none.
type Traces struct {
	provider  *trace.TracerProvider
	exporter  *counted
	collector string
}

// NewTraces reads OpenTelemetry's variables. It returns nil if they ask for no
// traces. It does no I/O: a collector that is away costs spans and nothing else.
// The error names the variables that cannot be used.
func NewTraces(env Lookup, version string, log *slog.Logger) (*Traces, error) {
	s, err := readSettings(env)
	if err != nil || !s.on {
		return nil, err
	}
	sampler, err := newSampler(s.sampler, s.samplerArg)
	if err != nil {
		return nil, err
	}
	client, err := newCollector(s)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	t := &Traces{exporter: &counted{SpanExporter: exporter, log: log}, collector: s.address()}
	t.provider = trace.NewTracerProvider(trace.WithBatcher(t.exporter, s.batch...), trace.WithSampler(sampler), trace.WithResource(s.resource(version)))
	return t, nil
}

// resource says who sends the spans.
func (s settings) resource(version string) *resource.Resource {
	about := map[string]string{"service.name": "model-proxy", "service.version": version, "service.instance.id": uuid.NewString()}
	for name, value := range s.attributes {
		about[name] = value
	}
	if s.serviceName != "" {
		about["service.name"] = s.serviceName
	}
	attributes := make([]attribute.KeyValue, 0, len(about))
	for name, value := range about {
		attributes = append(attributes, attribute.String(name, value))
	}
	return resource.NewSchemaless(attributes...)
}

// Collector is the address that spans go to, as host:port.
func (t *Traces) Collector() string { return t.collector }

// Tracer makes spans that go to the collector.
func (t *Traces) Tracer() *span.Tracer {
	if t == nil {
		return nil
	}
	return span.New(t.provider)
}

// Close sends what has not been sent yet, for as long as ctx lets it.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

var spansDesc = prometheus.NewDesc("model_proxy_spans_total", "Spans that left for the collector.", []string{"result"}, nil)

// Describe implements prometheus.Collector.
func (t *Traces) Describe(ch chan<- *prometheus.Desc) { ch <- spansDesc }

// Collect implements prometheus.Collector.
func (t *Traces) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(t.exporter.exported.Load()), "taken")
	ch <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(t.exporter.lost.Load()), "lost")
}
