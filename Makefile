# `make` or `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh

APP := github.com/observatory-go/observatory/cmd/observatory/internal/app
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
MODULES := . bench chaos dashboards/build e2e interop
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOTESTSUM := go run gotest.tools/gotestsum@v1.13.0

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/observatory.
	go build -ldflags "-X $(APP).version=$(VERSION) -X $(APP).revision=$(REVISION)" -o bin/observatory ./cmd/observatory

.PHONY: run
run: build ## Run the sample domain on memory: engine, probes and /metrics, nothing to install.
	./bin/observatory serve --embedded

.PHONY: servers
servers: ## Install the servers that the tests start, where they are missing.
	@./engine/testserver/install

.PHONY: protean
protean: ## Install Protean from PyPI, beside which our engine is tested.
	@./interop/install

.PHONY: test
test: servers protean ## Run all tests, with the race detector, against real servers.
	@set -e; for m in $(MODULES); do \
		echo "== tests of module $$m"; \
		(cd $$m && $(GOTESTSUM) --format pkgname --hide-summary=skipped -- -race -timeout 15m ./...); \
	done

.PHONY: test-long
test-long: ## Run 20,000 seeds of each Go model, without the race detector: about 25 minutes.
	MODEL_SEEDS=20000 go test -count=1 -timeout 2h ./engine/subscription/...

.PHONY: models
models: servers ## Have Spin search the models of protocols, and the mutants that must fail.
	go test -count=1 -v -timeout 15m ./models

.PHONY: lint
lint: ## Run the linters on every module.
	@set -e; for m in $(MODULES); do echo "== linters of module $$m"; (cd $$m && $(GOLANGCI) run ./...); done

.PHONY: format
format: ## Format the code.
	$(GOLANGCI) fmt ./...

.PHONY: check
check: lint test ## The whole gate: linters, race tests, dashboards, alert rules.

.PHONY: golden
golden: ## Rewrite the golden files and show what changed.
	go test ./gauges ./cmd/observatory/internal/app -run Golden -update
	go test ./docs -update
	git diff --stat -- '*.golden' '**/testdata/*' 'docs/*.md'

.PHONY: dashboards
dashboards: ## Build dashboards/grafana/*.json from dashboards/build, on Node.
	cd dashboards/build && node dependencies.mjs && node build.mjs

.PHONY: bench
bench: servers ## Measure the engine against its peers and print the table.
	cd bench && go run .
	cd bench && go test -run NONE -bench MessageDB -benchtime 20x .

.PHONY: chaos
chaos: servers ## Break servers, processes, network and clocks under load, and count each message.
	cd chaos && go run . --history ../bin/chaos
