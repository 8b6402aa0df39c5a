#!/usr/bin/env python3
"""Checks a ledger export without trusting the program that wrote it. Standard library only.

    conclave ledger export LEDGER | python3 verify_export.py

Reads JSON lines and uses only `seq`, `recorded_at_ms`, `body` and `hash` of each: it recomputes the hash chain,
decodes the bodies by docs/ledger-format.md, works out every published price from the mechanism's integers, converts
every cap, and adds up what each account and campaign has spent. Prints one JSON object; exit status 4 if anything is wrong.

A price of an account with a filter order is the exact worst case of its mechanism, whose search is not repeated here. It is
checked to lie between the published price and what two classes at the closest vote cost, which is 0.5 % below it;
`conclave ledger verify` repeats the search.
"""
import hashlib
import json
import math
import struct
import sys


class Body:
    """Takes little-endian fields from a body."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, size):
        assert self.at + size <= len(self.raw), "body too short"
        self.at += size
        return self.raw[self.at - size:self.at]

    def u(self, size):
        return int.from_bytes(self.take(size), "little")

    def f64(self):
        return struct.unpack("<d", self.take(8))[0]

    def blob(self):
        return self.take(self.u(4))

    def text(self):
        return self.blob().decode("utf-8")

    def many(self, read):
        return [read() for _ in range(self.u(4))]


def moves(unit, parameter, adjacency):
    """Votes that one unit can move in one query."""
    return (1 if unit == 1 else parameter) * (1 if adjacency == 1 else 2)


def price(numerator, denominator, m, lattice, steps):
    """rho = numerator m^2 4^lattice / (denominator steps^2) in units of 2^-40, rounded up."""
    return -(-(numerator * m * m << 2 * lattice + 40) // (denominator * steps * steps))


ORDERS = [1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 24, 32, 48, 64]


def orders_up_to(omega):
    """The Renyi orders that an account bounds; 0 is no limit."""
    assert omega == 0 or omega in ORDERS[3:] and omega >= 2, "unknown filter order"
    return [order for order in ORDERS if order <= (omega or math.inf)]


def epsilon_of(units, delta, omega):
    """epsilon at delta of an amount, by the tight conversion at the account's orders; at the best one without a limit."""
    rho = units / 2 ** 40
    if units == 0:
        return 0.0
    orders = orders_up_to(omega)
    if omega == 0:
        low, high = 0.0, min(math.sqrt(-math.log(delta) / rho), 1 / delta)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if rho * middle ** 2 + math.log1p(middle) < -math.log(delta) else (low, middle)
        orders = [1 + high]
    return max(0.0, min(rho * a + math.log1p(-1 / a) - math.log(a * delta) / (a - 1) for a in orders))


def check_cap(cap, epsilon, delta, omega):
    assert epsilon_of(cap, delta, omega) <= epsilon * (1 + 1e-9), "the cap is above its epsilon"


def least(shift, omega):
    """What no sound price is below: rho of the pair of probabilities Phi(+-shift/2), largest over the orders."""
    p = (1 + math.erf(shift / 2 / math.sqrt(2))) / 2
    rates = (math.log(p ** a * (1 - p) ** (1 - a) + (1 - p) ** a * p ** (1 - a)) / ((a - 1) * a) for a in orders_up_to(omega))
    return 2 ** 40 * max(rates) * (1 - 1e-3)


def account(b):
    data, organisation = b.text(), b.text()
    b.take(32)
    epsilon, delta, cap = b.f64(), b.f64(), b.u(8)
    omega = b.u(4)
    check_cap(cap, epsilon, delta, omega)
    b.take(6)
    b.u(4)
    relation = b.u(1)
    predecessor = b.text() if relation else None
    inherited = b.u(8)
    before = accounts[predecessor] if relation == 1 else None
    assert inherited == (before["spent"] + before["reserved"] if before else 0), "wrong inherited spend"
    assert before is None or before["omega"] == omega, "another filter order than the data before"
    assert data not in accounts and inherited <= cap, "account twice, or past its cap"
    accounts[data] = dict(organisation=organisation, epsilon=epsilon, delta=delta, omega=omega, cap=cap, spent=inherited,
                          reserved=0)


def campaign(b, exact=False):
    key = b.text()
    b.take(32)
    b.blob()
    kind, lattice = b.u(1), b.u(1)
    steps = [b.u(8) for _ in range(3 if kind == 3 else 1)]
    m = moves(b.u(1), b.u(4), b.u(1))
    b.u(1)
    epsilon, delta = b.f64(), b.f64()
    omega = b.u(4) if exact else 0
    assert exact == (omega > 0), "a plain campaign in the form of another"
    cap, worst = b.u(8), b.u(8)
    abstention = b.u(8) if exact else None
    queries_max = b.u(8)
    check_cap(cap, epsilon, delta, omega)
    b.many(b.text)
    members = b.many(b.text)
    b.u(1)
    label = price(2 if kind == 1 else 1, 1, m, lattice, steps[-1])
    test = price(1, 2, m, lattice, steps[1]) if kind == 3 else 0
    published = label + test, test if kind == 3 else label
    if omega and m == 1 and kind != 1:
        votes = [scale / 2 ** lattice for scale in steps]
        least_test = least(1 / votes[1], omega) if kind == 3 else 0
        least_label = least_test + least(math.sqrt(2) / votes[-1], omega)
        assert least_label <= worst <= published[0], "the price is not between what is sound and what is published"
        assert (least_test or least_label) <= abstention <= min(worst, published[1]), "the same, of an abstention"
    else:
        abstention = published[1] if abstention is None else abstention
        assert (worst, abstention) == published, "the price is not that of the mechanism"
    assert key not in campaigns and all(member in accounts for member in members), "unknown member"
    assert all(accounts[member]["omega"] == omega for member in members), "another filter order than its members"
    campaigns[key] = dict(epsilon=epsilon, delta=delta, omega=omega, cap=cap, worst=worst, abstention=abstention, spent=0, reserved=0,
                          queries_max=queries_max, members=members, answers={}, cut={}, flying=set())


def reserve(b):
    number, _, key, worst = b.u(8), b.u(8), b.text(), b.u(8)
    c = campaigns[key]
    assert b.many(lambda: b.u(2)) == list(range(len(c["members"]))) and worst == c["worst"], "wrong price or members"
    queries = b.many(lambda: (b.take(32), b.u(1)))
    for query, attempt in queries:
        assert query not in c["answers"] and attempt == c["cut"].get(query, 0) + 1, "answered before, or wrong attempt"
        assert query not in c["flying"], "in flight"
        c["flying"].add(query)
    worst *= len(queries)
    holders = [c] + [accounts[member] for member in c["members"]]
    for holder in holders:
        holder["reserved"] += worst
        assert holder["spent"] + holder["reserved"] <= holder["cap"], "past the cap"
    reservations[number] = dict(campaign=c, queries=queries, worst=worst, holders=holders, drawn=False)


def draw(b):
    r = reservations[b.u(8)]
    b.u(8)
    b.take(32)
    silos = b.many(lambda: b.u(2))
    assert silos and not r["drawn"], "drawn twice, or by nobody"
    for position, holder in enumerate(r["holders"][1:]):
        if position not in silos:
            holder["reserved"] -= r["worst"]
    r["holders"] = r["holders"][:1] + [r["holders"][1 + silo] for silo in silos]
    r["drawn"] = True


def settle(number, drawn, charge):
    r = reservations.pop(number)
    assert r["drawn"] == drawn, "not drawn, or drawn already"
    charge = r["worst"] if charge is None else charge
    r["campaign"]["flying"].difference_update(query for query, _ in r["queries"])
    for holder in r["holders"]:
        holder["reserved"] -= r["worst"]
        holder["spent"] += charge
    return r


def release(b):
    number, _, charge = b.u(8), b.u(8), b.u(8)
    answers = b.many(lambda: (b.u(1), b.u(2)))
    r = settle(number, True, charge)
    c = r["campaign"]
    assert charge == sum(c["worst"] if kind == 1 else c["abstention"] for kind, _ in answers), "wrong charge"
    assert len(answers) == len(r["queries"]), "not one answer per query"
    c["answers"].update((query, answer) for (query, _), answer in zip(r["queries"], answers))


def abandon(b):
    number, _, _ = b.u(8), b.u(8), b.u(1)
    settle(number, False, 0)


def interrupt(b):
    number, _ = b.u(8), b.u(8)
    closed = b.many(lambda: b.u(4))
    r = settle(number, True, None)
    for position, (query, attempt) in enumerate(r["queries"]):
        r["campaign"]["cut"][query] = attempt
        assert (position in closed) == (attempt >= 3), "closed too early or too late"
        if attempt >= 3:
            r["campaign"]["answers"][query] = "interrupted"


def genesis(b):
    assert b.u(2) in (1, 2), "unknown schema version"
    b.take(17)


accounts, campaigns, reservations = {}, {}, {}
KINDS = {1: genesis, 2: lambda b: b.u(8), 3: account, 4: campaign, 5: reserve, 6: draw, 7: release, 8: abandon, 9: interrupt,
         10: lambda b: campaign(b, exact=True)}


def main():
    if sys.argv[1:]:
        # It reads standard input alone; whoever gives it anything gets told, rather than a verdict on nothing.
        print(__doc__.strip(), file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    head, seq = bytes(32), 0
    try:
        for line in sys.stdin:
            entry = json.loads(line)
            body = Body(bytes.fromhex(entry["body"]))
            assert entry["seq"] == seq + 1, "missing entry"
            row = struct.pack("<QQQ", entry["seq"], entry["recorded_at_ms"], len(body.raw)) + body.raw
            head = hashlib.sha256(head + row).digest()
            assert head.hex() == entry["hash"], "wrong hash"
            kind = body.u(1)
            assert (kind == 1) == (seq == 0), "the genesis is not the first entry"
            KINDS[kind](body)
            assert body.at == len(body.raw), "bytes left over"
            seq += 1
        assert seq > 0, "empty export"
    except (AssertionError, KeyError, ValueError, UnicodeDecodeError) as wrong:
        print(json.dumps({"valid": False, "first_bad": seq + 1, "what": str(wrong)}))
        return 4
    spent = {data: {name: a[name] for name in ("cap", "spent", "reserved")} for data, a in accounts.items()}
    for data, a in accounts.items():
        spent[data]["epsilon_spent"] = epsilon_of(a["spent"], a["delta"], a["omega"])
    answers = {key: len(c["answers"]) for key, c in campaigns.items()}
    print(json.dumps({"valid": True, "entries": seq, "head": head.hex(), "accounts": spent, "answers": answers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
