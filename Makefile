# Every tool is pinned in .ci/tools, a module of its own, and runs through `go tool`; nothing else is needed but Go, a C compiler (for -race),
# diff and find. `test-rp` and `test-axe` alone need more, and install it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Runs a pinned tool from any folder of the repository. The tools' module is not in the workspace: nothing else
# inherits its versions.
TOOL := GOWORK=off go tool -modfile=$(CURDIR)/.ci/tools/go.mod
# The modules of the workspace, for tools that know one module at a time. For `go` the pattern `work` means the
# packages of all of them.
MODULES := . integration examples/fosite-server hostadapter/admin/cmd/sessionsctl

# Tests make thousands of stores. Where a file system in memory has the room they lie there, which takes a third of
# the time; what has to outlast a crash of the machine is tested on disks that the tests mount. TMPDIR=/tmp is the way
# back to the disk.
ifeq ($(origin TMPDIR),undefined)
INMEMORY := $(shell [ -w /dev/shm ] && ! grep -q ' /dev/shm .*noexec' /proc/mounts && \
	[ "$$(df --output=avail -BG /dev/shm | tail -n 1 | tr -dc 0-9)" -ge 8 ] && echo TMPDIR=/dev/shm)
endif
# Many tests wait for processes and disks: more of them run at once than there are processors. `make vet` vets.
GOTEST := $(INMEMORY) go test -vet=off -parallel $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

# Arguments of the example server.
RUNFLAGS ?=
# Arguments added to every `go test`, such as TESTFLAGS='-run TestName -v'.
TESTFLAGS ?=
# What `make bench` runs: the packages, the benchmarks, and how often (benchstat wants six or more to compare).
BENCHPKGS ?= ./integration/... ./plugin/badger
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

.PHONY: run-ha
run-ha: ## Run two example servers on one PostgreSQL behind nginx, until Ctrl-C (Debian's postgresql and nginx-light; PORT, RUNFLAGS)
	examples/several-hosts/run-ha.sh $(RUNFLAGS)

.PHONY: test
test: ## Run every test that needs Go alone (TESTFLAGS); SESSIONS_TEST_LONG=1 has them take their time
	$(GOTEST) -timeout 20m $(TESTFLAGS) work

.PHONY: test-race
test-race: ## Run the tests again under the race detector where it sees something (TESTFLAGS)
	$(GOTEST) -race -timeout 20m $(TESTFLAGS) ./... ./examples/fosite-server/... ./integration/torture

.PHONY: test-plugins
test-plugins: ## Run all of the suite on the plugins as they are installed, on several hosts and behind a pooler (TESTFLAGS)
	SESSIONS_TEST_LONG=1 $(GOTEST) -timeout 20m -run '^(TestBuiltPlugin|TestConformanceOfHosts|TestConformanceBehindAPooler)$$' -skip '^TestBuiltPlugin$$/^memory$$' $(TESTFLAGS) ./integration ./plugin/postgres

# How often `make torture-failover` loses the primary, which takes some 40 s each.
FAILOVERS ?= 100

.PHONY: test-failover
test-failover: ## Lose the primary of a PostgreSQL cluster under load: killed, stopped, cut off, left behind (root, Patroni, etcd; TESTFLAGS)
	TORTURE_FAILOVERS=4 $(GOTEST) -count 1 -timeout 10m -run '^TestFailover$$' -v $(TESTFLAGS) ./integration/torture

.PHONY: torture-failover
torture-failover: ## Lose the primary again and again, in turn killed, stopped, cut off and left behind, with a ttl as in production (FAILOVERS)
	TORTURE_FAILOVERS=$(FAILOVERS) TORTURE_TTL=20 go test -count 1 -timeout 5h -run '^TestFailover$$' -v $(TESTFLAGS) ./integration/torture

# How many faults `make torture-hosts` commits.
HOSTFAULTS ?= 200

.PHONY: torture-hosts
torture-hosts: ## Kill, stop and start again two hosts and the PostgreSQL that they share, under load (HOSTFAULTS)
	TORTURE_HOSTS=$(HOSTFAULTS) go test -count 1 -timeout 3h -run '^TestTortureOfTwoHosts$$' -v $(TESTFLAGS) ./integration/torture

EXPRESS := integration/testdata/express

.PHONY: test-rp
test-rp: $(EXPRESS)/node_modules/.package-lock.json ## Sign in and out at relying parties that people run, Apache's mod_auth_openidc and express-openid-connect, and behind nginx; check alert rules by promtool (Debian)
	@modules=/usr/lib/apache2/modules; [ -e $$modules/mod_auth_openidc.so ] && [ -e $$modules/mod_include.so ] && [ -x /usr/sbin/nginx ] && command -v promtool >/dev/null && command -v openssl >/dev/null && command -v curl >/dev/null || { \
		sudo=; [ "$$(id -u)" -eq 0 ] || sudo=sudo; set -x; \
		$$sudo apt-get update -qq; \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends apache2-bin libapache2-mod-auth-openidc nginx-light openssl curl prometheus; }
	go test -tags rp -run '^TestReal' -timeout 5m $(TESTFLAGS) ./integration

# Node 20.19 or later, which Debian has from 13 on, and npm. npm fails with a clear word when Node is older.
$(EXPRESS)/node_modules/.package-lock.json: $(EXPRESS)/package.json $(EXPRESS)/package-lock.json
	npm ci --prefix $(EXPRESS) --no-audit --no-fund
	@touch $@

AXE := integration/testdata/axe

.PHONY: test-axe
test-axe: $(AXE)/node_modules/.package-lock.json ## Look for barriers in the admin page with axe-core, in Chromium (npm, Chromium)
	go test -tags axe -run '^TestPagesAreAccessible$$' -timeout 5m $(TESTFLAGS) ./integration

$(AXE)/node_modules/.package-lock.json: $(AXE)/package.json $(AXE)/package-lock.json
	npm ci --prefix $(AXE) --no-audit --no-fund
	@touch $@

# Each fuzzer runs for FUZZTIME, those whose name matches FUZZ. What they find is written to testdata/fuzz of their package: commit it.
FUZZTIME ?= 20s
FUZZ ?= .

.PHONY: fuzz
fuzz: ## Run every fuzzer for a while (FUZZTIME, FUZZ)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read -r package; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$package"/*_test.go | sed -n '/$(FUZZ)/p' | while read -r fuzzer; do \
			go test -run '^$$' -fuzz "^$$fuzzer\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
		done; \
	done

.PHONY: check
check: ## What a change must pass besides test: format, vet, lint, vulnerabilities, generated code, tests with -race, failover
	@.ci/steps test-failover test-plugins -- fmt-check vet lint vulncheck generate-check test-race

.PHONY: bench
bench: ## Run the benchmarks, for benchstat: make -s bench > new.txt (BENCHPKGS, BENCH, COUNT, BENCHFLAGS)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 2h $(BENCHFLAGS) $(BENCHPKGS)

.PHONY: bench-large
bench-large: ## Run the benchmarks with 1,000,000 sessions too, which takes tens of minutes (BENCHPKGS, BENCH, COUNT, BENCHFLAGS)
	SESSIONS_BENCH_LARGE=1 $(MAKE) bench

# Arguments of `make load`, such as LOADFLAGS='-flow introspect -callers 64 -profile /tmp/profiles'; -help lists them.
LOADFLAGS ?=

.PHONY: load
load: ## Load servers over fosite's MemoryStore and over the plugins from outside, and print shares, CPU time and allocations (LOADFLAGS)
	go run ./integration/load $(LOADFLAGS)

# How often `make swap-kills` kills the server or a plugin in the middle of a swap.
SWAPKILLS ?= 200

.PHONY: swap-kills
swap-kills: ## Kill the server or a plugin at random points of swaps (SWAPKILLS)
	SESSIONS_SWAP_KILLS=$(SWAPKILLS) go test -count 1 -timeout 2h -run '^TestSwapKilledHalfWay$$' ./integration

# How many sessions the store of `make swap-load` has.
SWAPLOAD ?= 100000

.PHONY: swap-load
swap-load: ## Swap a large store while users work, and report what it costs them (SWAPLOAD)
	SESSIONS_SWAP_LOAD=$(SWAPLOAD) go test -count 1 -timeout 1h -run '^TestSwapOfALargeStoreUnderLoad$$' -v ./integration

# How many faults `make torture` commits. It takes about 25 minutes for 1,000 on two cores.
KILLS ?= 1000

.PHONY: torture
torture: ## Kill, stop and starve host and plugin under load, and check every answer against the rules (KILLS)
	TORTURE_KILLS=$(KILLS) go test -count 1 -run '^TestTorture$$' -v -timeout 3h $(TESTFLAGS) ./integration/torture

# How many swaps `make torture-swaps` disturbs.
SWAPS ?= 100

.PHONY: torture-swaps
torture-swaps: ## Swap stores again and again, kill and stop the processes that take part, and check every answer against the rules (SWAPS)
	TORTURE_SWAPS=$(SWAPS) go test -count 1 -run '^TestTortureOfSwaps$$' -v -timeout 3h $(TESTFLAGS) ./integration/torture

# How many sessions `make memory` makes in a cgroup of 256 MiB, which wants root, and how many to measure the plugin.
MEMORY_CGROUP ?= 100000
MEMORY_SESSIONS ?= 10000 100000 1000000

.PHONY: memory
memory: ## Serve within 256 MiB for host and plugin, then measure the plugin's memory by sessions and memory_mib (MEMORY_CGROUP, MEMORY_SESSIONS)
	FOOTPRINT_SESSIONS=$(MEMORY_CGROUP) go test -count 1 -run '^TestServesWithinACgroup$$' -v -timeout 2h $(TESTFLAGS) ./integration/footprint
	for n in $(MEMORY_SESSIONS); do \
		FOOTPRINT_SESSIONS=$$n FOOTPRINT_MEMORY=64,256,default go test -count 1 -run '^TestMemoryOfThePlugin$$' -v -timeout 4h $(TESTFLAGS) ./integration/footprint; \
	done

# How many operations `make soak` makes.
OPERATIONS ?= 1000000

.PHONY: soak
soak: ## Run the engine, then host and plugin as processes, for long with removals and show that nothing grows (OPERATIONS)
	SOAK_OPERATIONS=$(OPERATIONS) go test -count 1 -p 1 -run '^TestSoak$$' -v -timeout 6h $(TESTFLAGS) ./plugin/badger ./integration/torture

.PHONY: fmt
fmt: ## Format Go and proto files
	$(TOOL) golangci-lint fmt
	$(TOOL) buf format --write

.PHONY: fmt-check
fmt-check: ## Fail when a Go or proto file is not formatted
	$(TOOL) golangci-lint fmt --diff
	$(TOOL) buf format --diff --exit-code

.PHONY: vet
vet: ## Run go vet
	go vet work
	go vet -tags rp,axe ./integration

.PHONY: lint
lint: ## Run golangci-lint and buf's lint
	for module in $(MODULES); do (cd $$module && $(TOOL) golangci-lint run); done
	$(TOOL) buf lint

# Another vulnerability database than https://vuln.go.dev, as a URL (also file://).
VULNDB ?=

# A database that cannot be reached is no finding: it is said loudly, and is an error only where VULNDB names one.
.PHONY: vulncheck
vulncheck: ## Fail when code that is reached has a known vulnerability (VULNDB)
	@if said=$$(for module in $(MODULES); do $(TOOL) govulncheck -C $$module $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1 || exit; done); then echo "$$said"; \
	elif [ -z "$(VULNDB)" ] && grep -q '^govulncheck: fetching vulnerabilities' <<<"$$said"; then \
		printf '%s\n' "$$said" '' '*** NOT CHECKED for known vulnerabilities: https://vuln.go.dev cannot be reached. ***' \
			'*** Run make vulncheck where it can, or name a copy: make vulncheck VULNDB=URL     ***' '' >&2; \
	else echo "$$said" >&2; exit 1; fi

# The descriptor of what fositestore seals, for its tests.
REQUESTS := hostadapter/fositestore/internal/requestpb/request.binpb
DESCRIBE := $(TOOL) buf build $(dir $(REQUESTS)) --as-file-descriptor-set --exclude-source-info --output

.PHONY: generate
generate: ## Generate Go code and a descriptor from the proto files
	$(TOOL) buf generate
	$(DESCRIBE) $(REQUESTS)

# Generates into a folder of its own, so that it neither needs git nor touches the tree; it sees changed, missing and
# left-over files.
.PHONY: generate-check
generate-check: ## Fail when generated code is stale
	@want=$$(mktemp -d); have=$$(mktemp -d); trap 'rm -rf "$$want" "$$have"' EXIT; \
	$(TOOL) buf generate --output "$$want"; \
	mkdir -p "$$want/$(dir $(REQUESTS))"; $(DESCRIBE) "$$want/$(REQUESTS)"; \
	find . -name .git -prune -o \( -name '*.pb.go' -o -name '*.binpb' \) -exec cp --parents {} "$$have" \; ; \
	diff -ru "$$have" "$$want" || { echo "generated code is stale: run make generate" >&2; exit 1; }; \
	echo "generated code is current"
