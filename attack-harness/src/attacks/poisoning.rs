//! Poisoning: silos whose records carry wrong labels (Biggio, Nelson and Laskov 2012).
//!
//! Every record of a poisoned silo carries the next class in place of its own, so all teachers there learn the same mistake. They
//! are as many liars as the silo has teachers, at most, and the bound of [`super::lying_teachers`] is theirs too.

use conclave_learning::{Dataset, Label};
use conclave_privacy::mechanism::Outcome;

use super::lying_teachers::probability_right;
use crate::law::ArgmaxLaw;
use crate::meter::Budget;
use crate::proportion::Proportion;
use crate::report::{Finding, Measurement, Verdict};
use crate::threat_model::{ERODE_MODEL, POISON_TRAINING_DATA, ThreatModel};
use crate::world::World;
use crate::{Error, Result};

/// What so many poisoned silos did.
#[derive(Debug, Clone, PartialEq)]
pub struct Poisoned {
    /// Silos that held flipped labels.
    pub silos: u32,
    /// Released labels that are right.
    pub right: Proportion,
    /// What no choice of records in so many silos can push the share of right labels below, on average over the noise.
    pub bound: f64,
    /// Test rows that the student judges rightly.
    pub student: Option<Proportion>,
}

/// What honest teachers said, which only a simulation knows, and what is true.
#[derive(Debug)]
pub struct Honest<'a> {
    /// Counts of an honest run, by query.
    pub counts: &'a [Vec<u64>],
    /// The true class of each query.
    pub truth: &'a [Label],
    /// Teachers of each silo, in the order in which silos are poisoned.
    pub teachers: &'a [u32],
    /// The noise of the argmax.
    pub law: ArgmaxLaw,
}

/// The attacker of this file.
pub fn threat_model(silos: u32) -> ThreatModel {
    ThreatModel {
        goal: "wrong labels, and a student that learned them",
        knowledge: "its own records; not those of the others",
        capability: "silos replace the label of every record by the next class",
        norm: None,
        eps: Vec::new(),
        budget: Budget::default(),
        poisoned_silos_max: silos,
        colluders_max: 0,
        atlas: vec![POISON_TRAINING_DATA, ERODE_MODEL],
    }
}

/// The rows with the next class as the label of each.
pub fn flipped(rows: &Dataset) -> Result<Dataset> {
    let labels = rows.labels().ok_or_else(|| Error::setting("labels", "absent", "poison labelled rows"))?;
    let classes = u16::try_from(rows.schema().classes()).unwrap_or(u16::MAX);
    let next = labels.iter().map(|label| Label::new((label.get() + 1) % classes.max(1)));
    let (labels, subjects) = (next.collect(), rows.subjects().map(<[String]>::to_vec));
    Ok(Dataset::new(rows.schema().clone(), rows.features().clone(), Some(labels), subjects)?)
}

/// Runs a campaign for each number of poisoned silos. `on_campaign` is called after each.
pub fn run(
    world: &mut impl World,
    honest: &Honest<'_>,
    silos: &[u32],
    mut on_campaign: impl FnMut(),
) -> Result<Vec<Poisoned>> {
    let mut poisoned = Vec::with_capacity(silos.len());
    for &silos in silos {
        let campaigned = world.campaign(silos)?;
        if campaigned.outcomes.len() != honest.truth.len() || honest.counts.len() != honest.truth.len() {
            let fix = "give counts, true class and outcome of the same queries";
            return Err(Error::setting("queries", campaigned.outcomes.len(), fix));
        }
        let moved: u64 = honest.teachers.iter().take(silos as usize).copied().map(u64::from).sum();
        let (mut judged, mut bounds) = (Vec::new(), 0.0);
        for (query, outcome) in campaigned.outcomes.iter().enumerate() {
            if let Outcome::Label(label) = outcome {
                let class = honest.truth[query].index();
                judged.push(label.position() == class);
                bounds += probability_right(honest.law, &honest.counts[query], class, moved);
            }
        }
        let bound = bounds / judged.len().max(1) as f64;
        poisoned.push(Poisoned {
            silos,
            right: Proportion::count(judged),
            bound,
            student: campaigned.student,
        });
        on_campaign();
    }
    Ok(poisoned)
}

/// What a report says of it.
pub fn finding(poisoned: &[Poisoned]) -> Finding {
    let mut measurements = Vec::new();
    for poisoned in poisoned {
        let at = f64::from(poisoned.silos);
        measurements.push(Measurement {
            bound: Some(poisoned.bound),
            ..Measurement::of_share("labels right", "poisoned silos", at, poisoned.right)
        });
        let student =
            poisoned.student.map(|share| Measurement::of_share("student right", "poisoned silos", at, share));
        measurements.extend(student);
    }
    let told = |poisoned: &Poisoned| {
        let student = poisoned.student.map_or(0.0, Proportion::share);
        format!(
            "{}: labels {:.1} %, student {:.1} %",
            poisoned.silos,
            poisoned.right.share() * 100.0,
            student * 100.0
        )
    };
    let broken = poisoned.iter().any(|poisoned| poisoned.right.is_surely_below(poisoned.bound));
    Finding {
        attack: "poisoning",
        title: "Silos that lie with their records",
        threat: threat_model(poisoned.iter().map(|poisoned| poisoned.silos).max().unwrap_or(0)),
        result: format!(
            "Right with so many silos poisoned: {}.",
            poisoned.iter().map(told).collect::<Vec<_>>().join("; ")
        ),
        bound: "A poisoned silo moves at most as many votes as it has teachers, so the bound of as many lying teachers holds."
            .to_owned(),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        measurements,
    }
}
