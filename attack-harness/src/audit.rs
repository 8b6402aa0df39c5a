//! The audit: what releases prove about ε from below, beside what the ledger charges for them.
//!
//! Two neighbouring worlds differ in one unit, whose teachers' votes go to one class in the one and to another in the other, on every
//! query. The campaign is run many times in both, through the release path that is to be audited. A campaign of one query is judged by
//! its answer, whatever that is; the score of a longer one is how many more answers name the first class than the second.
//! [`conclave_privacy::audit`] turns these into a bound on ε. If it is above the charge, then noise, price or sensitivity are wrong,
//! or answers say more than labels.

use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::audit::{Audit, Significance};
use conclave_privacy::mechanism::{Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, FilterOrder, RdpOrder, Rho};
use conclave_privacy::unit::Sensitivity;

use crate::meter::Budget;
use crate::report::{Asked, Finding, Measurement, Verdict};
use crate::threat_model::{DISCOVER_OUTPUTS, INFER_MEMBERSHIP, ThreatModel};
use crate::{Error, Result};

/// What is audited: a mechanism as its contract states it.
#[derive(Debug, Clone, Copy)]
pub struct Audited<'a> {
    /// With the noise that is charged for.
    pub mechanism: &'a Mechanism,
    /// How far one unit moves the votes.
    pub sensitivity: &'a Sensitivity,
    /// At which ε is stated.
    pub delta: Delta,
    /// ω of the accounts that are charged: what a query costs there is what the audit is held against.
    pub order: FilterOrder,
    /// Teachers that vote, at least two moves of the sensitivity.
    pub teachers: u64,
    /// Classes, at least 2.
    pub classes: usize,
}

/// A lower bound beside a charge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// Queries of a campaign.
    pub queries: u32,
    /// Campaigns in each world.
    pub runs: usize,
    /// What was lost at least, in ε at the audit's δ, but for a chance of [`FALSE_ALARM`].
    pub epsilon_at_least: f64,
    /// What the account charges for so many queries, as ε at the same δ.
    pub epsilon_charged: f64,
    /// What was lost at least, in the ρ of the account: the sharper of both comparisons, for samples say more about the bulk than about a
    /// tail of δ.
    pub rho_at_least: f64,
    /// What the account charges, in ρ.
    pub rho_charged: f64,
}

impl Bounded {
    /// Whether more was lost than charged, but for a chance of [`FALSE_ALARM`].
    pub fn is_above_the_charge(&self) -> bool {
        self.epsilon_at_least > self.epsilon_charged || self.rho_at_least > self.rho_charged
    }
}

/// Where the answers of an audit come from, which is all that it audits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The mechanism of this build, called by the attacker in its own process.
    Mechanism,
    /// A running aggregator, asked as a student asks.
    Aggregator,
}

impl Source {
    /// In words that follow a number of them.
    const fn draws(self) -> &'static str {
        match self {
            Self::Mechanism => {
                "draws of the mechanism as this build has it, on votes that were made up for it"
            }
            Self::Aggregator => "answers of a running aggregator to votes that were made up for it",
        }
    }

    const fn drawn_by(self) -> &'static str {
        match self {
            Self::Mechanism => {
                "by the mechanism of the contract as this build has it, in the attacker's own process and not in the aggregator"
            }
            Self::Aggregator => "by a running aggregator under the contract, asked over the network",
        }
    }

    /// The way from there to what is served, where that is another.
    const fn not_audited(self) -> &'static str {
        match self {
            Self::Mechanism => {
                "The aggregator's release path, from the votes to the answer that is served: no campaign is asked here, and that path is \
                 audited by a test on a running aggregator (what_a_cluster_releases_stands_an_audit_and_repeats_say_nothing). "
            }
            Self::Aggregator => "",
        }
    }
}

/// The probability with which one bound may be wrong.
pub const FALSE_ALARM: f64 = 1e-6;

/// The attacker of this file.
pub fn threat_model() -> ThreatModel {
    ThreatModel {
        goal: "whether one unit was among the records",
        knowledge: "all other records, and how the unit moves its teachers' votes",
        capability: "sees every released answer of a campaign on queries of its choice",
        norm: None,
        eps: Vec::new(),
        budget: Budget::default(),
        poisoned_silos_max: 0,
        colluders_max: 0,
        atlas: vec![INFER_MEMBERSHIP, DISCOVER_OUTPUTS],
    }
}

impl Audited<'_> {
    /// Counts of one query in the two worlds: as even as can be between two classes, with the first at the threshold where
    /// there is one, so that one unit shows most.
    pub fn worlds(&self) -> Result<(VoteCounts, VoteCounts)> {
        let moves = u64::from(self.sensitivity.moves());
        if self.classes < 2 {
            return Err(Error::setting("classes", self.classes, "audit at least two"));
        }
        if self.teachers < 2 * moves {
            let fix = format!("one unit moves {moves} votes: have at least {}", 2 * moves);
            return Err(Error::setting("teachers", self.teachers, fix));
        }
        let half = self.teachers.div_ceil(2);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a threshold is a count of votes, above 0"
        )]
        let first = match self.mechanism {
            Mechanism::ConfidentGnMax(confident) => {
                (confident.threshold().votes().ceil() as u64).clamp(half, self.teachers)
            }
            Mechanism::LnMax(_) | Mechanism::GnMax(_) => half,
        };
        let counts = |first: u64| {
            let mut counts = vec![0; self.classes];
            (counts[0], counts[1]) = (first, self.teachers - first);
            VoteCounts::new(counts)
        };
        Ok((counts(first)?, counts(first - moves)?))
    }

    /// Runs `runs` campaigns of `queries` queries in each world; `draw` is the release path, given the counts, the number of the
    /// campaign over both worlds, and the query.
    pub fn run(
        &self,
        queries: u32,
        runs: usize,
        mut draw: impl FnMut(&VoteCounts, u64, u32) -> Result<Outcome>,
    ) -> Result<Bounded> {
        let (here, there) = self.worlds()?;
        let mut campaign = 0;
        let mut released = |counts: &VoteCounts| -> Result<Vec<Vec<Outcome>>> {
            let one = |_| {
                campaign += 1;
                (0..queries).map(|query| draw(counts, campaign, query)).collect()
            };
            (0..runs).map(one).collect()
        };
        let (here, there) = (released(&here)?, released(&there)?);
        let audit = Audit::new(Significance::new(FALSE_ALARM)?);
        let finding = if queries == 1 {
            // Whatever came counts as it is: an answer that is no class of the campaign tells more than a label, and is seen.
            audit.outcomes(&here, &there)?
        } else {
            let scores =
                |runs: Vec<Vec<Outcome>>| runs.iter().map(|answers| score(answers)).collect::<Vec<_>>();
            audit.scores(&scores(here), &scores(there))?
        };
        self.bounded(queries, runs, &finding)
    }

    /// What was found, beside the charge of so many queries.
    fn bounded(
        &self,
        queries: u32,
        runs: usize,
        finding: &conclave_privacy::audit::Finding,
    ) -> Result<Bounded> {
        let price = self.mechanism.worst_case_within(self.sensitivity, self.order)?;
        let charged = price.checked_mul(queries.into()).unwrap_or(Rho::MAX);
        Ok(Bounded {
            queries,
            runs,
            epsilon_at_least: finding.epsilon(Some(self.delta)),
            epsilon_charged: rho_to_epsilon_within(charged, self.delta, self.order),
            rho_at_least: self.rho(finding)?,
            rho_charged: charged.to_f64_up(),
        })
    }

    /// The least ρ that the finding allows.
    ///
    /// An account of ρ promises a Rényi divergence of at most ρα at each of its orders, and no more: what it charges for Gaussian noise is
    /// the exact price of the argmax up to ω, under which √(2ρ)-GDP does not hold. Without a limit it charges 1/σ² for a step of
    /// Gaussian noise, and such steps of ρ in all are √(2ρ)-GDP (Dong, Roth and Su 2022, Corollary 2.1), which says more; the lattice of
    /// a millionth of a vote is inside the slack.
    fn rho(&self, finding: &conclave_privacy::audit::Finding) -> Result<f64> {
        let gaussian = matches!(self.mechanism, Mechanism::GnMax(_) | Mechanism::ConfidentGnMax(_));
        if gaussian && self.order.is_unbounded() {
            return Ok(finding.mu().powi(2) / 2.0 * (1.0 - LATTICE_SLACK));
        }
        self.order
            .orders()
            .iter()
            .try_fold(0.0, |most: f64, &order| Ok(most.max(finding.renyi(RdpOrder::new(order)?) / order)))
    }
}

/// How many more answers name the first class than the second.
fn score(answers: &[Outcome]) -> f64 {
    let of = |answer: &Outcome| match answer {
        Outcome::Label(class) if class.0 == 0 => 1,
        Outcome::Label(class) if class.0 == 1 => -1,
        Outcome::Label(_) | Outcome::Abstained => 0,
    };
    f64::from(answers.iter().map(of).sum::<i32>())
}

const LATTICE_SLACK: f64 = 1e-3;

/// What a report says of it; `terms` are unit, adjacency and δ of every ε, in words.
pub fn finding(bounded: &[Bounded], audited: &Audited<'_>, source: Source, terms: &str) -> Finding {
    let mut measurements: Vec<Measurement> = Vec::new();
    for bounded in bounded {
        let of = |measure, value| Measurement::new(measure, "queries", bounded.queries.into(), value);
        let epsilon = of(EPSILON_LOST, bounded.epsilon_at_least).with_ceiling(bounded.epsilon_charged);
        let rho = of(RHO_LOST, bounded.rho_at_least).with_ceiling(bounded.rho_charged);
        measurements.extend([epsilon, rho].map(|one| one.counted_from(bounded.runs as u64)));
    }
    let runs = bounded.iter().map(|bounded| bounded.runs).max().unwrap_or(0);
    let drawn = bounded.iter().map(|bounded| 2 * bounded.runs as u64 * u64::from(bounded.queries)).sum();
    let broken = bounded.iter().any(Bounded::is_above_the_charge);
    let shown: Vec<String> = bounded.iter().map(shown).collect();
    let account = if audited.order.is_unbounded() {
        "zCDP at every order".to_owned()
    } else {
        format!("the exact price in zCDP at orders up to {}", audited.order)
    };
    Finding {
        attack: "audit",
        title: match source {
            Source::Mechanism => "An audit of the mechanism",
            Source::Aggregator => "An audit of the releases",
        },
        threat: threat_model(),
        method: format!(
            "Campaigns of {} queries are drawn {runs} times with the unit and {runs} times without it, {}. Votes are made up so that one unit shows most: split evenly between two classes, and the unit moves from the one to the other on \
             every query. Statistic: of one query its answer; of more, how many more answers name the first class than the second. One half \
             of the runs chooses events, the other half bounds their probabilities (exact binomial intervals). The noise comes from \
             the operating system, as on a cluster, whatever the seed: figures differ each time.",
            bounded.iter().map(|bounded| bounded.queries.to_string()).collect::<Vec<_>>().join(", "),
            source.drawn_by(),
        ),
        not_tried: format!(
            "{}Membership through the student, which tells less than the labels that it learned from; votes that differ from query to \
             query; queries chosen by earlier answers; what a wrong price at a larger number of queries would lose.",
            source.not_audited()
        ),
        asked: vec![Asked::new(drawn, source.draws())],
        privacy_cost: "Nothing was asked of the target, so nothing was charged.".to_owned(),
        result: format!(
            "Shown and charged, as ε ({terms}): {}. {runs} runs with the unit and {runs} without at each size; each bound holds with a \
             confidence of 1 − {FALSE_ALARM:e}. Fresh noise: the figures differ each time.",
            shown.join("; "),
        ),
        bound: format!(
            "The charge: what the account takes for so many queries ({account}), as ε ({terms}). A lower bound above it means that noise, \
             price or sensitivity are wrong. One below it proves nothing."
        ),
        broken_if: format!(
            "The charge is a ceiling. It counts as broken if a lower bound on what was lost, each wrong with a probability of at most \
             {FALSE_ALARM:e}, lies above it, as ε or as ρ."
        ),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        verdict_words: (!broken).then(|| format!("not contradicted: {} (ε; {terms})", shown.join("; "))),
        measurements,
        captions: [
            (EPSILON_LOST, "as ε"),
            (RHO_LOST, "in ρ, the unit in which the ledger adds up"),
        ]
        .map(|(measure, unit)| {
            (measure, format!("A lower bound from n runs in each world, {unit} ({terms}); it may be wrong with a probability of {FALSE_ALARM:e} over the noise."))
        })
        .into(),
    }
}

/// How much of the charge was shown.
fn shown(bounded: &Bounded) -> String {
    let queries = bounded.queries;
    let noun = if queries == 1 { "query" } else { "queries" };
    if bounded.epsilon_at_least > 0.0 {
        format!("{:.3} of {:.3} shown on {queries} {noun}", bounded.epsilon_at_least, bounded.epsilon_charged)
    } else {
        format!("nothing of {:.3} on {queries} {noun}", bounded.epsilon_charged)
    }
}

const EPSILON_LOST: &str = "ε lost at least";
const RHO_LOST: &str = "ρ lost at least";

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_privacy::mechanism::GnMax;
    use conclave_privacy::noise::{NoiseSource as _, SimulationNoise};
    use conclave_privacy::quantity::{Lattice, NoiseScale};
    use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};

    fn gnmax(sigma: f64) -> Mechanism {
        GnMax::new(NoiseScale::from_votes(sigma, Lattice::DEFAULT).unwrap()).into()
    }

    const TERMS: &str = "unit record, adjacency add-remove, δ = 1e-5";

    /// What `judge` makes of an audit of this mechanism, charged to an account of this order.
    fn with_audit<T>(sigma: f64, order: FilterOrder, judge: impl FnOnce(&Audited<'_>) -> T) -> T {
        let mechanism = gnmax(sigma);
        let sensitivity =
            Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
        let delta = Delta::new(1e-5).unwrap();
        let (mechanism, sensitivity) = (&mechanism, &sensitivity);
        judge(&Audited { mechanism, sensitivity, delta, order, teachers: 100, classes: 3 })
    }

    /// Charged for σ = 10, drawn as `draw` says.
    fn found(draw: impl FnMut(&VoteCounts, u64, u32) -> Result<Outcome>) -> (Bounded, Finding) {
        with_audit(10.0, FilterOrder::DEFAULT, |audited| {
            let bounded = audited.run(40, 1_500, draw).unwrap();
            (bounded, finding(&[bounded], audited, Source::Mechanism, TERMS))
        })
    }

    /// What a release path with another standard deviation, and one generator per draw, does.
    fn drawn(sigma: f64) -> impl FnMut(&VoteCounts, u64, u32) -> Result<Outcome> {
        let (mechanism, mut noise) = (gnmax(sigma), SimulationNoise::new(11));
        move |counts, campaign, query| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&campaign.to_le_bytes());
            let mut generator = noise.generator("audit", &id, query)?;
            Ok(mechanism.release(counts, &mut generator).outcome)
        }
    }

    #[test]
    fn the_charge_stands_above_what_the_audit_proves_and_the_audit_proves_something() {
        let (real, found) = found(drawn(10.0));
        assert!(real.epsilon_at_least > 0.1, "an audit without power shows nothing: {real:?}");
        assert!(real.rho_at_least > 0.0, "{real:?}");
        assert_eq!(found.verdict, Verdict::Held);
        let words = found.verdict_in_words();
        let shown =
            format!("{:.3} of {:.3} shown on 40 queries", real.epsilon_at_least, real.epsilon_charged);
        assert!(words.starts_with("not contradicted") && words.contains(&shown), "{words}");
        assert!(
            found.result.contains("1500 runs with the unit") && found.result.contains(TERMS),
            "{}",
            found.result
        );
    }

    #[test]
    fn half_the_noise_and_no_noise_are_seen() {
        let largest = |counts: &VoteCounts, _, _| {
            let counts = counts.as_slice();
            Ok(Outcome::Label(conclave_privacy::ClassIndex(u32::from(counts[1] > counts[0]))))
        };
        for (_, found) in [found(drawn(5.0)), found(largest)] {
            assert_eq!(found.verdict, Verdict::Broken, "{}", found.result);
            assert_eq!(found.verdict_in_words(), Verdict::Broken.word());
        }
    }

    /// 80 queries at σ = 15.424: an account up to order 16 charges ε = 3, where 1/σ² each would come to ε = 3.771.
    #[test]
    fn the_audit_is_held_against_what_the_account_charges_and_not_against_a_larger_published_price() {
        use conclave_privacy::audit::EventCounts;
        let one = Significance::new(FALSE_ALARM).unwrap();
        // Half of the runs in the one world, e^-3.4 of that in the other: a loss of about 3.4, known well.
        let counts = EventCounts {
            likelier_runs: 100_000_000,
            likelier: 50_000_000,
            rarer_runs: 100_000_000,
            rarer: 1_668_663,
        };
        let seen = conclave_privacy::audit::Finding::of(vec![counts.bounds(one)]);
        let bounded = |order| with_audit(15.424, order, |audited| audited.bounded(80, 1, &seen).unwrap());
        let (exact, published) = (bounded(FilterOrder::DEFAULT), bounded(FilterOrder::UNBOUNDED));
        assert!((exact.epsilon_charged - 3.0).abs() < 1e-3, "{exact:?}");
        assert!((published.epsilon_charged - 3.771).abs() < 1e-3, "{published:?}");
        for between in [exact, published] {
            assert!(between.epsilon_at_least > 3.0 && between.epsilon_at_least < 3.771, "{between:?}");
        }
        assert!(exact.is_above_the_charge());
        assert!(published.epsilon_at_least < published.epsilon_charged, "the published price hides it");
    }

    /// What was drawn in the attacker's process says nothing about an aggregator, and must not be told as if it did.
    #[test]
    fn an_audit_names_what_it_drew_from_and_what_it_therefore_does_not_audit() {
        let told = |source| {
            with_audit(10.0, FilterOrder::DEFAULT, |audited| {
                let seen = conclave_privacy::audit::Finding::of(Vec::new());
                finding(&[audited.bounded(1, 10, &seen).unwrap()], audited, source, TERMS)
            })
        };
        let (here, served) = (told(Source::Mechanism), told(Source::Aggregator));
        assert!(here.asked[0].what.contains("mechanism as this build has it"), "{:?}", here.asked);
        assert!(here.method.contains("attacker's own process"), "{}", here.method);
        assert!(here.not_tried.contains("The aggregator's release path"), "{}", here.not_tried);
        assert!(!here.title.contains("releases") && served.title.contains("releases"));
        assert!(served.asked[0].what.contains("running aggregator"), "{:?}", served.asked);
        assert!(!served.not_tried.contains("aggregator"), "{}", served.not_tried);
    }

    #[test]
    fn where_nothing_is_shown_the_verdict_says_so() {
        with_audit(10.0, FilterOrder::DEFAULT, |audited| {
            let seen = conclave_privacy::audit::Finding::of(Vec::new());
            let bounded = audited.bounded(1, 10, &seen).unwrap();
            let found = finding(&[bounded], audited, Source::Mechanism, TERMS);
            assert!(found.verdict_in_words().contains("nothing of"), "{}", found.verdict_in_words());
            assert!(!found.verdict_in_words().contains("kept"));
        });
    }
}
