# Targets: run test lint bench soak build. GOTESTFLAGS is added to every go test.
GOTESTFLAGS ?=

.PHONY: run test lint bench soak build chromium deploytools

run: ## the gateway in front of a simulated provider
	go run ./cmd/model-proxy run --demo

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/model-proxy ./cmd/model-proxy

test: e2e/node/node_modules e2e/clickhouse/engine/node_modules chromium deploytools ## everything: Go, the official JavaScript SDKs, ClickHouse, the pages in a browser
	@[ -n "$$CORPUS" ] || echo "CORPUS is not set: the sweeps over recorded traffic do not run"
	go test -timeout 30m $(GOTESTFLAGS) -count 1 -p 1 ./... # one package at a time: some tests hold the gateway to times; none from the cache, which does not see the binary change
	go test -timeout 30m $(GOTESTFLAGS) -tags node ./e2e
	go test -timeout 30m $(GOTESTFLAGS) -tags clickhouse -run ClickHouse ./logsink
	go test -timeout 30m $(GOTESTFLAGS) -tags clickhouse ./e2e/clickhouse
	go test -timeout 30m $(GOTESTFLAGS) -tags chromium -run InABrowser ./cmd/model-proxy
	PATH="$(CURDIR)/bin:$$PATH" go test -timeout 30m -tags deploytools -run TestTool ./deploy # the files of deploy, read by their own tools
	cd deploy/k8s/schema && go test ./...

lint:
	go vet ./...
	go tool staticcheck ./...

bench: ## CPU, latency and memory beside a plain reverse proxy
	go run ./bench/cmd/suite

soak: ## an hour of mixed load, every answer and record checked; SOAKFLAGS="-duration 10m -roles" for less and for the roles apart
	go run ./bench/cmd/soak -duration 1h $(SOAKFLAGS)

chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } || \
		{ echo "the tests of the pages need Chromium: install it (Debian: apt-get install chromium)"; exit 1; }

# Tools that read files of deploy. Of Prometheus only promtool is taken out of
# its package, for the package starts a server.
deploytools: bin/promtool
	@command -v docker-compose >/dev/null && command -v systemd-analyze >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-compose systemd; } || \
		{ echo "the tests of deploy need docker-compose and systemd-analyze: install them"; exit 1; }

bin/promtool:
	@mkdir -p bin && cd bin && if command -v promtool >/dev/null; then ln -s "$$(command -v promtool)" promtool; else \
		apt-get update -qq && apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool.new && \
		chmod +x promtool.new && mv promtool.new promtool && rm prometheus_*.deb; fi || \
		{ echo "the tests of deploy need promtool: install it (Debian: in the package prometheus)"; exit 1; }

e2e/node/node_modules e2e/clickhouse/engine/node_modules: %/node_modules: %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	touch $@
