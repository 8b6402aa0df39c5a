//! Plans: they fit the target as the ledger charges it, nothing nearby answers more questions right, and every account is what that
//! accountant says of the model's votes.

use crate::data_dependent::{ANALYST, scale};
use crate::published_votes::votes_of;
use conclave_privacy::accountant::{Direction, epsilon_to_rho, filter_order_for};
use conclave_privacy::analysis::{AccountantName, Answered, Question, account, default_orders};
use conclave_privacy::data_dependent::{ArgmaxNoise, DataDependent, Method, NoisyVote, answer_is};
use conclave_privacy::planning::{Aim, PLANS_MAX, Plan, PublicVotes, Target, plans};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::{ClassIndex, Error, VoteCounts};

const TEACHERS: u32 = 250;

fn who(unit: PrivacyUnit) -> Sensitivity {
    Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

fn target(epsilon: f64, queries: u32) -> Target {
    let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), Delta::new(1e-5).unwrap());
    let order = filter_order_for(epsilon, delta);
    Target { queries, delta, order, sensitivity: who(PrivacyUnit::Record), aim: Aim::Budget(epsilon) }
}

fn known(votes: Vec<VoteCounts>, truth: Option<Vec<ClassIndex>>) -> Result<PublicVotes, Error> {
    let model = PublicVotes::declared_public(votes)?;
    match truth {
        Some(truth) => model.with_truth(truth),
        None => Ok(model),
    }
}

fn planned(target: &Target, model: &PublicVotes) -> Vec<Plan> {
    let mut steps = 0;
    let found = plans(target, TEACHERS, model, || steps += 1).unwrap();
    assert!(steps <= PLANS_MAX && found.len() as u64 == steps);
    found
}

#[test]
fn a_plan_for_a_target_is_charged_at_most_that_and_nearly_all_of_it() {
    let model = PublicVotes::assumed(TEACHERS, 10).unwrap();
    let subject = PrivacyUnit::Subject { max_silos_per_subject: 2 };
    for (epsilon, target) in [
        (3.0, target(3.0, 640)),
        (0.3, target(0.3, 20)),
        (3.0, target(3.0, 1)),
        (1.0, Target { order: FilterOrder::UNBOUNDED, ..target(1.0, 100) }),
        (2.0, Target { sensitivity: who(subject), ..target(2.0, 300) }),
    ] {
        let found = planned(&target, &model);
        assert!(found.len() >= 3, "{target:?}: {}", found.len());
        for plan in found {
            let charged = plan.charged;
            assert!(charged <= epsilon, "{target:?}: {charged} by {:?}", plan.mechanism);
            assert!(charged > 0.97 * epsilon, "{target:?}: {charged} by {:?}", plan.mechanism);
        }
    }
}

/// The most right answers over a grid of thresholds and tests, by published prices.
fn best_by_hand(votes: &[VoteCounts], truth: &[ClassIndex], epsilon: f64, queries: f64) -> f64 {
    let cap = epsilon_to_rho(Epsilon::new(epsilon).unwrap(), Delta::new(1e-5).unwrap()).to_f64_up();
    let mut most = 0.0_f64;
    for threshold in (0..=25).map(|step| f64::from(step) * 10.0) {
        for share in [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5] {
            let sigma1 = (queries / (2.0 * share * cap)).sqrt();
            let test = NoisyVote::ConfidentGnMax { threshold, sigma1: scale(sigma1), sigma2: scale(1.0) };
            let data = DataDependent::new(test, Method::Published, &[]).unwrap();
            let passes: Vec<f64> = votes.iter().map(|counts| data.answered(counts).open(&ANALYST)).collect();
            let each = queries / votes.len() as f64;
            let sigma2 = (each * passes.iter().sum::<f64>() / ((1.0 - share) * cap)).sqrt();
            let noise = ArgmaxNoise::Gaussian(scale(sigma2.max(1e-3)));
            let right = votes.iter().zip(truth).zip(&passes);
            let right = right.map(|((counts, truth), passes)| {
                each * passes * answer_is(noise, counts, *truth).open(&ANALYST)
            });
            most = most.max(right.sum());
        }
    }
    most
}

#[test]
fn no_threshold_and_no_test_answer_more_questions_right_than_those_that_are_found() {
    let model = PublicVotes::assumed(TEACHERS, 10).unwrap();
    let truth: Vec<_> = (0..20).map(|row| ClassIndex(u32::from(row == 18 || row == 19))).collect();
    // On all questions but one the teachers are divided and wrong, on that one a narrow majority is right: leaving the others out pays.
    let divided = VoteCounts::new(vec![60, 60, 50, 40, 40, 0, 0, 0, 0, 0]).unwrap();
    let narrow = VoteCounts::new(vec![140, 110, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let votes: Vec<_> = std::iter::repeat_n(divided, 19).chain([narrow]).collect();
    let wrong: Vec<_> = std::iter::repeat_n(ClassIndex(9), 19).chain([ClassIndex(0)]).collect();
    let divided_model = known(votes, Some(wrong.clone())).unwrap();
    for (model, truth, epsilon, queries, pays) in [
        (&model, &truth, 1.0, 1000, false),
        (&model, &truth, 3.0, 640, false),
        (&divided_model, &wrong, 3.0, 100, true),
    ] {
        let target = Target { order: FilterOrder::UNBOUNDED, ..target(epsilon, queries) };
        let found = planned(&target, model);
        let right = found[0].right();
        let by_hand = best_by_hand(model.rows(), truth, epsilon, f64::from(queries));
        assert!(right >= 0.998 * by_hand, "{epsilon}, {queries}: {right} right, but {by_hand} by hand");
        let confident = matches!(found[0].mechanism, NoisyVote::ConfidentGnMax { .. });
        assert_eq!(confident, pays, "{epsilon}, {queries}: {:?}", found[0].mechanism);
        assert!(found.is_sorted_by(|a, b| a.right() >= b.right()));
        let kinds = |of: fn(&NoisyVote) -> bool| found.iter().any(|plan| of(&plan.mechanism));
        assert!(kinds(|mechanism| matches!(mechanism, NoisyVote::LnMax { .. })));
        assert!(kinds(|mechanism| matches!(mechanism, NoisyVote::GnMax { .. })));
        assert!(
            found.iter().filter(|plan| matches!(plan.mechanism, NoisyVote::ConfidentGnMax { .. })).count()
                >= 4
        );
    }
}

#[test]
fn accuracy_is_about_the_truth_and_agreement_about_the_votes() {
    let votes = vec![VoteCounts::new(vec![240, 5, 5]).unwrap(), VoteCounts::new(vec![10, 230, 10]).unwrap()];
    let of = |truth: Option<[u32; 2]>| {
        let truth = truth.map(|truth| truth.map(ClassIndex).to_vec());
        planned(&target(3.0, 20), &known(votes.clone(), truth).unwrap())
    };
    for plan in of(None) {
        assert_eq!(plan.accuracy, None);
        assert!(plan.agreement > 0.9);
    }
    for plan in of(Some([0, 0])) {
        let accuracy = plan.accuracy.unwrap();
        assert!((0.4..0.75).contains(&accuracy) && plan.agreement > 0.9, "{accuracy}");
    }
    let wrong = |truth: Vec<ClassIndex>| known(votes.clone(), Some(truth)).unwrap_err();
    assert!(matches!(wrong(vec![ClassIndex(0)]), Error::Length { field: "truth", .. }));
    assert!(matches!(wrong(vec![ClassIndex(0), ClassIndex(3)]), Error::OutOfRange { field: "truth", .. }));
}

#[test]
fn the_probability_of_each_answer_is_the_same_by_both_noises_as_by_hand() {
    // Two classes and Laplace noise: 1 - (2 + d)/4 e^-d for the leader. Gaussian noise: Φ(d/√2).
    let counts = VoteCounts::new(vec![60, 40]).unwrap();
    let gap: f64 = 20.0 / 8.0;
    let behind = (2.0 + gap) / 4.0 * (-gap).exp();
    let laplace =
        |class| answer_is(ArgmaxNoise::Laplace(scale(8.0)), &counts, ClassIndex(class)).open(&ANALYST);
    assert!((laplace(0) - (1.0 - behind)).abs() < 1e-12 && (laplace(1) - behind).abs() < 1e-12);
    assert!(laplace(2) <= 0.0);
    let three = VoteCounts::new(vec![90, 80, 80, 0]).unwrap();
    for noise in [ArgmaxNoise::Laplace(scale(10.0)), ArgmaxNoise::Gaussian(scale(20.0))] {
        let of = |class| answer_is(noise, &three, ClassIndex(class)).open(&ANALYST);
        let sum: f64 = (0..4).map(of).sum();
        assert!(
            (sum - 1.0).abs() < 1e-12 && (of(1) - of(2)).abs() < 1e-15 && of(0) > of(1) && of(1) > of(3),
            "{sum}"
        );
    }
    // Many classes: all alike, and one ahead of them that wins by the largest of many draws.
    let alike = VoteCounts::new(vec![5; 1000]).unwrap();
    let of = answer_is(ArgmaxNoise::Laplace(scale(1.0)), &alike, ClassIndex(7)).open(&ANALYST);
    assert!((of - 1e-3).abs() < 1e-12, "{of}");
    // Far apart, an answer is certain and no integral is long.
    let far = VoteCounts::new(vec![1_000_000_000, 0, 3]).unwrap();
    let of = |class| answer_is(ArgmaxNoise::Laplace(scale(1e-3)), &far, ClassIndex(class)).open(&ANALYST);
    assert!((of(0) - 1.0).abs() < 1e-12 && of(2) < 1e-30);
}

#[test]
fn exact_costs_and_plans_of_many_classes_come_to_an_end() {
    let model = PublicVotes::assumed(TEACHERS, 1000).unwrap();
    for plan in planned(&target(3.0, 20), &model) {
        assert!(plan.accounts.iter().any(|one| one.accountant == AccountantName::Exact));
        assert!(plan.charged <= 3.0 && plan.agreement > 0.5, "{:?}", plan.mechanism);
    }
}

#[test]
fn accounts_of_the_model_are_those_of_its_votes() {
    let votes = votes_of("mnist")[..100].to_vec();
    let model = known(votes.clone(), None).unwrap();
    let target = target(3.0, 100);
    for plan in planned(&target, &model) {
        let confident = matches!(plan.mechanism, NoisyVote::ConfidentGnMax { .. });
        for found in plan.accounts.iter().filter(|found| !found.holds_for_all_votes()) {
            let question = Question {
                mechanism: plan.mechanism,
                lattice: None,
                delta: target.delta,
                orders: default_orders(),
                conversion: conclave_privacy::accountant::Conversion::Tight,
                answered: found.answered,
                checkpoints: vec![100],
                curves: false,
            };
            let (asked, _) = account(found.accountant, &question, &votes, &ANALYST, || ()).unwrap();
            let asked = asked[0].loss.epsilon;
            let off = (found.loss.epsilon / asked - 1.0).abs();
            assert!(off < 1e-9, "{:?} {found:?}: not {asked}", plan.mechanism);
        }
        let has = |name, answered: fn(&Answered) -> bool| {
            plan.accounts.iter().any(|found| found.accountant == name && answered(&found.answered))
        };
        let stated = |answered: &Answered| matches!(answered, Answered::Stated(_));
        let expected = |answered: &Answered| *answered == Answered::Expected;
        let joint = |answered: &Answered| *answered == Answered::Joint;
        for name in
            [AccountantName::Zcdp, AccountantName::Rdp, AccountantName::Pld, AccountantName::ExactWorstCase]
        {
            assert!(has(name, stated), "{name:?}");
        }
        assert!(has(AccountantName::RdpDataDependent, expected) && has(AccountantName::Exact, expected));
        assert_eq!(has(AccountantName::Exact, joint), confident);
        let laplace = matches!(plan.mechanism, NoisyVote::LnMax { .. });
        assert!(
            has(AccountantName::Pure, stated) == laplace && has(AccountantName::Advanced, stated) == laplace
        );
        assert_eq!(has(AccountantName::Gdp, stated), !laplace);
        assert!(plan.accounts.iter().all(|found| found.accountant.direction() != Direction::LowerBound));
    }
}

#[test]
fn more_moved_votes_cost_as_much_as_less_noise_and_what_is_of_one_vote_is_left_out() {
    let model = PublicVotes::assumed(TEACHERS, 10).unwrap();
    let with = |unit, sigma| {
        let aim = Aim::Noise(scale(sigma));
        let target = Target { sensitivity: who(unit), aim, ..target(3.0, 100) };
        let found = planned(&target, &model);
        let found = found.into_iter().find(|plan| matches!(plan.mechanism, NoisyVote::GnMax { .. })).unwrap();
        let accounts: Vec<_> = found.accounts.iter().map(|one| (one.accountant, one.loss.epsilon)).collect();
        (accounts, found.charged)
    };
    let (one, _) = with(PrivacyUnit::Record, 40.0);
    let (two, charged) = with(PrivacyUnit::Subject { max_silos_per_subject: 2 }, 80.0);
    for (name, epsilon) in &two {
        let there = one.iter().find(|(other, _)| other == name).unwrap().1;
        assert!((epsilon / there - 1.0).abs() < 1e-6, "{name:?}: {epsilon}, not {there}");
    }
    assert!(two.iter().all(|(name, _)| *name != AccountantName::ExactWorstCase && name.cost_publishable()));
    assert!(charged > one.iter().find(|(name, _)| *name == AccountantName::ExactWorstCase).unwrap().1);
}
