# Targets: run test lint bench build. GOTESTFLAGS is added to every go test.
GOTESTFLAGS ?=

.PHONY: run test lint bench build

run: ## the gateway in front of a simulated provider
	go run ./cmd/model-proxy run --demo

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/model-proxy ./cmd/model-proxy

test: e2e/node/node_modules ## everything: Go, then the official JavaScript SDKs
	go test $(GOTESTFLAGS) ./...
	go test $(GOTESTFLAGS) -tags node ./e2e

lint:
	go vet ./...
	go tool staticcheck ./...

bench: ## CPU, latency and memory beside a plain reverse proxy
	go run ./bench/cmd/suite

e2e/node/node_modules: e2e/node/package-lock.json
	cd e2e/node && npm ci --ignore-scripts --no-audit --no-fund
	touch $@
