// Package nats_test runs the gateway's roles on NATS as in production: with a
// user for each role, with TLS, and on three servers that die or lose each other.
package nats_test

import (
	"os"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

const patience = 90 * time.Second

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }
