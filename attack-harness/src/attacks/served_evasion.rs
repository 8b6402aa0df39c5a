//! Evasion of a served student: rows are moved with the gradients of a model in the attacker's hands, and then sent to the student
//! (Papernot, McDaniel and Goodfellow 2016, arXiv 1605.07277; Szegedy et al. 2014, arXiv 1312.6199).
//!
//! The model is the student itself where its file is published, or a copy that [`super::extraction`] made from labels alone. Only what
//! the served student says of a moved row counts. Steps are those of [`super::evasion`]; a change of random signs and the same
//! length stands beside them, to show what the gradients are worth.

use conclave_learning::Label;
use ndarray::{Array2, Axis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::evasion::{STEPS_ACROSS, direction, project, random_starts};
use super::{ASKING_IS_FREE, NO_PROMISE};
use crate::access::{Gradients, LabelOnly};
use crate::meter::{Budget, Meter};
use crate::proportion::{Proportion, per_cent};
use crate::report::{Asked, Finding, Measurement, Verdict};
use crate::threat_model::{
    BLACK_BOX_TRANSFER, EVADE_MODEL, FULL_MODEL_ACCESS, INFERENCE_API_ACCESS, Norm, PROXY_BY_REPLICATION,
    ThreatModel, VERIFY_ATTACK, WHITE_BOX_OPTIMIZATION,
};
use crate::{Error, Result};

/// Which model is in the attacker's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// The student's own, from its file.
    Published,
    /// A copy, made from so many labels of the student.
    Copy {
        /// Labels that the student gave for it.
        queries: u64,
    },
}

/// Which rows are moved, and how far.
#[derive(Debug, Clone, Copy)]
pub struct ServedEvasion<'a> {
    /// Rows, every value as a share of its range, 0 to 1.
    pub rows: &'a Array2<f32>,
    /// What the student should say of each.
    pub labels: &'a [Label],
    /// What is in the attacker's hands.
    pub hands: Hands,
    /// How far values may be moved at most (L∞), as shares of the range: above 0, growing.
    pub eps: &'a [f32],
    /// Steps from each start, at least 1.
    pub steps: u32,
    /// Random starts, besides the row itself and where one full step ends.
    pub restarts: u32,
    /// Draws the random starts and the random changes.
    pub seed: u64,
}

/// What came of one ε. Rows that the student judged wrongly before they were moved count as lost everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// How far values were moved at most.
    pub eps: f32,
    /// Rows that the student judges rightly after a change of random signs.
    pub random: Proportion,
    /// After one full step.
    pub fgsm: Proportion,
    /// After all steps from all starts, at this or a smaller ε: never more than after one step.
    pub pgd: Proportion,
}

/// What came of the attack.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Rows that the student judges rightly as they are, over the wire.
    pub clean: Proportion,
    /// By ε.
    pub moved: Vec<Moved>,
    /// What the student was asked about, by kind.
    pub asked: Vec<Asked>,
}

/// The attacker of this file.
pub fn threat_model(hands: Hands, eps: &[f32]) -> ThreatModel {
    let (knowledge, capability, atlas) = match hands {
        Hands::Published => (
            "the student's published model file, and the right labels of its rows",
            "moves every value of a row within its range, on its own machine, and sends what the file falls for to Predict",
            vec![FULL_MODEL_ACCESS, WHITE_BOX_OPTIMIZATION, VERIFY_ATTACK, EVADE_MODEL],
        ),
        Hands::Copy { .. } => (
            "the public pool and its features, the right labels of its rows, and a copy of the student made from labels alone",
            "moves every value of a row within its range, on its own machine, and sends what the copy likes least to Predict",
            vec![INFERENCE_API_ACCESS, PROXY_BY_REPLICATION, BLACK_BOX_TRANSFER, VERIFY_ATTACK, EVADE_MODEL],
        ),
    };
    ThreatModel {
        goal: "any label but the right one from the served student",
        knowledge,
        capability,
        norm: Some(Norm::Linf),
        eps: eps.iter().map(|eps| shown(*eps)).collect(),
        budget: Budget::default(),
        poisoned_silos_max: 0,
        colluders_max: 0,
        atlas,
    }
}

/// Carries the attack out on a student; what `held` is asked costs nothing but time. `on_eps` is called after each ε.
pub fn run<T: LabelOnly>(
    attack: &ServedEvasion<'_>,
    held: &mut impl Gradients,
    student: &mut Meter<T>,
    mut on_eps: impl FnMut(),
) -> Result<Served> {
    check(attack, student.classes())?;
    let mut generator = ChaCha8Rng::seed_from_u64(attack.seed);
    let before = student.spent().rows;
    let said = student.labels(attack.rows)?;
    let right: Vec<usize> = (0..said.len()).filter(|&row| said[row] == attack.labels[row]).collect();
    let of = said.len() as u64;
    let left = |rows: &[usize]| Proportion { of, times: rows.len() as u64 };
    let mut open = right.clone();
    let mut moved = Vec::with_capacity(attack.eps.len());
    let (mut randomly, mut once) = (0, 0);
    for &eps in attack.eps {
        let mut at = Crafting { attack, eps, held, generator: &mut generator };
        let signs = at.random_signs(&right);
        let random = still_right(attack, &right, &signs, student)?;
        (randomly, once) = (randomly + right.len() as u64, once + right.len() as u64);
        let step = at.walked(&right, attack.rows.select(Axis(0), &right), eps, 1)?;
        let fgsm = still_right(attack, &right, &step, student)?;
        open.retain(|row| fgsm.contains(row));
        let kept: Vec<usize> = (0..right.len()).filter(|&index| open.contains(&right[index])).collect();
        let mut start = step.select(Axis(0), &kept);
        for number in 0..2 + attack.restarts {
            if open.is_empty() {
                break;
            }
            if number == 1 {
                start = attack.rows.select(Axis(0), &open);
            } else if number > 1 {
                let rows = attack.rows.select(Axis(0), &open);
                start = random_starts(Norm::Linf, eps, &rows, at.generator);
            }
            let crafted = at.walked(&open, start.clone(), at.step(), attack.steps)?;
            open = still_right(attack, &open, &crafted, student)?;
        }
        moved.push(Moved { eps, random: left(&random), fgsm: left(&fgsm), pgd: left(&open) });
        on_eps();
    }
    let many = student.spent().rows - before - of - randomly - once;
    let asked = vec![
        Asked::new(of, "rows as they are"),
        Asked::new(randomly, "after random changes"),
        Asked::new(once, "after one step"),
        Asked::new(many, "after many steps"),
    ];
    Ok(Served { clean: left(&right), moved, asked })
}

/// Those of `rows` of which the student, asked about their moved forms, still says the right label.
fn still_right<T: LabelOnly>(
    attack: &ServedEvasion<'_>,
    rows: &[usize],
    moved: &Array2<f32>,
    student: &mut Meter<T>,
) -> Result<Vec<usize>> {
    let said = student.labels(moved)?;
    Ok(rows
        .iter()
        .zip(said)
        .filter(|(row, said)| *said == attack.labels[**row])
        .map(|(row, _)| *row)
        .collect())
}

/// Moves rows at one ε.
struct Crafting<'a, G> {
    attack: &'a ServedEvasion<'a>,
    eps: f32,
    held: &'a mut G,
    generator: &'a mut ChaCha8Rng,
}

impl<G: Gradients> Crafting<'_, G> {
    #[expect(clippy::cast_precision_loss, reason = "steps are few")]
    fn step(&self) -> f32 {
        self.eps * STEPS_ACROSS / self.attack.steps as f32
    }

    /// Where `steps` steps from `start` (one row for each of `rows`) end.
    ///
    /// A published model says itself when a row has gone far enough. A copy only guesses, so its rows go on to the end: what it likes
    /// least is what the student most likely falls for.
    fn walked(
        &mut self,
        rows: &[usize],
        mut start: Array2<f32>,
        step: f32,
        steps: u32,
    ) -> Result<Array2<f32>> {
        let mut going: Vec<usize> = (0..rows.len()).collect();
        for _ in 0..steps {
            if self.attack.hands == Hands::Published {
                let said = self.held.labels(&start.select(Axis(0), &going))?;
                let fooled = |at: usize, said: Label| said != self.attack.labels[rows[at]];
                going = going
                    .into_iter()
                    .zip(said)
                    .filter(|(at, said)| !fooled(*at, *said))
                    .map(|(at, _)| at)
                    .collect();
            }
            if going.is_empty() {
                break;
            }
            let labels: Vec<Label> = going.iter().map(|&at| self.attack.labels[rows[at]]).collect();
            let gradients = self.held.loss_gradients(&start.select(Axis(0), &going), &labels)?;
            for (&at, gradient) in going.iter().zip(gradients.rows()) {
                let moved = &start.row(at) + &(direction(Norm::Linf, &gradient) * step);
                let from = self.attack.rows.row(rows[at]);
                start.row_mut(at).assign(&project(Norm::Linf, self.eps, &from, moved));
            }
        }
        Ok(start)
    }

    /// Every value of each row a full ε up or down, by a coin.
    fn random_signs(&mut self, rows: &[usize]) -> Array2<f32> {
        let eps = self.eps;
        let rows = self.attack.rows.select(Axis(0), rows);
        rows.mapv_into(|value| {
            let change = if self.generator.random::<bool>() { eps } else { -eps };
            (value + change).clamp(0.0, 1.0)
        })
    }
}

fn check(attack: &ServedEvasion<'_>, classes: usize) -> Result<()> {
    let rows = attack.rows.nrows();
    if rows == 0 || attack.labels.len() != rows {
        let shown = format!("{} for {rows} rows", attack.labels.len());
        return Err(Error::setting("labels", shown, "give one label for each row, and at least one row"));
    }
    if let Some(odd) = attack.labels.iter().find(|label| label.index() >= classes) {
        return Err(Error::setting("label", odd.index(), format!("the student has {classes} classes")));
    }
    if attack.rows.iter().any(|value| !(0.0..=1.0).contains(value)) {
        return Err(Error::setting("rows", "outside 0..=1", "give shares of the range"));
    }
    let grows = attack.eps.windows(2).all(|pair| pair[0] < pair[1]);
    if attack.eps.is_empty() || !grows || attack.eps.iter().any(|eps| !(eps.is_finite() && *eps > 0.0)) {
        let shown = format!("{:?}", attack.eps);
        return Err(Error::setting("eps", shown, "give growing finite lengths above 0"));
    }
    if attack.steps == 0 {
        return Err(Error::setting("steps", 0, "take at least one"));
    }
    Ok(())
}

/// What a report says of it.
pub fn finding(served: &Served, attack: &ServedEvasion<'_>) -> Finding {
    let measured = |measure, at, share| Measurement::of_share(measure, VARIABLE, at, share);
    let mut measurements = Vec::new();
    for (measure, share) in [
        (RANDOM, (|moved: &Moved| moved.random) as fn(&Moved) -> Proportion),
        (ONE_STEP, |moved| moved.fgsm),
        (MANY_STEPS, |moved| moved.pgd),
    ] {
        measurements.push(measured(measure, 0.0, served.clean));
        measurements
            .extend(served.moved.iter().map(|moved| measured(measure, shown(moved.eps), share(moved))));
    }
    let told = |moved: &Moved| {
        let (pgd, random) = (per_cent(moved.pgd.share()), per_cent(moved.random.share()));
        format!("{pgd} at {} (random changes of that size: {random})", shown(moved.eps))
    };
    let moved: Vec<String> = served.moved.iter().map(told).collect();
    let (attack_name, title, how) = match attack.hands {
        Hands::Published => (
            "evasion-with-the-model",
            "Moving rows, with the student's model in hand",
            "with the gradients of its own model".to_owned(),
        ),
        Hands::Copy { queries } => (
            "evasion-by-copy",
            "Moving rows, with a copy of the student",
            format!("with the gradients of a copy from {queries} labels"),
        ),
    };
    Finding {
        attack: attack_name,
        title,
        threat: threat_model(attack.hands, attack.eps),
        method: method(served, attack),
        not_tried: "Changes of small Euclidean length (L2); a wrong label of the attacker's choice (targeted); AutoAttack; attacks that \
                    search with answers of the student alone (query-based).".to_owned(),
        asked: served.asked.clone(),
        privacy_cost: ASKING_IS_FREE.to_owned(),
        result: format!(
            "Over the wire the student is right on {} of {} rows as they are. Where an attacker moves every value by at most \
             such a share of its range, {how}, it is right on {}.",
            per_cent(served.clean.share()),
            served.clean.of,
            moved.join("; ")
        ),
        bound: "None: nobody promises that a student is right on rows that somebody spoiled on purpose. It is no matter of privacy: the \
                model is made of released labels. What stays right is an upper bound; a stronger attack may leave less."
            .to_owned(),
        broken_if: NO_PROMISE.to_owned(),
        verdict: Verdict::Measured,
        verdict_words: None,
        measurements,
        captions: [
            (RANDOM, "One random change of each row at each size"),
            (ONE_STEP, "One step on each row"),
            (MANY_STEPS, "The worst of all steps that were sent, for each row"),
        ]
        .map(|(measure, what)| {
            (measure, format!("{what}; a row that the student got wrong before counts as wrong. The interval is over the choice of test rows."))
        })
        .into(),
    }
}

/// How it was done; the length of a move is called its size here, for ε is a loss of privacy on the page.
fn method(served: &Served, attack: &ServedEvasion<'_>) -> String {
    let walks = match attack.hands {
        Hands::Published => "a row stops where the model in hand is fooled",
        Hands::Copy { .. } => "a row goes on to the last step, for the copy only guesses",
    };
    format!(
        "The first n = {} test rows, whatever the student says of them. One step (FGSM): every value the full size in the direction in which \
         the loss grows. Many steps (PGD): {} steps of {:.3} of the size each, projected back, {walks}; from where one step \
         ends, from the row itself and from random starts, uniform within the size ({}); rows that \
         one step fooled are not moved again, and what fooled a row at a smaller size counts at the larger ones. Loss: the \
         cross-entropy of the right label, its gradient by differences of 1/32 of the range. Random changes: every value the \
         full size up or down by a fair coin, cut to the range, once for each row and size.",
        served.clean.of,
        attack.steps,
        f64::from(STEPS_ACROSS) / f64::from(attack.steps),
        attack.restarts,
    )
}

/// ε as it was written.
fn shown(eps: f32) -> f64 {
    (f64::from(eps) * 1e6).round() / 1e6
}

const VARIABLE: &str = "largest change";
const RANDOM: &str = "right after random changes";
const ONE_STEP: &str = "right after one step (FGSM)";
const MANY_STEPS: &str = "right after many steps (PGD)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::{HeldPredictor, Range};
    use conclave_learning::features::{FeatureSpace, FeatureSpec};
    use conclave_learning::models::{ModelSpec, train};
    use conclave_learning::{Dataset, Predictor, datasets::DatasetSpec};

    /// A student of 200 digits in the pool, and a copy of it.
    fn student_and_copy() -> (Predictor, Predictor, Dataset) {
        let splits = DatasetSpec::Optdigits.splits(5).unwrap();
        let space = FeatureSpace::fit(&FeatureSpec::for_schema(splits.pool.schema()), &splits.pool).unwrap();
        let trained = |rows: std::ops::Range<usize>, labels: &[Label]| {
            let rows = splits.pool.select(&rows.collect::<Vec<_>>());
            let model =
                train(&ModelSpec::default(), &space.transform(rows.features()), labels, 10, 1).unwrap();
            Predictor::new(splits.pool.schema().clone(), space.clone(), model).unwrap()
        };
        let student = trained(0..300, &splits.pool.labels().unwrap()[0..300]);
        let asked = splits.pool.select(&(300..700).collect::<Vec<_>>());
        let copy = trained(300..700, &student.predict(asked.features()).unwrap());
        (student, copy, splits.test.select(&(0..40).collect::<Vec<_>>()))
    }

    fn attacked(attack: &ServedEvasion<'_>, range: &Range, held: &Predictor, student: &Predictor) -> Served {
        let mut meter = Meter::new(HeldPredictor::new(student.clone(), range.clone()), Budget::default());
        let mut held = HeldPredictor::new(held.clone(), range.clone());
        let served = run(attack, &mut held, &mut meter, || ()).unwrap();
        let told = finding(&served, attack);
        assert!(told.result.contains("0.15") && told.verdict == Verdict::Measured, "{}", told.result);
        // The rows, and at each ε a random change, one step and three starts of those that are open.
        assert!((40..=40 * (1 + 2 * 5)).contains(&meter.spent().rows), "{:?}", meter.spent());
        served
    }

    #[test]
    fn gradients_fool_a_student_more_than_chance_the_own_ones_more_than_those_of_a_copy() {
        let (student, copy, test) = student_and_copy();
        let range = Range::of(test.features(), true).unwrap();
        let rows = range.shares(test.features());
        let white = ServedEvasion {
            rows: &rows,
            labels: test.labels().unwrap(),
            hands: Hands::Published,
            eps: &[0.05, 0.15],
            steps: 8,
            restarts: 1,
            seed: 3,
        };
        let black = ServedEvasion { hands: Hands::Copy { queries: 400 }, ..white };
        let white = attacked(&white, &range, &student, &student);
        let black = attacked(&black, &range, &copy, &student);
        assert_eq!(white.clean, black.clean);
        assert!(white.clean.times >= 36, "{:?}", white.clean);
        for (white, black) in white.moved.iter().zip(&black.moved) {
            assert!(white.pgd.times <= white.fgsm.times && black.pgd.times <= black.fgsm.times);
            assert!(white.pgd.times <= black.pgd.times, "{white:?} {black:?}");
        }
        let (far_white, far_black) = (white.moved[1], black.moved[1]);
        assert!(far_black.pgd.times + 5 < far_black.random.times, "{far_black:?}");
        assert!(far_white.pgd.times <= 10 && far_white.random.times >= 25, "{far_white:?}");
    }

    #[test]
    fn what_cannot_be_attacked_is_refused_by_name() {
        let (student, _, test) = student_and_copy();
        let range = Range::of(test.features(), true).unwrap();
        let (rows, odd) = (range.shares(test.features()), [Label::new(10)]);
        let labels = test.labels().unwrap();
        let base = ServedEvasion {
            rows: &rows,
            labels,
            hands: Hands::Published,
            eps: &[0.1],
            steps: 1,
            restarts: 0,
            seed: 1,
        };
        let (one, dark) = (rows.select(Axis(0), &[0]), rows.mapv(|value| value - 0.5));
        for (attack, expected) in [
            (ServedEvasion { labels: &labels[1..], ..base }, "labels = 39 for 40 rows"),
            (ServedEvasion { rows: &one, labels: &odd, ..base }, "label = 10"),
            (ServedEvasion { rows: &dark, ..base }, "rows = outside 0..=1"),
            (ServedEvasion { eps: &[], ..base }, "eps = []"),
            (ServedEvasion { eps: &[0.2, 0.1], ..base }, "eps = [0.2, 0.1]"),
            (ServedEvasion { eps: &[0.0], ..base }, "eps = [0.0]"),
            (ServedEvasion { steps: 0, ..base }, "steps = 0"),
        ] {
            let held = HeldPredictor::new(student.clone(), range.clone());
            let mut meter = Meter::new(held.clone(), Budget::default());
            let refused = run(&attack, &mut held.clone(), &mut meter, || ()).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
            assert_eq!(meter.spent().rows, 0, "nothing is asked for {expected}");
        }
    }
}
