.DEFAULT_GOAL := help
WEB := services/rest-gateway/web
DIST := $(WEB)/dist/index.html

.PHONY: help
help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: web ## Start Astral in one process, with nothing else installed
	cargo run --release --package astral -- up $(ARGS)

.PHONY: demo
demo: web ## Three relays and a publisher: open the page it names
	cargo build --release --package astral
	./deploy/demo.sh

.PHONY: check
check: web ## Format, lints, documents
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

.PHONY: test
test: setup web ## Every test, with a real ffmpeg and a real browser
	cargo test --workspace
	cd $(WEB) && npm test

.PHONY: fuzz
fuzz: ## Each parser under a fuzzer for FUZZ_SECONDS (default 10)
	./deploy/fuzz.sh

SEED ?= 1
NODES ?= 10000
.PHONY: simulate
simulate: ## NODES nodes (default 10000) by production's rules, from SEED (default 1)
	cargo run --release --package astral-simulation -- --seed $(SEED) --nodes $(NODES) $(ARGS)

.PHONY: bench
bench: setup web ## What it costs, as ratios
	cargo run --release --package astral-bench

.PHONY: bench-latency
bench-latency: setup web ## Glass to glass in a real browser, milliseconds
	cargo build --release --package astral
	node tests/browser/latency.mjs

.PHONY: chaos
chaos: setup web ## Gaps when relays are killed, frozen or cut off, in ASTRAL_CHAOS rounds (default 20)
	cargo test --workspace --no-run
	ASTRAL_CHAOS=$${ASTRAL_CHAOS:-20} cargo test --workspace --test chaos -- --nocapture --test-threads=1

.PHONY: web
web: $(DIST) ## Bundle the web application

$(DIST): $(shell find $(WEB) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
	cd $(WEB) && npm ci --no-audit --no-fund && npm run build
	@touch $(DIST)

.PHONY: setup
setup: ## Install what the tests need from the system's packages
	./deploy/setup.sh
