#!/bin/sh
# Puts the binaries of all roles into the folder $1: those of /prebuilt where it exists (offline-images.sh), otherwise
# built here, one package after the other: built together, cargo would unite their features.
set -eu
mkdir -p "$1"
if [ -d /prebuilt ]; then
  cp /prebuilt/* "$1"
  exit 0
fi
for package in conclave-teacher-node conclave-aggregator conclave-student conclave; do
  cargo build --release --locked --package "$package"
  find target/release -maxdepth 1 -type f -perm -u+x -exec cp {} "$1" \;
done
