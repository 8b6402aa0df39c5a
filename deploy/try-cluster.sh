#!/usr/bin/env bash
# Brings the trial cluster up, lets real things happen to it, looks at what is left, and takes it down again, also after a
# failure. Images must exist (docker compose build, or deploy/offline-images.sh). Takes two to three minutes.
#
#   1. a silo without its kit says what is missing; five silos and an aggregator become healthy; nobody can dial silo-4 and
#      silo-5; a campaign of 200 queries; a student learns from it
#   2. every container is locked up, and every key is in one place
#   3. an operator does what docs/operations.md tells, in the very same lines: looks at everything, has the student attacked,
#      stops the campaign and starts a second one on what is left of the budget, without a restart, at a pace that leaves
#      time for things to happen in its middle, however slow the machine is:
#      one organisation is stopped, one loses its network, the aggregator is killed, every container is restarted, and the
#      aggregator is killed with hundreds of queries under way
#   4. the campaign ends with an answer to every query, each charged once; the ledger verifies, and the silos' own books say
#      the same
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# QUERIES as docs/operations.md has it for the second campaign. At its pace of one in a second the accidents have more than
# ten minutes.
readonly PROJECT=conclave-trial QUERIES=700
# The most that it may take until all is healthy and a student is trained, in seconds; less than half of it is usual.
readonly HEALTHY_WITHIN=30
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$PROJECT" -f deploy/compose.yaml)
export COMPOSE_PROJECT_NAME=$PROJECT # for deploy/conclave
readonly LEDGER=/var/lib/conclave/state/ledger.db

left_behind() { # what docker has of the project: containers, volumes and networks are named after it
  docker ps --all --filter "name=$PROJECT" --format 'container {{.Names}}'
  docker volume ls --filter "name=$PROJECT" --format 'volume {{.Name}}'
  docker network ls --filter "name=$PROJECT" --format 'network {{.Name}}'
}

take_down() { # fails if anything is left
  docker rm --force "$PROJECT-tools" "$PROJECT-listener" >/dev/null 2>&1 || true
  "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || true
  left_behind >"$work/left"
  if [ -s "$work/left" ]; then
    echo 'FAILED: left behind:' >&2
    cat "$work/left" >&2
    return 1
  fi
}

down() {
  status=$?
  if [ "$status" -ne 0 ]; then "${compose[@]}" logs --tail 20 || true; fi
  take_down || status=1
  rm -rf "$work"
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

# In a container that stays, for what is asked often; otherwise as an operator does it, in a folder of ours.
conclave() { docker exec "$PROJECT-tools" conclave "$@"; }

tool() { (cd "$work" && deploy/conclave "$@"); }

operate() { tool campaign "$@" --server aggregator:7402 --kit /operator/kit; }

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

# ---- 1. Up, and a campaign ----

# What a run left that was killed itself: its volumes would pass for a cluster that has done its work.
take_down || fail 'an earlier trial cannot be taken down'
ln -s "$PWD/deploy" "$work/deploy"

# Without the provisioning step before it.
refused=0
"${compose[@]}" run --rm --no-deps -T silo-1 >"$work/refused" 2>&1 || refused=$?
if [ "$refused" -ne 2 ] || ! grep -q 'kit/ca.pem.*is missing.*conclave provision' "$work/refused"; then
  cat "$work/refused" >&2
  fail "a silo without its kit ended with $refused; 2 was expected, and words about file and fix"
fi

began=$SECONDS
"${compose[@]}" up -d --no-build silo-1 silo-2 silo-3 silo-4 silo-5 aggregator 2>/dev/null
healthy silo-1 silo-2 silo-3 silo-4 silo-5 aggregator
up=$((SECONDS - began))
echo "1. a silo without its kit is refused; silos and aggregator are healthy after $up s"

docker run --detach --name "$PROJECT-tools" --network "${PROJECT}_hub" --entrypoint sleep \
  --volume "${PROJECT}_client:/client:ro" conclave-tools infinity >/dev/null

for silo in silo-4 silo-5; do
  # State 0A of proc(5): a socket that listens. Docker's own resolver is on 127.0.0.11.
  if docker exec "$(container "$silo")" cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" && $2 !~ /^0B00007F:/' | grep .; then
    fail "$silo listens"
  fi
done

dial() { # dial SERVICE FROM: whether port 7499 of SERVICE answers FROM, at any of its addresses
  local address
  for address in $(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(container "$1")"); do
    if docker exec "$(container "$2")" timeout 2 bash -c "exec 3<>/dev/tcp/$address/7499" 2>/dev/null; then return; fi
  done
  return 1
}

listener() { # listener SERVICE: somebody listens in its place, at port 7499
  docker rm --force "$PROJECT-listener" >/dev/null 2>&1 || true
  docker run --detach --name "$PROJECT-listener" --network "container:$(container "$1")" --entrypoint perl conclave-tools \
    -MIO::Socket::INET -e '$door = IO::Socket::INET->new(LocalPort => 7499, Listen => 9) or die $!; sleep' >/dev/null
  for _ in $(seq 20); do
    if dial "$1" "$1"; then return; fi
    sleep 0.1
  done
  fail "nobody listens in the place of $1: what follows would prove nothing"
}

# That nobody answers proves little where nobody listens, so somebody does, as somebody would who broke in there.
for silo in silo-4 silo-5; do
  listener "$silo"
  if dial "$silo" aggregator; then fail "the aggregator can dial $silo"; fi
done
listener silo-1
dial silo-1 aggregator || fail 'the aggregator cannot dial silo-1: that it dials neither silo-4 nor silo-5 would prove nothing'
for service in silo-2 silo-4; do
  if dial silo-1 "$service"; then fail "$service can dial silo-1"; fi
done
docker rm --force "$PROJECT-listener" >/dev/null
echo '   silo-4 and silo-5 listen to nobody, and whoever listens there cannot be dialled; silos do not reach each other'

began=$SECONDS
"${compose[@]}" up -d --no-build student 2>/dev/null
healthy student
campaign=$((SECONDS - began))
answered=$(done_so_far)
[ "$answered" -eq 200 ] || fail "$answered of 200 queries are answered"
all=$((up + campaign))
[ "$all" -le "$HEALTHY_WITHIN" ] || fail "all was up after $up + $campaign s, and not within $HEALTHY_WITHIN s"
echo "   200 queries are answered, and a student is trained, after $campaign s; all 8 containers were up in $all s"

# ---- 2. Who can do what, and who has what ----

same() { # same WHAT FOUND EXPECTED
  [ "$2" = "$3" ] || fail "$1: $2; expected: $3"
}

readonly LOCKS='{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Privileged}}'
for service in silo-1 silo-2 silo-3 silo-4 silo-5 aggregator student; do
  id=$(container "$service")
  same "locks of $service" "$(docker inspect --format "$LOCKS" "$id")" '10001 true [ALL] [] [no-new-privileges:true] false'
  same "volumes of $service" "$(docker inspect --format '{{range .Mounts}}{{println .Name}}{{end}}' "$id" | grep . | sort | xargs)" \
    "$(printf '%s\n' "${PROJECT}_public" "${PROJECT}_$service" | sort | xargs)"
done
# The one that gives files to their owners has to be root, and nothing else.
id=$(container prepare)
same 'locks of prepare' "$(docker inspect --format "$LOCKS {{.HostConfig.NetworkMode}}" "$id")" \
  '0 true [ALL] [CHOWN DAC_OVERRIDE FOWNER] [no-new-privileges:true] false none'

for image in conclave-teacher conclave-aggregator conclave-student conclave-tools; do
  environment=$(docker image inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$image" | grep -v '^PATH=' | xargs)
  same "environment of $image" "$environment" ''
  keys=$(docker run --rm --network none --user 0 --entrypoint find "$image" / -xdev '(' -name '*.pem' -o -name '*.key' ')')
  same "keys in $image" "$keys" ''
done

docker run --rm --network none --volumes-from "$id" --entrypoint sh conclave-tools -c \
  'cd / && for volume in authority aggregator student client operator public silo-1 silo-2 silo-3 silo-4 silo-5; do
     grep -rl "PRIVATE KEY" "$volume" || true; find "$volume" -name "*.csv"; done | xargs sha256sum' >"$work/owned"
same 'private keys' "$(awk '/pem$/ {print $2}' "$work/owned" | sort | xargs)" \
  "aggregator/kit/key.pem authority/ca-key.pem client/kit/key.pem operator/kit/key.pem $(printf '%s ' silo-{1..5}/kit/key.pem)student/kit/key.pem"
same 'keys and rows that are in two places' "$(awk '{print $1}' "$work/owned" | sort | uniq --repeated)" ''
echo '2. containers are locked up; every key and every row is in its owner'\''s volume alone; images hold none'

# ---- 3. A campaign to which things happen ----

# Looked at, attacked, stopped; another one on the same data. Nothing is restarted for it.
sed -n '/^### Operating it/,/^### /p' docs/operations.md | sed -n '/^```sh$/,/^```$/p' | sed '/^```/d' >"$work/typed"
grep -q 'campaign start' "$work/typed" || fail 'docs/operations.md does not tell how to operate the cluster'
(cd "$work" && bash -eu typed >told 2>&1) || { cat "$work/told" >&2; fail 'what docs/operations.md tells to type'; }
for words in 'Data data-.* of silo-5' 'digits-2' 'copy' 'RUNS'; do
  grep -q -- "$words" "$work/told" || { cat "$work/told" >&2; fail "nothing is told of: $words"; }
done
[ "$(grep -c ,label, "$work/labels-1.csv")" -eq 200 ] || fail 'the labels of the first campaign cannot be read'
compose+=(-f deploy/compose/trial.yaml)
"${compose[@]}" up -d --no-build --no-deps student 2>/dev/null
reaches 1
present 5
echo "3. operated as the page says: looked at, attacked, stopped, followed by another, after $SECONDS s in all"

under_way 'silo-2 is stopped'
docker stop "$(container silo-2)" >/dev/null
present 4
goes_on
tool campaign labels --out labels.csv --report report.html --server aggregator:7402 --kit /client/kit >/dev/null
grep -q 'Away as this page was made: silo-2/node' "$work/report.html" || fail 'the report does not say who is away'
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
guarded() { # guarded: how many queries silo-3 has agreed to answer, by its own figure
  docker exec "$(container aggregator)" bash -c \
    'exec 3<>/dev/tcp/silo-3/9464; printf "GET /metrics HTTP/1.1\r\nHost: silo-3\r\nConnection: close\r\n\r\n" >&3; cat <&3' |
    tr -d '\r' | sed -n 's/^conclave_guard_queries_spent \([0-9]*\).*/\1/p'
}

# A kill that is sure to meet queries under way, however fast the machine is: a hundred are asked in a second, and two silos
# are held still, so that the votes of the others wait at the aggregator for a quorum.
operate start digits-2.toml --queries-per-minute 6000
docker pause "$(container silo-1)" "$(container silo-2)" >/dev/null
before=$(done_so_far)
end=$((SECONDS + 8))
while now=$(guarded) && [ "${now:?silo-3 shows no figure}" -lt $((200 + before + 200)) ]; do
  [ "$SECONDS" -lt "$end" ] || fail "silo-3 has voted on $now queries, with $before answered: none are under way"
  sleep 0.1
done
under_way "the aggregator is killed with $((now - 200 - before)) queries under way"
docker kill --signal KILL "$(container aggregator)" >/dev/null
docker unpause "$(container silo-1)" "$(container silo-2)" >/dev/null
docker start "$(container aggregator)" >/dev/null
present 5
echo '   stopped, cut off, killed and restarted, and it goes on'

# ---- 4. What is left ----

# The rest as fast as it goes: a pace is no term of the contract.
operate start digits-2.toml
reaches "$QUERIES"
healthy student
tool campaign labels --follow --out labels.csv --report report.html --server aggregator:7402 --kit /client/kit
lines=$(grep -c ,label, "$work/labels.csv")
[ "$lines" -eq "$QUERIES" ] || fail "$lines labels can be read, $QUERIES were expected"
grep -q "$QUERIES of $QUERIES" "$work/report.html" || fail 'the report does not tell what was released'
docker stop "$(container aggregator)" >/dev/null
tool --in aggregator ledger verify "$LEDGER"
tool --in aggregator ledger export "$LEDGER" >"$work/export.jsonl"
tool --in aggregator ledger show "$LEDGER" --format json >"$work/show.json"
for silo in silo-1 silo-2 silo-3 silo-4 silo-5; do
  docker stop "$(container "$silo")" >/dev/null
  docker cp "$(container "$silo"):/var/lib/conclave/state/guard.db" "$work/$silo.db"
done
python3 - "$work" "$QUERIES" <<'PYTHON'
# Releases against charges, counted from the export alone: every query has one release, every release its draw and its
# charge, a draw that was interrupted stays charged, and the accounts of those who voted come to exactly that. Then against
# what each silo itself has written down before it voted (docs/ledger-format.md, "A silo's guard").
import collections, json, sqlite3, struct, sys
folder, queries = sys.argv[1], int(sys.argv[2])
members, reserved, drawn, ended, released, spent = {}, {}, {}, {}, collections.Counter(), collections.Counter()
closed, under_way, voted = collections.Counter(), 0, collections.defaultdict(set)
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
        of = reserved[number]
        under_way += len(of["queries"]) * (of["epoch"] < fields["epoch"])
        if kind == "abandon":
            continue
        asked = [(of["campaign"], query) for query in of["queries"]]
        charge = fields["charge_units"] if kind == "release" else of["price_units"] * len(asked)
        for position in drawn[number]:
            data = members[of["campaign"]][position]
            spent[data] += charge
            voted[data].update(asked)
        if kind == "release":
            assert len(fields["answers"]) == len(of["queries"])
            released.update(asked)
        else:
            closed[of["campaign"]] += len(fields["closed"])
assert reserved.keys() == ended.keys(), f"reservations without an end: {reserved.keys() - ended.keys()}"
assert set(released.values()) == {1}, "a query was released twice"
answered = collections.Counter(campaign for campaign, _ in released)
assert answered == {"digits-1": 200, "digits-2": queries}, answered
show = json.load(open(f"{folder}/show.json"))
for campaign in show["campaigns"]:
    name = campaign["campaign"]
    told = campaign["labels"] + campaign["abstained"], campaign["interrupted"]
    assert told == (answered[name], closed[name]), f"{name}: {told}, counted {answered[name], closed[name]}"
kinds = collections.Counter(ended.values())
assert kinds["interrupt"] == len(drawn) - kinds["release"], "a draw ends with a release or an interrupt"
assert under_way >= 200, f"{under_way} queries were reserved before a kill and not ended by then: it met nothing under way"
asked_at_all = {(of["campaign"], query) for of in reserved.values() for query in of["queries"]}


def guarded(path):
    """Every query that a silo allowed: kind 66, campaign, digest of the contract, queries."""
    for (body,) in sqlite3.connect(path).execute("SELECT body FROM entry WHERE kind = 'guard-allow' ORDER BY seq"):
        (length,) = struct.unpack_from("<I", body, 1)
        campaign, at = body[5 : 5 + length].decode(), 5 + length + 32
        (count,) = struct.unpack_from("<I", body, at)
        assert len(body) == at + 4 + 32 * count
        yield from ((campaign, body[at + 4 + 32 * n : at + 36 + 32 * n].hex()) for n in range(count))


for account in show["accounts"]:
    silo, data = account["organisation"], account["data"]
    told = account["spent_units"], account["reserved_units"]
    assert told == (spent[data], 0), f"{data}: {told}, counted {spent[data]}"
    allowed = list(guarded(f"{folder}/{silo}.db"))
    assert len(allowed) == len(set(allowed)), f"{silo} has allowed a query twice"
    lost, foreign = voted[data] - set(allowed), set(allowed) - asked_at_all
    assert not lost, f"{silo}: {len(lost)} votes were drawn on that it never agreed to"
    assert not foreign, f"{silo}: {len(foreign)} queries were voted on that the ledger never reserved"
    print(f"{silo} has agreed to {len(allowed)} queries, each once; its votes are in the answers to {len(voted[data])}")
print(f"{sum(answered.values())} queries answered in {kinds['release']} releases; {under_way} were under way at a kill,"
      f" {kinds['interrupt']} draws interrupted, {kinds['abandon']} batches given up; every account is"
      f" charged exactly for what was drawn")
PYTHON
tool --in aggregator ledger certificate "$LEDGER" | sed -n 1,16p
echo "4. it ended with every answer, each charged once; $SECONDS s in all"
