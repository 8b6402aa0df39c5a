"""How fast the references are, on the inputs of privacy/benches/figures.rs; one thread, best of three; prints one JSON object.

usage: measure.py VOTES_FOLDER [TENSORFLOW_PRIVACY]

Needs numpy, scipy and dp-accounting. With a checkout of github.com/tensorflow/privacy the paths of the 2018 paper are measured too
(its research folder is in no package; needs sympy and absl-py).
"""

import json
import math
import os
import sys
import time
import types

import numpy as np
from scipy.special import log_ndtr

SIGMA, SIGMA1, THRESHOLD, TEACHERS = 40.0, 200.0, 300.0, 250


def best_rate(work, run):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return work / min(seconds)


def votes_of(folder, name):
    return np.loadtxt(os.path.join(folder, name), delimiter=",")


def exact_distinct(votes, orders):
    """The same divergences by plain NumPy: all one-vote moves, both directions, Gauss-Legendre on a fixed interval."""
    nodes, weights = np.polynomial.legendre.leggauss(288)
    x = (nodes + 1) * 13.5 - 10.0
    log_weights = np.log(weights * 13.5) - x * x / 2 - 0.5 * math.log(2 * math.pi)

    def log_law(counts):
        gaps = (counts[:, None] - counts[None, :]) / SIGMA
        log_cdf = log_ndtr(x[None, None, :] + gaps[:, :, None])
        inner = log_cdf.sum(axis=1) - log_cdf[np.arange(len(counts)), np.arange(len(counts))]
        terms = inner + log_weights
        top = terms.max(axis=1, keepdims=True)
        return (top + np.log(np.exp(terms - top).sum(axis=1, keepdims=True)))[:, 0]

    def divergence(p, q):
        terms = orders[:, None] * p + (1 - orders[:, None]) * q
        top = terms.max(axis=1, keepdims=True)
        return (top[:, 0] + np.log(np.exp(terms - top).sum(axis=1))) / (orders - 1)

    for counts in votes:
        p, worst = log_law(counts), np.zeros_like(orders)
        seen = set()
        for i in np.flatnonzero(counts >= 1):
            for j in range(len(counts)):
                if i == j or (counts[i], counts[j]) in seen:
                    continue
                seen.add((counts[i], counts[j]))
                moved = counts.copy()
                moved[i] -= 1
                moved[j] += 1
                q = log_law(moved)
                worst = np.maximum(worst, np.maximum(divergence(p, q), divergence(q, p)))


def dp_accounting():
    import dp_accounting
    from dp_accounting.pld import privacy_loss_distribution as pld
    from dp_accounting.rdp import RdpAccountant

    def laplace():
        loss = pld.from_laplace_mechanism(40.0, value_discretization_interval=1e-4)
        return loss.self_compose(2000).get_epsilon_for_delta(1e-5)

    def filter_with_epsilon():
        accountant, event = RdpAccountant(), dp_accounting.GaussianDpEvent(SIGMA / math.sqrt(2))
        for _ in range(300):
            accountant.compose(event)
            accountant.get_epsilon(1e-5)

    return {"pld": 1e3 / best_rate(1, laplace), "filter": best_rate(300, filter_with_epsilon)}


def tensorflow_privacy(root, votes, synthetic):
    sys.path.insert(0, os.path.join(root, "research", "pate_2018"))
    if "absl" not in sys.modules:
        try:
            import absl.app  # noqa: F401
        except ImportError:
            sys.modules["absl"] = types.SimpleNamespace(app=None)
    import core
    import smooth_sensitivity

    orders = np.arange(2.0, 71.0)

    def theorem_6():
        total = np.zeros_like(orders)
        for counts in votes:
            logpr = core.compute_logpr_answered(THRESHOLD, SIGMA1, counts)
            total += core.compute_rdp_threshold(logpr, SIGMA1, orders)
            logq = core.compute_logq_gaussian(counts, SIGMA)
            total += math.exp(logpr) * core.rdp_gaussian(logq, SIGMA, orders)

    def local_sensitivity():
        for counts in synthetic[:60]:
            smooth_sensitivity.compute_local_sensitivity_bounds_gnmax(counts, TEACHERS, SIGMA, 14.0)

    return {"theorem_6": best_rate(len(votes), theorem_6), "local_sensitivity": best_rate(60, local_sensitivity)}


def main():
    folder = sys.argv[1]
    synthetic = votes_of(folder, "cumulative_votes.csv")
    svhn = votes_of(folder, "votes_svhn_250_teachers.csv")[:8500]
    distinct = np.unique(np.sort(svhn, axis=1), axis=0)
    orders = np.array([1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 50, 64.0])
    sample = distinct[:: max(1, len(distinct) // 100)][:100]
    found = {"exact_distinct": best_rate(len(sample), lambda: exact_distinct(sample, orders))}
    # Rows as they come, each computed: nothing is remembered.
    rows = svhn[::85]
    found["exact_svhn"] = best_rate(len(rows), lambda: exact_distinct(rows, orders))
    found.update(dp_accounting())
    if len(sys.argv) > 2:
        found.update(tensorflow_privacy(sys.argv[2], svhn, synthetic))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
