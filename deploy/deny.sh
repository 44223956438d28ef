#!/bin/sh
# Checks third-party crates against deny.toml: bans, licences and sources always, advisories where
# their database can be reached.
set -eu
cd "$(dirname "$0")/.."

DATABASE=https://github.com/RustSec/advisory-db
REACH_SECONDS=10
checks="bans licenses sources"
if GIT_TERMINAL_PROMPT=0 timeout "$REACH_SECONDS" git ls-remote --quiet "$DATABASE" HEAD >/dev/null 2>&1; then
	checks="$checks advisories"
else
	echo "the advisory database cannot be reached: advisories are not checked" >&2
fi
# shellcheck disable=SC2086 # a list of checks
exec .tools/bin/cargo-deny --log-level error check $checks
