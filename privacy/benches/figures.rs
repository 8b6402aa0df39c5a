//! The figures that this crate promises, in one run: `cargo bench -p conclave-privacy --bench figures`.
//!
//! One thread. Speeds are the best of a few repetitions; the references were measured elsewhere on two shared cores of an
//! AMD EPYC with one thread (TensorFlow Privacy 03035d5d, dp-accounting 0.6.0, OpenDP 0.16, NumPy 2.4), so compare orders of magnitude.
//! `benches/side-by-side.py` at the root of the repository runs both sides in turn on one machine. With the charges that are made
//! durable, whose bench is the ledger's:
//! `cargo bench -p conclave-privacy -p conclave-ledger --bench figures --bench charges`.

#![expect(clippy::print_stdout, reason = "a table for people")]

use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::Conversion;
use conclave_privacy::analysis::{AccountantName, Answered, Question, account, default_orders};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::filter::{Charge, ZcdpFilter};
use conclave_privacy::mechanism::{GnMax, Mechanism};
use conclave_privacy::noise::{NoiseSource, ReleaseNoise};
use conclave_privacy::pld::{FixedPlan, PlannedNoise};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, RdpOrder, Rho, Scale};
use conclave_privacy::secret::Analyst;
use conclave_privacy::smooth_sensitivity::GnMaxSensitivity;
use conclave_privacy::worst_case;
use std::collections::HashSet;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    if std::env::args().any(|argument| argument == "--speeds-json") {
        return speeds_as_json();
    }
    println!("{:<58} {:>10} {:>8}   {:>6}  reference", "what", "here", "reach", "ratio");
    for speed in SPEEDS {
        let here = (speed.measure)();
        let (name, ratio) = match speed.reference {
            Some((name, reference)) => {
                let ratio = if speed.larger { here / reference } else { reference / here };
                (format!("{name} {}", (speed.shown)(reference)), format!("{ratio:.0}x"))
            }
            None => ("-".to_owned(), "-".to_owned()),
        };
        let reached = if speed.larger { here >= speed.reach } else { here <= speed.reach };
        let mark = if reached { ' ' } else { '!' };
        let [here, reach] = [here, speed.reach].map(speed.shown);
        println!("{:<58} {here:>10} {reach:>8} {mark} {ratio:>6}  {name}", speed.what);
    }
    println!("! is not reached");
    println!();
    println!(
        "{:<8}{:>8}{:>15}{:>9}{:>9}{:>7}{:>9}{:>14}{:>13}{:>7}{:>9}",
        "votes",
        "delta",
        "rdp (classic)",
        "2018 dd",
        "exact",
        "reach",
        "ratio",
        "exact, joint",
        "worst case",
        "reach",
        "ratio"
    );
    for (name, settings) in PAPER {
        epsilons(name, settings);
    }
    println!(
        "! is not reached; ratios are to the published bounds of the same kind, with and without the votes"
    );
}

/// A promised speed: how it is measured and shown, what it should reach, and what a reference did on another machine.
struct Speed {
    key: &'static str,
    what: &'static str,
    measure: fn() -> f64,
    shown: fn(f64) -> String,
    /// Whether more is faster.
    larger: bool,
    reach: f64,
    reference: Option<(&'static str, f64)>,
}

const SPEEDS: [Speed; 9] = [
    Speed {
        key: "theorem_6",
        what: "Confident-GNMax, Theorem 6, 69 orders, SVHN once, /s",
        measure: theorem_6,
        shown: per_second,
        larger: true,
        reach: 1e6,
        reference: Some(("TFP", 1.9e3)),
    },
    Speed {
        key: "theorem_6_known",
        what: "the same votes again, all of them known, /s",
        measure: theorem_6_known,
        shown: per_second,
        larger: true,
        reach: 1e6,
        reference: None,
    },
    Speed {
        key: "exact_distinct",
        what: "exact two-sided, 22 orders, distinct votes/s",
        measure: exact_distinct,
        shown: per_second,
        larger: true,
        reach: 10e3,
        reference: Some(("NumPy", 350.0)),
    },
    Speed {
        key: "exact_svhn",
        what: "exact two-sided, 22 orders, SVHN file, queries/s",
        measure: exact_svhn,
        shown: per_second,
        larger: true,
        reach: 50e3,
        reference: Some(("NumPy", 350.0)),
    },
    Speed {
        key: "worst_case",
        what: "exact worst case, cold, default grid, sigma 40, ms",
        measure: worst_case_cold,
        shown: milliseconds,
        larger: false,
        reach: 10e3,
        reference: None,
    },
    Speed {
        key: "local_sensitivity",
        what: "local sensitivity sequence, 250 teachers, sequences/s",
        measure: local_sensitivity,
        shown: per_second,
        larger: true,
        reach: 20e3,
        reference: Some(("TFP", 90.0)),
    },
    Speed {
        key: "pld",
        what: "2,000-fold Laplace PLD, build and epsilon, ms",
        measure: pld,
        shown: milliseconds,
        larger: false,
        reach: 20.0,
        reference: Some(("dp-accounting", 302.0)),
    },
    Speed {
        key: "argmax",
        what: "noisy argmax of 10 counts, sigma 40, vectors/s",
        measure: argmax,
        shown: per_second,
        larger: true,
        reach: 200e3,
        reference: Some(("OpenDP", 19.7e3)),
    },
    Speed {
        key: "filter",
        what: "filter admissions in memory, /s",
        measure: filter,
        shown: per_second,
        larger: true,
        reach: 20e6,
        reference: Some(("dp-accounting", 0.9e3)),
    },
];

/// For `benches/side-by-side.py`: one JSON object, by key the speed and what it should reach.
fn speeds_as_json() {
    let speed = |speed: &Speed| {
        let (here, reach) = ((speed.measure)(), speed.reach);
        (speed.key.to_owned(), serde_json::json!({ "here": here, "reach": reach }))
    };
    let speeds: serde_json::Map<_, _> = SPEEDS.iter().map(speed).collect();
    println!("{}", serde_json::Value::Object(speeds));
}

/// Rows, T, σ1, δ, the answers stated as a cap, and what ε should be at most: exact, and in the worst case.
type Settings = (usize, f64, f64, f64, u64, [f64; 2]);
const PAPER: [(&str, Settings); 3] = [
    ("MNIST", (640, 200.0, 150.0, 1e-5, 283, [0.96, 2.15])),
    ("SVHN", (8500, 300.0, 200.0, 1e-6, 2970, [2.72, 8.90])),
    ("Adult", (1500, 300.0, 200.0, 1e-5, 539, [0.99, 3.04])),
];

fn epsilons(name: &str, (rows, threshold, sigma1, delta, stated, reach): Settings) {
    let votes = votes_of(name);
    let of = |accountant, conversion, answered| {
        let question = Question {
            mechanism: NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(40.0) },
            lattice: None,
            delta: Delta::new(delta).expect("in range"),
            orders: default_orders(),
            conversion,
            answered,
            checkpoints: vec![rows],
            curves: false,
        };
        let analyst = Analyst::who_may_see_the_votes();
        let (accounts, _) =
            account(accountant, &question, &votes, &analyst, || ()).expect("a pair with meaning");
        accounts[0].loss.epsilon
    };
    let independent = of(AccountantName::Rdp, Conversion::Classic, Answered::Expected);
    let dependent = of(AccountantName::RdpDataDependent, Conversion::Classic, Answered::Expected);
    let exact = of(AccountantName::Exact, Conversion::Tight, Answered::Expected);
    let joint = of(AccountantName::Exact, Conversion::Tight, Answered::Joint);
    let worst = of(AccountantName::ExactWorstCase, Conversion::Tight, Answered::Stated(stated));
    let marks =
        [(exact, reach[0]), (worst, reach[1])].map(|(here, reach)| if here <= reach { ' ' } else { '!' });
    println!(
        "{name:<8}{delta:>8e}{independent:>15.2}{dependent:>9.2}{exact:>9.3}{:>7.2}{}{:>7.2}x{joint:>14.3}{worst:>13.3}{:>7.2}{}{:>7.2}x",
        reach[0],
        marks[0],
        dependent / exact,
        reach[1],
        marks[1],
        independent / worst,
    );
}

// ---- Speeds ----

/// Real votes once, from nothing: a query costs what it costs unless another before it had the same gaps.
fn theorem_6() -> f64 {
    let votes = &votes_of("SVHN")[..8500];
    rate(votes.len(), || confident_gnmax().expected(votes))
}

/// The same votes when all of their gaps are known: what is left is ln q, looking up its cost, and the sums.
fn theorem_6_known() -> f64 {
    let votes = &votes_of("SVHN")[..8500];
    let mut data = confident_gnmax();
    data.expected(votes);
    rate(votes.len(), || data.expected(votes))
}

fn confident_gnmax() -> DataDependent {
    let orders: Vec<_> = (2..=70).map(|order| RdpOrder::new(f64::from(order)).expect("above 1")).collect();
    let mechanism = NoisyVote::ConfidentGnMax { threshold: 300.0, sigma1: scale(200.0), sigma2: scale(40.0) };
    DataDependent::new(mechanism, Method::Published, &orders).expect("a finite threshold")
}

fn exact_orders() -> Vec<RdpOrder> {
    let low = [
        1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0,
        32.0,
    ];
    low.into_iter().chain([40.0, 50.0, 64.0]).map(|order| RdpOrder::new(order).expect("above 1")).collect()
}

fn exact_distinct() -> f64 {
    let mut seen = HashSet::new();
    let mut sorted = |counts: &VoteCounts| {
        let mut key = counts.as_slice().to_vec();
        key.sort_unstable();
        seen.insert(key)
    };
    let votes: Vec<_> = votes_of("SVHN").into_iter().take(8500).filter(|counts| sorted(counts)).collect();
    exact(&votes)
}

fn exact_svhn() -> f64 {
    exact(&votes_of("SVHN")[..8500])
}

fn exact(votes: &[VoteCounts]) -> f64 {
    let orders = exact_orders();
    rate(votes.len(), || {
        let mut data = DataDependent::new(NoisyVote::GnMax { sigma: scale(40.0) }, Method::Exact, &orders)
            .expect("no threshold");
        data.expected(votes)
    })
}

fn worst_case_cold() -> f64 {
    1e3 / rate(1, || worst_case::gnmax(scale(40.0), &default_orders()))
}

fn local_sensitivity() -> f64 {
    let votes = votes_of("synthetic");
    let order = RdpOrder::new(14.0).expect("above 1");
    let sensitivity = GnMaxSensitivity::new(scale(40.0), 10, order).expect("the conditions hold");
    rate(votes.len(), || {
        votes.iter().map(|counts| sensitivity.of(counts).expect("few votes")).collect::<Vec<_>>()
    })
}

fn pld() -> f64 {
    let delta = Delta::new(1e-5).expect("in range");
    1e3 / rate(1, || {
        let noise = PlannedNoise::Laplace { scale: scale(40.0), shift: 1.0, times: 2_000 };
        FixedPlan::new(&[noise]).map(|plan| plan.epsilon(delta))
    })
}

fn argmax() -> f64 {
    const DRAWS: usize = 100_000;
    let sigma = NoiseScale::from_votes(40.0, Lattice::DEFAULT).expect("in range");
    let (mechanism, counts) = (
        Mechanism::from(GnMax::new(sigma)),
        VoteCounts::new(vec![180, 40, 20, 10, 0, 0, 0, 0, 0, 0]).expect("ten counts"),
    );
    let mut generator = ReleaseNoise.generator("figures", &[0; 32], 0).expect("a seed");
    rate(DRAWS, || {
        for _ in 0..DRAWS {
            black_box(mechanism.release(&counts, &mut generator));
        }
    })
}

fn filter() -> f64 {
    const CHARGES: usize = 10_000_000;
    rate(CHARGES, || {
        let order = FilterOrder::DEFAULT;
        let mut filter = ZcdpFilter::new(Rho::MAX, order);
        let [worst_case, charged] = [1000, 1].map(|units| Charge::new(Rho::from_units(units), order));
        for _ in 0..CHARGES {
            filter
                .reserve(black_box(worst_case))
                .and_then(|()| filter.settle(worst_case, charged))
                .expect("it fits");
        }
        filter
    })
}

/// `work` items per second, the best of at least three runs and of as many as half a second holds.
fn rate<T>(work: usize, mut run: impl FnMut() -> T) -> f64 {
    let (mut best, began) = (f64::INFINITY, Instant::now());
    for done in 0.. {
        if done >= 3 && began.elapsed().as_secs_f64() > 0.5 {
            break;
        }
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed().as_secs_f64());
    }
    work as f64 / best
}

fn per_second(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1}k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn milliseconds(found: f64) -> String {
    format!("{found:.1}")
}

fn scale(value: f64) -> Scale {
    Scale::new(value).expect("above 0")
}

fn votes_of(name: &str) -> Vec<VoteCounts> {
    let csv = match name {
        "MNIST" => include_str!("../tests/vectors/votes_mnist_250_teachers.csv"),
        "SVHN" => include_str!("../tests/vectors/votes_svhn_250_teachers.csv"),
        "Adult" => include_str!("../tests/vectors/votes_adult_250_teachers.csv"),
        _ => include_str!("../tests/vectors/cumulative_votes.csv"),
    };
    let count = |cell: &str| cell.trim().parse().expect("a count");
    csv.lines().map(|row| VoteCounts::new(row.split(',').map(count).collect()).expect("counts")).collect()
}
