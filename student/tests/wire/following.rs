//! A student follows a campaign over real mutual TLS: to its end, through restarts, and no further than the truth.

use std::time::Duration;

use crate::world::campaign::{Campaign, Script};
use crate::world::{anywhere, client, patience, points, space};
use conclave_learning::Dataset;
use conclave_proto::campaign::v1::CampaignState;
use conclave_proto::common::v1::answer::Outcome;
use conclave_proto::common::v1::{Abstention, Interrupted};
use conclave_proto::ids::QueryId;
use conclave_service::Role;
use conclave_student::client::{CampaignClient, Ended, Submitted};
use conclave_student::label_store::{Answer, LabelStore};
use conclave_student::query_selection::query_ids;
use tokio_util::sync::CancellationToken;

const ROWS: usize = 23;

/// A campaign that is running, and a student that has proposed the whole pool.
struct Following {
    campaign: Campaign,
    pool: Dataset,
    asked: Vec<QueryId>,
    student: CampaignClient,
    _stop: CancellationToken,
}

async fn following(change: impl FnOnce(&mut Script, &[QueryId])) -> Following {
    let pool = points(ROWS, 0.0);
    let asked = query_ids(&pool);
    let campaign = Campaign::over(&pool, &space(&pool));
    change(&mut campaign.script(), &asked);
    let (server, stop) = campaign.start(anywhere()).await;
    let transport = client(Role::Student, Role::Aggregator);
    let mut student =
        CampaignClient::connect(&server.address().to_string(), &transport, &patience()).await.unwrap();
    let submitted = student.submit(&asked).await.unwrap();
    assert_eq!(submitted, Submitted { admitted: ROWS as u64, repeated: 0 });
    Following { campaign, pool, asked, student, _stop: stop }
}

#[tokio::test]
async fn all_answers_arrive_and_progress_is_told() {
    let mut f = following(|script, asked| {
        script.outcomes.insert(asked[3], Outcome::Abstention(Abstention {}));
        script.outcomes.insert(asked[4], Outcome::Interrupted(Interrupted {}));
    })
    .await;
    let (mut labels, mut told) = (LabelStore::new(), Vec::new());
    let ended = f.student.follow(&f.asked, &mut labels, |progress| told.push(progress)).await.unwrap();

    assert_eq!(ended, Ended::Completed);
    for (row, query) in f.asked.iter().enumerate() {
        let expected = match row {
            3 => Answer::Abstention,
            4 => Answer::Interrupted,
            _ => Answer::Label(f.pool.labels().unwrap()[row]),
        };
        assert_eq!(labels.get(query), Some(expected));
    }
    assert_eq!(labels.position(), ROWS as u64);
    assert_eq!(told.iter().map(|p| p.settled).collect::<Vec<_>>(), [5, 10, 15, 20, 23]);
    let last = told.last().unwrap();
    assert_eq!(
        (last.asked, last.tally.labels, last.tally.abstentions, last.tally.interrupted),
        (23, 21, 1, 1)
    );
    // Proposed in order, in messages of at most `queries_per_call_max`.
    let proposals = f.campaign.script().proposals.clone();
    assert_eq!(proposals.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7, 2]);
    assert_eq!(proposals.concat(), f.asked);
}

#[tokio::test]
async fn a_restart_in_the_middle_loses_and_repeats_nothing() {
    let pool = points(ROWS, 0.0);
    let asked = query_ids(&pool);
    let campaign = Campaign::over(&pool, &space(&pool));
    campaign.script().silent_after = 10;
    let (server, stop) = campaign.start(anywhere()).await;
    let address = server.address();
    let transport = client(Role::Student, Role::Aggregator);
    let mut student = CampaignClient::connect(&address.to_string(), &transport, &patience()).await.unwrap();
    student.submit(&asked).await.unwrap();

    let ten_arrived = CancellationToken::new();
    let restarted = {
        let (campaign, ten_arrived) = (campaign.clone(), ten_arrived.clone());
        tokio::spawn(async move {
            ten_arrived.cancelled().await;
            stop.cancel();
            server.finished().await.unwrap();
            campaign.forget_waiting();
            tokio::time::sleep(Duration::from_millis(100)).await;
            campaign.start(address).await
        })
    };
    let mut labels = LabelStore::new();
    let mut settled = Vec::new();
    let ended = student.follow(&asked, &mut labels, |progress| {
        settled.push(progress.settled);
        if progress.settled == 10 {
            ten_arrived.cancel();
        }
    });
    assert_eq!(ended.await.unwrap(), Ended::Completed);
    let (_server, _stop) = restarted.await.unwrap();

    assert_eq!(settled, [5, 10, 15, 20, 23], "no answer was read twice or missed");
    let script = campaign.script();
    assert_eq!(script.released.len(), ROWS);
    assert_eq!(
        script.proposals[4..].concat(),
        asked[10..],
        "only what had no answer was proposed again, in order"
    );
}

#[tokio::test]
async fn a_campaign_that_forgot_queries_between_two_calls_is_asked_again() {
    let mut f = following(|_, _| {}).await;
    f.campaign.forget_waiting();
    let mut labels = LabelStore::new();
    assert_eq!(f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap(), Ended::Completed);
    assert_eq!(labels.len(), ROWS);
}

#[tokio::test]
async fn following_goes_on_where_it_stopped_and_repeats_are_free() {
    let mut f = following(|_, _| {}).await;
    let mut labels = LabelStore::new();
    f.student.follow(&f.asked[..5], &mut labels, |_| {}).await.unwrap();
    assert_eq!(labels.position(), 5);
    f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap();
    assert_eq!(labels.len(), ROWS);

    assert_eq!(f.student.submit(&f.asked).await.unwrap(), Submitted { admitted: 0, repeated: ROWS as u64 });
    let mut again = LabelStore::new();
    f.student.follow(&f.asked, &mut again, |_| {}).await.unwrap();
    assert_eq!(again, labels);
    assert_eq!(f.campaign.script().released.len(), ROWS);
    assert_eq!(f.student.status().await.unwrap().queries_answered, 23);
}

#[tokio::test]
async fn a_spent_budget_ends_it_with_everything_that_was_released() {
    let mut f = following(|script, _| script.answers_max = 12).await;
    let mut labels = LabelStore::new();
    assert_eq!(f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap(), Ended::BudgetSpent);
    assert_eq!(labels.len(), 12);
}

#[tokio::test]
async fn a_missing_quorum_is_waited_for_as_long_as_the_settings_say_and_then_it_goes_on() {
    let f = following(|script, _| {
        script.silent_after = 5;
        script.state_when_empty = Some(CampaignState::BelowQuorum);
    })
    .await;
    let address = f.campaign.start(anywhere()).await;
    let patient = conclave_student::Patience { quorum_wait_ms: 8_000, ..patience() };
    let transport = client(Role::Student, Role::Aggregator);
    let mut student =
        CampaignClient::connect(&address.0.address().to_string(), &transport, &patient).await.unwrap();
    let mut labels = LabelStore::new();
    let returning = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut script = f.campaign.script();
        (script.silent_after, script.state_when_empty) = (usize::MAX, None);
    };
    let (ended, ()) = tokio::join!(student.follow(&f.asked, &mut labels, |_| {}), returning);
    assert_eq!((ended.unwrap(), labels.len()), (Ended::Completed, ROWS));
}

#[tokio::test]
async fn a_missing_quorum_or_a_halt_ends_it_too() {
    for (state, expected) in
        [(CampaignState::BelowQuorum, Ended::BelowQuorum), (CampaignState::Halted, Ended::Halted)]
    {
        let mut f = following(|script, _| {
            script.silent_after = 5;
            script.state_when_empty = Some(state);
        })
        .await;
        let mut labels = LabelStore::new();
        assert_eq!(f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap(), expected);
        assert_eq!(labels.len(), 5);
    }
}

#[tokio::test]
async fn a_changed_answer_is_refused_with_the_querys_name() {
    let mut f = following(|_, _| {}).await;
    let mut labels = LabelStore::new();
    labels.record(f.asked[6], Answer::Abstention).unwrap();
    let message = f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap_err().to_string();
    assert!(message.contains(&f.asked[6].to_string()), "{message}");
    assert!(message.contains("is label 0, but was an abstention"), "{message}");
    assert_eq!(labels.get(&f.asked[6]), Some(Answer::Abstention));
}

#[tokio::test]
async fn answers_that_the_protocol_does_not_allow_are_refused_by_field() {
    for (outcome, field) in [
        (Some(Outcome::Label(2)), "answers[0].label is 2; labels run from 0 to 1"),
        (Some(Outcome::Label(65_536)), "answers[0].label is 65536"),
        (None, "answers[0].outcome is absent"),
    ] {
        let mut f = following(|script, asked| {
            script.outcomes.remove(&asked[0]);
            script.outcomes.extend(outcome.map(|outcome| (asked[0], outcome)));
        })
        .await;
        let message =
            f.student.follow(&f.asked, &mut LabelStore::new(), |_| {}).await.unwrap_err().to_string();
        assert!(
            message.contains("the aggregator broke the protocol") && message.contains(field),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_position_that_skips_answers_is_refused() {
    let mut f = following(|script, _| script.position_error = 1).await;
    let message = f.student.follow(&f.asked, &mut LabelStore::new(), |_| {}).await.unwrap_err().to_string();
    assert!(message.contains("next_position is 6; 5 follows"), "{message}");
}

#[tokio::test]
async fn answers_that_never_come_are_waited_for_no_longer_than_allowed() {
    let mut f = following(|script, _| script.silent_after = 5).await;
    let address = f.campaign.start(anywhere()).await;
    let transport = client(Role::Student, Role::Aggregator);
    let hurried = conclave_student::Patience { answers_deadline_ms: 300, ..patience() };
    f.student =
        CampaignClient::connect(&address.0.address().to_string(), &transport, &hurried).await.unwrap();
    let mut labels = LabelStore::new();
    let message = f.student.follow(&f.asked, &mut labels, |_| {}).await.unwrap_err().to_string();
    assert!(message.contains("5 of 23 arrived within 300 ms"), "{message}");
    assert_eq!(labels.len(), 5, "what arrived is kept");
}

#[tokio::test]
async fn an_aggregator_that_is_away_is_named_after_bounded_retries() {
    let pool = points(ROWS, 0.0);
    let (server, stop) = Campaign::over(&pool, &space(&pool)).start(anywhere()).await;
    let address = server.address().to_string();
    stop.cancel();
    server.finished().await.unwrap();
    let mut hurried = patience();
    hurried.retry.attempts_max = 3;
    let transport = client(Role::Student, Role::Aggregator);
    let message = CampaignClient::connect(&address, &transport, &hurried).await.unwrap_err().to_string();
    assert!(message.contains(&address) && message.contains("aggregator"), "{message}");
}

#[tokio::test]
async fn an_aggregator_of_another_protocol_and_a_caller_of_another_role_are_refused() {
    let pool = points(ROWS, 0.0);
    let campaign = Campaign::over(&pool, &space(&pool));
    let (server, _stop) = campaign.start(anywhere()).await;
    let address = server.address().to_string();

    let teacher = client(Role::Teacher, Role::Aggregator);
    let message = CampaignClient::connect(&address, &teacher, &patience()).await.unwrap_err().to_string();
    assert!(message.contains("role teacher may not call"), "{message}");

    campaign.script().contract.protocol.as_mut().unwrap().major = 2;
    let student = client(Role::Student, Role::Aggregator);
    let message = CampaignClient::connect(&address, &student, &patience()).await.unwrap_err().to_string();
    assert!(message.contains("contract.protocol is 2.0; this student speaks 1.0"), "{message}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_before_anything_is_called() {
    let mut wrong = patience();
    wrong.queries_per_call_max = 0;
    wrong.answer_wait_ms = 3_000;
    let transport = client(Role::Student, Role::Aggregator);
    let message = CampaignClient::connect("127.0.0.1:1", &transport, &wrong).await.unwrap_err().to_string();
    assert!(message.contains("patience.queries_per_call_max is 0"), "{message}");
    assert!(message.contains("patience.answer_wait_ms is 3000"), "{message}");
}
