//! The privacy maths of Conclave: from vote counts to a label, what it costs, and whether it may be spent.
//!
//! Teachers trained on disjoint private records vote on a public example. This crate adds noise to the vote
//! counts, takes the largest, and accounts for what the answer reveals. It is pure: no IO, no clock, no async;
//! every generator is an argument, and only [`noise::ReleaseNoise`] asks the operating system for anything, the
//! seed of one.
//!
//! ```
//! use conclave_privacy::accountant::rho_to_epsilon_within;
//! use conclave_privacy::calibrate::Goal;
//! use conclave_privacy::counts::VoteCounts;
//! use conclave_privacy::filter::{Charge, ZcdpFilter};
//! use conclave_privacy::mechanism::{GnMax, Mechanism};
//! use conclave_privacy::noise::{NoiseSource, ReleaseNoise};
//! use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice};
//! use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
//!
//! // Who is protected, and how much may be spent on them: 300 answers within ε = 3 at δ = 1e-5.
//! let who = Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble)?;
//! let (epsilon, delta, order) = (Epsilon::new(3.0)?, Delta::new(1e-5)?, FilterOrder::DEFAULT);
//! let goal = Goal { epsilon, delta, order, queries: 300, sensitivity: &who, lattice: Lattice::DEFAULT, near: false };
//! let sigma = goal.gnmax_sigma()?;
//! let mechanism = Mechanism::from(GnMax::new(sigma));
//! let mut account = ZcdpFilter::for_target(epsilon, delta, order);
//!
//! // Reserve the worst case before anybody votes; draw; settle what ran.
//! let worst_case = Charge::new(mechanism.worst_case_within(&who, order)?, order);
//! account.reserve(worst_case)?;
//! let counts = VoteCounts::new(vec![97, 2, 1])?;
//! let draw = mechanism.release(&counts, &mut ReleaseNoise.generator("campaign", &[0; 32], 0)?);
//! account.settle(worst_case, Charge::new(mechanism.charge_within(&draw.outcome, &who, order)?, order))?;
//!
//! assert_eq!(who.words(), "one record added or removed");
//! assert!(rho_to_epsilon_within(account.spent(), delta, order) < 0.6);
//! # Ok::<(), conclave_privacy::Error>(())
//! ```
//!
//! # What is proven, by what, and which way it rounds
//!
//! | claim | by | rounding | where |
//! |---|---|---|---|
//! | one unit moves at most m votes | a row's teacher depends on that row (or subject) alone; brute force over small worlds | exact | [`mod@unit`] |
//! | noise has its stated law, given uniform bits | Karney 2016, Algorithm D; Canonne, Kamath and Steinke 2020, Algorithms 1 and 2 | exact, integers only | [`noise`] |
//! | LNMax has ρ = 2m²/b², GNMax m²/σ², the threshold test m²/(2σ1²) | Bun and Steinke 2016, Proposition 1.4; Canonne, Kamath and Steinke 2020, Proposition 5 | up, to 2^-40 nats | [`event`] |
//! | permute-and-flip is a noisy max with exponential noise, on every lattice; it has ε = 2m/b and ρ = 2m²/b² | Ding et al. 2021; McKenna and Sheldon 2020; Bun and Steinke 2016, Proposition 1.4 | up, to 2^-40 nats | [`mechanism::PermuteAndFlip`], [`event`] |
//! | the exponential mechanism has ε = 2m/b and ρ = m²/(2b²) | McSherry and Talwar 2007; Cesar and Rogers 2021, for a range of 2m/b | up, to 2^-40 nats | [`mechanism::ExponentialMechanism`], [`event`] |
//! | a noisy histogram costs L2²/(2σ²), with Laplace noise L2²/(2b²) and ε = L1/b, once for a whole campaign; what is read off it is free | Canonne, Kamath and Steinke 2020, Proposition 5; Bun and Steinke 2016, Proposition 1.4; counts are independent | up, to 2^-40 nats | [`mechanism::NoisyHistogram`] |
//! | one moved vote of weight w costs what a plain one does at noise σ/w; m of them the published price times (mw)² | weights are whole units, and noise is in the same; `docs/privacy-accounting.md`, section 15 | up, to 2^-40 nats | [`individualised::WeightGrid`] |
//! | noise scales asked for in votes | – | up, to a lattice step: more noise | [`quantity::NoiseScale`] |
//! | an account never exceeds its cap, and its answers, however adaptive, have D_α <= ρα for the cap ρ at all of its orders | Feldman and Zrnic 2021; Whitehouse et al. 2023 | exact, integers only | [`filter`] |
//! | the cap ρ is (ε, δ)-DP | Balle et al. 2020, Theorem 21; Canonne, Kamath and Steinke 2020, Proposition 12; at the account's orders alone | ρ down, ε up | [`accountant`] |
//! | at the orders up to ω the steps of [`event`] with Gaussian noise and one moved vote cost less, on the lattice too | `docs/privacy-accounting.md`, sections 10 and 12 | up, by at most 2·10^-4 of it and the gap to the lattice (10^-3 at σ = 3), to 2^-40 nats | [`event`] |
//! | a noisy argmax or threshold test costs at most its worst case over all votes | three-outcome reduction, `docs/privacy-accounting.md`, section 10; certified by branch and bound | up, by at most 2·10^-5 of it | [`worst_case`] |
//! | given votes cost at most what is stated, for a fixed list of queries | quadrature with a proven relative error | up | [`data_dependent`] |
//! | Gaussian steps within Σμ², any steps within ΣR(α) at one order, each item within its own cap: however adaptive | Smith and Thakurta 2022; Koskela et al. 2023; Feldman and Zrnic 2021 | exact, integers only | [`filter`] |
//! | each group of records stays within its own ε, whether by copies, weights or turns | one move of any weight is one shift, copies are moves, an absent vote costs nothing; `docs/privacy-accounting.md`, section 15; brute force over small worlds | up, charges exact | [`individualised`] |
//! | a run has lost at most ε ex post, at all times at once | Ville's inequality | up | [`odometer`] |
//! | a record moves at most k counts in a campaign | brute force over small campaigns | exact | [`contribution`] |
//! | k steps of pure DP are (ε, δ)-DP, however chosen | Kairouz, Oh and Viswanath 2015, Theorems 3.3 and 3.5 | up | [`accountant`] |
//! | a fixed plan is (ε, δ)-DP | Balle and Wang 2018, Theorem 8; Doroshenko et al. 2022 | up | [`pld::FixedPlan`] |
//! | so is one of lattice noise, but for a small probability | lattice noise is rounded continuous noise, but for it; `docs/privacy-accounting.md`, section 12 | up | [`pld::FixedPlan::on_lattice`] |
//! | and its noisy counts tell at least so much | merged outputs are post-processing, `docs/privacy-accounting.md`, section 8 | down | [`pld::PlanFloor`] |
//! | the published bounds, as published | Papernot et al. 2017, Theorems 2 and 3; 2018, Theorem 6 | up; one direction | [`data_dependent`] |
//! | a Theorem 6 cost of GNMax and of the threshold test may be published with noise | Papernot et al. 2018, Algorithm 3, where C5 and C6 are certified by interval arithmetic; the release by the divergence of two Gaussians, since their Theorem 23 is no bound | up | [`smooth_sensitivity`] |
//! | a mechanism loses at least so much, except with a stated probability | Clopper and Pearson 1934 on samples that chose nothing; Steinke, Nasr and Jagielski 2023, Theorem 5.2 | down | [`audit`] |
//! | calibrated noise fits its target, and one step less does not | the integer prices above | exact | [`calibrate`] |
//!
//! # What it does not cover
//!
//! - The generator: guarantees hold against those who cannot tell ChaCha20 from uniform bits.
//! - Time and memory: the time of a draw depends on the noise; see [`noise`].
//! - Disjointness across silos, which is declared in the unit and not verified here.
//! - Durability: charging before drawing, and never drawing twice on one charge, is the duty of ledger and
//!   aggregator.
//! - Publishing costs that depend on the votes: they are [`secret`], and only somebody who may see the votes opens them. The
//!   prices of [`event`], by which the filter admits, are the same for all counts.
//! - The gap between continuous noise and noise on the lattice, where a report is not given the lattice
//!   ([`analysis::Question::lattice`]), and in costs of given votes. Enforcement's own prices, and certificates, are of the lattice law.
//! - ε spent is a view after the fact. The guarantee of an account is that of its cap.
//!
//! # Reading order
//!
//! [`quantity`], [`mod@unit`] and [`counts`] are the words; [`mechanism`] and [`noise`] draw; [`event`]
//! prices; [`filter`] admits; [`accountant`] and [`calibrate`] translate to and from (ε, δ) for people. For votes that somebody
//! holds, [`analysis`] asks every accountant; [`planning`] says what a target buys before anything is spent, [`individualised`] what
//! budgets of several groups do. Every refusal is an [`Error`].

pub mod accountant;
pub mod analysis;
pub mod audit;
pub mod calibrate;
pub mod contribution;
pub mod counts;
pub mod data_dependent;
mod error;
pub mod event;
pub mod filter;
pub mod individualised;
pub mod mechanism;
pub mod noise;
mod numerics;
pub mod odometer;
pub mod planning;
pub mod pld;
pub mod quantity;
pub mod secret;
pub mod smooth_sensitivity;
pub mod unit;
pub mod worst_case;

pub use counts::{ClassIndex, VoteCounts};
pub use error::Error;
