#!/usr/bin/env python3
"""The speeds of the privacy crate beside those of other libraries: same inputs, one thread each, alternating in one run.

usage: benches/side-by-side.py [--tensorflow-privacy CHECKOUT] [--rounds N]

Makes a Python environment and builds OpenDP in a temporary folder (a few minutes, a network for packages), runs both sides in turn and
prints the best of each with the ratio, and what it should reach. What is made durable has a bench of its own, without a reference:
`cargo bench -p conclave-ledger` (10,000 charges a second and more). The paths of the 2018 paper's own code are in no package: give a checkout of
github.com/tensorflow/privacy, or they are left out, and the table says so.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCES = ROOT / "benches" / "references"
# key: what, unit, the reference's name if there is one, whether larger is faster
ROWS = {
    "theorem_6": ("Confident-GNMax, Theorem 6, 69 orders, SVHN once", "queries/s", "TensorFlow Privacy", True),
    "theorem_6_known": ("the same votes again, all of them known", "queries/s", None, True),
    "exact_distinct": ("exact two-sided, 22 orders, distinct votes", "votes/s", "plain NumPy", True),
    "exact_svhn": ("exact two-sided, 22 orders, SVHN file", "queries/s", "plain NumPy", True),
    "worst_case": ("exact worst case, cold, default grid, sigma 40", "ms", None, False),
    "local_sensitivity": ("local sensitivity sequence, 250 teachers", "sequences/s", "TensorFlow Privacy", True),
    "pld": ("2,000-fold Laplace PLD, build and epsilon", "ms", "dp-accounting 0.6.0", False),
    "argmax": ("noisy argmax of 10 counts, sigma 40", "vectors/s", "OpenDP 0.16.0", True),
    "filter": ("filter admission (theirs with epsilon each time)", "/s", "dp-accounting 0.6.0", True),
}
# One thread each, whatever the libraries would like.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def output(*command):
    return run(*command, stdout=subprocess.PIPE, env={**os.environ, **ONE_THREAD}, cwd=ROOT).stdout


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tensorflow-privacy", metavar="CHECKOUT", type=pathlib.Path)
    options.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each side runs (3)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        compare(given, pathlib.Path(scratch))


def compare(given, scratch):
    run("python3", "-m", "venv", scratch / "python")
    python = scratch / "python" / "bin" / "python"
    packages = ["numpy", "scipy", "dp-accounting==0.6.0", *(["sympy", "absl-py"] if given.tensorflow_privacy else [])]
    run(python, "-m", "pip", "install", "--quiet", *packages)
    manifest = REFERENCES / "opendp" / "Cargo.toml"
    run("cargo", "build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir", scratch / "opendp")
    run("cargo", "bench", "--quiet", "--package", "conclave-privacy", "--bench", "figures", "--no-run", cwd=ROOT)
    ours, theirs, reach = {}, {}, {}
    for _ in range(given.rounds):
        here = output("cargo", "bench", "--quiet", "--package", "conclave-privacy", "--bench", "figures", "--", "--speeds-json")
        speeds = json.loads(here.strip().splitlines()[-1])
        reach = {key: speed["reach"] for key, speed in speeds.items()}
        keep_best(ours, {key: speed["here"] for key, speed in speeds.items()})
        checkout = [given.tensorflow_privacy.resolve()] if given.tensorflow_privacy else []
        there = output(python, REFERENCES / "measure.py", ROOT / "privacy" / "tests" / "vectors", *checkout)
        found = json.loads(there.strip().splitlines()[-1])
        found["argmax"] = float(output(scratch / "opendp" / "release" / "reference-opendp"))
        keep_best(theirs, found)
    print(f"{'what':<52}{'here':>12}  {'reach':>12}  {'reference':>12}  {'unit':<12}{'ratio':>9}  reference")
    for key, (what, unit, name, larger) in ROWS.items():
        reached = ours[key] >= reach[key] if larger else ours[key] <= reach[key]
        line = f"{what:<52}{ours[key]:>12,.1f}  {reach[key]:>11,.0f}{' ' if reached else '!'}"
        if key not in theirs:
            why = f"{name}: give its checkout" if name else "there is none"
            print(f"{line}  {'left out' if name else '-':>12}  {unit:<12}{'':>9}  {why}")
            continue
        ratio = ours[key] / theirs[key] if larger else theirs[key] / ours[key]
        print(f"{line}  {theirs[key]:>12,.1f}  {unit:<12}{ratio:>8,.0f}x  {name}")
    print("! is not reached")


def keep_best(best, found):
    for key, value in found.items():
        if key in ROWS:
            better = max if ROWS[key][3] else min
            best[key] = better(best.get(key, value), value)


if __name__ == "__main__":
    main()
