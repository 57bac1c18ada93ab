package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"model-proxy/internal/telemetry"
)

// traces looks whether the collector that OpenTelemetry's variables name is there.
func (d *doctor) traces(ctx context.Context) checkRow {
	const name = "traces"
	traces, err := telemetry.NewTraces(d.env.Lookup, version, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return checkRow{name, checkBad, err.Error(), "mend the variable, or set OTEL_SDK_DISABLED=true"}
	case traces == nil:
		return checkRow{Check: name, Result: checkOK, Found: "off; OTEL_EXPORTER_OTLP_ENDPOINT switches them on"}
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	defer func() { _ = traces.Close(ctx) }() // it has nothing to send
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", traces.Collector())
	if err != nil {
		return checkRow{name, checkWarn, "no collector at " + traces.Collector(), "start it; the gateway runs without it and loses the spans"}
	}
	_ = conn.Close()
	return checkRow{Check: name, Result: checkOK, Found: "go to " + traces.Collector()}
}
