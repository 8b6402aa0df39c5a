#!/bin/sh
# Puts the binaries of all roles into the folder $1: those of /prebuilt where it exists (offline-images.sh), otherwise
# built here, one package after the other: built together, cargo would unite their features. Then each must run in this
# image, and must be no build that was weakened for tests.
set -eu
mkdir -p "$1"
if [ -d /prebuilt ]; then
  cp /prebuilt/* "$1"
else
  for package in conclave-teacher-node conclave-aggregator conclave-student conclave; do
    cargo build --release --locked --package "$package"
    find target/release -maxdepth 1 -type f -perm -u+x -exec cp {} "$1" \;
  done
fi
for binary in "$1"/*; do
  if ! "$binary" --version; then
    echo "$binary does not run in this image: it was built on a system whose glibc is newer than $(ldd --version | head -n 1)." >&2
    echo 'Build on Debian 12, or give the newer system as BASE.' >&2
    exit 1
  fi
  # The same words as in conclave/tests/promises/attacks.rs.
  if grep -q -a -e CONCLAVE_WEAKNESS -e answers-before-durable "$binary"; then
    echo "$binary has switchable weaknesses, for tests only: build it without RUSTFLAGS." >&2
    exit 1
  fi
done
