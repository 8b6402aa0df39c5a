//! Whose votes count, and when there are enough.

use super::*;
use crate::enrolment::tests::contract;

const QUERIES: usize = 2;

fn batch() -> Batch {
    let queries = [QueryId::new([1; 32]), QueryId::new([2; 32])];
    Batch::new(&contract(), 7, 1, &queries)
}

fn answer(batch: &Batch, packed_votes: Vec<u8>) -> VoteResponse {
    let request = batch.request();
    VoteResponse {
        campaign_id: request.campaign_id.clone(),
        batch_id: request.batch_id,
        attempt: request.attempt,
        teachers: 3,
        packed_votes,
    }
}

#[test]
fn a_quorum_is_counted_in_teachers_and_the_frozen_silos_are_those_that_voted() {
    let mut batch = batch();
    assert!(!batch.has_quorum());
    let votes = answer(&batch, vec![0; 3 * QUERIES]);
    batch.submit("data-b", votes).unwrap();
    assert!(!batch.has_quorum(), "three of four");
    let votes = answer(&batch, vec![1; 2 * QUERIES]);
    batch.submit("data-a", votes).unwrap();
    assert!(batch.has_quorum());
    let frozen = batch.freeze([0; 32]).unwrap();
    assert_eq!(frozen.silos(), ["data-a", "data-b"].map(|data| DataKey::new(data).unwrap()));
    let counts: Vec<Vec<u64>> =
        frozen.into_counts().iter().map(|counts| counts.as_slice().to_vec()).collect();
    assert_eq!(counts, [[3, 2], [3, 2]]);
}

#[test]
fn votes_of_another_batch_or_attempt_or_campaign_are_foreign() {
    let change: [fn(&mut VoteResponse); 3] = [
        |answer| answer.batch_id = 8,
        |answer| answer.attempt = 2,
        |answer| "another".clone_into(&mut answer.campaign_id),
    ];
    for change in change {
        let mut batch = batch();
        let mut votes = answer(&batch, vec![0; 3 * QUERIES]);
        change(&mut votes);
        assert_eq!(batch.submit("data-b", votes), Err(Rejection::Foreign));
        let votes = answer(&batch, vec![0; 3 * QUERIES]);
        assert_eq!(batch.submit("data-b", votes), Ok(()), "the batch goes on");
    }
}

#[test]
fn repeated_malformed_and_unknown_submissions_are_rejected_and_change_nothing() {
    let mut batch = batch();
    let votes = |batch: &Batch, packed| answer(batch, packed);
    let good = votes(&batch, vec![0; 3 * QUERIES]);
    for (data, packed, rejection) in [
        ("stranger", vec![0; 3 * QUERIES], Rejection::Foreign),
        ("data-b", vec![0; 3 * QUERIES + 1], Rejection::Malformed),
        ("data-b", vec![0, 0, 0, 0, 0, 2], Rejection::Malformed),
    ] {
        let bad = votes(&batch, packed);
        assert_eq!(batch.submit(data, bad), Err(rejection));
    }
    assert_eq!(batch.submit("data-b", good.clone()), Ok(()));
    assert_eq!(batch.submit("data-b", good), Err(Rejection::Repeated));
}
