#!/usr/bin/env bash
# The images of the cluster on a machine that reaches no registry: a base image from Debian packages, under the tag that
# the Dockerfile names, and binaries that are built on this machine. Needs docker, debootstrap, cargo, and root.
#
#   deploy/offline-images.sh            all of it; what exists already is kept
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly BASE=debian:bookworm-slim PREBUILT=conclave-prebuilt
# The most that an image may add to its base, in megabytes; half of it is usual.
readonly BEYOND_MB_MAX=60

if ! docker image inspect "$BASE" >/dev/null 2>&1; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase bookworm "$root" >/dev/null
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" -c . | docker import - "$BASE" >/dev/null
fi

# Told now, and not after minutes of building.
glibc() { sed -n '1s/.* //p'; } # the version that `ldd --version` ends its first line with
here=$(ldd --version | glibc)
there=$(docker run --rm --network none "$BASE" ldd --version | glibc)
if [ "$(printf '%s\n' "$here" "$there" | sort --version-sort | tail -n 1)" != "$there" ]; then
  echo "glibc of this machine is $here, that of $BASE is $there: what is built here would not start there." >&2
  echo 'Build on Debian 12, or where a registry can be reached: docker compose -f deploy/compose.yaml build' >&2
  exit 1
fi

# Built one after the other, for the reason that build-binaries.sh gives.
built=${CARGO_TARGET_DIR:-target}
for package in conclave-teacher-node conclave-aggregator conclave-student conclave; do
  cargo build --release --locked --package "$package"
  mkdir -p target/images/prebuilt
  case $package in
    conclave) name=conclave ;;
    *) name=${package#conclave-} ;;
  esac
  cp "$built/release/$name" target/images/prebuilt/
done
printf 'FROM %s\nCOPY prebuilt /prebuilt\n' "$BASE" >target/images/Dockerfile
docker build --quiet --tag "$PREBUILT" target/images >/dev/null

size() { docker image inspect --format '{{.Size}}' "$1"; }
for role in teacher aggregator student tools; do
  docker build --quiet --file deploy/Dockerfile --target "$role" --build-arg BUILDER="$PREBUILT" \
    --tag "conclave-$role" . >/dev/null
  beyond=$((($(size "conclave-$role") - $(size "$BASE")) / 1000000))
  echo "conclave-$role: $beyond MB beyond the $(($(size "$BASE") / 1000000)) MB of its base"
  if [ "$beyond" -gt "$BEYOND_MB_MAX" ]; then
    echo "FAILED: conclave-$role is more than $BEYOND_MB_MAX MB beyond its base" >&2
    exit 1
  fi
done
