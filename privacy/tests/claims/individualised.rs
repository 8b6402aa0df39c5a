//! Individualised budgets: nobody pays more than its group allows, and a record moves what its method says, by brute force.

use conclave_privacy::Error;
use conclave_privacy::accountant::epsilon_to_rho_within;
use conclave_privacy::filter::{Charge, ZcdpFilter};
use conclave_privacy::individualised::{
    Copies, Group, GroupCharge, IndividualPlan, IndividualTarget, Method, Schedule, WeightGrid, plans,
};
use conclave_privacy::mechanism::{GnMax, Mechanism};
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, RdpOrder, Rho};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_privacy::worst_case;
use proptest::prelude::*;

const ROWS: u32 = 6;
const TEACHERS: u32 = 4;
const CLASSES: usize = 3;

/// The finaliser of SplitMix64.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The class that `teacher` names on `query` when its shard is `shard`, under the voting function `f`: any function of these.
fn vote(teacher: u32, shard: u64, query: u32, f: u64) -> usize {
    let key = mix(mix(mix(f ^ 0x51) ^ shard) ^ u64::from(teacher) << 32 ^ u64::from(query));
    usize::try_from(key % CLASSES as u64).unwrap()
}

#[test]
fn an_upsampled_record_moves_as_many_votes_as_it_has_copies_and_never_more() {
    let mut most = [0; TEACHERS as usize + 1];
    for world in 0..12_u32 {
        // The copies of a row are of its group; its teachers follow from the row alone.
        let copies = |row: u32| 1 + (row + world) % 3;
        let teachers_of = |row: u32| {
            let mut state = mix(u64::from(world) << 8 ^ u64::from(row));
            let teachers = Copies::new(copies(row), TEACHERS).unwrap().teachers_of(|| {
                state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
                state
            });
            assert_eq!(teachers.len(), copies(row) as usize);
            teachers
        };
        let assigned: Vec<_> = (0..ROWS).map(teachers_of).collect();
        let shard = |rows: u64, teacher: u32| -> u64 {
            (0..ROWS)
                .filter(|row| rows >> row & 1 == 1 && assigned[*row as usize].contains(&teacher))
                .map(|row| 1 << row)
                .sum()
        };
        for f in 0..20 {
            let counts = |rows: u64| {
                let mut counts = [0_i32; CLASSES];
                for teacher in 0..TEACHERS {
                    counts[vote(teacher, shard(rows, teacher), 0, f)] += 1;
                }
                counts
            };
            for rows in 0..1_u64 << ROWS {
                for row in (0..ROWS).filter(|row| rows >> row & 1 == 1) {
                    let (with, without) = (counts(rows), counts(rows & !(1 << row)));
                    let moves =
                        with.iter().zip(without).map(|(a, b)| (a - b).unsigned_abs()).sum::<u32>() / 2;
                    assert!(moves <= copies(row), "{moves} votes of {} copies", copies(row));
                    most[copies(row) as usize] = most[copies(row) as usize].max(moves);
                }
            }
        }
    }
    assert_eq!(most, [0, 1, 2, 3, 0], "each bound is attained");
    let who = record().copied(3).unwrap();
    assert_eq!((who.moves(), who.shift()), (3, 3));
}

#[test]
fn a_record_of_a_vanishing_teacher_changes_the_queries_that_it_pays_for_and_no_other() {
    const QUERIES: u32 = 9;
    for votes_on in 0..=QUERIES {
        let schedule = Schedule::new(QUERIES, votes_on, TEACHERS).unwrap();
        for f in 0..30 {
            // The first half of the teachers is scheduled; each row is in one shard.
            let counts = |rows: u64, query: u32| {
                let mut counts = [0_i32; CLASSES];
                for teacher in (0..TEACHERS).filter(|teacher| schedule.takes_part(*teacher, query).unwrap()) {
                    let shard = (0..ROWS).filter(|row| rows >> row & 1 == 1 && row % TEACHERS == teacher);
                    counts[vote(teacher, shard.map(|row| 1 << row).sum(), query, f)] += 1;
                }
                counts
            };
            for row in 0..ROWS {
                let everybody = (1 << ROWS) - 1;
                let changed = (0..QUERIES)
                    .filter(|query| counts(everybody, *query) != counts(everybody & !(1 << row), *query));
                let pays = |query: &u32| schedule.takes_part(row % TEACHERS, *query).unwrap();
                assert!(changed.clone().all(|query| pays(&query)));
                assert!(changed.count() <= votes_on as usize);
            }
        }
    }
}

fn record() -> Sensitivity {
    Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap()
}

fn group(share: f64, epsilon: f64) -> Group {
    Group::new(share, Epsilon::new(epsilon).unwrap()).unwrap()
}

fn planned(groups: &[Group], teachers: u32, queries: u32, order: FilterOrder) -> Vec<IndividualPlan> {
    let delta = Delta::new(1e-5).unwrap();
    let target = IndividualTarget { groups, teachers, queries, delta, order };
    plans(&target, &PublicVotes::assumed(teachers, 10).unwrap()).unwrap()
}

fn of(plans: &[IndividualPlan], method: Method) -> &IndividualPlan {
    plans.iter().find(|plan| plan.method == method).unwrap()
}

/// What one query costs a record, by another way than the planner's: of a person in as many silos as the record has copies; and
/// of heavier votes by the published bound alone.
fn price_otherwise(plan: &IndividualPlan, group: usize, order: FilterOrder) -> (Rho, bool) {
    let charge = &plan.groups[group];
    let unit = PrivacyUnit::Subject { max_silos_per_subject: charge.copies };
    let who = Sensitivity::of(unit, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let drawn = NoiseScale::from_votes(plan.sigma.get(), Lattice::DEFAULT).unwrap();
    let plain = Mechanism::from(GnMax::new(drawn));
    if charge.weight.total_cmp(&1.0).is_eq() {
        return (plain.worst_case_within(&who, order).unwrap(), true);
    }
    let published = charge.weight * charge.weight / (drawn.votes() * drawn.votes());
    (Rho::from_nats_up(published * (1.0 + 1e-9)).unwrap(), order.is_unbounded())
}

fn assert_sound(plans: &[IndividualPlan], groups: &[Group], queries: u32, order: FilterOrder) {
    assert_eq!(plans.len(), 4);
    assert!(plans.windows(2).all(|pair| pair[0].agreement >= pair[1].agreement));
    for plan in plans {
        for (index, (charge, group)) in plan.groups.iter().zip(groups).enumerate() {
            let name = plan.method.as_str();
            let (price, exactly) = price_otherwise(plan, index, order);
            assert!(charge.per_query <= price, "{name}: {:?}", charge.per_query);
            if exactly {
                let [here, there] = [charge.per_query, price].map(Rho::to_f64_up);
                assert!(here >= there * (1.0 - 1e-8) - 2e-12, "{name}: {here} and {there}");
            }
            // An account of the group's own budget admits every query that it takes part in.
            let cap = epsilon_to_rho_within(group.epsilon(), Delta::new(1e-5).unwrap(), order);
            let mut account = ZcdpFilter::new(cap, order);
            let per_query = Charge::new(charge.per_query, order);
            for _ in 0..charge.queries {
                account.reserve(per_query).unwrap();
                account.settle(per_query, per_query).unwrap();
            }
            assert_eq!((account.spent(), charge.cap), (charge.campaign, cap), "{name}");
            assert!(charge.queries <= queries && charge.epsilon <= group.epsilon().get(), "{name}");
            for (other, looser) in plan.groups.iter().zip(groups) {
                if looser.epsilon() > group.epsilon() {
                    assert!(charge.campaign <= other.campaign, "{name}: the stricter group pays more");
                }
            }
        }
    }
    // Nothing is worse than giving everybody the strictest budget, beyond the rounding of noise and weights.
    let plain = of(plans, Method::Uniform).votes_per_sigma();
    assert!(plans.iter().all(|plan| plan.votes_per_sigma() >= plain * 0.99), "{plans:?}");
}

/// Two to four groups of twentieths of the teachers, with budgets of tenths.
fn some_groups() -> impl Strategy<Value = Vec<Group>> {
    let parts = prop::collection::vec((1_u32..8, 2_u32..80), 2..5);
    parts.prop_map(|parts| {
        let sum: u32 = parts.iter().map(|(share, _)| share).sum();
        let made =
            |(share, tenths): (u32, u32)| group(f64::from(share) / f64::from(sum), f64::from(tenths) / 10.0);
        parts.into_iter().map(made).collect()
    })
}

proptest! {
    #[test]
    fn no_group_exceeds_its_budget_and_no_stricter_group_pays_more(
        groups in some_groups(), teachers in 60_u32..400, queries in 1_u32..2000,
    ) {
        let plans = planned(&groups, teachers, queries, FilterOrder::UNBOUNDED);
        assert_sound(&plans, &groups, queries, FilterOrder::UNBOUNDED);
        // With one constant in all prices, weighting has the most votes per σ.
        let most = of(&plans, Method::Weighting).votes_per_sigma();
        for plan in &plans {
            prop_assert!(plan.votes_per_sigma() <= most * 1.02, "{:?}", plan);
        }
    }

    #[test]
    fn with_equal_budgets_every_method_is_the_plain_one(
        parts in 1_usize..5, tenths in 2_u32..80, teachers in 60_u32..400, queries in 1_u32..2000,
    ) {
        let groups = vec![group(1.0 / parts as f64, f64::from(tenths) / 10.0); parts];
        let plans = planned(&groups, teachers, queries, FilterOrder::UNBOUNDED);
        assert_all_plain(&plans, teachers, queries);
    }
}

fn assert_all_plain(plans: &[IndividualPlan], teachers: u32, queries: u32) {
    for plan in plans {
        let same = IndividualPlan { method: plan.method, ..plans[0].clone() };
        assert_eq!(*plan, same);
        assert_eq!((plan.teachers, plan.votes), (teachers, f64::from(teachers)));
        let plain = |group: &GroupCharge| (group.copies, group.queries, group.weight) == (1, queries, 1.0);
        assert!(plan.groups.iter().all(plain));
    }
}

#[test]
fn at_exact_prices_budgets_hold_as_well_and_heavier_votes_pay_their_own_worst_case() {
    let order = FilterOrder::DEFAULT;
    // The budgets and shares of the paper's main table.
    let groups = [group(0.34, 1.0), group(0.43, 2.0), group(0.23, 3.0)];
    let plans = planned(&groups, 250, 640, order);
    assert_sound(&plans, &groups, 640, order);
    let weighting = of(&plans, Method::Weighting);
    assert_eq!(plans[0].method, Method::Weighting);
    assert!(weighting.votes_per_sigma() > 1.4 * of(&plans, Method::Uniform).votes_per_sigma(), "{plans:?}");
    for charge in &weighting.groups {
        // Everybody spends what it has: weights and noise leave less than a hundredth.
        assert!(charge.campaign.to_f64_up() > 0.985 * charge.cap.to_f64_up(), "{charge:?}");
        let grid = WeightGrid::new(1000).unwrap();
        let seen = grid.as_seen(weighting.sigma, grid.weight(charge.weight).unwrap());
        let orders: Vec<_> = order.orders().iter().map(|order| RdpOrder::new(*order).unwrap()).collect();
        let exact = worst_case::gnmax(seen.unwrap(), &orders);
        let rate = exact.iter().zip(&orders).map(|(cost, order)| cost / order.get()).fold(0.0, f64::max);
        let price = charge.per_query.to_f64_up();
        assert!(price >= rate * (1.0 - 2e-5) && price < rate * 1.001, "{price} for {rate}");
    }
    let alike = planned(&[group(0.5, 2.0), group(0.5, 2.0)], 250, 640, order);
    assert_all_plain(&alike, 250, 640);
}

#[test]
fn groups_that_make_no_sense_are_refused_by_name() {
    let refused = |groups: &[Group], teachers, queries| {
        let (delta, order) = (Delta::new(1e-5).unwrap(), FilterOrder::UNBOUNDED);
        let target = IndividualTarget { groups, teachers, queries, delta, order };
        match plans(&target, &PublicVotes::assumed(teachers, 10).unwrap()).unwrap_err() {
            Error::OutOfRange { field, .. } => field,
            Error::Unreachable { .. } => "unreachable",
            other => panic!("{other}"),
        }
    };
    assert!(matches!(
        Group::new(0.0, Epsilon::new(1.0).unwrap()),
        Err(Error::OutOfRange { field: "share", .. })
    ));
    assert!(matches!(
        Group::new(f64::NAN, Epsilon::new(1.0).unwrap()),
        Err(Error::NotFinite { field: "share", .. })
    ));
    assert_eq!(refused(&[], 10, 10), "groups");
    assert_eq!(refused(&vec![group(1.0 / 33.0, 1.0); 33], 100, 10), "groups");
    assert_eq!(refused(&[group(0.5, 1.0), group(0.4, 2.0)], 10, 10), "share");
    assert_eq!(refused(&[group(0.999, 1.0), group(0.001, 2.0)], 10, 10), "share");
    assert_eq!(refused(&[group(1.0, 1.0)], 10, 0), "unreachable");
    assert_eq!(refused(&[group(0.5, 1e-9), group(0.5, 1.0)], 10, 1000), "unreachable");
    assert_eq!(refused(&[group(0.9999, 1e-3), group(0.0001, 50.0)], 10_000, 2), "epsilon");
    for copies in [0, 5] {
        assert!(matches!(Copies::new(copies, 4), Err(Error::OutOfRange { field: "copies", .. })));
    }
    assert!(matches!(record().copied(0), Err(Error::OutOfRange { field: "copies", .. })));
    assert!(matches!(
        record().weighing(3).unwrap().copied(1 << 20),
        Err(Error::OutOfRange { field: "copies", .. })
    ));
    let few = NoiseScale::from_votes(40.0, Lattice::DEFAULT).unwrap();
    let heavy = Mechanism::from(GnMax::new(few)).worst_case(&record().weighing(3).unwrap()).unwrap();
    let moves = Mechanism::from(GnMax::new(few)).worst_case(&record().copied(3).unwrap()).unwrap();
    assert_eq!(heavy, moves, "without exact prices the shift alone matters");
}
