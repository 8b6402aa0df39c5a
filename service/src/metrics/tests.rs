//! Every name is served by some role, and only those; what is refused is counted under a reason of the list.

use std::collections::BTreeSet;

use tonic::{Code, Status};

use super::*;
use crate::identity::Role;
use crate::wire_error::Refusal;

fn samples() -> [Figures; 3] {
    let campaign = CampaignFigures {
        name: "digits-1".to_owned(),
        state: CampaignState::BelowQuorum,
        epsilon_cap: 2.0,
        rho_cap: 1.0,
        rho_spent: 0.5,
        rho_reserved: 0.25,
        queries_admitted: 5,
        queries_answered: 1,
        queries_abstained: 1,
        queries_interrupted: 1,
        queries_waiting: 2,
    };
    let account = AccountFigures {
        organisation: "hospital-a".to_owned(),
        data: "hospital-a/\"1\"\n".to_owned(),
        epsilon_cap: 3.0,
        rho_cap: 1.5,
        rho_spent: 0.5,
        rho_reserved: 0.25,
    };
    let flushes = FlushTimes::default();
    flushes.took(Duration::from_millis(3));
    [
        Figures::Aggregator(AggregatorFigures {
            campaign: Some(campaign),
            accounts: vec![account],
            nodes_present: 2,
            nodes_expected: 3,
            quorum_misses: 4,
            submissions_rejected: vec![("late", 6)],
            ledger_entries: 7,
            ledger_flushes: flushes,
            refusals: Refusals::of(Role::Aggregator),
            certificate_days_left: Some(-1),
        }),
        Figures::Teacher(TeacherFigures {
            batches_answered: 1,
            guard_queries_spent: 2,
            guard_queries_left: 3,
            refusals: Refusals::of(Role::Teacher),
            certificate_days_left: Some(8),
        }),
        Figures::Student(StudentFigures {
            predictions_served: 1,
            labels_learned_from: Some(2),
            refusals: Refusals::of(Role::Student),
            certificate_days_left: Some(9),
        }),
    ]
}

/// The names of the samples of a page.
fn names(page: &str) -> BTreeSet<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn what_the_roles_serve_is_the_closed_set() {
    let served: BTreeSet<_> = samples().into_iter().flat_map(|figures| names(&page(figures))).collect();
    let listed: BTreeSet<_> = Metric::ALL.into_iter().flat_map(Metric::series).collect();
    assert_eq!(served, listed);
}

#[test]
fn a_page_tells_the_figures_with_their_labels_escaped() {
    let [aggregator, ..] = samples().map(page);
    for line in [
        r#"conclave_account_rho_left{organisation="hospital-a",data="hospital-a/\"1\"\n"} 0.75"#,
        r#"conclave_campaign_queries{campaign="digits-1",state="waiting"} 2.0"#,
        r#"conclave_campaign_state{campaign="digits-1",state="below_quorum"} 1.0"#,
        r#"conclave_campaign_state{campaign="digits-1",state="idle"} 0.0"#,
        r#"conclave_submissions_rejected_total{reason="late"} 6"#,
        "conclave_quorum_misses_total 4",
        "conclave_certificate_days_left -1.0",
        r#"conclave_ledger_flush_seconds_bucket{le="0.0025"} 0"#,
        r#"conclave_ledger_flush_seconds_bucket{le="0.005"} 1"#,
        "conclave_ledger_flush_seconds_count 1",
    ] {
        assert!(aggregator.lines().any(|found| found == line), "{line} is not in\n{aggregator}");
    }
}

#[test]
fn a_long_name_is_cut_and_a_cap_that_was_passed_leaves_nothing() {
    let [Figures::Aggregator(mut figures), ..] = samples() else {
        unreachable!("the first is an aggregator")
    };
    let campaign = figures.campaign.as_mut().unwrap();
    campaign.name = "é".repeat(500);
    campaign.rho_spent = 7.0;
    let text = page(Figures::Aggregator(figures));
    assert!(text.contains(&format!("conclave_campaign_rho_left{{campaign=\"{}\"}} 0.0", "é".repeat(128))));
}

#[test]
fn a_refusal_counts_under_its_reason_and_any_other_words_under_other() {
    let refusals = Refusals::of(Role::Teacher);
    refusals.count(&Refusal::new(Code::FailedPrecondition, "GUARD_HALTED", "x").into_status());
    refusals.count(&Refusal::invalid("field", "value", "fix").into_status());
    refusals.count(&Refusal::new(Code::Internal, "HOSPITAL_A_HAS_MEASLES", "x").into_status());
    refusals.count(&Status::out_of_range("too large"));
    refusals.count(&Status::ok(""));
    let counted: Vec<_> = refusals.by_reason().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("INVALID_FIELD", 1), ("GUARD_HALTED", 1), ("OTHER", 2)]);
}
