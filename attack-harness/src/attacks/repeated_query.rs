//! Repeated queries: the same question again and again, to average the noise away (Wang et al. 2022, "In Differential Privacy, There
//! is Truth", arXiv:2209.10732).
//!
//! How often each label comes back is a sample of the argmax law, and that law can be inverted: from fresh noise each time,
//! the attacker reads the whole vote histogram. An answer that is stored and served again is the same sample every time: all
//! repeats together say nothing that the first did not.

use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;

use crate::access::Releases;
use crate::law::ArgmaxLaw;
use crate::meter::{Budget, Meter};
use crate::report::{Finding, Measurement, Verdict};
use crate::threat_model::{DISCOVER_OUTPUTS, INFERENCE_API_ACCESS, ThreatModel};
use crate::{Error, Result};

/// What was heard about one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The query's number.
    pub query: usize,
    /// How often each class was named.
    pub labels: Vec<u64>,
    /// How often the answer was an abstention.
    pub abstentions: u64,
    /// Repeats whose answer was not the first one.
    pub changed: u64,
    /// What the repeats, without the first time, were charged.
    pub charged: Rho,
}

/// The attacker of this file.
pub fn threat_model(queries: u64) -> ThreatModel {
    ThreatModel {
        goal: "the vote counts behind a label, by averaging its noise away",
        knowledge: "the contract: mechanism, noise, teachers, classes",
        capability: "a student of the campaign asks the same query again and again",
        norm: None,
        eps: Vec::new(),
        budget: Budget::rows(queries),
        poisoned_silos_max: 0,
        colluders_max: 0,
        atlas: vec![INFERENCE_API_ACCESS, DISCOVER_OUTPUTS],
    }
}

/// Asks each of `queries` `times` times (at least twice). `on_answer` is called after every answer.
pub fn run<T: Releases>(
    queries: &[usize],
    times: u64,
    classes: usize,
    campaign: &mut Meter<T>,
    mut on_answer: impl FnMut(),
) -> Result<Vec<Heard>> {
    if times < 2 {
        return Err(Error::setting("times", times, "ask at least twice"));
    }
    let mut heard = Vec::with_capacity(queries.len());
    for &query in queries {
        let mut labels = vec![0; classes];
        let (mut abstentions, mut changed, mut charged, mut first) = (0, 0, Rho::ZERO, None);
        for _ in 0..times {
            let answer = campaign.ask(query)?;
            match answer.outcome {
                Outcome::Label(class) => {
                    let count = labels.get_mut(class.position());
                    *count.ok_or_else(|| Error::setting("label", class.0, "ask with all classes"))? += 1;
                }
                Outcome::Abstained => abstentions += 1,
            }
            match first {
                None => first = Some(answer.outcome),
                Some(first) => {
                    changed += u64::from(first != answer.outcome);
                    charged = charged.checked_add(answer.charged).unwrap_or(Rho::MAX);
                }
            }
            on_answer();
        }
        heard.push(Heard { query, labels, abstentions, changed, charged });
    }
    Ok(heard)
}

impl Heard {
    /// Information in the repeats beyond the first answer, in bits: their number times the empirical entropy of an answer. It is 0
    /// exactly when every repeat says what the first said.
    pub fn extra_bits(&self) -> f64 {
        let times: u64 = self.labels.iter().sum::<u64>() + self.abstentions;
        let share = |count: u64| count as f64 / times.max(1) as f64;
        let answers = self.labels.iter().copied().chain([self.abstentions]).filter(|count| *count > 0);
        let entropy: f64 = answers.map(|count| -share(count) * share(count).log2()).sum();
        entropy.abs() * times.saturating_sub(1) as f64
    }

    /// The vote counts that explain the labels best (maximum likelihood), given how many votes there are in all.
    ///
    /// Classes that were never named have a likelihood that grows for ever as their count falls, so counts stop at 0.
    pub fn histogram(&self, law: ArgmaxLaw, votes: f64) -> Vec<f64> {
        let times: f64 = self.labels.iter().sum::<u64>() as f64;
        let classes = self.labels.len() as f64;
        // Half a label more for each class keeps the logarithms finite (the rule of Krichevsky and Trofimov 1981).
        let seen: Vec<f64> =
            self.labels.iter().map(|&n| (n as f64 + 0.5) / (times + classes / 2.0)).collect();
        let mut counts = vec![votes / classes; self.labels.len()];
        for _ in 0..ROUNDS {
            let probabilities = law.probabilities(&counts).into_iter();
            let mut moved = 0.0_f64;
            for ((count, seen), probability) in counts.iter_mut().zip(&seen).zip(probabilities) {
                // Labels come as often as seen where this stops; the damping keeps it from overshooting.
                let short = (seen / probability.max(f64::MIN_POSITIVE)).ln();
                let step = (DAMPING * short).clamp(-STEP_MAX, STEP_MAX) * law.scale();
                moved = moved.max(step.abs());
                *count = (*count + step).max(0.0);
            }
            let sum: f64 = counts.iter().sum();
            for count in &mut counts {
                *count *= votes / sum.max(f64::MIN_POSITIVE);
            }
            if moved < STEP_MIN {
                break;
            }
        }
        counts
    }

    /// How far `histogram` is from `truth`, as a share of the votes: half the sum of absolute differences, 0 to 1.
    pub fn error(histogram: &[f64], truth: &[u64]) -> f64 {
        let votes: u64 = truth.iter().sum();
        let apart: f64 =
            histogram.iter().zip(truth).map(|(guess, votes)| (guess - *votes as f64).abs()).sum();
        apart / 2.0 / votes.max(1) as f64
    }
}

const ROUNDS: usize = 400;
/// In scales of the noise, as is the next: where classes are close, a vote moves the logarithm of a probability by less than 1/scale.
const DAMPING: f64 = 0.3;
const STEP_MAX: f64 = 0.5;
const STEP_MIN: f64 = 1e-3;

/// What a report says of it. With the counts that a simulation knows, how well they were guessed is told, too.
pub fn finding(heard: &[Heard], asked: u64, known: Option<(ArgmaxLaw, &[Vec<u64>])>) -> Finding {
    let changed: u64 = heard.iter().map(|heard| heard.changed).sum();
    let charged = heard.iter().any(|heard| heard.charged > Rho::ZERO);
    let bits: f64 = heard.iter().map(Heard::extra_bits).sum();
    let times = heard.first().map_or(0, |heard| heard.labels.iter().sum::<u64>() + heard.abstentions);
    let mut measurements = Vec::new();
    for (number, heard) in (1_u32..).zip(heard) {
        let measured =
            |measure, value| Measurement::new(measure, "query", f64::from(number), value).counted_from(times);
        measurements.push(measured(EXTRA_BITS, heard.extra_bits()).with_ceiling(0.0));
        if let Some((law, counts)) = known
            && let Some(counts) = counts.get(heard.query)
        {
            let votes = counts.iter().sum::<u64>() as f64;
            let error = Heard::error(&heard.histogram(law, votes), counts);
            measurements.push(Measurement { share: true, ..measured(GUESSED_WRONGLY, error) });
        }
    }
    let repeats = heard.len() as u64 * times.saturating_sub(1);
    let averaged = changed > 0 || charged;
    Finding {
        attack: "repeated-query",
        title: "Asking the same question again",
        threat: threat_model(asked),
        method: format!(
            "{} queries that the campaign has answered are proposed n = {times} times each, one call at a time, by one student. Bits: the \
             repeats times the empirical entropy of an answer. The vote counts are guessed as those under which the answers are likeliest, \
             given the law of the noise.",
            heard.len()
        ),
        not_tried: "Near-duplicates of a query, which are new queries and charged as such; several students that collude; the time \
                    that an answer takes.".to_owned(),
        asked: Vec::new(),
        privacy_cost: privacy_cost(changed, repeats, charged),
        result: format!(
            "{} queries were asked {times} times each: {changed} of the {} repeats were answered otherwise than the first, which \
             tells {bits:.1} bits more than asking once; the repeats were charged {}.",
            heard.len(),
            repeats,
            if charged { "as new looks" } else { "nothing" }
        ),
        bound: "0 bits and no charge: a query has one draw, its answer is stored before it leaves, and every repeat is the stored answer."
            .to_owned(),
        broken_if: "One repeat that is answered otherwise than the first, or charged, breaks it: the promise is a ceiling of 0 bits, and chance \
                    has no part in it."
            .to_owned(),
        verdict: if averaged { Verdict::Broken } else { Verdict::Held },
        verdict_words: None,
        measurements,
        captions: [
            (EXTRA_BITS, "Of n answers to each query. A count, not a sample: there is no interval."),
            (GUESSED_WRONGLY, "Share of the votes that the likeliest counts place on a wrong class, known in a simulation only."),
        ]
        .map(|(measure, words)| (measure, words.to_owned()))
        .into(),
    }
}

/// What the repeats cost in privacy: nothing only where nothing changed and nothing was charged.
fn privacy_cost(changed: u64, repeats: u64, charged: bool) -> String {
    match (changed, charged) {
        (0, false) => "What the attacker asked cost no ε: every repeat was served from the store.".to_owned(),
        (changed, false) => format!(
            "The ledger was charged nothing, and that is less than was lost: {changed} of {repeats} repeats were answered otherwise than the \
             first, and each is a fresh look at the votes that no account holds."
        ),
        (0, true) => "Every repeat was served as it was stored, and yet charged as a new look.".to_owned(),
        (changed, true) => {
            format!(
                "{changed} of {repeats} repeats were answered otherwise than the first, and charged as new looks."
            )
        }
    }
}

const EXTRA_BITS: &str = "bits beyond the first answer";
const GUESSED_WRONGLY: &str = "votes guessed wrongly";
