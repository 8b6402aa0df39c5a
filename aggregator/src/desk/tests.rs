//! Waiting: for work, for outcomes, and not for nodes that are away.

use conclave_proto::ids::{NodeId, OrganisationId};
use conclave_proto::teacher::v1::{DescribeRequest, DescribeResponse, VoteRequest, VoteResponse};

use super::*;

fn question() -> Work {
    Work::Describe(DescribeRequest::default())
}

fn answer(lease_id: u64) -> SubmitWorkRequest {
    SubmitWorkRequest { lease_id, outcome: Some(Outcome::Described(DescribeResponse::default())) }
}

fn desk() -> Arc<Desk> {
    Arc::new(Desk::new().unwrap())
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_node_that_is_not_in_touch_is_absent_at_once() {
    let desk = desk();
    let asked = desk.ask(question(), LONG);
    let silence = tokio::time::timeout(LONG / 2, asked).await.unwrap().unwrap_err();
    assert!(matches!(silence, Silence::Absent(words) if words.contains("dial-out")));
}

#[tokio::test]
async fn a_question_wakes_the_call_that_waits_and_its_outcome_comes_back_once() {
    let desk = desk();
    let waiting = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.lease(&[], LONG).await.unwrap().unwrap() }
    });
    while !desk.leases().in_touch(Instant::now(), CONTACT_GRACE) {
        tokio::task::yield_now().await;
    }
    let asking = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.ask(question(), LONG).await }
    });
    let lease = waiting.await.unwrap();
    assert_eq!(lease.work, Some(question()));
    assert!(lease.time_left_ms > 20_000, "{}", lease.time_left_ms);
    assert_eq!(desk.lease(&[lease.lease_id], SHORT).await.unwrap(), None, "it is held");
    assert_eq!(desk.submit(answer(lease.lease_id)), Ok(false));
    assert_eq!(asking.await.unwrap(), Ok(Outcome::Described(DescribeResponse::default())));
    assert_eq!(desk.submit(answer(lease.lease_id)), Ok(true), "repeated: answered as before");
    let changed = VoteResponse::default();
    let changed = SubmitWorkRequest { lease_id: lease.lease_id, outcome: Some(Outcome::Voted(changed)) };
    assert_eq!(desk.submit(changed), Err(NotTaken::Changed));
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_withdrawn_and_its_outcome_is_late() {
    let desk = desk();
    assert_eq!(desk.lease(&[], SHORT).await.unwrap(), None);
    let late = desk.ask(Work::Vote(VoteRequest::default()), SHORT).await;
    assert_eq!(late, Err(Silence::Late));
    assert_eq!(desk.lease(&[], SHORT).await.unwrap(), None, "its time has passed");

    // The batch broke off while its question was out.
    {
        let asked = desk.ask(question(), LONG);
        let broken_off = tokio::time::timeout(SHORT, asked).await;
        assert!(broken_off.is_err());
    }
    assert_eq!(desk.lease(&[], SHORT).await.unwrap(), None);
}

#[tokio::test]
async fn a_later_call_takes_the_place_of_one_that_waits() {
    let desk = desk();
    let first = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.lease(&[], LONG).await.is_err() }
    });
    while !desk.leases().in_touch(Instant::now(), CONTACT_GRACE) {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.lease(&[], SHORT).await.unwrap(), None);
    assert!(first.await.unwrap(), "the first was told that it is displaced");
}

#[test]
fn a_desk_is_found_by_organisation_and_node_of_those_that_dial_in_alone() {
    let node = |organisation: &str, address: Option<&str>| NodeSettings {
        organisation: OrganisationId::new(organisation).unwrap(),
        node: NodeId::new("node").unwrap(),
        address: address.map(str::to_owned),
    };
    let nodes = [node("a", None), node("b", Some("b:7401"))];
    let desks = Desks::of(&nodes).unwrap();
    let caller = |organisation: &str, name: &str| {
        let role = conclave_service::Role::Teacher;
        Identity::new("demo", role, organisation, name).unwrap()
    };
    assert!(desks.of_caller(&caller("a", "node")).is_some());
    for (organisation, name) in [("b", "node"), ("a", "other"), ("c", "node")] {
        assert!(desks.of_caller(&caller(organisation, name)).is_none(), "{organisation}/{name}");
    }
    assert!(desks.of_node(&nodes[1]).is_none());
}
