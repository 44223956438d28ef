.DEFAULT_GOAL := help
WEB := services/rest-gateway/web
DIST := $(WEB)/dist/index.html
PLAYERS := tests/browser/node_modules/.package-lock.json
DENY := .tools/bin/cargo-deny

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: web ## Start Astral in one process; needs nothing else
	cargo run --release --package astral -- up $(ARGS)

.PHONY: build
build: web ## Build every program into target/release (or CARGO_TARGET_DIR)
	cargo build --release $(shell sed -n 's/^name = "\(.*\)"/--package \1/p' services/*/Cargo.toml)

.PHONY: demo
demo: web ## Run three relays, cut one off again and again, and show what a viewer below it notices
	cargo build --release --package astral
	./deploy/demo.sh

.PHONY: check
check: web $(DENY) ## Check formatting, lints, documentation and third-party crates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test upgrade -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	./deploy/deny.sh

$(DENY): deploy/tools.txt deploy/tools.sh
	./deploy/tools.sh

# A test program that runs too long is killed. We do not use nextest: it starts a process for each test,
# but tests share what is expensive to start (a network in tests/hostile) or take turns (in tests/browser).
LIMIT = CARGO_TARGET_$(shell rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER=$(CURDIR)/deploy/limit.sh

.PHONY: test
test: setup web $(PLAYERS) ## Run all tests, with a real ffmpeg and a real browser
	$(LIMIT) cargo test --workspace
	cd $(WEB) && npm test

.PHONY: fuzz
fuzz: ## Run each parser under a fuzzer for FUZZ_SECONDS (default 10)
	./deploy/fuzz.sh

SEED ?= 1
NODES ?= 2000
.PHONY: simulate
simulate: ## Run the control services with a model of NODES relays (default 2000), from SEED (default 1)
	cargo run --release --package astral-scale -- --seed $(SEED) --nodes $(NODES) $(ARGS)

SEEDS ?= 20
FROM ?= 1
.PHONY: storm
storm: ## Run services and relays on simulated time under faults from SEEDS seeds (default 20), from seed FROM on
	cargo run --release --package astral-storm -- --seeds $(SEEDS) --from $(FROM) $(ARGS)

.PHONY: bench
bench: setup web ## Measure costs, as ratios
	cargo run --release --package astral-bench

.PHONY: bench-latency
bench-latency: setup web ## Measure the latency from camera to screen in a real browser, milliseconds
	cargo build --release --package astral
	node tests/browser/latency.mjs

.PHONY: chaos
chaos: setup web ## Kill, freeze and cut off processes in ASTRAL_CHAOS rounds (default 20), and measure the gaps
	cargo test --workspace --no-run
	ASTRAL_CHAOS=$${ASTRAL_CHAOS:-20} cargo test --workspace --test chaos -- --nocapture --test-threads=1

.PHONY: test-upgrade
test-upgrade: setup web ## Upgrade and downgrade a network between the previous release and this one while a stream runs
	previous=$$(./deploy/previous.sh) && cargo build --workspace --bins && \
		ASTRAL_PREVIOUS=$$previous cargo test --workspace --test upgrade -- --test-threads=1

.PHONY: web
web: $(DIST) ## Build the web application

$(DIST): $(shell find $(WEB) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
	cd $(WEB) && npm ci --no-audit --no-fund && npm run build
	@touch $(DIST)

# hls.js and Shaka as viewers have them, for the tests in a browser.
$(PLAYERS): tests/browser/package-lock.json
	cd tests/browser && npm ci --no-audit --no-fund
	@touch $(PLAYERS)

.PHONY: setup
setup: ## Install the system packages that tests need
	./deploy/setup.sh

SERVICES := directory supernode-coordinator ticket-broker media-forwarder rest-gateway
IMAGES ?= $(SERVICES) $(notdir $(wildcard services/astralnode)) astral
REGISTRY ?= localhost/astral
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
DOCKER ?= DOCKER_BUILDKIT=1 docker
# Arguments of the Dockerfile that you may set: base images from a mirror, programs built elsewhere.
IMAGE_ARGS := BASE_RUST BASE_NODE BASE_RUNTIME BASE_TEST BINARIES TEST_BINARIES
IMAGE_FLAGS := $(foreach arg,$(IMAGE_ARGS),$(if $($(arg)),--build-arg $(arg)=$($(arg)))) \
	--build-arg VERSION=$(TAG) --build-arg REVISION=$(shell git rev-parse --short HEAD 2>/dev/null)

.PHONY: images
images: ## Build an image for each program: REGISTRY/NAME:TAG. BASE_RUST, BASE_NODE, BASE_RUNTIME name other base images
	$(foreach image,$(IMAGES),$(DOCKER) build $(IMAGE_FLAGS) --target $(image) -t $(REGISTRY)/$(image):$(TAG) . &&) true

.PHONY: charts
charts: web charts-ready ## Lint, render, validate and test the charts; needs helm
	cargo test --package astral-kube-tests --test charts
	./charts/check.sh

.PHONY: charts-ready
charts-ready:
	for chart in $(SERVICES) astral; do helm dependency update --skip-refresh charts/$$chart >/dev/null || exit 1; done

.PHONY: chart-schemas
chart-schemas: web
	ASTRAL_WRITE_SCHEMAS=1 cargo test --quiet --package astral-kube-tests --test charts

# A command that loads images into the cluster, given their names. Use `true` if the cluster has them already.
KUBE_LOAD ?= kind load docker-image
KUBE_ARGS ?=
.PHONY: kube-test
kube-test: web charts-ready ## Test the network in the cluster of KUBECONFIG: relays start, stop and crash, and no viewer loses a frame
	$(MAKE) images IMAGES='$(SERVICES) kube-test'
	$(KUBE_LOAD) $(foreach image,$(SERVICES) kube-test,$(REGISTRY)/$(image):$(TAG))
	cargo run --quiet --package astral-kube-tests -- run --image $(REGISTRY)/kube-test:$(TAG) \
		--set global.image.registry=$(REGISTRY) --set global.image.tag=$(TAG) $(KUBE_ARGS)

COMPOSE ?= docker compose
.PHONY: up
up: ## Run everything on this machine in containers, with NATS, Redis, Prometheus, Grafana and Jaeger
	$(MAKE) images
	REGISTRY=$(REGISTRY) TAG=$(TAG) $(COMPOSE) -f deploy/compose.yaml up -d

.PHONY: down
down: ## Stop what `make up` started
	REGISTRY=$(REGISTRY) TAG=$(TAG) $(COMPOSE) -f deploy/compose.yaml down
