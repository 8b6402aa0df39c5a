#!/usr/bin/env bash
# Brings the trial cluster up, lets real things happen to it, looks at what is left, and takes it down again, also after a
# failure. Images must exist (docker compose build, or deploy/offline-images.sh). Takes about a minute.
#
#   1. five silos and an aggregator become healthy
#   2. one organisation is stopped; the student's campaign carries on with the quorum
#   3. the aggregator is killed and started again: it goes on from its ledger, and the ledger verifies
#   4. the student answers a client over mutual TLS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly PROJECT=conclave-trial
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-f deploy/compose.yaml -p "$PROJECT")

down() {
  status=$?
  if [ "$status" -ne 0 ]; then "${compose[@]}" logs --tail 20 || true; fi
  "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || true
  exit "$status"
}
trap down EXIT

healthy() { # healthy SERVICE...: waits until each of them says that it is ready
  local service container state
  for service in "$@"; do
    for _ in $(seq 120); do
      container=$("${compose[@]}" ps -q "$service")
      state=$(docker inspect --format '{{.State.Health.Status}}' "$container" 2>/dev/null || echo absent)
      if [ "$state" = healthy ]; then continue 2; fi
      sleep 0.5
    done
    echo "$service is $state after a minute" >&2
    return 1
  done
}

tools() { # tools VOLUME... -- ARGUMENTS: the command line with these volumes, on the student's network
  local mounts=() volume
  while [ "$1" != -- ]; do
    volume=$1
    mounts+=(--volume "${PROJECT}_$volume:/$volume:ro")
    shift
  done
  shift
  docker run --rm --network "${PROJECT}_hub" "${mounts[@]}" conclave-tools "$@"
}

started=$SECONDS
"${compose[@]}" up -d --no-build silo-1 silo-2 silo-3 silo-4 silo-5 aggregator
healthy silo-1 silo-2 silo-3 silo-4 silo-5 aggregator
echo "1. healthy after $((SECONDS - started)) s"

"${compose[@]}" stop silo-5
"${compose[@]}" up -d --no-build student
healthy student
echo "2. without silo-5 the campaign ended and the student is trained"

docker kill --signal KILL "$("${compose[@]}" ps -q aggregator)" >/dev/null
"${compose[@]}" up -d --no-build aggregator
healthy aggregator
tools client -- status --server aggregator:7402 --kit /client/kit
tools aggregator -- ledger verify /aggregator/state/ledger.db
tools aggregator -- ledger certificate /aggregator/state/ledger.db | sed -n 1,16p
echo '3. killed, started again, and the ledger is sound'

tools client public -- student predict --server student:7403 --kit /client/kit --input /public/ask.csv | tail -n 3
echo '4. the student answers its clients'
