//! Promise 8: nothing is lost and nobody gets in.
//!
//! Every cell of the role table, with real certificates; bad certificates; a port, a ledger or a disk that cannot be used;
//! and interrupts in every phase.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use conclave_ledger::verify;
use conclave_proto::DESCRIPTORS;
use conclave_proto::campaign::v1::CampaignState;
use conclave_service::authority::Authority;
use conclave_service::clock::WallClock;
use conclave_service::{
    ChannelLimits, ClientTransport, Refusal, Role, RoleTable, Server, ServerLimits, ServerTransport, channel,
};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::cluster::{
    Aggregator, CONSORTIUM, Campaign, Cluster, Reach, Recorder, conclave, free_port, identity, pause, query,
};

/// Every RPC of the protocol, as `/package.Service/Method`.
fn every_rpc() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut found = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let method = |method: &prost_types::MethodDescriptorProto| {
                format!("/{}.{}/{}", file.package(), service.name(), method.name())
            };
            found.extend(service.method.iter().map(method));
        }
    }
    assert_eq!(found.len(), 13, "a new RPC needs a row here and a cell in the table of SECURITY: {found:?}");
    found
}

/// Who may call what, as the documentation promises it; written down a second time on purpose.
fn promised(rpc: &str) -> &'static [Role] {
    match rpc.rsplit_once('.').unwrap().1 {
        "TeacherService/Describe" | "TeacherService/AcceptContract" | "TeacherService/Vote" => {
            &[Role::Aggregator]
        }
        "WorkService/LeaseWork" | "WorkService/SubmitWork" => &[Role::Teacher],
        "CampaignService/SubmitQueries" => &[Role::Student],
        "OperatorService/StartCampaign" | "OperatorService/StopCampaign" => &[Role::Operator],
        "CampaignService/GetContract" | "CampaignService/ListAnswers" | "CampaignService/GetStatus" => {
            &[Role::Student, Role::Client, Role::Operator]
        }
        "StudentService/Describe" | "StudentService/Predict" => &[Role::Student, Role::Client],
        other => panic!("{other} has no promise"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_role_table_is_as_promised() {
    let cluster = Cluster::new(1);
    let tables: [(&str, RoleTable); 4] = [
        ("teacher.v1.TeacherService", conclave_teacher_node::ROLES),
        ("teacher.v1.WorkService", conclave_aggregator::WORK_ROLES),
        ("campaign.v1.CampaignService", conclave_aggregator::ROLES),
        ("student.v1.StudentService", conclave_student::serving::ROLES),
    ];
    // Both services of the aggregator are behind one table.
    let service = |rpc: &str| {
        let service = rpc["/conclave.".len()..].split('/').next().unwrap();
        service.replace("OperatorService", "CampaignService")
    };
    let stop = CancellationToken::new();
    let mut servers = HashMap::new();
    for (name, table) in tables {
        // No handlers at all: what passes the table is answered UNIMPLEMENTED.
        let transport = ServerTransport::Mutual(cluster.kit(Role::Aggregator, "hub", "aggregator"));
        let server = Server::new(transport, table, ServerLimits::default());
        let server = server.bind("127.0.0.1:0".parse().unwrap(), stop.clone()).await.unwrap();
        servers.insert(name, server);
    }
    for rpc in every_rpc() {
        let service = service(&rpc);
        let server = &servers[service.as_str()];
        for role in Role::ALL {
            let code = call(&cluster, server.address(), role, &rpc).await;
            let allowed = promised(&rpc).contains(&role);
            let expected = if allowed { Code::Unimplemented } else { Code::PermissionDenied };
            assert_eq!(code, expected, "{role} calls {rpc}");
        }
        for (name, other) in &servers {
            if *name != service {
                let code = call(&cluster, other.address(), promised(&rpc)[0], &rpc).await;
                assert_eq!(code, Code::PermissionDenied, "{rpc} at the server of {name}");
            }
        }
    }
    stop.cancel();
}

async fn call(cluster: &Cluster, address: SocketAddr, role: Role, rpc: &str) -> Code {
    let kit = Arc::new(cluster.kit(role, "hub", "caller"));
    let expected = identity(Role::Aggregator, "hub", "aggregator");
    let transport = ClientTransport::Mutual { kit, expected };
    let channel =
        channel::connect(&address.to_string(), &transport, &ChannelLimits::default()).await.unwrap();
    let mut service = Grpc::new(channel);
    service.ready().await.unwrap();
    let path: PathAndQuery = rpc.parse().unwrap();
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    service.unary(Request::new(()), path, codec).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_expired_and_absent_certificates_do_not_get_as_far_as_a_call() {
    let cluster = Cluster::of_silos(2, 10).await;
    let _aggregator = cluster.aggregator(&Campaign::default()).await;
    let address = cluster.listen.to_string();
    let expected = identity(Role::Aggregator, "hub", "aggregator");
    let student = identity(Role::Student, "hub", "student");
    let year_ms = 365 * 24 * 60 * 60 * 1_000;
    let foreign = Authority::create(CONSORTIUM, WallClock::now_ms()).unwrap();
    let past = cluster.authority.issue(&student, 1, WallClock::now_ms() - year_ms);
    let kits = [
        ("another authority", foreign.issue(&student, 1, WallClock::now_ms()).unwrap()),
        ("an expired certificate", past.unwrap()),
    ];
    for (what, kit) in kits {
        let transport = ClientTransport::Mutual { kit: Arc::new(kit), expected: expected.clone() };
        let refusal = channel::connect(&address, &transport, &ChannelLimits::default()).await.unwrap_err();
        assert!(refusal.to_string().contains(&address), "{what}: {refusal}");
    }
    let plain = ClientTransport::PlaintextLoopback;
    channel::connect(&address, &plain, &ChannelLimits::default()).await.expect_err("plain text");
    // The right party at the wrong name.
    let kit = Arc::new(cluster.kit(Role::Student, "hub", "student"));
    let transport = ClientTransport::Mutual { kit, expected: identity(Role::Teacher, "silo-1", "node") };
    let refusal = channel::connect(&address, &transport, &ChannelLimits::default()).await.unwrap_err();
    assert!(refusal.to_string().contains("wrong party or role"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_field_value_and_fix_and_change_nothing() {
    let cluster = Cluster::of_silos(2, 10).await;
    let campaign = Campaign { queries_max: 5, ..Campaign::default() };
    let _aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let recorder = Recorder::default();
    let unknown = recorder.submit(&mut service, &[query(1), query(77)]).await.unwrap_err();
    let refusal = Refusal::read(&unknown);
    assert_eq!((refusal.reason(), refusal.faulty_field()), ("QUERY_UNKNOWN", Some("query_ids[1]")));
    let too_many: Vec<_> = (0..6).map(query).collect();
    let refusal = Refusal::read(&recorder.submit(&mut service, &too_many).await.unwrap_err());
    assert_eq!(refusal.reason(), "QUERIES_MAX");
    assert!(refusal.to_string().contains("5 queries in all, 5 left, 6 new ones proposed"), "{refusal}");
    let refusal = Refusal::read(&Recorder::of("other").submit(&mut service, &too_many).await.unwrap_err());
    assert_eq!((refusal.code(), refusal.faulty_value()), (Code::NotFound, Some("other")));
    let huge: Vec<_> = (0..200_000).map(query).collect();
    let refusal = recorder.submit(&mut service, &huge).await.unwrap_err();
    assert_eq!(refusal.code(), Code::OutOfRange, "{refusal}");
    assert_eq!(recorder.status(&mut service).await.queries_admitted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_a_held_ledger_and_a_damaged_one_are_named() {
    let cluster = Cluster::of_silos(2, 10).await;
    let refused = async |code: i32, told: &[&str]| {
        let log = cluster.path(&format!("refused-{}", told[0].replace('/', "-")));
        let mut aggregator = Aggregator::spawn(&conclave(), &cluster.config(&Campaign::default()), &[], &log);
        assert_eq!(aggregator.ended().await.code(), Some(code), "{told:?}");
        let words = std::fs::read_to_string(&log).unwrap();
        assert!(told.iter().all(|told| words.contains(told)), "{told:?}: {words}");
    };
    {
        let _busy = TcpListener::bind(cluster.listen).unwrap();
        refused(2, &[&cluster.listen.to_string(), "in use"]).await;
    }
    let mut aggregator = cluster.aggregator(&Campaign::default()).await;
    refused(1, &["ledger.db", "in use by another process"]).await;
    let mut service = cluster.caller(Role::Student).await;
    let some: Vec<_> = (0..10).map(query).collect();
    Recorder::default().ask(&mut service, &some).await;
    aggregator.interrupt().await;

    let sound = std::fs::read(cluster.ledger()).unwrap();
    let entry = sound.windows(32).position(|bytes| bytes == query(3).as_bytes()).unwrap();
    let mut damaged = sound.clone();
    damaged[entry] ^= 1;
    std::fs::write(cluster.ledger(), &damaged).unwrap();
    refused(4, &["is corrupt", "entry "]).await;
    assert_eq!(std::fs::read(cluster.ledger()).unwrap(), damaged, "a refused ledger is left as it is");
    std::fs::write(cluster.ledger(), sound).unwrap();
    cluster.aggregator(&Campaign::default()).await.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_halts_the_campaign_and_a_restart_with_room_goes_on() {
    const QUERIES: u32 = 3_000;
    let cluster = Cluster::of_silos(2, QUERIES).await;
    let campaign = Campaign { flow: "retry_ms = 50\nbatch_queries_max = 10", ..Campaign::default() };
    let config = cluster.config(&campaign);
    // No file of this process may grow beyond 200 blocks of 1024 bytes; a write beyond fails as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    let log = std::fs::File::create(cluster.path("log")).unwrap();
    let child = Command::new("bash")
        .args(["-c", script])
        .arg(conclave())
        .args(["aggregator", "run", "--log", "error", "--config"])
        .arg(&config)
        .stderr(log)
        .spawn()
        .unwrap();
    let mut aggregator = Aggregator::from(child);
    aggregator.ready(&cluster).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Halted);
    let before = recorder.answers().len();
    assert!(before > 0 && before < QUERIES as usize, "{before}");
    aggregator.kill();

    assert!(verify(&cluster.ledger()).unwrap().valid);
    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle);
    assert_eq!(recorder.answers().len(), QUERIES as usize, "nothing was lost, and no answer changed");
    aggregator.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_in_any_phase_ends_in_order() {
    let mut cluster = Cluster::of_silos(2, 2_000).await;
    let campaign = Campaign { flow: "retry_ms = 50\nbatch_queries_max = 2", ..Campaign::default() };
    // Before the nodes are there.
    let address = free_port();
    cluster.list("silo-3", Reach::Listens(address));
    let waiting = Campaign { ledger: "other.db", ..Campaign::default() };
    let mut aggregator = Aggregator::spawn(&conclave(), &cluster.config(&waiting), &[], &cluster.path("log"));
    while !cluster.log().contains("not there yet") {
        pause(5).await;
    }
    assert_eq!(aggregator.interrupt().await.code(), Some(1));
    assert!(cluster.log().contains("interrupted before the campaign was open"), "{}", cluster.log());
    assert_one_file(&cluster, "other.db");
    cluster.silos.pop();
    // Idle, and while it asks.
    for asking in [false, true] {
        let mut aggregator = cluster.aggregator(&campaign).await;
        let mut service = cluster.caller(Role::Student).await;
        let recorder = Recorder::default();
        if asking {
            let queries: Vec<_> = (0..2_000).map(query).collect();
            recorder.submit(&mut service, &queries).await.unwrap();
            recorder.status_when(&mut service, |status| status.queries_answered > 20).await;
        }
        assert_eq!(aggregator.interrupt().await.code(), Some(0), "asking: {asking}");
        assert_one_file(&cluster, "ledger.db");
        assert!(verify(&cluster.ledger()).unwrap().valid);
    }
    let ledger = conclave_ledger::Snapshot::read(&cluster.ledger()).unwrap();
    let campaign = ledger.campaigns().next().unwrap();
    assert_eq!(campaign.reserved().units(), 0, "what was under way has ended or was given up");
    assert_eq!(campaign.spent().units(), campaign.answers().total() * campaign.price().units());
}

fn assert_one_file(cluster: &Cluster, ledger: &str) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = cluster.path(&format!("{ledger}{suffix}"));
        assert!(!path.exists(), "{} is left after a clean end", path.display());
    }
}
