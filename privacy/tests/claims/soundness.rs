//! Prices bound the true loss: exact Rényi divergences on the lattice by summation, and worst cases computed
//! elsewhere.

use crate::vectors::read;
use crate::worst_case::WorstCases;
use conclave_privacy::accountant::{Accountant, Conversion, PureAccountant, RdpAccountant};
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::quantity::{Delta, Lattice, NoiseScale, RdpOrder};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};

const ORDERS: [f64; 5] = [1.1, 1.5, 2.0, 8.0, 32.0];
const CLASSES: usize = 3;

fn moving(votes: u32) -> Sensitivity {
    let unit = PrivacyUnit::Subject { max_silos_per_subject: votes };
    Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

fn whole_votes(votes: u32) -> NoiseScale {
    NoiseScale::from_steps(votes.into(), Lattice::new(0).unwrap()).unwrap()
}

/// Noise on the integers: its mass, and its mass strictly below, on -REACH..=REACH.
struct Law {
    mass: Vec<f64>,
    below: Vec<f64>,
}

const REACH: i32 = 250;

impl Law {
    fn new(weight: impl Fn(f64) -> f64) -> Self {
        let weights: Vec<f64> = (-REACH..=REACH).map(|k| weight(f64::from(k))).collect();
        let total: f64 = weights.iter().sum();
        let mass: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let below = mass.iter().scan(0.0, |sum, mass| Some(std::mem::replace(sum, *sum + mass))).collect();
        Self { mass, below }
    }

    fn gaussian(sigma: u32) -> Self {
        let sigma = f64::from(sigma);
        Self::new(|k| libm::exp(-k * k / (2.0 * sigma * sigma)))
    }

    fn laplace(scale: u32) -> Self {
        Self::new(|k| libm::exp(-k.abs() / f64::from(scale)))
    }

    fn mass(&self, k: i32) -> f64 {
        usize::try_from(k + REACH).ok().and_then(|k| self.mass.get(k)).copied().unwrap_or(0.0)
    }

    fn below(&self, k: i32) -> f64 {
        if k < -REACH {
            0.0
        } else {
            usize::try_from(k + REACH).ok().and_then(|k| self.below.get(k)).copied().unwrap_or(1.0)
        }
    }

    /// The probability of each answer of the noisy max with uniform ties.
    fn argmax(&self, votes: [i32; CLASSES]) -> [f64; CLASSES] {
        std::array::from_fn(|i| {
            let (j, l) = ((i + 1) % CLASSES, (i + 2) % CLASSES);
            (-REACH..=REACH)
                .map(|noise| {
                    let score = votes[i] + noise;
                    let (a, b) = (score - votes[j], score - votes[l]);
                    let alone = self.below(a) * self.below(b);
                    let with_one = self.mass(a) * self.below(b) + self.below(a) * self.mass(b);
                    let with_two = self.mass(a) * self.mass(b);
                    self.mass(noise) * (alone + with_one / 2.0 + with_two / 3.0)
                })
                .sum()
        })
    }
}

/// The Rényi divergence of order `order` of `p` from `q`.
fn renyi(p: &[f64], q: &[f64], order: f64) -> f64 {
    let terms =
        p.iter().zip(q).map(|(p, q)| libm::exp(order * libm::log(*p) + (1.0 - order) * libm::log(*q)));
    libm::log(terms.sum::<f64>()) / (order - 1.0)
}

fn max_log_ratio(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| libm::log(p / q).abs()).fold(0.0, f64::max)
}

/// All pairs of laws of the noisy max on vote vectors up to `largest`, `moves` single moves apart.
fn neighbours(law: &Law, largest: i32, moves: u32) -> Vec<([f64; CLASSES], [f64; CLASSES])> {
    let side = usize::try_from(largest + 1).unwrap();
    let votes = |index: usize| {
        [index / (side * side), index / side % side, index % side].map(|n| i32::try_from(n).unwrap())
    };
    let laws: Vec<_> = (0..side.pow(3)).map(|index| law.argmax(votes(index))).collect();
    let mut pairs = Vec::new();
    for (a, law_a) in laws.iter().enumerate() {
        for (b, law_b) in laws.iter().enumerate() {
            let differences: Vec<i32> = votes(a).iter().zip(votes(b)).map(|(a, b)| a - b).collect();
            let moved: i32 = differences.iter().map(|d| d.abs()).sum::<i32>() / 2;
            if differences.iter().sum::<i32>() == 0 && moved == i32::try_from(moves).unwrap() {
                pairs.push((*law_a, *law_b));
            }
        }
    }
    pairs
}

/// The largest share of αρ that any pair uses; asserts that none uses more than all of it.
fn worst_share(pairs: &[([f64; CLASSES], [f64; CLASSES])], event: PrivacyEvent, moves: u32) -> f64 {
    let rho = event.price(&moving(moves)).unwrap().to_f64_up();
    let shares = pairs.iter().flat_map(|(p, q)| ORDERS.map(|order| renyi(p, q, order) / (order * rho)));
    let worst = shares.fold(0.0, f64::max);
    assert!(worst <= 1.0, "{event}, {moves} moves: {worst} of its price");
    worst
}

#[test]
fn no_neighbouring_votes_are_further_apart_than_the_price_on_the_lattice_itself() {
    for moves in [1, 2] {
        for scale in [1, 2, 4] {
            let gaussian = neighbours(&Law::gaussian(scale), 9, moves);
            let event = PrivacyEvent::GaussianNoisyMax { sigma: whole_votes(scale) };
            let share = worst_share(&gaussian, event, moves);
            assert!(
                share > 0.6,
                "{event}: a price of {share} of this one would do, so the test shows little"
            );

            let laplace = neighbours(&Law::laplace(scale), 9, moves);
            let event = PrivacyEvent::LaplaceNoisyMax { scale: whole_votes(scale) };
            worst_share(&laplace, event, moves);
            let mut pure = PureAccountant::new();
            pure.add(&event, &moving(moves), 1).unwrap();
            let epsilon = pure.loss(Delta::new(0.5).unwrap()).epsilon;
            let worst = laplace.iter().map(|(p, q)| max_log_ratio(p, q)).fold(0.0, f64::max);
            assert!(worst <= epsilon, "{event}: {worst} above {epsilon}");
            assert!(worst > 0.75 * epsilon, "{event}: {worst} far below {epsilon}, so the test shows little");
        }
    }
}

#[test]
fn no_neighbouring_maximum_is_further_apart_than_the_price_of_the_threshold_test() {
    for moves in [1_u32, 2, 3] {
        for sigma1 in [1, 3, 10] {
            let law = Law::gaussian(sigma1);
            let event = PrivacyEvent::GaussianThreshold { sigma1: whole_votes(sigma1) };
            let rho = event.price(&moving(moves)).unwrap().to_f64_up();
            let reach = i32::try_from(3 * sigma1).unwrap();
            let pass = |gap: i32| [1.0 - law.below(gap), law.below(gap)];
            let shift = i32::try_from(moves).unwrap();
            let worst = (-reach..=reach)
                .map(|gap| (pass(gap), pass(gap + shift)))
                .flat_map(|(p, q)| [(p, q), (q, p)])
                .flat_map(|(p, q)| ORDERS.map(|order| renyi(&p, &q, order) / (order * rho)))
                .fold(0.0, f64::max);
            assert!(worst <= 1.0, "{event}, {moves} moves: {worst} of its price");
            assert!(worst > 0.5, "{event}, {moves} moves: {worst}, so the test shows little");
        }
    }
}

#[test]
fn the_worst_vote_vectors_that_anybody_found_stay_within_the_prices() {
    for case in read::<WorstCases>("worst_case_argmax_rdp.json").cases {
        let scale = NoiseScale::from_votes(case.sigma, Lattice::DEFAULT).unwrap();
        let event = match case.noise.as_str() {
            "gaussian" => PrivacyEvent::GaussianNoisyMax { sigma: scale },
            "laplace" => PrivacyEvent::LaplaceNoisyMax { scale },
            other => panic!("unknown noise {other}"),
        };
        let zcdp = event.price(&moving(1)).unwrap().to_f64_up() * case.order;
        let mut rdp =
            RdpAccountant::with_orders(vec![RdpOrder::new(case.order).unwrap()], Conversion::Tight).unwrap();
        rdp.add(&event, &moving(1), 1).unwrap();
        let (_, rdp) = rdp.curve().points().next().unwrap();
        assert!(case.sup_three_cell <= rdp, "{event} at {}: {} above {rdp}", case.order, case.sup_three_cell);
        assert!(rdp <= zcdp * (1.0 + 1e-9), "the accountant is never above the price of the filter");
    }
}
