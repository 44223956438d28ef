# One image for each program: docker build --target NAME. `make images` builds all of them.
# Every base image is an argument, so that you can use a mirror.
ARG BASE_RUST=docker.io/library/rust:1.95.0-slim-bookworm
ARG BASE_NODE=docker.io/library/node:20-bookworm-slim
# Has glibc, like all tests, and the CA certificates that tls:// and rediss:// need. Has no shell.
ARG BASE_RUNTIME=gcr.io/distroless/cc-debian12:nonroot
ARG BASE_TEST=docker.io/library/debian:bookworm-slim
# The image or stage that has the programs in its root folder. Name another one to package programs that were built elsewhere.
ARG BINARIES=built
ARG TEST_BINARIES=built-tests

FROM ${BASE_NODE} AS web
WORKDIR /web
COPY services/rest-gateway/web/package.json services/rest-gateway/web/package-lock.json services/rest-gateway/web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY services/rest-gateway/web .
RUN npm run build

# Only the manifests, with empty sources. This layer changes only when a dependency does, so dependencies are built once.
FROM ${BASE_RUST} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name 'Cargo.*' ! -name main.rs ! -name lib.rs -delete \
    && find . -type d -empty -delete \
    && echo 'fn main() {}' >/tmp/main.rs \
    && find . -type f -name '*.rs' -exec cp /tmp/main.rs {} \;

FROM ${BASE_RUST} AS dependencies
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --release --locked $(sed -n 's/^name = "\(.*\)"/--package \1/p' services/*/Cargo.toml)

FROM dependencies AS built-here
COPY . .
COPY --from=web /web/dist services/rest-gateway/web/dist
# Cargo compares modification times, and the real sources may be older than the empty ones.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && cargo build --release --locked $(sed -n 's/^name = "\(.*\)"/--package \1/p' services/*/Cargo.toml) \
    && mkdir /programs && cd target/release && find . -maxdepth 1 -type f -executable -exec strip -o /programs/{} {} \;

FROM scratch AS built
COPY --from=built-here /programs /

FROM built-here AS built-tests-here
RUN cargo build --release --locked --package astral-kube-tests

FROM scratch AS built-tests
COPY --from=built-tests-here /src/target/release/astral-kube-test /

FROM ${BINARIES} AS programs

FROM ${TEST_BINARIES} AS test-programs

FROM ${BASE_RUNTIME} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Astral" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
EXPOSE 9090

FROM runtime AS directory
LABEL org.opencontainers.image.description="Which streams exist, who may publish them, where they are ingested"
COPY --from=programs /astral-directory /
ENTRYPOINT ["/astral-directory"]

FROM runtime AS supernode-coordinator
LABEL org.opencontainers.image.description="Which nodes live, and which supernode each hangs off"
COPY --from=programs /astral-supernode-coordinator /
ENTRYPOINT ["/astral-supernode-coordinator"]

FROM runtime AS ticket-broker
LABEL org.opencontainers.image.description="Grants tickets between relays, and owns the ledger of capacity"
COPY --from=programs /astral-ticket-broker /
ENTRYPOINT ["/astral-ticket-broker"]

FROM runtime AS media-forwarder
LABEL org.opencontainers.image.description="A relay: takes streams in, passes them on, sends them out"
COPY --from=programs /astral-media-forwarder /
EXPOSE 8081 1935
ENTRYPOINT ["/astral-media-forwarder"]

FROM runtime AS rest-gateway
LABEL org.opencontainers.image.description="REST, the web application, redirects to relays"
COPY --from=programs /astral-rest-gateway /
EXPOSE 8080
ENTRYPOINT ["/astral-rest-gateway"]

FROM runtime AS astralnode
LABEL org.opencontainers.image.description="A relay on anyone's machine, which lends its upstream"
COPY --from=programs /astralnode /
EXPOSE 8000 8081 1935
ENTRYPOINT ["/astralnode"]

FROM runtime AS astral
LABEL org.opencontainers.image.description="The whole network in one process: astral up"
COPY --from=programs /astral /
EXPOSE 8080 8081 1935
ENTRYPOINT ["/astral"]
CMD ["up"]

# A publisher and viewers that check every frame, for `make kube-test`.
FROM ${BASE_TEST} AS kube-test
RUN command -v ffmpeg >/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*; }
USER 65532:65532
STOPSIGNAL SIGTERM
COPY --from=test-programs /astral-kube-test /
ENTRYPOINT ["/astral-kube-test"]
