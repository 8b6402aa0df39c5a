//! Nothing is lost, nothing counts twice, and a model of the node's and the network's whims agrees.

use conclave_proto::teacher::v1::{
    AcceptContractRequest, AcceptContractResponse, Declined, DescribeRequest, DescribeResponse, VoteRequest,
    VoteResponse,
};
use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

fn vote(batch_id: u64) -> Work {
    Work::Vote(VoteRequest { batch_id, ..VoteRequest::default() })
}

fn votes(lease_id: u64, packed: u8) -> SubmitWorkRequest {
    let voted = VoteResponse { packed_votes: vec![packed], ..VoteResponse::default() };
    SubmitWorkRequest { lease_id, outcome: Some(Outcome::Voted(voted)) }
}

fn offered(leases: &Leases<u64>, visit: u64, held: &[u64], now: Instant) -> Option<u64> {
    match leases.offer(visit, held, now) {
        Offer::Lease(lease) => Some(lease.lease_id),
        Offer::Nothing => None,
        Offer::Displaced => panic!("displaced"),
    }
}

#[test]
fn a_lease_is_told_until_it_is_held_and_again_when_it_was_lost() {
    let now = Instant::now();
    let mut leases = Leases::new(u64::MAX);
    let first = leases.post(vote(1), now + SECOND, 1);
    let second = leases.post(vote(2), now + SECOND, 2);
    assert_eq!((first, second), (u64::MAX, 0), "numbers go round");
    let visit = leases.arrive();
    let told = offered(&leases, visit, &[], now).unwrap();
    assert_eq!(offered(&leases, visit, &[], now), Some(told), "the reply was lost on its way");
    let other = offered(&leases, visit, &[told], now).unwrap();
    assert_ne!(told, other);
    assert_eq!(offered(&leases, visit, &[first, second], now), None);
    assert_eq!(offered(&leases, visit, &[], now + SECOND), None, "its time has passed");
    let Offer::Lease(lease) = leases.offer(visit, &[], now + SECOND / 4) else { panic!() };
    assert_eq!(lease.time_left_ms, 750);
}

#[test]
fn the_first_outcome_in_time_settles_and_the_same_again_is_answered_as_before() {
    let now = Instant::now();
    let mut leases = Leases::new(7);
    let lease = leases.post(vote(1), now + SECOND, 11);
    assert!(matches!(leases.submit(votes(lease, 0), now), Ok(Some((11, Outcome::Voted(_))))));
    assert_eq!(leases.submit(votes(lease, 0), now), Ok(None));
    assert_eq!(leases.submit(votes(lease, 0), now + 10 * SECOND), Ok(None));
    assert_eq!(leases.submit(votes(lease, 1), now), Err(NotTaken::Changed));
    let visit = leases.arrive();
    assert_eq!(offered(&leases, visit, &[], now), None, "what is settled is not asked again");

    let late = leases.post(vote(2), now + SECOND, 12);
    assert_eq!(leases.submit(votes(late, 0), now + SECOND), Err(NotTaken::NotOpen));
    let withdrawn = leases.post(vote(3), now + SECOND, 13);
    leases.withdraw(withdrawn);
    assert_eq!(leases.submit(votes(withdrawn, 0), now), Err(NotTaken::NotOpen));
    assert_eq!(
        leases.submit(votes(99, 0), now),
        Err(NotTaken::NotOpen),
        "a lease of another node or process"
    );
}

#[test]
fn an_outcome_must_be_of_what_was_asked_or_a_refusal() {
    let now = Instant::now();
    let works = [
        Work::Describe(DescribeRequest::default()),
        Work::AcceptContract(AcceptContractRequest::default()),
        vote(1),
    ];
    let outcomes = [
        Outcome::Described(DescribeResponse::default()),
        Outcome::Accepted(AcceptContractResponse::default()),
        Outcome::Voted(VoteResponse::default()),
    ];
    for (asked, work) in works.iter().enumerate() {
        for (given, outcome) in outcomes.iter().enumerate() {
            let mut leases = Leases::new(0);
            let lease_id = leases.post(work.clone(), now + SECOND, ());
            let request = SubmitWorkRequest { lease_id, outcome: Some(outcome.clone()) };
            let settled = matches!(leases.submit(request, now), Ok(Some(((), _))));
            assert_eq!(settled, asked == given, "{work:?} {outcome:?}");
        }
        let mut leases = Leases::new(0);
        let lease_id = leases.post(work.clone(), now + SECOND, ());
        let nothing = SubmitWorkRequest { lease_id, outcome: None };
        assert_eq!(leases.submit(nothing, now), Err(NotTaken::OfOtherWork));
        let declined = SubmitWorkRequest { lease_id, outcome: Some(Outcome::Declined(Declined::default())) };
        assert!(matches!(leases.submit(declined, now), Ok(Some(((), _)))), "it was open still");
    }
}

#[test]
fn one_call_waits_and_a_later_one_displaces_it_but_is_not_ended_by_it() {
    let now = Instant::now();
    let mut leases = Leases::<()>::new(0);
    assert!(!leases.in_touch(now, GRACE), "nobody has called yet");
    let before = leases.arrive();
    let after = leases.arrive();
    assert_eq!(leases.offer(before, &[], now), Offer::Displaced);
    leases.leave(before, now);
    assert!(leases.in_touch(now + 10 * GRACE, GRACE), "the later call still waits");
    leases.leave(after, now);
    assert!(leases.in_touch(now + GRACE / 2, GRACE));
    assert!(!leases.in_touch(now + GRACE, GRACE));
}

#[test]
fn what_is_remembered_of_settled_leases_is_bounded() {
    let now = Instant::now();
    let mut leases = Leases::new(0);
    for batch in 0..2_000 {
        let lease = leases.post(vote(batch), now + SECOND, ());
        assert!(matches!(leases.submit(votes(lease, 0), now), Ok(Some(((), _)))));
    }
    assert_eq!((leases.settled.len(), leases.open.len()), (SETTLED_KEPT, 0));
    assert_eq!(leases.submit(votes(1_999, 0), now), Ok(None));
    assert_eq!(leases.submit(votes(0, 0), now), Err(NotTaken::NotOpen));
}

/// What may happen to leases on a network that loses, repeats and reorders.
#[derive(Clone, Copy, Debug)]
enum Event {
    Post,
    /// The node asks, holding what it has; its reply may be lost.
    Ask {
        reply_lost: bool,
    },
    /// The node hands in one of its leases; the acknowledgement may be lost, so that it does so again.
    HandIn {
        which: usize,
        acknowledgement_lost: bool,
    },
    /// The node is killed: it forgets what it holds.
    Forget,
    Withdraw {
        which: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Post),
        4 => any::<bool>().prop_map(|reply_lost| Event::Ask { reply_lost }),
        4 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, acknowledgement_lost)| Event::HandIn { which, acknowledgement_lost }),
        1 => Just(Event::Forget),
        1 => any::<usize>().prop_map(|which| Event::Withdraw { which }),
    ]
}

proptest! {
    /// Every lease is passed on at most once; whatever was not withdrawn is, once the network behaves.
    #[test]
    fn whatever_the_network_does_each_lease_settles_once(events in prop::collection::vec(event(), 0..80)) {
        let now = Instant::now();
        let mut leases = Leases::new(3);
        let (mut posted, mut withdrawn, mut settled, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let calm = |held: &[u64]| if held.is_empty() {
            Event::Ask { reply_lost: false }
        } else {
            Event::HandIn { which: 0, acknowledgement_lost: false }
        };
        let mut events = events.into_iter();
        let mut idle = false;
        while !idle {
            match events.next().unwrap_or_else(|| calm(&held)) {
                Event::Post => posted.push(leases.post(vote(0), now + SECOND, posted.len() as u64)),
                Event::Ask { reply_lost } => {
                    let visit = leases.arrive();
                    let lease = offered(&leases, visit, &held, now);
                    leases.leave(visit, now);
                    held.extend(lease.filter(|_| !reply_lost));
                    idle = lease.is_none() && held.is_empty() && events.len() == 0;
                }
                Event::HandIn { which, acknowledgement_lost } if !held.is_empty() => {
                    let lease = held[which % held.len()];
                    match leases.submit(votes(lease, 1), now) {
                        Ok(Some((index, _))) => settled.push(posted[usize::try_from(index).unwrap()]),
                        Ok(None) => prop_assert!(settled.contains(&lease)),
                        Err(NotTaken::NotOpen) => prop_assert!(withdrawn.contains(&lease)),
                        other => prop_assert!(false, "{other:?}"),
                    }
                    if !acknowledgement_lost {
                        held.retain(|held| *held != lease);
                    }
                }
                Event::Forget => held.clear(),
                Event::Withdraw { which } if !posted.is_empty() => {
                    let lease = posted[which % posted.len()];
                    leases.withdraw(lease);
                    withdrawn.push(lease);
                }
                Event::HandIn { .. } | Event::Withdraw { .. } => {}
            }
        }
        let mut once = settled.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), settled.len(), "a lease settled twice");
        for lease in posted {
            prop_assert!(settled.contains(&lease) || withdrawn.contains(&lease), "a lease was lost");
        }
    }
}
