//! Extraction: a copy of the student from nothing but its labels (Orekondy, Schiele and Fritz 2019, "Knockoff Nets", with
//! random choice and labels only).
//!
//! The attacker asks about rows of its own, trains a model of its own on the answers, and is measured by how often
//! the copy says what the student says on rows that it never asked about. Nothing here can cost privacy: the
//! student's answers are post-processing of what was released. So the figure is about the model's owner, not about the
//! records behind it, and no bound on it is promised.

use conclave_learning::Label;
use conclave_learning::models::{Classifier as _, Model, ModelSpec, train};
use ndarray::{Array2, Axis};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{ASKING_IS_FREE, NO_PROMISE};
use crate::access::LabelOnly;
use crate::meter::{Budget, Meter};
use crate::proportion::Proportion;
use crate::report::{Finding, Measurement, Verdict};
use crate::threat_model::{EXTRACT_MODEL, INFERENCE_API_ACCESS, PROXY_BY_REPLICATION, ThreatModel};
use crate::{Error, Result};

/// What the attacker asks about, and trains on the answers.
#[derive(Debug)]
pub struct Extraction<'a> {
    /// Rows to ask about, raw; the first so many of a shuffled copy are asked.
    pub candidates: &'a Array2<f32>,
    /// Rows on which copy and student are compared, raw; none of the candidates.
    pub unseen: &'a Array2<f32>,
    /// Sizes of the copies, in queries: above 0, growing, at most the number of candidates.
    pub queries: &'a [usize],
    /// What the copy is.
    pub substitute: ModelSpec,
    /// Orders the candidates, and draws the uniform rows.
    pub seed: u64,
}

/// A copy and how good it is.
#[derive(Debug)]
pub struct Copied {
    /// Labels that it was trained on.
    pub queries: usize,
    /// Unseen rows on which it says what the student says.
    pub agreement: Proportion,
    /// Uniform rows on which it does: rows that look like nothing (Tramèr et al. 2016).
    pub agreement_uniform: Proportion,
    /// The copy itself, over rows of the attacker's features.
    pub model: Model,
}

/// The attacker of this file.
pub fn threat_model(queries: u64) -> ThreatModel {
    ThreatModel {
        goal: "a copy that says what the student says",
        knowledge: "the public pool and its features; nothing of the student but its classes",
        capability: "asks Predict as any client does, and gets labels",
        norm: None,
        eps: Vec::new(),
        budget: Budget::rows(queries),
        poisoned_silos_max: 0,
        colluders_max: 0,
        atlas: vec![INFERENCE_API_ACCESS, EXTRACT_MODEL, PROXY_BY_REPLICATION],
    }
}

/// Carries the attack out: one copy for each number of queries. `features` turns raw rows into what the copy learns from.
///
/// The answers on the rows that only measure are asked from `judge`, so that they do not count as the attacker's. `on_copy` is called
/// with the number of queries after each copy.
pub fn run<T: LabelOnly>(
    attack: &Extraction<'_>,
    student: &mut Meter<T>,
    judge: &mut impl LabelOnly,
    features: impl Fn(&Array2<f32>) -> Array2<f32>,
    mut on_copy: impl FnMut(usize),
) -> Result<Vec<Copied>> {
    check(attack)?;
    let mut generator = ChaCha8Rng::seed_from_u64(attack.seed);
    let mut order: Vec<usize> = (0..attack.candidates.nrows()).collect();
    order.shuffle(&mut generator);
    let uniform = uniform_rows(attack.candidates, &mut generator);
    let (truth, truth_uniform) = (judge.labels(attack.unseen)?, judge.labels(&uniform)?);
    let (unseen, uniform) = (features(attack.unseen), features(&uniform));

    let classes = student.classes();
    let mut answers: Vec<Label> = Vec::new();
    let mut copies = Vec::with_capacity(attack.queries.len());
    for &queries in attack.queries {
        let fresh = attack.candidates.select(Axis(0), &order[answers.len()..queries]);
        answers.extend(student.labels(&fresh)?);
        let asked = attack.candidates.select(Axis(0), &order[..queries]);
        let model = train(&attack.substitute, &features(&asked), &answers, classes, attack.seed)?;
        copies.push(Copied {
            queries,
            agreement: agreement(&model.predict(&unseen), &truth),
            agreement_uniform: agreement(&model.predict(&uniform), &truth_uniform),
            model,
        });
        on_copy(queries);
    }
    Ok(copies)
}

/// What a report says of it.
pub fn finding(copies: &[Copied], attack: &Extraction<'_>) -> Finding {
    let asked = copies.iter().map(|copied| copied.queries as u64).max().unwrap_or(0);
    let mut measurements = Vec::new();
    for copied in copies {
        let at = copied.queries as f64;
        measurements.push(Measurement::of_share(AGREEMENT, "queries", at, copied.agreement));
        measurements.push(Measurement::of_share(AGREEMENT_ON_NOISE, "queries", at, copied.agreement_uniform));
    }
    let last = copies.last().map_or_else(String::new, |copied| {
        format!(
            "{} queries give a copy that agrees with the student on {} of {} unseen rows, and on {} of {} rows of noise.",
            copied.queries,
            copied.agreement.in_words(),
            copied.agreement.of,
            copied.agreement_uniform.in_words(),
            copied.agreement_uniform.of
        )
    });
    Finding {
        attack: "extraction",
        title: "Copying the student",
        threat: threat_model(asked),
        method: format!(
            "Rows to ask about are drawn from a pool of {} at random, without repeats, and none is chosen by earlier answers; a larger copy \
             learns from the rows of the smaller ones and more. A copy is a {} over the public features, trained on labels alone. \
             Copy and student are compared on n = {} unseen rows and on n = {UNIFORM_ROWS} rows of noise, every value uniform in the range \
             that its column has in the pool; these only measure and are not counted as asked.",
            attack.candidates.nrows(),
            copies.last().map_or("model", |copied| copied.model.kind()),
            attack.unseen.nrows(),
        ),
        not_tried: "Choosing each query by earlier answers (active learning); rows made up to tell most; copies from scores, which no \
                    service gives; copies of another kind of model.".to_owned(),
        asked: Vec::new(),
        privacy_cost: ASKING_IS_FREE.to_owned(),
        result: last,
        bound: "None on the copy: a student that answers can be copied, and the threat model says so. On privacy: asking the student is \
                post-processing of released labels, so no number of queries costs any."
            .to_owned(),
        broken_if: NO_PROMISE.to_owned(),
        verdict: Verdict::Measured,
        verdict_words: None,
        measurements,
        captions: [
            (AGREEMENT, "Rows that neither was trained on; the interval is over the choice of these rows, for this one copy."),
            (AGREEMENT_ON_NOISE, "Rows of noise; the interval is over their draw, for this one copy."),
        ]
        .map(|(measure, words)| (measure, words.to_owned()))
        .into(),
    }
}

const AGREEMENT: &str = "agreement";
const AGREEMENT_ON_NOISE: &str = "agreement on noise";

fn check(attack: &Extraction<'_>) -> Result<()> {
    let candidates = attack.candidates.nrows();
    let grows = attack.queries.windows(2).all(|pair| pair[0] < pair[1]);
    if attack.queries.first().is_none_or(|&first| first == 0) || !grows {
        let shown = format!("{:?}", attack.queries);
        return Err(Error::setting("queries", shown, "give growing numbers above 0"));
    }
    let most = attack.queries.last().copied().unwrap_or(0);
    if most > candidates {
        let fix = format!("there are {candidates} rows to ask about; ask fewer, or bring more");
        return Err(Error::setting("queries", most, fix));
    }
    if attack.unseen.nrows() == 0 || attack.unseen.ncols() != attack.candidates.ncols() {
        let shown = format!("{:?}", attack.unseen.dim());
        return Err(Error::setting("unseen", shown, "give at least one row, as wide as the candidates"));
    }
    Ok(())
}

/// Rows with every value uniform in the range that its column has among the candidates.
fn uniform_rows(candidates: &Array2<f32>, generator: &mut ChaCha8Rng) -> Array2<f32> {
    let range = |column: ndarray::ArrayView1<'_, f32>| {
        column.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
    };
    let ranges: Vec<(f32, f32)> = candidates.columns().into_iter().map(range).collect();
    Array2::from_shape_fn((UNIFORM_ROWS, candidates.ncols()), |(_, column)| {
        let (low, high) = ranges[column];
        low + (high - low) * generator.random::<f32>()
    })
}

fn agreement(one: &[Label], other: &[Label]) -> Proportion {
    Proportion::count(one.iter().zip(other).map(|(a, b)| a == b))
}

/// Enough for a share within 3 points.
const UNIFORM_ROWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Held;

    /// Two classes on either side of a line in the plane.
    fn rows(count: usize, seed: u64) -> (Array2<f32>, Vec<Label>) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let rows = Array2::from_shape_fn((count, 2), |_| generator.random::<f32>());
        let labels = rows.outer_iter().map(|row| Label::new(u16::from(row[0] > row[1]))).collect();
        (rows, labels)
    }

    fn victim() -> Held<Model> {
        let (rows, labels) = rows(500, 1);
        Held(train(&ModelSpec::Linear { ridge: 1e-6 }, &rows, &labels, 2, 0).unwrap())
    }

    #[test]
    fn more_queries_copy_better_and_every_one_is_counted_once() {
        let (candidates, _) = rows(300, 2);
        let (unseen, _) = rows(500, 3);
        let attack = Extraction {
            candidates: &candidates,
            unseen: &unseen,
            queries: &[4, 300],
            substitute: ModelSpec::Linear { ridge: 1e-6 },
            seed: 4,
        };
        let mut student = Meter::new(victim(), Budget::rows(300));
        let copies = run(&attack, &mut student, &mut victim(), Array2::clone, |_| {}).unwrap();
        assert_eq!(student.spent().rows, 300);
        let shares: Vec<f64> = copies.iter().map(|copy| copy.agreement.share()).collect();
        assert!(shares[1] > 0.93 && shares[0] < shares[1], "{shares:?}");
    }

    #[test]
    fn the_attack_stops_at_its_budget() {
        let (candidates, _) = rows(20, 2);
        let attack = Extraction {
            candidates: &candidates,
            unseen: &candidates,
            queries: &[5, 20],
            substitute: ModelSpec::default(),
            seed: 4,
        };
        let mut student = Meter::new(victim(), Budget::rows(19));
        let stopped = run(&attack, &mut student, &mut victim(), Array2::clone, |_| {}).unwrap_err();
        assert!(matches!(stopped, Error::BudgetExhausted { limit: 19, .. }), "{stopped}");
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused_by_name() {
        let (candidates, _) = rows(5, 2);
        for queries in [&[][..], &[0], &[3, 3], &[6]] {
            let attack = Extraction {
                candidates: &candidates,
                unseen: &candidates,
                queries,
                substitute: ModelSpec::default(),
                seed: 4,
            };
            let mut student = Meter::new(victim(), Budget::default());
            let refused = run(&attack, &mut student, &mut victim(), Array2::clone, |_| {}).unwrap_err();
            assert!(refused.to_string().starts_with("queries = "), "{refused}");
        }
    }
}
