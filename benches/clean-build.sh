#!/usr/bin/env bash
# How long a clean release build of the workspace takes on this machine: into a target folder of its own, from sources
# that are already fetched. Prints one line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo fetch --locked --quiet
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
started=$SECONDS
cargo build --release --workspace --locked --quiet --target-dir "$target"
printf 'clean release build of the workspace, %s processors: %d s\n' "$(nproc)" $((SECONDS - started))
