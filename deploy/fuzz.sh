#!/bin/sh
# Runs each parser under a fuzzer for FUZZ_SECONDS (default 10). What makes one fail stays in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-10}

if ! rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
	echo "nothing is fuzzed without a nightly compiler: rustup toolchain install nightly" >&2
	[ "${CI:-}" = true ] && exit 1
	exit 0
fi
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked --version 0.13.2

# The address sanitizer has nothing to find where unsafe code is forbidden, and doubles the time to build.
cargo +nightly fuzz build --sanitizer none
for target in $(cargo +nightly fuzz list); do
	echo "fuzzing $target for $seconds s"
	cargo +nightly fuzz run --sanitizer none "$target" -- \
		-max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_funcs=0
done
