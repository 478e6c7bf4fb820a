# Needs Go and make, nothing else; the race detector also needs a C compiler.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT    ?= $(shell git rev-parse HEAD 2>/dev/null)
TESTFLAGS ?=
TIMEOUT   ?= 40m
BENCHTIME ?= 1s
FUZZTIME  ?= 5s

GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

# No C anywhere: what runs here runs in an image without libc.
export CGO_ENABLED := 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## a simulated portal, the gateway and uploads, verified, in one process
	go run ./cmd/docspace-router demo --once

.PHONY: test
test: ## run every test
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./...

# SQLite is C turned into Go that does its own locking. Watched too, it would take most of the time.
.PHONY: race
race: export CGO_ENABLED := 1
race: ## run the tests of the program under the race detector, but for those that cannot race
	go test -race -gcflags=modernc.org/sqlite/lib=-race=false -short -timeout $(TIMEOUT) $(TESTFLAGS) ./cmd/... ./internal/...

# go test runs the packages of a benchmark one after another, so they do not slow each other.
# Each package starts a private server, from PostgreSQL's own programs.
.PHONY: postgres
postgres: ## run the tests that need a database on PostgreSQL
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./internal/pgtest ./internal/chaos
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./internal/app ./internal/store -args -postgres

# Prometheus itself says whether the alerts are well formed and fire when they should, and has data
# for each query of the dashboard after scraping a gateway. Debian's package prometheus has both programs.
.PHONY: alerts
alerts: ## check the alerts and the dashboard with Prometheus
	promtool check rules deploy/prometheus/alerts.yaml
	promtool test rules deploy/prometheus/alerts_test.yaml
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./deploy -run 'Prometheus|Alert|Dashboard' -args -prometheus

# BROWSER names the Chromium; "find" looks for one.
BROWSER ?= find

# One at a time: the tests are about pages whose scripts run, which many browsers on few cores delay.
.PHONY: browser
browser: ## drive the pages in Chromium
	go test -timeout $(TIMEOUT) -parallel 1 $(TESTFLAGS) ./internal/browsertest -args -browser $(BROWSER)

.PHONY: screenshots
screenshots: ## write pictures of the pages into docs/images
	@mkdir -p docs/images
	go test -count=1 ./internal/browsertest -run TestScreenshots -args -browser $(BROWSER) -screenshots '$(CURDIR)/docs/images'

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

# A fuzz target is named to go test by its package, one at a time.
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@targets=$$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*:func |:|' | sort); \
	test -n "$$targets" || { echo 'no fuzz target found'; exit 1; }; \
	for target in $$targets; do \
		echo "$$target for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) "$${target%%:*}" || exit 1; \
	done

# Without SEED a new one is drawn and printed. DATABASE=postgres starts private servers, and then
# REPLICAS gateways may share one.
ROUNDS   ?= 20
DATABASE ?= sqlite
REPLICAS ?= 1
SEED     ?= 0

.PHONY: chaos
chaos: ## ROUNDS rounds of kills and faults against a simulated portal, each checked
	go run ./internal/chaos -rounds $(ROUNDS) -database $(DATABASE) -replicas $(REPLICAS) -seed $(SEED)

.PHONY: build
build: ## build a static binary, bin/docspace-router
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/docspace-router ./cmd/docspace-router

.PHONY: check
check: format vet lint race tidy ## what CI checks, the quick part: no fuzzing, no demo

.PHONY: format
format: ## fail if gofmt would change a file
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt would change:"; echo "$$files"; exit 1; }

.PHONY: vet
vet: ## run go vet
	go vet ./...

.PHONY: tidy
tidy: ## fail if go.mod or go.sum is not what go mod tidy would write
	go mod tidy -diff

.PHONY: lint
lint: $(GOLANGCI) ## run the linters of .golangci.yaml
	$(GOLANGCI) config verify
	$(GOLANGCI) run ./...

# Built from source, outside this module, so that it leaves go.mod alone.
$(GOLANGCI):
	@mkdir -p bin
	@echo 'building golangci-lint $(GOLANGCI_VERSION): about two minutes the first time'
	@GOBIN='$(CURDIR)/bin' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION) 2>bin/golangci-lint.log \
		|| { cat bin/golangci-lint.log; exit 1; }
	@mv bin/golangci-lint $@

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin
