//! The audit: what releases prove about ε from below, beside what the ledger charges for them.
//!
//! Two neighbouring worlds differ in one unit, whose teachers' votes go to one class in the one and to another in the other, on every
//! query. The campaign is run many times in both, through the release path that is to be audited. A campaign of one query is judged by
//! its answer, whatever that is; the score of a longer one is how many more answers name the first class than the second.
//! [`conclave_privacy::audit`] turns these into a bound on ε. If it is above the charge, then noise, price or sensitivity are wrong,
//! or answers say more than labels.

use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::rho_to_epsilon;
use conclave_privacy::audit::{Audit, Significance};
use conclave_privacy::mechanism::{Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, RdpOrder, Rho};
use conclave_privacy::unit::Sensitivity;

use crate::meter::Budget;
use crate::report::{Finding, Measurement, Verdict};
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
    /// What the ledger charges for so many queries, as ε at the same δ.
    pub epsilon_charged: f64,
    /// What was lost at least, in ρ: the sharper of both comparisons, for samples say more about the bulk than about a tail of δ.
    pub rho_at_least: f64,
    /// What the ledger charges, in ρ.
    pub rho_charged: f64,
}

impl Bounded {
    /// Whether more was lost than charged, but for a chance of [`FALSE_ALARM`].
    pub fn is_above_the_charge(&self) -> bool {
        self.epsilon_at_least > self.epsilon_charged || self.rho_at_least > self.rho_charged
    }
}

/// The probability with which one bound may be wrong.
pub const FALSE_ALARM: f64 = 1e-6;

/// The attacker of this file.
pub fn threat_model(queries: u64) -> ThreatModel {
    ThreatModel {
        goal: "whether one unit was among the records",
        knowledge: "all other records, and how the unit moves its teachers' votes",
        capability: "sees every released answer of a campaign on queries of its choice",
        norm: None,
        eps: Vec::new(),
        budget: Budget::rows(queries),
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
        let price = self.mechanism.worst_case(self.sensitivity)?;
        let charged = price.checked_mul(queries.into()).unwrap_or(Rho::MAX);
        Ok(Bounded {
            queries,
            runs,
            epsilon_at_least: finding.epsilon(Some(self.delta)),
            epsilon_charged: rho_to_epsilon(charged, self.delta),
            rho_at_least: self.rho(finding)?,
            rho_charged: charged.to_f64_up(),
        })
    }

    /// The least ρ that the finding allows.
    ///
    /// Gaussian steps of ρ in all are √(2ρ)-GDP (Dong, Roth and Su 2022, Corollary 2.1), and so is whatever is computed from them; the
    /// lattice of a millionth of a vote is inside the slack. Anything else of ρ-zCDP has a Rényi divergence of at most ρα.
    fn rho(&self, finding: &conclave_privacy::audit::Finding) -> Result<f64> {
        match self.mechanism {
            Mechanism::GnMax(_) | Mechanism::ConfidentGnMax(_) => {
                Ok(finding.mu().powi(2) / 2.0 * (1.0 - LATTICE_SLACK))
            }
            Mechanism::LnMax(_) => ORDERS.iter().try_fold(0.0, |most: f64, &order| {
                Ok(most.max(finding.renyi(RdpOrder::new(order)?) / order))
            }),
        }
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

/// Orders at which a divergence is compared with its price.
const ORDERS: [f64; 5] = [1.25, 1.5, 2.0, 4.0, 8.0];
const LATTICE_SLACK: f64 = 1e-3;

/// What a report says of it.
pub fn finding(bounded: &[Bounded], delta: Delta) -> Finding {
    let measurement = |bounded: &Bounded| Measurement {
        bound: Some(bounded.epsilon_charged),
        ..Measurement::new("ε lost at least", "queries", bounded.queries.into(), bounded.epsilon_at_least)
    };
    let told = |bounded: &Bounded| {
        let (lost, charged) = (bounded.epsilon_at_least, bounded.epsilon_charged);
        format!("{} queries lose at least ε = {lost:.3} and are charged {charged:.3}", bounded.queries)
    };
    let broken = bounded.iter().any(Bounded::is_above_the_charge);
    let rho = |bounded: &Bounded| Measurement {
        bound: Some(bounded.rho_charged),
        ..Measurement::new("ρ lost at least", "queries", bounded.queries.into(), bounded.rho_at_least)
    };
    let asked = bounded.iter().map(|bounded| 2 * bounded.runs as u64 * u64::from(bounded.queries)).sum();
    Finding {
        attack: "audit",
        title: "An audit of the releases",
        threat: threat_model(asked),
        result: format!(
            "{} (δ = {:e}).",
            bounded.iter().map(told).collect::<Vec<_>>().join("; "),
            delta.get()
        ),
        bound: format!(
            "The charge: zCDP of every step, converted to ε. Each lower bound is wrong with a probability of at most {FALSE_ALARM:e} \
             (exact binomial intervals on runs that chose nothing), so a bound above the charge means that noise, price or \
             sensitivity are wrong. A bound below it proves nothing."
        ),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        measurements: bounded.iter().map(measurement).chain(bounded.iter().map(rho)).collect(),
    }
}

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

    /// Charged for σ = 10, drawn as `draw` says.
    fn audited(draw: impl FnMut(&VoteCounts, u64, u32) -> Result<Outcome>) -> Bounded {
        let mechanism = gnmax(10.0);
        let sensitivity =
            Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
        let delta = Delta::new(1e-5).unwrap();
        Audited { mechanism: &mechanism, sensitivity: &sensitivity, delta, teachers: 100, classes: 3 }
            .run(40, 1_500, draw)
            .unwrap()
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
        let real = audited(drawn(10.0));
        assert!(real.epsilon_at_least > 0.1, "an audit without power shows nothing: {real:?}");
        assert_eq!(finding(&[real], Delta::new(1e-5).unwrap()).verdict, Verdict::Held);
    }

    #[test]
    fn half_the_noise_and_no_noise_are_seen() {
        let largest = |counts: &VoteCounts, _, _| {
            let counts = counts.as_slice();
            Ok(Outcome::Label(conclave_privacy::ClassIndex(u32::from(counts[1] > counts[0]))))
        };
        for bounded in [audited(drawn(5.0)), audited(largest)] {
            let found = finding(&[bounded], Delta::new(1e-5).unwrap());
            assert_eq!(found.verdict, Verdict::Broken, "{}", found.result);
        }
    }
}
