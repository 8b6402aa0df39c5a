//! Every attack succeeds on the weakness that it is meant for, and stays under its bound without it: in this process, in a second.
//!
//! The same on builds that are weakened, over the wire: `conclave/tests/promises/attacks.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::HashMap;

use conclave_attack_harness::access::{Answer, Ballots, Releases};
use conclave_attack_harness::attacks::lying_teachers;
use conclave_attack_harness::attacks::poisoning::{self, Honest};
use conclave_attack_harness::attacks::repeated_query::{self, Heard};
use conclave_attack_harness::audit::{self, Audited};
use conclave_attack_harness::law::ArgmaxLaw;
use conclave_attack_harness::meter::{Budget, Meter};
use conclave_attack_harness::report::Verdict;
use conclave_attack_harness::world::{Campaigned, World};
use conclave_learning::Label;
use conclave_privacy::mechanism::{GnMax, Mechanism, Outcome};
use conclave_privacy::noise::{NoiseSource as _, SimulationNoise};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, Rho};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::{ClassIndex, VoteCounts};

const SIGMA: f64 = 40.0;
const VOTES: [u64; 3] = [70, 20, 10];

fn gnmax(sigma: f64) -> Mechanism {
    GnMax::new(NoiseScale::from_votes(sigma, Lattice::DEFAULT).unwrap()).into()
}

/// A release path with a store of answers, or without one.
struct Campaign {
    noise: SimulationNoise,
    stored: Option<HashMap<usize, Outcome>>,
    draws: u32,
}

impl Campaign {
    fn new(stores: bool) -> Self {
        Self { noise: SimulationNoise::new(5), stored: stores.then(HashMap::new), draws: 0 }
    }

    fn draw(&mut self) -> Outcome {
        self.draws += 1;
        let mut generator = self.noise.generator("weakened", &[0; 32], self.draws).unwrap();
        gnmax(SIGMA).release(&VoteCounts::new(VOTES.to_vec()).unwrap(), &mut generator).outcome
    }
}

impl Releases for Campaign {
    fn ask(&mut self, query: usize) -> conclave_attack_harness::Result<Answer> {
        if let Some(outcome) = self.stored.as_ref().and_then(|stored| stored.get(&query)) {
            return Ok(Answer { outcome: *outcome, charged: Rho::ZERO });
        }
        let outcome = self.draw();
        if let Some(stored) = &mut self.stored {
            stored.insert(query, outcome);
        }
        // What a build that forgot its answers forgets to charge, too.
        Ok(Answer { outcome, charged: Rho::ZERO })
    }
}

#[test]
fn averaging_reads_the_votes_where_answers_are_not_stored_and_nothing_where_they_are() {
    let (law, counts) = (ArgmaxLaw::Gaussian(SIGMA), [VOTES.to_vec()]);
    for (stores, verdict) in [(true, Verdict::Held), (false, Verdict::Broken)] {
        let mut meter = Meter::new(Campaign::new(stores), Budget::rows(4_000));
        let heard = repeated_query::run(&[0], 4_000, 3, &mut meter, || ()).unwrap();
        let found = repeated_query::finding(&heard, meter.spent().rows, Some((law, &counts)));
        assert_eq!(found.verdict, verdict, "{}", found.result);
        let error = Heard::error(&heard[0].histogram(law, 100.0), &VOTES);
        if stores {
            assert!(heard[0].extra_bits() <= 0.0, "{heard:?}");
            assert!(error > 0.1, "a single answer tells the votes to within {error}");
        } else {
            assert!(error < 0.03, "4000 answers tell the votes only to within {error}");
        }
    }
}

/// Ten silos of ten teachers, of which eight know each of 300 queries.
fn honest_ballots() -> (Ballots, Vec<Label>) {
    let truth: Vec<Label> = (0..300_u16).map(|query| Label::new(query % 3)).collect();
    let vote = |query: usize, teacher: usize| {
        let knows = (query * 7 + teacher * 13) % 10 < 8;
        Label::new((truth[query].get() + u16::from(!knows)) % 3)
    };
    let votes = (0..300).map(|query| (0..100).map(|teacher| vote(query, teacher)).collect()).collect();
    (Ballots::new(3, votes).unwrap(), truth)
}

/// Where each poisoned teacher has `weight` votes; one, unless somebody weakened the tally.
struct Tally {
    ballots: Ballots,
    truth: Vec<Label>,
    weight: u64,
}

impl World for Tally {
    fn campaign(&mut self, silos: u32) -> conclave_attack_harness::Result<Campaigned> {
        let mut noise = SimulationNoise::new(9);
        let mut outcomes = Vec::new();
        for (query, votes) in self.ballots.queries().enumerate() {
            let mut counts = vec![0; self.ballots.classes()];
            for (teacher, vote) in votes.iter().enumerate() {
                let poisoned = teacher < 10 * silos as usize;
                let class = if poisoned { (self.truth[query].index() + 1) % 3 } else { vote.index() };
                counts[class] += if poisoned { self.weight } else { 1 };
            }
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(query as u64).to_le_bytes());
            let mut generator = noise.generator("tally", &id, silos)?;
            outcomes.push(gnmax(5.0).release(&VoteCounts::new(counts)?, &mut generator).outcome);
        }
        Ok(Campaigned { outcomes, student: None })
    }
}

#[test]
fn poison_passes_its_bound_only_where_a_teacher_has_more_than_one_vote() {
    let (ballots, truth) = honest_ballots();
    let counts = lying_teachers::counts(&ballots, &truth, 0);
    let law = ArgmaxLaw::Gaussian(5.0);
    let honest = Honest { counts: &counts, truth: &truth, teachers: &[10; 10], law };
    for (weight, verdict) in [(1, Verdict::Held), (3, Verdict::Broken)] {
        let mut world = Tally { ballots: ballots.clone(), truth: truth.clone(), weight };
        let poisoned = poisoning::run(&mut world, &honest, &[0, 1, 2], || ()).unwrap();
        assert_eq!(poisoned.iter().map(|one| one.teachers).collect::<Vec<_>>(), [0, 10, 20]);
        let found =
            poisoning::finding(&poisoned, &honest, "ε = 3 (unit record, adjacency add-remove, δ = 1e-5)");
        assert_eq!(found.verdict, verdict, "{}: {poisoned:?}", found.result);
        for told in [
            "With 2 of 10 silos poisoned (20 of 100 teachers)",
            "is at least ",
            "on these 300 queries; observed ",
        ] {
            assert!(found.result.contains(told), "{told}: {}", found.result);
        }
        let cost = &found.privacy_cost;
        assert!(cost.contains("its own cap, ε = 3 (unit record, adjacency add-remove, δ = 1e-5)"), "{cost}");
    }
}

/// Audits `release` on one query, charged as GNMax of σ = 40.
fn audited(mut release: impl FnMut(&VoteCounts) -> Outcome) -> Verdict {
    let (mechanism, delta, order) = (gnmax(SIGMA), Delta::new(1e-5).unwrap(), FilterOrder::DEFAULT);
    let sensitivity =
        Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let audited =
        Audited { mechanism: &mechanism, sensitivity: &sensitivity, delta, order, teachers: 100, classes: 3 };
    let bounded = audited.run(1, 2_000, |counts, _, _| Ok(release(counts))).unwrap();
    audit::finding(&[bounded], &audited, "unit record, adjacency add-remove, δ = 1e-5").verdict
}

#[test]
fn an_audit_sees_a_count_that_is_served_in_place_of_a_label() {
    let (mut noise, mut draws) = (SimulationNoise::new(7), 0);
    let drawn = |counts: &VoteCounts| {
        draws += 1;
        let mut generator = noise.generator("weakened", &[1; 32], draws).unwrap();
        gnmax(SIGMA).release(counts, &mut generator).outcome
    };
    assert_eq!(audited(drawn), Verdict::Held);
    let count =
        |counts: &VoteCounts| Outcome::Label(ClassIndex(u32::try_from(counts.as_slice()[0]).unwrap()));
    assert_eq!(audited(count), Verdict::Broken);
}
