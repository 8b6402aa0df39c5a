#!/bin/sh
# The one-shot step before a trial cluster: certificates and dealt digits, each into its owner's volume.
#
# In a real consortium nobody does this for all: the authority is offline, and every silo brings its own data. Run again,
# it changes nothing.
set -eu
silos=5
if [ -e /public/pool.manifest ]; then
  echo 'prepared already; nothing was changed'
  exit 0
fi
work=$(mktemp -d)
conclave provision --consortium demo --silos "$silos" --out "$work/kits"
conclave data partition optdigits --organisations "$silos" --seed 1 --out "$work/data"

give() { # give VOLUME KIT: the kit to its owner, and to nobody else
  mkdir -p "$1/kit" "$1/state"
  cp "$work/kits/$2"/*.pem "$1/kit/"
  chown -R 10001:10001 "$1"
  chmod 700 "$1/kit" "$1/state"
  chmod 600 "$1/kit/key.pem"
}
for silo in $(seq "$silos"); do
  mkdir -p "/silo-$silo/data"
  cp "$work/data/organisation-$silo/optdigits.csv" "/silo-$silo/data/"
  give "/silo-$silo" "teacher-silo-$silo-node"
done
give /aggregator aggregator-hub-aggregator
give /student student-hub-student
give /client client-hub-client
give /operator operator-hub-operator
mkdir -p /authority && cp "$work/kits/authority"/* /authority/ && chmod 600 /authority/ca-key.pem
mkdir -p /public/pool /public/test
cp "$work/data/pool/optdigits.csv" /public/pool/
cp "$work/data/test/optdigits.csv" /public/test/
# Eleven rows without their label, to ask the student about.
head -n 12 /public/test/optdigits.csv | sed 's/,[^,]*$//' >/public/ask.csv
conclave data manifest /public/pool/optdigits.csv --out "$work/pool.manifest"
# Last, because it is what tells that all of it is there.
cp "$work/pool.manifest" /public/pool.manifest
rm -rf "$work"
