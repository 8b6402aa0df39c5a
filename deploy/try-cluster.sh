#!/usr/bin/env bash
# Brings the trial cluster up, lets real things happen to it, looks at what is left, and takes it down again, also after a
# failure. Images must exist (docker compose build, or deploy/offline-images.sh). Takes one to two minutes.
#
#   1. five silos and an aggregator become healthy; nobody can dial silo-4 and silo-5
#   2. a campaign of 200 queries; a student learns from it, and answers a client
#   3. an operator stops it and starts a second one on what is left of the budget, without a restart, at a pace that leaves
#      time for things to happen in its middle, however slow the machine is:
#      one organisation is stopped, one loses its network, the aggregator is killed, every container is restarted
#   4. the campaign ends with an answer to every query, each charged once; the ledger verifies
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly PROJECT=conclave-trial QUERIES=700
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$PROJECT" -f deploy/compose.yaml)
readonly LEDGER=/aggregator/state/ledger.db
# Of 700 queries, one in a second: the accidents have more than ten minutes.
readonly PACE=60

down() {
  status=$?
  if [ "$status" -ne 0 ]; then "${compose[@]}" logs --tail 20 || true; fi
  docker rm --force "$PROJECT-tools" >/dev/null 2>&1 || true
  rm -rf "$work"
  "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || true
  exit "$status"
}
work=$(mktemp -d)
trap down EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

container() { # container SERVICE: its id, also when it is stopped
  docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT" \
    --filter "label=com.docker.compose.service=$1"
}

healthy() { # healthy SERVICE...: waits until each of them says that it is ready
  local service state
  for service in "$@"; do
    for _ in $(seq 240); do
      state=$(docker inspect --format '{{.State.Health.Status}}' "$(container "$service")" 2>/dev/null || echo absent)
      if [ "$state" = healthy ]; then continue 2; fi
      sleep 0.25
    done
    fail "$service is $state after a minute"
  done
}

conclave() { docker exec "$PROJECT-tools" conclave "$@"; }

operate() { conclave campaign "$@" --server aggregator:7402 --kit /operator/kit; }

status() { # status FIGURE: of the campaign, such as `queries.answered + queries.abstained`; waits for an aggregator
  local told end=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$end" ]; do
    if told=$(conclave status --server aggregator:7402 --kit /client/kit --format json 2>/dev/null); then
      python3 -c 'import json, sys, types
told = json.loads(sys.stdin.read(), object_hook=lambda fields: types.SimpleNamespace(**fields))
print(eval(sys.argv[1], vars(told)))' "$1" <<<"$told"
      return
    fi
    sleep 0.5
  done
  fail 'the aggregator does not answer'
}

done_so_far() { status 'queries.answered + queries.abstained'; }

# In what follows a figure is first assigned and then compared: only so does a failure inside $( ) end the script.

reaches() { # reaches NUMBER: waits until so many queries are answered
  local now end=$((SECONDS + 60))
  while [ "$SECONDS" -lt "$end" ]; do
    now=$(done_so_far)
    if [ "$now" -ge "$1" ]; then return; fi
    sleep 0.2
  done
  fail "$now queries are answered after a minute, $1 were expected"
}

under_way() { # under_way WHAT: the campaign has begun and is not over, so WHAT happens in its middle
  local now
  now=$(done_so_far)
  if [ "$now" -eq 0 ] || [ "$now" -ge "$QUERIES" ]; then fail "$1: $now of $QUERIES are answered"; fi
  echo "   $1, at $now of $QUERIES"
}

goes_on() { # waits until more is answered than now
  local now
  now=$(done_so_far)
  reaches $((now + 3))
}

present() { # present NUMBER: waits until so many nodes are there
  local now end=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$end" ]; do
    now=$(status nodes.present)
    if [ "$now" -eq "$1" ]; then return; fi
    sleep 0.2
  done
  fail "$now nodes are there after half a minute, $1 were expected"
}

# ---- 1. Up ----

began=$SECONDS
"${compose[@]}" up -d --no-build silo-1 silo-2 silo-3 silo-4 silo-5 aggregator 2>/dev/null
healthy silo-1 silo-2 silo-3 silo-4 silo-5 aggregator
up=$((SECONDS - began))
docker run --detach --name "$PROJECT-tools" --network "${PROJECT}_hub" --entrypoint sleep \
  --volume "${PROJECT}_client:/client:ro" --volume "${PROJECT}_aggregator:/aggregator:ro" \
  --volume "${PROJECT}_operator:/operator:ro" \
  --volume "${PROJECT}_public:/public:ro" conclave-tools infinity >/dev/null
echo "1. silos and aggregator are healthy after $up s"

dial() { # dial SERVICE PORT: what comes of dialling it from the aggregator
  local address
  address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(container "$1")")
  docker exec "$(container aggregator)" timeout 2 bash -c "exec 3<>/dev/tcp/${address%% *}/$2" 2>/dev/null
}
dial silo-1 7401 || fail 'silo-1 cannot be dialled: the next two lines would prove nothing'
for silo in silo-4 silo-5; do
  if dial "$silo" 7401; then fail "$silo can be dialled"; fi
  # State 0A of proc(5): a socket that listens. Docker's own resolver is on 127.0.0.11.
  if docker exec "$(container "$silo")" cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" && $2 !~ /^0B00007F:/' | grep .; then
    fail "$silo listens"
  fi
done
echo '   silo-4 and silo-5 listen to nobody, and cannot be dialled'

# ---- 2. A campaign ----

began=$SECONDS
"${compose[@]}" up -d --no-build student 2>/dev/null
healthy student
campaign=$((SECONDS - began))
answered=$(done_so_far)
[ "$answered" -eq 200 ] || fail "$answered of 200 queries are answered"
conclave student predict --server student:7403 --kit /client/kit --input /public/ask.csv | tail -n 1
echo "2. 200 queries are answered, and a student is trained, after $campaign s; all 8 containers were up in $((up + campaign)) s"

# ---- 3. A campaign to which things happen ----

# Another campaign on the same data starts from what is left of their budget. Nothing is restarted for it.
operate stop digits-1
operate create digits-2 --epsilon 5 --sigma 60 --queries "$QUERIES" --quorum 80 --out /tmp/digits-2.toml
operate start /tmp/digits-2.toml --queries-per-minute "$PACE"
compose+=(-f deploy/compose/trial.yaml)
"${compose[@]}" up -d --no-build --no-deps student 2>/dev/null
reaches 1
present 5

under_way 'silo-2 is stopped'
docker stop "$(container silo-2)" >/dev/null
present 4
goes_on
conclave campaign labels --out /tmp/labels.csv --report /tmp/report.html --server aggregator:7402 --kit /client/kit >/dev/null
docker exec "$PROJECT-tools" grep -q 'Away: silo-2/node' /tmp/report.html || fail 'the report does not say who is away'
docker start "$(container silo-2)" >/dev/null
present 5

under_way 'silo-5 loses its network'
docker network disconnect "${PROJECT}_behind-firewall-5" "$(container silo-5)"
present 4
goes_on
docker network connect "${PROJECT}_behind-firewall-5" "$(container silo-5)"
present 5

under_way 'the aggregator is killed'
docker kill --signal KILL "$(container aggregator)" >/dev/null
docker start "$(container aggregator)" >/dev/null
present 5
goes_on

for service in silo-1 silo-2 silo-3 silo-4 silo-5 aggregator student; do
  under_way "$service is restarted"
  docker restart "$(container "$service")" >/dev/null
  present 5
  goes_on
done
echo '3. stopped, cut off, killed and restarted, and it goes on'

# ---- 4. What is left ----

# The rest as fast as it goes: a pace is no term of the contract.
operate start /tmp/digits-2.toml
reaches "$QUERIES"
healthy student
conclave campaign labels --follow --out /tmp/labels.csv --report /tmp/report.html --server aggregator:7402 --kit /client/kit
lines=$(docker exec "$PROJECT-tools" grep -c ,label, /tmp/labels.csv)
[ "$lines" -eq "$QUERIES" ] || fail "$lines labels can be read, $QUERIES were expected"
docker exec "$PROJECT-tools" grep -q "$QUERIES of $QUERIES" /tmp/report.html || fail 'the report does not tell what was released'
docker stop "$(container aggregator)" >/dev/null
conclave ledger verify "$LEDGER"
conclave ledger export "$LEDGER" >"$work/export.jsonl"
conclave ledger show "$LEDGER" --format json >"$work/show.json"
python3 - "$work" "$QUERIES" <<'PYTHON'
# Releases against charges, counted from the export alone: every query has one release, every release its draw and its
# charge, a draw that was interrupted stays charged, and the accounts of those who voted come to exactly that.
import collections, json, sys
folder, queries = sys.argv[1], int(sys.argv[2])
members, reserved, drawn, ended, released, spent = {}, {}, {}, {}, collections.Counter(), collections.Counter()
for line in open(f"{folder}/export.jsonl"):
    entry = json.loads(line)
    kind, fields = entry["kind"], entry["fields"]
    number = fields.get("reservation")
    if kind == "campaign":
        members[fields["campaign"]] = fields["members"]
    elif kind == "reserve":
        reserved[number] = fields
    elif kind == "draw":
        assert number not in drawn, f"reservation {number} was drawn twice"
        drawn[number] = fields["silos"]
    elif kind in ("release", "abandon", "interrupt"):
        assert number not in ended, f"reservation {number} ended twice"
        ended[number] = kind
        assert (kind == "abandon") == (number not in drawn), f"reservation {number}: {kind}, drawn: {number in drawn}"
        if kind == "abandon":
            continue
        of = reserved[number]
        charge = fields["charge_units"] if kind == "release" else of["price_units"]
        for position in drawn[number]:
            spent[members[of["campaign"]][position]] += charge
        if kind == "release":
            assert len(fields["answers"]) == len(of["queries"])
            released.update((of["campaign"], query) for query in of["queries"])
assert set(released.values()) == {1}, "a query was released twice"
answered = collections.Counter(campaign for campaign, _ in released)
assert answered == {"digits-1": 200, "digits-2": queries}, answered
for account in json.load(open(f"{folder}/show.json"))["accounts"]:
    told = account["spent_units"], account["reserved_units"]
    assert told == (spent[account["data"]], 0), f"{account['data']}: {told}, counted {spent[account['data']]}"
kinds = collections.Counter(ended.values())
print(f"{sum(answered.values())} queries answered in {kinds['release']} releases; {kinds['interrupt']} draws interrupted,"
      f" {kinds['abandon']} batches given up; every account is charged exactly for what was drawn")
PYTHON
conclave ledger certificate "$LEDGER" | sed -n 1,16p
echo "4. it ended with every answer, each charged once; $SECONDS s in all"
