package main

import (
	"net"
	"testing"

	"model-proxy/config"
)

func TestDoctorLooksAtTraces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		name    string
		environ []string
		result  string
	}{
		{"off", nil, checkOK},
		{"a collector", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + l.Addr().String()}, checkOK},
		{"no collector", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, checkWarn},
		{"a wrong variable", []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=sometimes"}, checkBad},
	} {
		env, err := config.ReadEnvironment("", c.environ)
		if err != nil {
			t.Fatal(err)
		}
		if row := (&doctor{env: env}).traces(t.Context()); row.Result != c.result {
			t.Errorf("%s: got %+v, want %s", c.name, row, c.result)
		}
	}
}
