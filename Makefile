# Every tool is pinned in go.mod and runs through `go tool`; nothing else is needed but Go, a C compiler (for -race),
# diff and find.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps of `check` run in their order, also under `make -j`.
.NOTPARALLEL:

# Arguments of the example server.
RUNFLAGS ?=
# Arguments added to every `go test`, such as TESTFLAGS='-run TestName -v'.
TESTFLAGS ?=
# What `make bench` runs: the packages, the benchmarks, and how often (benchstat wants six or more to compare).
BENCHPKGS ?= ./integration/...
BENCH ?= .
COUNT ?= 6
# More arguments of the benchmarks, such as BENCHFLAGS='-benchtime 3s -cpu 1,2'.
BENCHFLAGS ?=

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run the example server (RUNFLAGS)
	go run ./examples/fosite-server $(RUNFLAGS)

.PHONY: test
test: ## Run all tests (TESTFLAGS)
	go test $(TESTFLAGS) ./...

.PHONY: test-race
test-race: ## Run all tests under the race detector (TESTFLAGS)
	go test -race $(TESTFLAGS) ./...

.PHONY: check
check: fmt-check vet lint generate-check test-race ## Everything a change must pass: format, vet, lint, generated code, tests with -race

.PHONY: bench
bench: ## Run the benchmarks, for benchstat: make -s bench > new.txt (BENCHPKGS, BENCH, COUNT, BENCHFLAGS)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 2h $(BENCHFLAGS) $(BENCHPKGS)

.PHONY: bench-large
bench-large: ## Run the benchmarks with 1,000,000 sessions too, which takes tens of minutes (BENCHPKGS, BENCH, COUNT, BENCHFLAGS)
	SESSIONS_BENCH_LARGE=1 $(MAKE) bench

.PHONY: fmt
fmt: ## Format Go and proto files
	go tool golangci-lint fmt
	go tool buf format --write

.PHONY: fmt-check
fmt-check: ## Fail when a Go or proto file is not formatted
	go tool golangci-lint fmt --diff
	go tool buf format --diff --exit-code

.PHONY: vet
vet: ## Run go vet
	go vet ./...

.PHONY: lint
lint: ## Run golangci-lint and buf's lint
	go tool golangci-lint run
	go tool buf lint

.PHONY: generate
generate: ## Generate Go code from the proto files
	go tool buf generate

# Generates into a folder of its own, so that it neither needs git nor touches the tree; it sees changed, missing and
# left-over files.
.PHONY: generate-check
generate-check: ## Fail when generated code is stale
	@want=$$(mktemp -d); have=$$(mktemp -d); trap 'rm -rf "$$want" "$$have"' EXIT; \
	go tool buf generate --output "$$want"; \
	find . -name .git -prune -o -name '*.pb.go' -exec cp --parents {} "$$have" \; ; \
	diff -ru "$$have" "$$want" || { echo "generated code is stale: run make generate" >&2; exit 1; }; \
	echo "generated code is current"
