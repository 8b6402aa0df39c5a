//! The wire stays what it was: old bytes still mean the same, and every RPC has messages of its own.
//!
//! `golden/` holds one message of each kind as hexadecimal bytes, written when the protocol was 1.0. If this test fails,
//! parties that run different builds misunderstand each other: change the test only with the major version.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use conclave_proto::campaign::v1 as campaign;
use conclave_proto::common::v1 as common;
use conclave_proto::student::v1 as student;
use conclave_proto::teacher::v1 as teacher;
use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::{DESCRIPTORS, PROTOCOL};
use prost::Message;
use prost_types::FileDescriptorSet;

/// Set to true, run once, set back, to write files for messages that are new.
const WRITING: bool = false;

#[test]
fn old_bytes_still_mean_the_same() {
    golden(
        "contract-gnmax",
        &contract(common::mechanism::Kind::Gnmax(common::GnMax { sigma_steps: 41_943_040 })),
    );
    golden(
        "contract-lnmax",
        &contract(common::mechanism::Kind::Lnmax(common::LnMax { scale_steps: 20_971_520 })),
    );
    golden(
        "contract-confident-gnmax",
        &contract(common::mechanism::Kind::ConfidentGnmax(common::ConfidentGnMax {
            threshold_steps: 209_715_200,
            sigma1_steps: 157_286_400,
            sigma2_steps: 41_943_040,
        })),
    );
    golden(
        "contract-filter-order",
        &common::Contract {
            filter_order_max: 16,
            ..contract(common::mechanism::Kind::Gnmax(common::GnMax { sigma_steps: 41_943_040 }))
        },
    );
    golden(
        "describe-node",
        &teacher::DescribeResponse {
            protocol: Some(PROTOCOL),
            organisation: "hospital-a".into(),
            node: "teacher-1".into(),
            data_id: "ward-2026".into(),
            partition_digest: vec![3; 32],
            teachers: 25,
            class_names: vec!["healthy".into(), "ill".into()],
            pool_digest: vec![4; 32],
            features_digest: vec![5; 32],
            unit: Some(unit()),
            successor_of: "ward-2025".into(),
            people_disjoint_from_predecessor: true,
        },
    );
    golden("vote-request", &vote_request());
    golden("vote-response", &vote_response());
    golden(
        "lease-work-request",
        &teacher::LeaseWorkRequest { held: vec![0x0102_0304_0506_0708], wait_ms: 5_000 },
    );
    for (name, work) in [
        ("lease-describe", Work::Describe(teacher::DescribeRequest { protocol: Some(PROTOCOL) })),
        (
            "lease-accept-contract",
            Work::AcceptContract(teacher::AcceptContractRequest { contract: Some(small_contract()) }),
        ),
        ("lease-vote", Work::Vote(vote_request())),
    ] {
        let lease = teacher::Lease { lease_id: 0x0102_0304_0506_0708, time_left_ms: 9_500, work: Some(work) };
        golden(name, &teacher::LeaseWorkResponse { lease: Some(lease) });
    }
    let declined =
        teacher::Declined { code: 9, message: "the silo's cap is used up".into(), details: vec![10, 11] };
    for (name, outcome) in [
        (
            "submit-described",
            Outcome::Described(teacher::DescribeResponse { node: "teacher-1".into(), ..Default::default() }),
        ),
        (
            "submit-accepted",
            Outcome::Accepted(teacher::AcceptContractResponse { contract_digest: vec![6; 32] }),
        ),
        ("submit-voted", Outcome::Voted(vote_response())),
        ("submit-declined", Outcome::Declined(declined)),
    ] {
        golden(name, &teacher::SubmitWorkRequest { lease_id: 0x0102_0304_0506_0708, outcome: Some(outcome) });
    }
    golden("submit-response", &teacher::SubmitWorkResponse { repeated_before: true });
    golden(
        "answers",
        &campaign::ListAnswersResponse {
            answers: vec![
                answer(common::answer::Outcome::Label(3)),
                answer(common::answer::Outcome::Label(0)),
                answer(common::answer::Outcome::Abstention(common::Abstention {})),
                answer(common::answer::Outcome::Interrupted(common::Interrupted {})),
            ],
            next_position: 4,
            state: campaign::CampaignState::BudgetSpent.into(),
        },
    );
    golden(
        "predict-request",
        &student::PredictRequest {
            examples: [0.5_f32, -1.0].iter().flat_map(|v| v.to_le_bytes()).collect(),
            features: 2,
        },
    );
}

#[test]
fn old_bytes_about_campaigns_and_their_operators_still_mean_the_same() {
    golden(
        "status-nodes",
        &campaign::GetStatusResponse {
            state: campaign::CampaignState::Ended.into(),
            nodes: vec![
                campaign::NodeStatus {
                    organisation: "hospital-a".into(),
                    node: "teacher-1".into(),
                    present: true,
                    last_answer_s: Some(0),
                    ..Default::default()
                },
                campaign::NodeStatus {
                    organisation: "hospital-b".into(),
                    node: "teacher-1".into(),
                    present: false,
                    last_answer_s: None,
                    ..Default::default()
                },
            ],
            ..Default::default()
        },
    );
    let refusing = campaign::NodeStatus {
        organisation: "hospital-b".into(),
        node: "teacher-1".into(),
        present: false,
        last_answer_s: Some(3),
        refused: "CONTRACT_REFUSED".into(),
    };
    golden(
        "status-refused",
        &campaign::GetStatusResponse { nodes: vec![refusing.clone()], ..Default::default() },
    );
    golden("contract-of-campaign", &campaign::GetContractRequest { campaign_id: "digits-1".into() });
    golden(
        "start-campaign",
        &campaign::StartCampaignRequest {
            terms: Some(campaign::CampaignTerms {
                campaign_id: "digits-2".into(),
                mechanism: Some(common::Mechanism {
                    kind: Some(common::mechanism::Kind::Gnmax(common::GnMax { sigma_steps: 41_943_040 })),
                }),
                lattice_bits: 20,
                unit: Some(unit()),
                scheme: common::VotingScheme::Ensemble.into(),
                epsilon: 2.5,
                delta: 1e-5,
                teachers_quorum_min: 80,
                queries_max: 700,
                vote_deadline_ms: 10_000,
            }),
            queries_per_minute_max: 60,
        },
    );
    golden(
        "campaign-started",
        &campaign::StartCampaignResponse {
            contract: Some(small_contract()),
            contract_digest: vec![6; 32],
            resumed: true,
            answers: 12,
            nodes: Vec::new(),
        },
    );
    golden(
        "campaign-started-nodes",
        &campaign::StartCampaignResponse { resumed: true, nodes: vec![refusing], ..Default::default() },
    );
    golden("stop-campaign", &campaign::StopCampaignRequest { campaign_id: "digits-2".into() });
    golden("campaign-stopped", &campaign::StopCampaignResponse { answers: 12, stopped_before: true });
}

#[test]
fn a_field_of_the_future_is_passed_over() {
    let request = teacher::VoteRequest { campaign_id: "digits-1".into(), ..Default::default() };
    // Field 99, length-delimited, three bytes.
    let bytes = [request.encode_to_vec(), vec![0x9A, 0x06, 3, 1, 2, 3]].concat();
    assert_eq!(teacher::VoteRequest::decode(bytes.as_slice()), Ok(request));
}

#[test]
fn every_rpc_has_a_request_and_a_response_of_its_own() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("compiled in");
    let mut seen = BTreeSet::new();
    for service in files.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            for name in [method.input_type(), method.output_type()] {
                assert!(
                    seen.insert(name.to_owned()),
                    "{name} serves two RPCs, the second is {}",
                    method.name()
                );
            }
            assert!(method.input_type().ends_with(&format!(".{}Request", method.name())));
            assert!(method.output_type().ends_with(&format!(".{}Response", method.name())));
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn every_enum_begins_with_unspecified() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("compiled in");
    let enums: Vec<_> = files.file.iter().flat_map(|file| &file.enum_type).collect();
    assert!(!enums.is_empty());
    for kind in enums {
        let first = &kind.value[0];
        assert!(first.number() == 0 && first.name().ends_with("_UNSPECIFIED"), "{}", kind.name());
    }
}

/// Compares with the committed bytes, both ways.
fn golden<M: Message + Default + PartialEq + std::fmt::Debug>(name: &str, message: &M) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    let hex = message.encode_to_vec().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    if WRITING && !file.exists() {
        std::fs::write(&file, format!("{hex}\n")).expect("the folder is there");
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(hex, stored.trim_end(), "{name} is written differently");
    let bytes: Vec<u8> = (0..stored.trim_end().len() / 2)
        .map(|at| u8::from_str_radix(&stored[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    assert_eq!(M::decode(bytes.as_slice()).as_ref(), Ok(message), "{name} is read differently");
}

fn answer(outcome: common::answer::Outcome) -> common::Answer {
    common::Answer { query_id: vec![9; 32], outcome: Some(outcome) }
}

fn vote_request() -> teacher::VoteRequest {
    teacher::VoteRequest {
        campaign_id: "digits-1".into(),
        contract_digest: vec![6; 32],
        batch_id: 7,
        attempt: 2,
        query_ids: vec![8; 64],
    }
}

fn vote_response() -> teacher::VoteResponse {
    teacher::VoteResponse {
        campaign_id: "digits-1".into(),
        batch_id: 7,
        attempt: 2,
        packed_votes: vec![0, 1, 1, 0],
        teachers: 2,
    }
}

fn small_contract() -> common::Contract {
    common::Contract { campaign_id: "digits-1".into(), ..Default::default() }
}

fn unit() -> common::PrivacyUnit {
    common::PrivacyUnit {
        kind: common::PrivacyUnitKind::Subject.into(),
        adjacency: common::Adjacency::AddRemove.into(),
        multiplicity: 2,
    }
}

fn contract(kind: common::mechanism::Kind) -> common::Contract {
    common::Contract {
        campaign_id: "digits-1".into(),
        protocol: Some(PROTOCOL),
        trust_mode: common::TrustMode::TrustedAggregator.into(),
        scheme: common::VotingScheme::Ensemble.into(),
        mechanism: Some(common::Mechanism { kind: Some(kind) }),
        lattice_bits: 20,
        unit: Some(unit()),
        class_names: vec!["healthy".into(), "ill".into()],
        delta: 1e-5,
        rho_cap_units: 246_564_568_005,
        filter_order_max: 0,
        teachers_quorum_min: 80,
        queries_max: 1_000,
        vote_deadline_ms: 10_000,
        pool_digest: vec![1; 32],
        features_digest: vec![2; 32],
        simulated: false,
        members: vec![common::Member {
            organisation: "hospital-a".into(),
            node: "teacher-1".into(),
            data_id: "ward-2026".into(),
            partition_digest: vec![3; 32],
            teachers: 25,
        }],
    }
}
