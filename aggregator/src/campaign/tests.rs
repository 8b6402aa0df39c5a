use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    queries_max: 1_000,
    batch_queries_max: 10,
    batches_in_flight_max: 2,
    retry_ms: 500,
    queries_per_minute_max: None,
};

fn queries(range: std::ops::Range<u16>) -> Vec<QueryId> {
    let name = |number: u16| {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        QueryId::new(bytes)
    };
    range.map(name).collect()
}

fn campaign(waiting: u16) -> Campaign {
    let mut campaign = Campaign::new(BOUNDS, []);
    campaign.submit(&queries(0..waiting)).unwrap();
    campaign
}

fn asked(campaign: &mut Campaign, now_ms: u64) -> Vec<QueryId> {
    match campaign.next(now_ms, true) {
        Next::Ask(batch) => batch,
        other => panic!("expected a batch, found {other:?} in {campaign:?}"),
    }
}

#[test]
fn queries_are_asked_in_their_order_as_many_batches_as_allowed() {
    let mut campaign = campaign(25);
    assert_eq!(asked(&mut campaign, 0), queries(0..10));
    assert_eq!(asked(&mut campaign, 0), queries(10..20));
    assert_eq!(campaign.next(0, true), Next::Wait);
    campaign.ended(&queries(0..10), Ended::Released, 0);
    assert_eq!(asked(&mut campaign, 0), queries(20..25));
    campaign.ended(&queries(10..20), Ended::Released, 0);
    assert_eq!(campaign.phase(), Phase::Asking);
    campaign.ended(&queries(20..25), Ended::Released, 0);
    assert_eq!(campaign.phase(), Phase::Idle);
}

#[test]
fn a_query_is_asked_once_however_often_it_is_proposed() {
    let mut campaign = campaign(3);
    assert_eq!(campaign.submit(&queries(2..5)), Ok(Admitted { new: 2, repeated: 1 }));
    let twice = [queries(9..10), queries(9..10)].concat();
    assert_eq!(campaign.submit(&twice), Ok(Admitted { new: 1, repeated: 1 }));
    assert_eq!(asked(&mut campaign, 0).len(), 6);
    assert_eq!(campaign.submit(&queries(0..5)), Ok(Admitted { new: 0, repeated: 5 }));
    assert_eq!(campaign.next(0, true), Next::Wait);
}

#[test]
fn what_an_earlier_process_answered_is_not_asked_again() {
    let mut campaign = Campaign::new(BOUNDS, queries(0..3));
    campaign.resume(&queries(3..5));
    assert_eq!(campaign.phase(), Phase::Asking);
    assert_eq!(campaign.submit(&queries(0..6)), Ok(Admitted { new: 1, repeated: 5 }));
    assert_eq!(asked(&mut campaign, 0), queries(5..6));
}

#[test]
fn more_queries_than_the_contract_allows_are_refused_and_change_nothing() {
    let mut campaign = campaign(998);
    let refusal = campaign.submit(&queries(997..1_002)).unwrap_err();
    assert_eq!(refusal, TooMany { queries_max: 1_000, left: 2, asked: 4 });
    assert_eq!(campaign.admitted(), 998);
    assert!(campaign.submit(&queries(997..1_000)).is_ok());
}

#[test]
fn a_budget_that_ends_within_a_batch_is_used_up_to_the_last_query() {
    let mut campaign = campaign(30);
    let first = asked(&mut campaign, 0);
    let second = asked(&mut campaign, 0);
    campaign.ended(&second, Ended::OverBudget { fitting: 4 }, 0);
    let small = asked(&mut campaign, 0);
    assert_eq!(small, queries(10..14), "what fits, in order");
    assert_eq!(campaign.next(0, true), Next::Wait, "what is under way may give something back");
    assert_eq!(campaign.phase(), Phase::Asking);
    campaign.ended(&first, Ended::Released, 0);
    let again = asked(&mut campaign, 0);
    campaign.ended(&again, Ended::OverBudget { fitting: 0 }, 0);
    assert_eq!(campaign.phase(), Phase::Asking, "one batch is still under way");
    campaign.ended(&small, Ended::Released, 0);
    let last = asked(&mut campaign, 0);
    campaign.ended(&last, Ended::OverBudget { fitting: 0 }, 0);
    assert_eq!(campaign.phase(), Phase::BudgetSpent);
    assert_eq!(campaign.next(u64::MAX, true), Next::Wait);
}

#[test]
fn budget_that_an_abandoned_batch_gives_back_is_used() {
    let mut campaign = campaign(20);
    let first = asked(&mut campaign, 0);
    let second = asked(&mut campaign, 0);
    campaign.ended(&second, Ended::OverBudget { fitting: 0 }, 0);
    campaign.ended(&first, Ended::BelowQuorum, 0);
    assert_eq!(campaign.phase(), Phase::BelowQuorum);
    assert_eq!(asked(&mut campaign, 500), first);
}

#[test]
fn below_quorum_it_waits_and_then_tries_one_batch() {
    let mut campaign = campaign(30);
    let first = asked(&mut campaign, 0);
    campaign.ended(&first, Ended::BelowQuorum, 100);
    assert_eq!(campaign.phase(), Phase::BelowQuorum);
    assert_eq!(campaign.next(599, true), Next::WaitUntil(600));
    assert_eq!(asked(&mut campaign, 600), first);
    assert_eq!(campaign.next(600, true), Next::Wait, "one batch tells whether the quorum is back");
    campaign.ended(&first, Ended::Released, 700);
    assert_eq!(campaign.phase(), Phase::Asking);
    assert_eq!(asked(&mut campaign, 700).len(), 10);
}

#[test]
fn nothing_is_reserved_while_too_few_teachers_are_there() {
    let mut campaign = campaign(5);
    assert_eq!(campaign.next(0, false), Next::WaitUntil(500));
    assert_eq!(campaign.phase(), Phase::BelowQuorum);
    campaign.teachers_returned();
    assert_eq!(asked(&mut campaign, 1).len(), 5);
}

#[test]
fn queries_that_the_ledger_closed_leave_the_queue() {
    let mut campaign = campaign(5);
    let batch = asked(&mut campaign, 0);
    campaign.ended(&batch, Ended::Interrupted, 0);
    campaign.settle(queries(1..3));
    assert_eq!(asked(&mut campaign, 0), [queries(0..1), queries(3..5)].concat());
}

#[test]
fn a_halted_campaign_asks_nothing_more() {
    let mut campaign = campaign(30);
    let (first, second) = (asked(&mut campaign, 0), asked(&mut campaign, 0));
    campaign.ended(&first, Ended::Halted, 0);
    campaign.ended(&second, Ended::BelowQuorum, 0);
    assert_eq!(campaign.phase(), Phase::Halted);
    assert_eq!(campaign.next(u64::MAX, true), Next::Wait);
}

proptest! {
    /// Whatever happens to batches, no query is in two of them at once, none is lost, none is asked after its answer.
    #[test]
    fn every_query_is_asked_until_it_is_settled_and_then_never_again(
        total in 1_u16..60, fates in proptest::collection::vec(0_u8..5, 0..200),
    ) {
        let mut campaign = campaign(total);
        let mut under_way: Vec<Vec<QueryId>> = Vec::new();
        let mut settled = std::collections::HashSet::new();
        let mut now_ms = 0;
        let mut fates = fates.into_iter();
        loop {
            now_ms += 1_000;
            if let Next::Ask(batch) = campaign.next(now_ms, true) {
                for query in &batch {
                    prop_assert!(!settled.contains(query), "asked after its answer");
                    prop_assert!(!under_way.iter().flatten().any(|other| other == query), "asked twice at once");
                }
                under_way.push(batch);
                continue;
            }
            let Some(batch) = under_way.pop() else { break };
            let how = match fates.next() {
                Some(1) => Ended::BelowQuorum,
                Some(2) => Ended::Postponed,
                Some(3) => Ended::Interrupted,
                Some(4) => Ended::OverBudget { fitting: batch.len() / 2 },
                _ => Ended::Released,
            };
            if how == Ended::Released {
                settled.extend(batch.iter().copied());
            }
            campaign.ended(&batch, how, now_ms);
        }
        let all_settled = settled.len() == usize::from(total);
        prop_assert!(all_settled || campaign.phase() == Phase::BudgetSpent, "{campaign:?}");
    }
}

#[test]
fn a_pace_bounds_the_queries_of_a_minute_whatever_the_speed_and_can_be_changed() {
    let pace = NonZeroU32::new(300);
    let mut campaign = Campaign::new(Bounds { queries_per_minute_max: pace, ..BOUNDS }, []);
    campaign.submit(&queries(0..900)).unwrap();
    let (mut now_ms, mut asked) = (0, 0);
    // Every batch is answered at once: only the pace holds it up.
    while now_ms <= 60_000 {
        match campaign.next(now_ms, true) {
            Next::Ask(batch) => {
                assert!(batch.len() <= 5, "a second's worth at once: {}", batch.len());
                asked += batch.len();
                campaign.ended(&batch, Ended::Released, now_ms);
            }
            Next::WaitUntil(at_ms) => {
                assert!(at_ms > now_ms);
                now_ms = at_ms;
            }
            Next::Wait => panic!("{campaign:?}"),
        }
    }
    assert!((300..=305).contains(&asked), "{asked}");
    campaign.set_pace(None);
    for _ in 0..2 {
        assert!(matches!(campaign.next(now_ms, true), Next::Ask(batch) if batch.len() == 10));
    }
}
