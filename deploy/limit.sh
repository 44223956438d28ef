#!/usr/bin/env bash
# Runs one test program, and kills it if it takes too long: cargo test itself has no limit. What is
# printed then names the tests that hang.
#
# cargo runs it through CARGO_TARGET_…_RUNNER: limit.sh PROGRAM ARGUMENT…
set -uo pipefail

SECONDS_MAX=${ASTRAL_TEST_SECONDS_MAX:-900}
timeout --kill-after=10 "$SECONDS_MAX" "$@"
status=$?
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
	echo "error: killed after $SECONDS_MAX s: $*" >&2
	echo "error: the tests that hang are those above that have been running for over 60 seconds, and have no result" >&2
fi
exit "$status"
