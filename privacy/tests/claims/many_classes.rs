//! A million classes: every mechanism draws over them and every accountant prices them, in no more than moments; one more is refused.

use conclave_privacy::Error;
use conclave_privacy::accountant::Conversion;
use conclave_privacy::analysis::{AccountantName, Answered, Question, account};
use conclave_privacy::contribution::{ContributionBound, Contributions};
use conclave_privacy::counts::{ClassIndex, VoteCounts};
use conclave_privacy::data_dependent::{DataDependent, Method, NoisyVote};
use conclave_privacy::individualised::WeightGrid;
use conclave_privacy::mechanism::{
    ConfidentGnMax, ExponentialMechanism, GnMax, InteractiveGnMax, LnMax, Mechanism, NoisyHistogram, Outcome,
    PermuteAndFlip, StudentPrediction,
};
use conclave_privacy::noise::{NoiseSource, SimulationNoise};
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::quantity::{Delta, Lattice, NoiseScale, RdpOrder, Scale, Threshold};
use conclave_privacy::secret::Analyst;
use conclave_privacy::smooth_sensitivity::GnMaxSensitivity;

const MILLION: usize = 1_000_000;
const LAST: ClassIndex = ClassIndex(999_999);

/// 900 of 1,000 votes for the last class, the others for one each.
fn votes() -> impl Iterator<Item = ClassIndex> {
    (0..1000).map(|vote| if vote < 900 { LAST } else { ClassIndex(vote * 997) })
}

fn scale(votes: f64) -> NoiseScale {
    NoiseScale::from_votes(votes, Lattice::DEFAULT).unwrap()
}

#[test]
fn every_mechanism_answers_among_a_million_classes() {
    let counts = VoteCounts::from_votes(MILLION, votes()).unwrap();
    assert_eq!((counts.classes(), counts.as_slice()[999_999]), (MILLION, 900));
    let mut generator = SimulationNoise::new(3).generator("million", &[0; 32], 0).unwrap();
    let threshold = Threshold::from_votes(500.0, Lattice::DEFAULT).unwrap();
    let confident = ConfidentGnMax::new(threshold, scale(20.0), scale(10.0)).unwrap();
    // Noise of a million classes reaches 5 σ and 14 b: the leading class is far above it.
    let drawn = [
        Mechanism::from(GnMax::new(scale(10.0))).release(&counts, &mut generator),
        Mechanism::from(LnMax::new(scale(10.0))).release(&counts, &mut generator),
        Mechanism::from(confident).release(&counts, &mut generator),
        PermuteAndFlip::new(scale(10.0)).release(&counts, &mut generator),
        ExponentialMechanism::new(scale(10.0)).release(&counts, &mut generator),
    ];
    assert!(drawn.iter().all(|draw| draw.outcome == Outcome::Label(LAST)));

    let mut probabilities = vec![0.0; MILLION];
    probabilities[999_999] = 1.0;
    let student = StudentPrediction::new(1000, &probabilities).unwrap();
    let own =
        InteractiveGnMax::new(confident, 0.9).unwrap().release(&counts, &student, &mut generator).unwrap();
    assert_eq!(own.outcome, Outcome::Label(LAST), "the student's own class");

    let noisy =
        NoisyHistogram::Gaussian(scale(10.0)).release(std::slice::from_ref(&counts), &mut generator).unwrap();
    let margin = Threshold::from_votes(100.0, Lattice::DEFAULT).unwrap();
    assert_eq!(noisy.labels(margin).unwrap(), [Outcome::Label(LAST)]);

    let grid = WeightGrid::new(10).unwrap();
    let weight = grid.weight(0.5).unwrap();
    let weighted = grid.counts(MILLION, votes().map(|vote| (vote, weight))).unwrap();
    assert_eq!(weighted.as_slice()[999_999], 4500);
    let mut bounded = Contributions::new(1, ContributionBound::new(1).unwrap());
    assert_eq!(bounded.count(MILLION, &[(0, LAST)]).unwrap().as_slice()[999_999], 1);
}

#[test]
fn every_accountant_prices_a_million_classes_in_moments() {
    let analyst = Analyst::who_may_see_the_votes();
    let counts = VoteCounts::from_votes(MILLION, votes()).unwrap();
    let sigma = Scale::new(60.0).unwrap();
    let orders: Vec<_> = [2.0, 8.0].map(|order| RdpOrder::new(order).unwrap()).to_vec();
    let question = Question {
        mechanism: NoisyVote::ConfidentGnMax {
            threshold: 800.0,
            sigma1: Scale::new(150.0).unwrap(),
            sigma2: sigma,
        },
        lattice: None,
        delta: Delta::new(1e-6).unwrap(),
        orders: orders.clone(),
        conversion: Conversion::Tight,
        answered: Answered::All,
        checkpoints: vec![3],
        curves: false,
    };
    let rows = vec![counts.clone(); 3];
    let epsilon = |name| account(name, &question, &rows, &analyst, || {}).unwrap().0[0].loss.epsilon;
    let names =
        [AccountantName::Zcdp, AccountantName::Rdp, AccountantName::RdpDataDependent, AccountantName::Exact];
    let [zcdp, rdp, published, exact] = names.map(epsilon);
    assert!(exact <= published && published <= rdp && zcdp > 0.0, "{exact} {published} {rdp} {zcdp}");

    // Empty classes add to what the others cost, and are counted, all of them: q grows with each.
    let cost = |classes: usize| {
        let counts = VoteCounts::from_votes(
            classes,
            votes().map(|vote| if vote == LAST { ClassIndex(1) } else { ClassIndex(0) }),
        );
        let mut exact = DataDependent::new(
            NoisyVote::GnMax { sigma: Scale::new(150.0).unwrap() },
            Method::Exact,
            &orders,
        )
        .unwrap();
        exact.steps(&counts.unwrap()).open(&analyst).argmax[1]
    };
    assert!(
        cost(MILLION) > 1.5 * cost(1000) && cost(1000) > 1.5 * cost(2),
        "{} {} {}",
        cost(MILLION),
        cost(1000),
        cost(2)
    );

    let sensitivity = GnMaxSensitivity::new(sigma, MILLION, RdpOrder::new(8.0).unwrap()).unwrap();
    let local = sensitivity.of(&counts).unwrap().local().open(&analyst);
    assert!(local.len() == 1000 && local.iter().all(|step| step.is_finite()) && local[999] > 0.0);
    // Anything quadratic in the classes would take hours, and no runner waits for that.
}

#[test]
fn a_million_distinct_counts_are_charged_the_bound_that_holds_for_all() {
    let counts = VoteCounts::new((0..MILLION as u64).collect()).unwrap();
    let orders = [RdpOrder::new(8.0).unwrap()];
    let analyst = Analyst::who_may_see_the_votes();
    for mechanism in [
        NoisyVote::GnMax { sigma: Scale::new(4e4).unwrap() },
        NoisyVote::LnMax { scale: Scale::new(4e4).unwrap() },
    ] {
        let mut exact = DataDependent::new(mechanism, Method::Exact, &orders).unwrap();
        let bound = match mechanism {
            NoisyVote::LnMax { .. } => 16.0 / 1.6e9,
            _ => 8.0 / 1.6e9,
        };
        let found = exact.steps(&counts).open(&analyst).argmax[0];
        assert!(found >= bound && found < bound * (1.0 + 1e-9), "{found:e}");
        // And the account says for how many queries that was so.
        let question = Question {
            mechanism,
            lattice: None,
            delta: Delta::new(1e-6).unwrap(),
            orders: orders.to_vec(),
            conversion: Conversion::Tight,
            answered: Answered::All,
            checkpoints: vec![2],
            curves: false,
        };
        let rows = [counts.clone(), VoteCounts::from_votes(MILLION, [ClassIndex(0)]).unwrap()];
        let at = |name| account(name, &question, &rows, &analyst, || {}).unwrap().0[0].at_published_price;
        let laplace = matches!(mechanism, NoisyVote::LnMax { .. });
        // The exact costs of Laplace noise end at some number of classes.
        assert_eq!(at(AccountantName::Exact), if laplace { 2 } else { 1 });
        assert_eq!(
            (at(AccountantName::ExactWorstCase), at(AccountantName::Rdp)),
            (if laplace { 2 } else { 0 }, 0)
        );
    }
}

#[test]
fn one_class_more_than_a_million_is_refused_by_name_everywhere_and_so_are_counts_beyond_their_limit() {
    const MORE: usize = MILLION + 1;
    let refusal = Error::Classes { value: MORE, max: MILLION };
    assert_eq!(refusal.to_string(), "classes is 1000001: give between 2 and 1000000 classes");
    assert_eq!(VoteCounts::new(vec![0; MORE]).unwrap_err(), refusal);
    assert_eq!(VoteCounts::from_votes(MORE, []).unwrap_err(), refusal);
    assert_eq!(WeightGrid::new(1).unwrap().counts(MORE, []).unwrap_err(), refusal);
    assert_eq!(StudentPrediction::new(1, &vec![0.0; MORE]).unwrap_err(), refusal);
    assert_eq!(PublicVotes::assumed(250, MORE).unwrap_err(), refusal);
    assert_eq!(
        PublicVotes::assumed(250, usize::MAX).unwrap_err(),
        Error::Classes { value: usize::MAX, max: MILLION }
    );
    let (sigma, order) = (Scale::new(40.0).unwrap(), RdpOrder::new(4.0).unwrap());
    assert_eq!(GnMaxSensitivity::new(sigma, MORE, order).unwrap_err(), refusal);
    let outside = VoteCounts::from_votes(MILLION, [ClassIndex(1_000_000)]).unwrap_err();
    assert_eq!(outside, Error::VoteOutOfRange { max: 999_999 });
    assert_eq!(VoteCounts::from_votes(MILLION, [ClassIndex(u32::MAX)]).unwrap_err(), outside);
    let mut counts = vec![0; MILLION];
    counts[999_999] = VoteCounts::COUNT_MAX + 1;
    assert_eq!(VoteCounts::new(counts).unwrap_err(), Error::CountTooLarge);
}
