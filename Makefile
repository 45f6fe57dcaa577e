# `make` alone lists what can be done. On a machine with Go, a C compiler and
# apt, every target works from a fresh clone.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)
# One package that hangs must not eat the time of all: two cores need some
# minutes for everything.
TEST_TIMEOUT ?= 9m
# The race detector watches our code and what it calls. It is spared SQLite,
# which is C translated to Go, and the inner loops of hashing: watching those took
# half of the processor's time and could say nothing about Lockstep.
UNWATCHED := -gcflags=modernc.org/...=-race=false -gcflags=crypto/internal/...=-race=false -gcflags=golang.org/x/crypto/...=-race=false
# Linking without debug information takes half as long; make vet vets. Tests
# wait more than they work, for leases and servers: so more of them run at once
# than there are cores.
TEST_FLAGS ?= -race $(UNWATCHED) -vet=off -ldflags=-w -parallel 8 -timeout $(TEST_TIMEOUT)
PACKAGES ?= ./...
TOOL := $(GO) tool -modfile=tools/go.mod

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/lockstep
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/lockstep ./cmd/lockstep

.PHONY: demo
demo: ## Rotate a real database password under load for a minute (DEMO_SECONDS)
	@sh deploy/install.sh postgresql
	@$(MAKE) --no-print-directory build
	@exec bin/lockstep demo

.PHONY: test
test: ## Run all tests with the race detector; installs what they need
	@sh deploy/install.sh
	@$(GO) build -ldflags=-w -o bin/test/ ./cmd/lockstep github.com/nats-io/nats-server/v2
	@$(GO) build -ldflags=-w -tags faults -o bin/test/lockstep-faults ./cmd/lockstep
	@LOCKSTEP_TEST_PROGRAMS=$(CURDIR)/bin/test $(GO) test -json $(TEST_FLAGS) $(PACKAGES) | $(GO) -C tools run ./testsum

CHAOS_MINUTES ?= 10

.PHONY: chaos
chaos: ## Every fault at every call, then a whole cluster at random (CHAOS_MINUTES, CHAOS_SEED)
	@sh deploy/install.sh postgresql
	@$(GO) test -json -count 1 -timeout 0 ./test/faults -full | $(GO) -C tools run ./testsum
	@CHAOS_MINUTES=$(CHAOS_MINUTES) $(GO) test -count 1 -timeout 0 -v -run '^TestChaos$$' ./test/cluster

.PHONY: mutations
mutations: ## Break our own rules one at a time, and see the tests fail
	@sh deploy/install.sh postgresql
	@$(GO) test -count 1 -timeout 0 -v -run '^TestMutationsAreCaught$$' ./test/mutations -mutate

.PHONY: check
check: fmt vet build nocgo test ## What CI does

.PHONY: vet
vet: ## go vet, also of the build that can be told to fail
	$(GO) vet ./...
	$(GO) vet -tags faults ./internal/fault ./cmd/lockstep

.PHONY: fmt
fmt: ## Fail if a file is not formatted
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi

.PHONY: nocgo
nocgo: ## Build everything without cgo
	CGO_ENABLED=0 $(GO) build ./...

.PHONY: lint
lint: fmt vet ## staticcheck and gosec, at the versions in tools/go.mod
	$(TOOL) staticcheck ./...
	$(TOOL) gosec -quiet -fmt golint ./...

.PHONY: bench
bench: ## Measure: the benchmarks of all packages, and the whole beside the raw limit
	@sh deploy/install.sh postgresql
	@if [ -d bench ]; then $(GO) run ./bench; else $(GO) test -run '^$$' -bench . -benchmem $(PACKAGES); fi

.PHONY: cover
cover: ## Tests with coverage; writes coverage.out
	@sh deploy/install.sh
	$(GO) test -timeout $(TEST_TIMEOUT) -coverpkg ./... -coverprofile coverage.out $(PACKAGES)
	@$(GO) tool cover -func coverage.out | tail -1

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin coverage.out
