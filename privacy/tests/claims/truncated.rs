//! Accounts that bound the orders up to ω: prices against brute force on the lattice, conversion, and whole units against
//! exact rationals.

#![expect(clippy::cast_possible_truncation, reason = "numbers of lattice steps, far below 2^63")]

use crate::data_dependent::{orders, scale};
use conclave_privacy::Error;
use conclave_privacy::accountant::{
    epsilon_to_rho, epsilon_to_rho_within, filter_order_for, rho_to_epsilon, rho_to_epsilon_within,
};
use conclave_privacy::calibrate::Goal;
use conclave_privacy::event::PrivacyEvent;
use conclave_privacy::filter::{GdpFilter, ZcdpFilter};
use conclave_privacy::mechanism::{GnMax, Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, MuSquared, NoiseScale, Rho, Scale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::worst_case;

fn who(adjacency: Adjacency) -> Sensitivity {
    Sensitivity::of(PrivacyUnit::Record, adjacency, VotingScheme::Ensemble).unwrap()
}

fn one_move() -> Sensitivity {
    who(Adjacency::AddRemove)
}

fn order(omega: u32) -> FilterOrder {
    FilterOrder::new(omega).unwrap()
}

fn argmax(votes: f64, bits: u8) -> PrivacyEvent {
    PrivacyEvent::GaussianNoisyMax { sigma: noise(votes, bits) }
}

fn threshold(votes: f64, bits: u8) -> PrivacyEvent {
    PrivacyEvent::GaussianThreshold { sigma1: noise(votes, bits) }
}

fn noise(votes: f64, bits: u8) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::new(bits).unwrap()).unwrap()
}

fn rho(event: PrivacyEvent, omega: u32) -> f64 {
    event.price_within(&one_move(), order(omega)).unwrap().to_f64_up()
}

/// The discrete Gaussian on -reach..=reach steps, with its sums from below.
struct Drawn {
    reach: i64,
    mass: Vec<f64>,
    below: Vec<f64>,
}

impl Drawn {
    fn new(sigma: f64, bits: u8) -> Self {
        let steps = sigma * f64::from(1_u32 << bits);
        let reach = (12.0 * steps).ceil() as i64;
        let weight = |x: i64| (-0.5 * (x as f64 / steps).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(weight).sum();
        let mass: Vec<f64> = (-reach..=reach).map(|x| weight(x) / total).collect();
        let below = mass.iter().scan(0.0, |sum, mass| Some(std::mem::replace(sum, *sum + mass))).collect();
        Self { reach, mass, below }
    }

    fn mass(&self, x: i64) -> f64 {
        usize::try_from(x + self.reach).ok().and_then(|at| self.mass.get(at)).copied().unwrap_or(0.0)
    }

    fn below(&self, x: i64) -> f64 {
        let at = usize::try_from(x + self.reach);
        at.map_or(0.0, |at| self.below.get(at).copied().unwrap_or(1.0))
    }

    /// Three outcomes with counts u and v, in steps: the best other score lies at `at` of the way through cell 0, and a score
    /// is uniform in its cell, which is the coin.
    fn law(&self, u: i64, v: i64, at: f64) -> [f64; 3] {
        let wins = |u: i64, v: i64| {
            let cells =
                (1..=u + self.reach).map(|a| self.mass(a - u) * (self.below(a - v) + 0.5 * self.mass(a - v)));
            let here = self.below(-v) * (1.0 - at) + self.mass(-v) * 0.5 * (1.0 - at * at);
            cells.sum::<f64>() + self.mass(-u) * here
        };
        let under = |u: i64| self.below(-u) + self.mass(-u) * at;
        [wins(u, v), wins(v, u), under(u) * under(v)]
    }
}

fn divergence(p: &[f64], q: &[f64], alpha: f64) -> f64 {
    let sum: f64 = p.iter().zip(q).filter(|(p, _)| **p > 1e-200).map(|(p, q)| q * (p / q).powf(alpha)).sum();
    sum.ln() / (alpha - 1.0)
}

/// A pattern search for the largest divergence of the argmax on the lattice; whatever it finds is below the supremum.
fn largest_argmax(sigma: f64, bits: u8, alpha: f64) -> f64 {
    let (drawn, vote) = (Drawn::new(sigma, bits), 1_i64 << bits);
    let value =
        |u: i64, v: i64, at: f64| divergence(&drawn.law(u, v, at), &drawn.law(u - vote, v + vote, at), alpha);
    let start = (sigma * 0.5 * vote as f64) as i64;
    let mut stride = start.max(1);
    let mut best = (f64::MIN, 0, 0, 0.0);
    let grid = (-6..=6).flat_map(|u| (-6..=6).map(move |v| (u, v)));
    for (u, v) in grid {
        for at in [0.0, 0.5] {
            let found = value(u * stride, v * stride, at);
            if found > best.0 {
                best = (found, u * stride, v * stride, at);
            }
        }
    }
    while stride > 0 {
        let (_, u, v, _) = best;
        for (du, dv) in [(-1, 0), (1, 0), (0, -1), (0, 1), (1, 1), (-1, -1), (0, 0)] {
            for at in [0.0, 0.25, 0.5, 0.75] {
                let found = value(u + du * stride, v + dv * stride, at);
                if found > best.0 {
                    best = (found, u + du * stride, v + dv * stride, at);
                }
            }
        }
        stride /= 2;
    }
    best.0
}

#[test]
fn no_votes_on_any_lattice_cost_more_than_the_price() {
    for (sigma, bits) in [(1.0, 0), (5.0, 0), (5.0, 1), (5.0, 4), (8.0, 0), (20.0, 6), (5.0, 10)] {
        for alpha in [1.5, 2.0, 8.0, 16.0] {
            let found = largest_argmax(sigma, bits, alpha);
            for omega in [2, 16] {
                let price = rho(argmax(sigma, bits), omega);
                let name = format!("sigma {sigma}, {bits} bits, order {alpha} of {omega}: {found:e}");
                assert!(
                    alpha > f64::from(omega) || found <= price * alpha,
                    "{name} above {:e}",
                    price * alpha
                );
                if alpha > 2.0 * sigma {
                    continue;
                }
                // The search finds the place: the reference ratios of lattice and continuous noise are .93 and .997.
                let continuous = worst_case::gnmax(scale(sigma), &orders(&[alpha]))[0];
                assert!(found > 0.92 * continuous, "{name}, far below {continuous:e}");
            }
        }
    }
}

#[test]
fn no_threshold_on_any_lattice_costs_more_than_the_price_and_continuous_noise_would_not_do() {
    let mut above_continuous = 0;
    for (sigma, bits) in [(1.0, 0), (5.0, 0), (8.0, 0), (8.0, 3), (40.0, 2)] {
        let (drawn, vote) = (Drawn::new(sigma, bits), 1_i64 << bits);
        for omega in [2, 16] {
            let price = rho(threshold(sigma, bits), omega);
            for &alpha in order(omega).orders() {
                let pair = |x: i64| {
                    let (p, q) = (1.0 - drawn.below(x), 1.0 - drawn.below(x + vote));
                    divergence(&[p, 1.0 - p], &[q, 1.0 - q], alpha)
                };
                let reach = 5 * (sigma as i64) * vote;
                let found = (-reach..=reach).map(pair).fold(0.0, f64::max);
                assert!(
                    found <= price * alpha,
                    "{sigma} {bits} {alpha}: {found:e} above {:e}",
                    price * alpha
                );
                let continuous = worst_case::threshold(scale(sigma), &orders(&[alpha]))[0];
                above_continuous += u32::from(found > continuous);
            }
        }
    }
    assert!(above_continuous > 10, "the gap between the laws is real: {above_continuous}");
}

#[test]
fn the_gap_of_the_default_lattice_costs_nearly_nothing_and_that_of_a_coarse_one_is_charged() {
    for sigma in [6.0, 40.0, 1000.0] {
        let last = *FilterOrder::DEFAULT.orders().last().unwrap();
        for (event, worst) in [
            (argmax as fn(f64, u8) -> PrivacyEvent, worst_case::gnmax(scale(sigma), &orders(&[last]))[0]),
            (threshold, worst_case::threshold(scale(sigma), &orders(&[last]))[0]),
        ] {
            let price = |bits| rho(event(sigma, bits), 16) / (worst / last);
            assert!(price(20) >= 1.0 && price(20) < 1.0008, "sigma {sigma}: {}", price(20));
            assert!(price(11) > 1.01, "sigma {sigma}: first order in the step, {}", price(11));
        }
    }
}

#[test]
fn the_price_bounds_the_independent_optimiser_at_every_order_and_is_never_above_the_published_one() {
    let oracle: crate::worst_case::WorstCases = crate::vectors::read("worst_case_argmax_rdp.json");
    let mut seen = 0;
    for case in oracle.cases.iter().filter(|case| case.noise == "gaussian") {
        for omega in [8, 16, 32] {
            if order(omega).orders().contains(&case.order) {
                let price = rho(argmax(case.sigma, 20), omega);
                assert!(
                    price * case.order >= case.sup_three_cell,
                    "sigma {}, order {}",
                    case.sigma,
                    case.order
                );
                assert!(price <= rho(argmax(case.sigma, 20), 0));
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_price_for_fewer_orders_is_less_and_an_account_of_more_orders_refuses_it() {
    let (epsilon, delta) = (Epsilon::new(3.0).unwrap(), Delta::new(1e-5).unwrap());
    let [eight, mut sixteen] = [8, 16].map(|omega| ZcdpFilter::for_target(epsilon, delta, order(omega)));
    let [cheap, dear] =
        [eight, sixteen].map(|account| account.price(&argmax(10.0, 20), &one_move()).unwrap());
    assert!(cheap.rho() < dear.rho());
    let refusal = Error::FilterOrderMismatch { found: order(8), expected: order(16) };
    assert_eq!(sixteen.reserve(cheap), Err(refusal));
    assert_eq!(sixteen.reserve(dear), Ok(()));
    assert_eq!(sixteen.reserved(), dear.rho());
}

#[test]
fn two_moves_plain_accounts_and_laplace_noise_keep_the_published_price() {
    let event = argmax(40.0, 20);
    for (moving, omega) in [(who(Adjacency::Replace), 16), (one_move(), 0)] {
        assert_eq!(event.price_within(&moving, order(omega)), event.price(&moving));
    }
    let laplace = PrivacyEvent::LaplaceNoisyMax { scale: noise(40.0, 20) };
    assert_eq!(laplace.price_within(&one_move(), order(16)), laplace.price(&one_move()));
    let gnmax = Mechanism::from(GnMax::new(noise(40.0, 20)));
    let exact = gnmax.worst_case_within(&one_move(), order(16)).unwrap();
    assert!(exact.units() * 3 < gnmax.worst_case(&one_move()).unwrap().units() * 2);
    assert_eq!(gnmax.charge_within(&Outcome::Abstained, &one_move(), order(16)), Ok(exact));
}

#[test]
fn the_campaign_of_2018_costs_what_the_comparison_of_filters_says() {
    let delta = Delta::new(1e-5).unwrap();
    let within = |omega: u32, answers: u64| {
        let cost = |event: PrivacyEvent, times| {
            event.price_within(&one_move(), order(omega)).unwrap().checked_mul(times).unwrap()
        };
        let sum = cost(threshold(150.0, 20), 640).checked_add(cost(argmax(40.0, 20), answers)).unwrap();
        rho_to_epsilon_within(sum, delta, order(omega))
    };
    let gdp = |answers: u64| {
        let of = |change, sigma, times| {
            MuSquared::of_gaussian(change, Scale::new(sigma).unwrap()).unwrap().units() * times
        };
        GdpFilter::new(MuSquared::from_units(of(1, 150.0, 640) + of(2, 40.0, answers))).epsilon(delta)
    };
    // ρ is 0.19297 and μ 0.62124 there: the figures are those of 286 answers, three more than the votes are expected to give.
    for (omega, expected) in [(10, 2.153), (16, 2.157), (32, 2.175), (64, 2.260), (0, 2.758)] {
        let epsilon = within(omega, 286);
        // The comparison also has orders between the whole ones.
        assert!((epsilon - expected).abs() < 4e-3, "omega {omega}: {epsilon}, not {expected}");
        assert!(within(omega, 283) < expected, "omega {omega}");
    }
    assert!((gdp(286) - 2.543).abs() < 1e-3, "{}", gdp(286));
    for (found, expected) in [(within(0, 283), 2.743), (gdp(283), 2.529)] {
        assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
    }
    assert!(within(16, 283) < gdp(283) && gdp(283) < within(0, 283));
}

#[test]
fn epsilon_is_taken_at_the_orders_of_the_account_and_at_no_other() {
    let delta = Delta::new(1e-5).unwrap();
    let by_hand = |rho: f64, alpha: f64| {
        rho * alpha + (1.0 - 1.0 / alpha).ln() - (alpha * 1e-5_f64).ln() / (alpha - 1.0)
    };
    for units in [1 << 20, 1 << 30, 1 << 37, 1 << 40, 1 << 45_u64] {
        let rho = Rho::from_units(units);
        for omega in [2, 8, 16, 64] {
            let found = rho_to_epsilon_within(rho, delta, order(omega));
            let best = order(omega).orders().iter().map(|&alpha| by_hand(rho.to_f64_up(), alpha));
            let best = best.fold(f64::INFINITY, f64::min);
            assert!(found >= best && found <= best * (1.0 + 1e-12), "{units} {omega}: {found}, not {best}");
            assert!(found >= rho_to_epsilon(rho, delta));
        }
    }
    // A small amount would be converted at an order of about a hundred, which no such account bounds.
    let small = Rho::from_nats_up(1e-3).unwrap();
    assert!(rho_to_epsilon(small, delta) < 0.2 && rho_to_epsilon_within(small, delta, order(16)) > 0.5);
    for (epsilon, omega) in [(0.1, 16), (1.0, 16), (3.0, 2), (3.0, 64), (50.0, 16)] {
        let (epsilon, order) = (Epsilon::new(epsilon).unwrap(), order(omega));
        let cap = epsilon_to_rho_within(epsilon, delta, order);
        assert!(cap == Rho::ZERO || rho_to_epsilon_within(cap, delta, order) <= epsilon.get());
        let more = Rho::from_units(cap.units() + 1);
        assert!(rho_to_epsilon_within(more, delta, order) > epsilon.get());
    }
}

#[test]
fn a_new_account_gets_an_order_at_which_its_cap_loses_little() {
    let delta = Delta::new(1e-5).unwrap();
    for (epsilon, omega) in [(50.0, 16), (10.0, 16), (3.0, 16), (1.0, 16), (0.5, 32), (0.25, 64), (0.01, 0)] {
        let epsilon = Epsilon::new(epsilon).unwrap();
        let found = filter_order_for(epsilon, delta);
        assert_eq!(found, order(omega), "{epsilon:?}");
        let (cap, plain) = (epsilon_to_rho_within(epsilon, delta, found), epsilon_to_rho(epsilon, delta));
        assert!(cap <= plain && cap.to_f64_up() >= 0.9 * plain.to_f64_up());
    }
}

#[test]
fn the_same_budget_buys_less_noise_and_the_noise_fits() {
    let (epsilon, delta, lattice) = (Epsilon::new(3.0).unwrap(), Delta::new(1e-5).unwrap(), Lattice::DEFAULT);
    let (who, sixteen) = (one_move(), FilterOrder::DEFAULT);
    let cap = epsilon_to_rho_within(epsilon, delta, sixteen);
    for queries in [80, 1000] {
        let goal = Goal { epsilon, delta, order: sixteen, queries, sensitivity: &who, lattice, near: false };
        let plain = Goal { order: FilterOrder::UNBOUNDED, ..goal }.gnmax_sigma().unwrap();
        let sigma = goal.gnmax_sigma().unwrap();
        assert!(sigma.votes() < 0.85 * plain.votes(), "{sigma}, not much below {plain}");
        let asked = |sigma: NoiseScale| {
            let price = PrivacyEvent::GaussianNoisyMax { sigma }.price_within(&who, sixteen).unwrap();
            price.checked_mul(queries).unwrap()
        };
        assert!(asked(sigma) <= cap);
        assert!(asked(noise(sigma.votes() * 0.999, 20)) > cap);
        let (sigma1, sigma2) = goal.confident_gnmax_sigmas(3.0).unwrap();
        let test = PrivacyEvent::GaussianThreshold { sigma1 }.price_within(&who, sixteen).unwrap();
        assert!(asked(sigma2).checked_add(test.checked_mul(queries).unwrap()).unwrap() <= cap);
    }
}

#[test]
fn estimated_noise_is_within_a_thousandth_or_so_of_certified_noise() {
    let (delta, lattice, who) = (Delta::new(1e-5).unwrap(), Lattice::DEFAULT, one_move());
    for (epsilon, queries) in [(0.5, 300), (3.0, 80), (6.0, 80), (6.0, 20)] {
        let epsilon = Epsilon::new(epsilon).unwrap();
        let order = filter_order_for(epsilon, delta);
        let goal = Goal { epsilon, delta, order, queries, sensitivity: &who, lattice, near: false };
        let near = Goal { near: true, ..goal };
        let off = |near: NoiseScale, certified: NoiseScale| (near.votes() / certified.votes() - 1.0).abs();
        let (found, certified) = (near.gnmax_sigma().unwrap(), goal.gnmax_sigma().unwrap());
        assert!(off(found, certified) < 1.5e-3, "{epsilon:?}, {queries} queries: {found}, not {certified}");
        let (found, certified) =
            (near.confident_gnmax_sigmas(3.0).unwrap().1, goal.confident_gnmax_sigmas(3.0).unwrap().1);
        assert!(off(found, certified) < 1.5e-3, "{epsilon:?}, {queries} queries: {found}, not {certified}");
    }
}

#[test]
fn a_million_charges_in_whole_units_never_come_to_less_than_the_exact_rationals() {
    // In units of 2^-80 nats a price n·4^20·2^80 / (d·steps²) is the quotient of two integers below 2^127; whole units are
    // 2^40 of these. Each charge is compared with its own rational, rounded up, so their sums compare as well.
    // SplitMix64 from a fixed seed.
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut account = ZcdpFilter::new(Rho::MAX, FilterOrder::UNBOUNDED);
    let (mut exact_sum, mut charged_sum) = (0_u128, 0_u128);
    let moving = one_move();
    for _ in 0..1_000_000 {
        // Half a vote to a thousand votes.
        let steps = (1_u64 << 19) + random() % (1 << 30);
        let scale = NoiseScale::from_steps(steps, Lattice::DEFAULT).unwrap();
        let (event, halves) = if random() & 1 == 0 {
            (PrivacyEvent::GaussianNoisyMax { sigma: scale }, 1)
        } else {
            (PrivacyEvent::GaussianThreshold { sigma1: scale }, 2)
        };
        let charge = account.price(&event, &moving).unwrap();
        let price = charge.rho();
        let exact = (1_u128 << 120).div_ceil(halves * u128::from(steps) * u128::from(steps));
        assert!(u128::from(price.units()) << 40 >= exact, "{steps}");
        account.reserve(charge).unwrap();
        account.settle(charge, charge).unwrap();
        exact_sum += exact;
        charged_sum += u128::from(price.units());
    }
    assert_eq!(u128::from(account.spent().units()), charged_sum);
    assert!(charged_sum << 40 >= exact_sum);
    assert!((charged_sum << 40) - exact_sum <= 1_000_000 << 40, "at most a unit each is lost to rounding");
}
