//! Lying teachers: some teachers agree to vote for the strongest wrong class, whatever their records say.
//!
//! A lie is a well-formed vote, so nothing can refuse it; it moves one vote, so what k of them can do has a bound. It is computed
//! from the votes that an honest run would have had, which exist in a simulation only. Outside, the same question has a public answer:
//! [`survived_above`].

use conclave_learning::Label;
use conclave_privacy::VoteCounts;
use conclave_privacy::mechanism::{Mechanism, Outcome};
use conclave_privacy::noise::NoiseGenerator;

use crate::access::Ballots;
use crate::floor::{FALSE_ALARM, Floor};
use crate::law::ArgmaxLaw;
use crate::meter::Budget;
use crate::proportion::{Proportion, per_cent};
use crate::report::{Asked, Finding, Measurement, Verdict};
use crate::threat_model::{ERODE_MODEL, POISON_TRAINING_DATA, ThreatModel};
use crate::{Error, Result};

/// What so many liars did to the labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Lied {
    /// Teachers that lied.
    pub liars: usize,
    /// What was released for each query, the first time that noise was drawn.
    pub outcomes: Vec<Outcome>,
    /// Released labels that are right, over all draws.
    pub right: Proportion,
    /// What no such number of liars can push the share of right labels below, on average over the noise.
    pub floor: Floor,
    /// Queries whose largest count names the true class whatever so many teachers do, without noise.
    pub certified: Proportion,
}

/// The attacker of this file.
pub fn threat_model(liars: u32) -> ThreatModel {
    ThreatModel {
        goal: "wrong labels, and a student that learned them",
        knowledge: "the true class of every query, and how all honest teachers vote",
        capability: "teachers that collude vote for the strongest wrong class",
        norm: None,
        eps: Vec::new(),
        budget: Budget::default(),
        poisoned_silos_max: 0,
        colluders_max: liars,
        atlas: vec![POISON_TRAINING_DATA, ERODE_MODEL],
    }
}

/// Lets the first `liars` teachers of the ballots lie, for each number of liars, and draws noise `draws` times for every query.
pub fn run<G: NoiseGenerator>(
    ballots: &Ballots,
    truth: &[Label],
    mechanism: &Mechanism,
    liars: &[usize],
    draws: u32,
    mut noise: impl FnMut(usize, u32) -> Result<G>,
) -> Result<Vec<Lied>> {
    if truth.len() != ballots.queries().len() || draws == 0 {
        let fix = format!("give the true class of each of the {} queries, and draw", ballots.queries().len());
        return Err(Error::setting("truth", truth.len(), fix));
    }
    let honest = counts(ballots, truth, 0);
    let mut lied = Vec::with_capacity(liars.len());
    for &liars in liars {
        let dishonest = counts(ballots, truth, liars);
        let (mut outcomes, mut judged, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let law = ArgmaxLaw::of(mechanism);
        for (query, counts) in dishonest.iter().enumerate() {
            let class = truth[query].index();
            let bound = probability_right(law, &honest[query], class, liars as u64);
            let counts = VoteCounts::new(counts.clone())?;
            for draw in 0..draws {
                let outcome = mechanism.release(&counts, &mut noise(query, draw)?).outcome;
                if let Outcome::Label(label) = outcome {
                    judged.push(label.position() == class);
                    bounds.push(bound);
                }
                if draw == 0 {
                    outcomes.push(outcome);
                }
            }
        }
        let certified = honest.iter().zip(truth).map(|(counts, truth)| {
            survives(counts, truth.index()).is_some_and(|survives| survives >= liars as u64)
        });
        let right = Proportion::count(judged);
        lied.push(Lied {
            liars,
            outcomes,
            right,
            floor: Floor::under(right, &bounds),
            certified: Proportion::count(certified),
        });
    }
    Ok(lied)
}

/// Counts of every query after the first `liars` teachers voted for the class, other than the true one, that has most
/// votes of the others; the lowest of equals.
pub fn counts(ballots: &Ballots, truth: &[Label], liars: usize) -> Vec<Vec<u64>> {
    let liars = liars.min(ballots.teachers());
    let of_query = |(votes, truth): (&[Label], &Label)| {
        let mut counts = vec![0; ballots.classes()];
        votes[liars..].iter().for_each(|vote| counts[vote.index()] += 1);
        if let Some(strongest) = strongest_other(&counts, truth.index()) {
            counts[strongest] += liars as u64;
        }
        counts
    };
    ballots.queries().zip(truth).map(of_query).collect()
}

/// The most votes that may be anything without moving the largest count from `class` (ties go to the lowest class);
/// `None` when it does not have the largest count at all.
pub fn survives(counts: &[u64], class: usize) -> Option<u64> {
    let survives = |(other, votes): (usize, &u64)| {
        let lead = counts[class].checked_sub(*votes)?;
        if class < other { Some(lead / 2) } else { lead.checked_sub(1).map(|lead| lead / 2) }
    };
    let others = counts.iter().enumerate().filter(|(other, _)| *other != class);
    others.map(survives).try_fold(u64::MAX, |least, survived| survived.map(|survived| least.min(survived)))
}

/// A bound from public parameters: a label whose class has at least `threshold` of all votes keeps the largest count
/// unless more than this many of `teachers` lie.
pub const fn survived_above(threshold: u64, teachers: u64) -> u64 {
    (2 * threshold).saturating_sub(teachers + 1) / 2
}

/// The least probability that the noisy argmax names `class` after any `moved` votes were changed.
///
/// The worst that k changed votes can do is to take k from `class` and give them to its strongest rival: the probability is the
/// mean over the noise of Π F(c − n_i), F is log-concave, so for every c one more vote costs most where most votes are.
pub fn probability_right(law: ArgmaxLaw, counts: &[u64], class: usize, moved: u64) -> f64 {
    let mut counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    let strongest =
        (0..counts.len()).filter(|other| *other != class).max_by(|a, b| counts[*a].total_cmp(&counts[*b]));
    let Some(strongest) = strongest else { return 1.0 };
    counts[class] = (counts[class] - moved as f64).max(0.0);
    counts[strongest] += moved as f64;
    law.probabilities(&counts)[class]
}

fn strongest_other(counts: &[u64], class: usize) -> Option<usize> {
    let others = (0..counts.len()).filter(|other| *other != class);
    others.max_by(|a, b| counts[*a].cmp(&counts[*b]).then(b.cmp(a)))
}

/// [`survived_above`] in words, for the contract's mechanism and teachers.
pub(super) fn survived_in_words(mechanism: &Mechanism, teachers: u64) -> String {
    let Mechanism::ConfidentGnMax(confident) = mechanism else {
        return "From public parameters alone nothing follows here: the contract has no threshold, so no count is known to be large."
            .to_owned();
    };
    let threshold = confident.threshold().votes();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of votes, above 0")]
    let survived = survived_above(threshold.ceil() as u64, teachers);
    format!(
        "From public parameters alone: a class with the contract's threshold of T = {threshold} of its n = {teachers} votes keeps the largest \
         count against {survived} liars, (2T − n − 1)/2 rounded down. That is of the counts; the threshold is tested with noise \
         (σ1 = {}), so a released label does not prove that its count reached T.",
        confident.sigma1().votes()
    )
}

/// What a report says of it. `students` are the shares of test rows that a student of each row of `lied` judges rightly.
pub fn finding(
    lied: &[Lied],
    students: &[Option<Proportion>],
    ballots: &Ballots,
    mechanism: &Mechanism,
    draws: u32,
) -> Finding {
    let (teachers, queries) = (ballots.teachers(), ballots.queries().len());
    let mut measurements = Vec::new();
    for lied in lied {
        let measured = |measure, share| Measurement::of_share(measure, VARIABLE, lied.liars as f64, share);
        measurements.push(measured(LABELS_RIGHT, lied.right).with_floor(lied.floor.share));
        // Votes without noise: nothing was sampled, so there is no interval.
        let certified = Measurement { low: None, high: None, ..measured(CERTAIN, lied.certified) };
        measurements.push(certified);
    }
    for (lied, student) in lied.iter().zip(students) {
        measurements.extend(
            student.map(|share| Measurement::of_share(STUDENT_RIGHT, VARIABLE, lied.liars as f64, share)),
        );
    }
    let told = |lied: &Lied| {
        format!(
            "With {} of {teachers} lying, the expected share of right labels is at least {} on these {queries} queries whatever they do; \
             observed {}.",
            lied.liars,
            per_cent(lied.floor.share),
            lied.right.in_words()
        )
    };
    // The most liars under whom most labels stay right for certain, and the next number.
    let after = lied.iter().position(|lied| lied.floor.share <= 0.5).unwrap_or(lied.len());
    let told: Vec<String> = lied.iter().take(after + 1).skip(after.saturating_sub(1)).map(told).collect();
    let broken = lied.iter().any(|lied| lied.floor.is_surely_passed());
    let drawn = (lied.len() * queries) as u64 * u64::from(draws);
    Finding {
        attack: "lying-teachers",
        title: "Teachers that lie with their votes",
        threat: threat_model(lied.iter().map(|lied| lied.liars).max().unwrap_or(0).try_into().unwrap_or(u32::MAX)),
        method: format!(
            "The votes of the campaign are taken, the first k teachers vote for the wrong class that has most of the other votes, and the \
             noise of the contract is drawn {draws} times on each of the {queries} queries, from the seed of the run. A \
             label is right where it is the true class; abstentions do not count. The student learns from the first draw of each query."
        ),
        not_tried: "Lies that all aim at one class, or at a few queries; lies that follow the labels released before; teachers that \
                    abstain or answer late.".to_owned(),
        asked: vec![Asked::new(drawn, "draws of the noise on votes that are changed on paper")],
        privacy_cost: "Nothing was asked of the target, so nothing was charged: only a simulation knows single votes.".to_owned(),
        result: told.join(" "),
        bound: format!(
            "A lie moves one vote, so k liars can at worst take k votes from the true class and give them to its strongest rival; the \
             probability that the noisy argmax is right then is exact, given the honest counts that only a simulation knows. {}",
            survived_in_words(mechanism, teachers as u64)
        ),
        broken_if: broken_below_the_floor(),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        verdict_words: None,
        measurements,
        captions: [
            (
                LABELS_RIGHT,
                format!(
                    "Released labels, of {draws} draws on each of {queries} queries. The interval is over the noise alone: queries and votes \
                     are fixed."
                ),
            ),
            (
                CERTAIN,
                "Queries whose largest count is the true class whatever so many teachers do. Counted without noise, so without interval."
                    .to_owned(),
            ),
            (STUDENT_RIGHT, STUDENT_CAPTION.to_owned()),
        ]
        .into(),
    }
}

/// When [`Floor::is_surely_passed`] says so.
pub(super) fn broken_below_the_floor() -> String {
    format!(
        "The promise is a floor on the expected share of right labels. It counts as broken only if so few right labels, or fewer, come with a \
         probability of at most {FALSE_ALARM:e} where every label is right with just the probability that is promised of it (the exact \
         Poisson binomial law; rounding never accuses). So a figure a little below its floor breaks nothing."
    )
}

const VARIABLE: &str = "lying teachers";
pub(super) const LABELS_RIGHT: &str = "labels right";
const CERTAIN: &str = "labels certain without noise";
pub(super) const STUDENT_RIGHT: &str = "student right";
/// Of [`STUDENT_RIGHT`].
pub(super) const STUDENT_CAPTION: &str = "Test rows, judged by one student of one campaign. The interval is over the choice of test rows, not over the noise.";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every way to change `left` votes, by brute force.
    fn some_change_moves_the_largest(counts: &mut [u64], class: usize, left: u64) -> bool {
        let largest = (0..counts.len()).max_by(|a, b| counts[*a].cmp(&counts[*b]).then(b.cmp(a)));
        if largest != Some(class) {
            return true;
        }
        left > 0
            && (0..counts.len()).any(|from| {
                (0..counts.len()).any(|to| {
                    if counts[from] == 0 || from == to {
                        return false;
                    }
                    counts[from] -= 1;
                    counts[to] += 1;
                    let moved = some_change_moves_the_largest(counts, class, left - 1);
                    counts[from] += 1;
                    counts[to] -= 1;
                    moved
                })
            })
    }

    proptest! {
        #[test]
        fn a_certificate_is_what_brute_force_finds(counts in prop::collection::vec(0_u64..6, 2..4), class in 0_usize..2) {
            prop_assume!(counts.iter().sum::<u64>() > 0);
            let survived = survives(&counts, class);
            for changed in 0..3 {
                let moves = some_change_moves_the_largest(&mut counts.clone(), class, changed);
                prop_assert_eq!(moves, survived.is_none_or(|survived| survived < changed), "{:?} {}", counts, changed);
            }
        }

        #[test]
        fn no_way_to_lie_is_worse_than_the_bound(counts in prop::collection::vec(0_u64..9, 3..4), to in prop::collection::vec(0_usize..3, 3)) {
            let law = ArgmaxLaw::Gaussian(2.0);
            let mut changed = counts.clone();
            let mut moved = 0;
            for to in to {
                if changed[0] > 0 && to != 0 {
                    changed[0] -= 1;
                    changed[to] += 1;
                    moved += 1;
                }
            }
            let changed: Vec<f64> = changed.iter().map(|count| *count as f64).collect();
            let bound = probability_right(law, &counts, 0, moved);
            prop_assert!(law.probabilities(&changed)[0] >= bound - 1e-9);
        }
    }

    #[test]
    fn the_public_bound_is_told_as_a_number_where_the_contract_has_a_threshold() {
        use conclave_privacy::mechanism::{ConfidentGnMax, GnMax};
        use conclave_privacy::quantity::{Lattice, NoiseScale, Threshold};
        let lattice = Lattice::DEFAULT;
        let noise = |sigma| NoiseScale::from_votes(sigma, lattice).unwrap();
        // 250 teachers, T = 200, as in the papers: after 74 lies at least 126 to 124, after 75 perhaps 125 to 125.
        let threshold = Threshold::from_votes(200.0, lattice).unwrap();
        let confident = ConfidentGnMax::new(threshold, noise(150.0), noise(40.0)).unwrap().into();
        let told = survived_in_words(&confident, 250);
        assert!(
            told.contains("T = 200 of its n = 250 votes keeps the largest count against 74 liars"),
            "{told}"
        );
        let told = survived_in_words(&GnMax::new(noise(40.0)).into(), 250);
        assert!(told.contains("no threshold"), "{told}");
    }

    #[test]
    fn the_public_bound_is_below_every_certificate() {
        for other in 0..=40_u64 {
            let counts = [100 - other, other];
            if let Some(survived) = survives(&counts, 0) {
                assert!(survived_above(100 - other, 100) <= survived, "{counts:?}");
            }
        }
    }
}
