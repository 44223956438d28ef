#!/bin/sh
# Runs `astral demo` until Ctrl-C and keeps its log. Arguments are handed on.
set -eu
cd "$(dirname "$0")/.."

log=.run/demo.log
mkdir -p .run
echo "log        $PWD/$log"
cargo run --quiet --release --package astral -- demo "$@" 2>"$log" || {
    code=$?
    tail -n 5 "$log" >&2
    exit "$code"
}
