//! Poisoning: silos whose records carry wrong labels (Biggio, Nelson and Laskov 2012).
//!
//! Every record of a poisoned silo carries the next class in place of its own, so all teachers there learn the same mistake. They
//! are as many liars as the silo has teachers, at most, and the bound of [`super::lying_teachers`] is theirs too.

use conclave_learning::{Dataset, Label};
use conclave_privacy::mechanism::{Mechanism, Outcome};

use super::lying_teachers::{
    LABELS_RIGHT, STUDENT_CAPTION, STUDENT_RIGHT, broken_below_the_floor, probability_right,
    survived_in_words,
};
use crate::floor::Floor;
use crate::law::ArgmaxLaw;
use crate::meter::Budget;
use crate::proportion::{Proportion, per_cent};
use crate::report::{Asked, Finding, Measurement, Verdict};
use crate::threat_model::{ERODE_MODEL, POISON_TRAINING_DATA, ThreatModel};
use crate::world::World;
use crate::{Error, Result};

/// What so many poisoned silos did.
#[derive(Debug, Clone, PartialEq)]
pub struct Poisoned {
    /// Silos that held flipped labels.
    pub silos: u32,
    /// Teachers that learned there.
    pub teachers: u64,
    /// Released labels that are right.
    pub right: Proportion,
    /// What no choice of records in so many silos can push the share of right labels below, on average over the noise.
    pub floor: Floor,
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
    /// What is drawn on the counts.
    pub mechanism: &'a Mechanism,
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
    let law = ArgmaxLaw::of(honest.mechanism);
    let mut poisoned = Vec::with_capacity(silos.len());
    for &silos in silos {
        let campaigned = world.campaign(silos)?;
        if campaigned.outcomes.len() != honest.truth.len() || honest.counts.len() != honest.truth.len() {
            let fix = "give counts, true class and outcome of the same queries";
            return Err(Error::setting("queries", campaigned.outcomes.len(), fix));
        }
        let moved: u64 = honest.teachers.iter().take(silos as usize).copied().map(u64::from).sum();
        let (mut judged, mut bounds) = (Vec::new(), Vec::new());
        for (query, outcome) in campaigned.outcomes.iter().enumerate() {
            if let Outcome::Label(label) = outcome {
                let class = honest.truth[query].index();
                judged.push(label.position() == class);
                bounds.push(probability_right(law, &honest.counts[query], class, moved));
            }
        }
        let right = Proportion::count(judged);
        poisoned.push(Poisoned {
            silos,
            teachers: moved,
            right,
            floor: Floor::under(right, &bounds),
            student: campaigned.student,
        });
        on_campaign();
    }
    Ok(poisoned)
}

/// What a report says of it; `guarantee` is the ε of a campaign's cap with its terms.
pub fn finding(poisoned: &[Poisoned], honest: &Honest<'_>, guarantee: &str) -> Finding {
    let (queries, silos) = (honest.truth.len(), honest.teachers.len());
    let teachers: u64 = honest.teachers.iter().copied().map(u64::from).sum();
    let mut measurements = Vec::new();
    for poisoned in poisoned {
        let measured =
            |measure, share| Measurement::of_share(measure, "poisoned silos", poisoned.silos.into(), share);
        measurements.push(measured(LABELS_RIGHT, poisoned.right).with_floor(poisoned.floor.share));
        measurements.extend(poisoned.student.map(|share| measured(STUDENT_RIGHT, share)));
    }
    let told = |poisoned: &Poisoned| {
        let student = match poisoned.student {
            Some(share) => {
                format!("the student is right on {} of {} test rows", per_cent(share.share()), share.of)
            }
            None => "no label was released to learn from".to_owned(),
        };
        format!(
            "With {} of {silos} silos poisoned ({} of {teachers} teachers), the expected share of right labels is at least {} on these \
             {queries} queries; observed {}, and {student}.",
            poisoned.silos,
            poisoned.teachers,
            per_cent(poisoned.floor.share),
            poisoned.right.in_words(),
        )
    };
    let asked = |poisoned: &Poisoned| {
        Asked::new(queries as u64, format!("in a campaign with poisoned silos: {}", poisoned.silos))
    };
    let spoiled: Vec<&Poisoned> = poisoned.iter().filter(|poisoned| poisoned.silos > 0).collect();
    let broken = poisoned.iter().any(|poisoned| poisoned.floor.is_surely_passed());
    Finding {
        attack: "poisoning",
        title: "Silos that lie with their records",
        threat: threat_model(poisoned.iter().map(|poisoned| poisoned.silos).max().unwrap_or(0)),
        method: format!(
            "Every record of the first k silos carries the next class in place of its own; their teachers are trained on that, and the \
             campaign is run anew over the same services, with the same {queries} queries and the seed of the run. 0 silos: \
             the campaign that was attacked. n: the labels that one campaign released."
        ),
        not_tried: "Backdoors (a mark in a row that turns its label); poison that follows what the other silos hold or what was released \
                    (adaptive); three silos and more; a few records instead of all.".to_owned(),
        asked: spoiled.iter().copied().map(asked).collect(),
        privacy_cost: format!(
            "Each poisoned campaign is one of its own and spends its own cap, {guarantee}; the campaign that was attacked was charged \
             nothing more."
        ),
        result: poisoned.iter().map(told).collect::<Vec<_>>().join(" "),
        bound: format!(
            "A poisoned silo moves at most as many votes as it has teachers, so the bound of as many lying teachers holds. {}",
            survived_in_words(honest.mechanism, teachers)
        ),
        broken_if: broken_below_the_floor(),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        verdict_words: None,
        measurements,
        captions: [
            (LABELS_RIGHT, "Labels of one campaign each. The interval is over the noise alone: queries and votes are fixed."),
            (STUDENT_RIGHT, STUDENT_CAPTION),
        ]
        .map(|(measure, words)| (measure, words.to_owned()))
        .into(),
    }
}
