#!/bin/sh
# Builds the programs of the previous release for `make test-upgrade` and prints the folder that holds them.
# PREVIOUS names another tag or commit. A clone may lack the tag, so the commit id stands beside it in the file.
set -eu
cd "$(dirname "$0")/.."

read -r tag id <tests/upgrade/previous-release
commit=$(git rev-parse --verify --quiet "${PREVIOUS:-$tag}^{commit}" || echo "${PREVIOUS:-$id}")
git cat-file -e "$commit^{commit}" 2>/dev/null || {
	echo "commit $commit is not in this clone: git fetch --unshallow --tags" >&2
	exit 1
}

target=${CARGO_TARGET_DIR:-$PWD/target}
previous=$target/previous/$(git rev-parse --short=12 "$commit")
if [ ! -f "$previous/source/Makefile" ]; then
	mkdir -p "$previous/unpacked"
	git archive "$commit" | tar -x -C "$previous/unpacked"
	mv "$previous/unpacked" "$previous/source"
fi
make -C "$previous/source" web >&2
# Crates of one name in two workspaces would overwrite each other in one folder, so each version has its own.
cargo build --manifest-path "$previous/source/Cargo.toml" --target-dir "$previous" --workspace --bins >&2
echo "$previous/debug"
