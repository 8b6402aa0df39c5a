//! Promise 8, for silos that allow no inbound connection: nothing is lost, nothing counts twice, and nobody gets in.

use std::net::SocketAddr;
use std::sync::Arc;

use conclave_aggregator::{
    AccountSettings, Aggregator as Campaigner, CampaignSettings, Flow, NodeSettings, Settings, Transport,
};
use conclave_ledger::guard::GuardBook;
use conclave_ledger::verify;
use conclave_privacy::mechanism::GnMax;
use conclave_privacy::noise::SimulationNoise;
use conclave_privacy::quantity::{Delta, Epsilon, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_proto::PROTOCOL;
use conclave_proto::campaign::v1::campaign_service_client::CampaignServiceClient;
use conclave_proto::campaign::v1::{CampaignState, GetStatusResponse};
use conclave_proto::common::v1::ProtocolVersion;
use conclave_proto::common::v1::answer::Outcome as Answer;
use conclave_proto::ids::{CampaignId, NodeId, OrganisationId};
use conclave_proto::teacher::v1::lease::Work;
use conclave_proto::teacher::v1::submit_work_request::Outcome;
use conclave_proto::teacher::v1::work_service_client::WorkServiceClient;
use conclave_proto::teacher::v1::{
    AcceptContractResponse, DescribeResponse, Lease, LeaseWorkRequest, SubmitWorkRequest, VoteResponse,
};
use conclave_service::{ChannelLimits, ClientTransport, Kit, Refusal, Role, ServerLimits, channel};
use conclave_trust::Contract;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use crate::cluster::{
    Aggregator, CAMPAIGN, Campaign, Cluster, Cuttable, Data, Reach, Recorder, conclave, identity, pause,
    query,
};

/// Labels by query of a simulated campaign with five silos, of which the last `dialling` dial out.
async fn simulated_labels(dialling: u8, seed: u64) -> Vec<(Vec<u8>, Answer)> {
    const QUERIES: u32 = 120;
    let mut cluster = Cluster::new(QUERIES);
    for number in 1..=5 {
        let mut data = Data::agreeing(number, QUERIES);
        data.simulated = true;
        // Close enough to a tie that the noise decides.
        data.votes[1] =
            (0..QUERIES).map(|query| u16::try_from((query + u32::from(number)) % 3).unwrap()).collect();
        let organisation = format!("silo-{number}");
        if number > 5 - dialling {
            let address = cluster.nodes_listen;
            cluster.join_from_inside(&organisation, address, data).await;
        } else {
            cluster.join(&organisation, data).await;
        }
    }
    let nodes = cluster.silos.iter().map(|silo| NodeSettings {
        organisation: OrganisationId::new(&silo.organisation).unwrap(),
        node: NodeId::new("node").unwrap(),
        address: match silo.reach {
            Reach::Listens(address) => Some(address.to_string()),
            Reach::Dials(_) => None,
        },
    });
    let epsilon = Epsilon::new(8.0).unwrap();
    let settings = Settings {
        campaign: CampaignSettings {
            id: CampaignId::new(CAMPAIGN).unwrap(),
            mechanism: GnMax::new(NoiseScale::from_votes(20.0, Lattice::DEFAULT).unwrap()).into(),
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            scheme: VotingScheme::Ensemble,
            epsilon,
            delta: Delta::new(1e-5).unwrap(),
            teachers_quorum_min: 10,
            queries_max: QUERIES,
            vote_deadline_ms: 20_000,
        },
        accounts: AccountSettings { epsilon, max_silos_per_subject: 1 },
        pool: cluster.pool.clone(),
        ledger: cluster.ledger(),
        nodes: nodes.collect(),
        nodes_listen: (dialling > 0).then_some(cluster.nodes_listen),
        operators: Vec::new(),
        flow: Flow { batch_queries_max: 7, ..Flow::default() },
        server: ServerLimits::default(),
        channel: ChannelLimits::default(),
    };
    let stop = CancellationToken::new();
    let transport = Transport::Mutual(Box::new(cluster.kit(Role::Aggregator, "hub", "aggregator")));
    let running = Campaigner::prepare(settings, transport, SimulationNoise::new(seed), &stop).await.unwrap();
    let running = running.serve(cluster.listen, stop.clone()).await.unwrap();
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    recorder.ask(&mut service, &queries).await;
    stop.cancel();
    running.finished().await.unwrap();
    for silo in &mut cluster.silos {
        silo.stop().await;
    }
    let mut labels: Vec<_> = recorder.answers().into_iter().collect();
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(labels.len(), QUERIES as usize);
    labels
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_with_silos_that_dial_out_has_the_labels_of_one_where_all_listen() {
    let all_listen = simulated_labels(0, 7).await;
    assert_eq!(simulated_labels(2, 7).await, all_listen);
    assert_ne!(
        simulated_labels(2, 8).await,
        all_listen,
        "the noise decides, so the comparison means something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_the_middle_of_batches_heals_and_no_vote_is_lost_or_counted_twice() {
    const QUERIES: u32 = 900;
    let mut cluster = Cluster::of_silos(2, QUERIES).await;
    let stretch = Cuttable::before(cluster.nodes_listen).await;
    cluster.join_from_inside("silo-3", stretch.address(), Data::agreeing(3, QUERIES)).await;
    // Every teacher is needed: without silo-3 nothing is drawn.
    let campaign =
        Campaign { quorum: 6, flow: "retry_ms = 50\nbatch_queries_max = 3", ..Campaign::default() };
    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    recorder.submit(&mut service, &queries).await.unwrap();
    let mut answered = 0;
    for round in 0..4 {
        let status = recorder.status_when(&mut service, |status| status.queries_answered > answered).await;
        assert!(status.queries_answered < QUERIES, "round {round}: too fast to be cut in its middle");
        stretch.cut();
        if round == 0 {
            // Until the aggregator itself has noticed, and the batch that was in flight has ended for it.
            let waits = |status: &GetStatusResponse| {
                status.nodes_present == 2 && status.state() == CampaignState::BelowQuorum
            };
            let status = recorder.status_when(&mut service, waits).await;
            assert!(waits(&status), "{} nodes, {:?}", status.nodes_present, status.state());
        }
        let before = recorder.status(&mut service).await.queries_answered;
        pause(100).await;
        stretch.heal();
        // The node dials at intervals that grow to five seconds.
        for _ in 0..4 {
            let status = recorder.status_when(&mut service, |status| status.queries_answered > before).await;
            answered = status.queries_answered;
        }
        assert!(answered > before, "round {round}: nothing is answered after the connection is whole again");
    }
    while recorder.listen(&mut service).await.unwrap() != CampaignState::Idle {}
    assert_eq!(recorder.answers().len(), QUERIES as usize);
    assert!(stretch.connections() >= 5, "{}", stretch.connections());
    aggregator.interrupt().await;

    // Each answer was paid for once, and each query stands once in the silo's own book.
    assert!(verify(&cluster.ledger()).unwrap().valid);
    let ledger = conclave_ledger::Snapshot::read(&cluster.ledger()).unwrap();
    let told = ledger.campaigns().next().unwrap();
    assert_eq!((told.answers().total(), told.reserved().units()), (u64::from(QUERIES), 0));
    assert_eq!(told.spent().units(), u64::from(QUERIES) * told.price().units());
    let mut silo = cluster.silos.pop().unwrap();
    silo.stop().await;
    let guard = GuardBook::open(&cluster.path("state-silo-3/guard.db"), 1_000_000, 0).unwrap();
    assert_eq!(guard.used(), u64::from(QUERIES));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dials_out_and_an_aggregator_may_be_restarted_in_any_order() {
    const QUERIES: u32 = 600;
    let mut cluster = Cluster::of_silos(2, QUERIES).await;
    let address = cluster.nodes_listen;
    cluster.join_from_inside("silo-3", address, Data::agreeing(3, QUERIES)).await;
    let campaign =
        Campaign { quorum: 6, flow: "retry_ms = 50\nbatch_queries_max = 3", ..Campaign::default() };
    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    recorder.submit(&mut service, &queries).await.unwrap();
    recorder.status_when(&mut service, |status| status.queries_answered > 20).await;
    cluster.restart_silo(2, Data::agreeing(3, QUERIES)).await;
    let back = recorder.status_when(&mut service, |status| status.queries_answered > 150).await;
    assert!((150..QUERIES).contains(&back.queries_answered), "{}", back.queries_answered);
    aggregator.kill();
    let mut aggregator = cluster.aggregator(&campaign).await;
    let mut service = cluster.caller(Role::Student).await;
    // Below its quorum until the node has dialled again.
    while recorder.ask(&mut service, &queries).await != CampaignState::Idle {}
    assert_eq!(recorder.answers().len(), QUERIES as usize);
    aggregator.interrupt().await;
    assert!(verify(&cluster.ledger()).unwrap().valid);
}

/// A node by hand: it asks for work and does with it what the test wants.
struct Puppet {
    service: WorkServiceClient<Channel>,
    held: Vec<u64>,
}

impl Puppet {
    async fn dial(address: SocketAddr, kit: Kit) -> Self {
        let expected = identity(Role::Aggregator, "hub", "aggregator");
        let transport = ClientTransport::Mutual { kit: Arc::new(kit), expected };
        for _ in 0..500 {
            let dialled = channel::connect(&address.to_string(), &transport, &ChannelLimits::default()).await;
            if let Ok(channel) = dialled {
                return Self { service: WorkServiceClient::new(channel), held: Vec::new() };
            }
            pause(10).await;
        }
        panic!("nobody receives nodes at {address}");
    }

    async fn ask(&mut self, wait_ms: u32) -> Result<Option<Lease>, Refusal> {
        let request = LeaseWorkRequest { held: self.held.clone(), wait_ms };
        let answer = self.service.lease_work(request).await.map_err(|status| Refusal::read(&status))?;
        Ok(answer.into_inner().lease)
    }

    /// The next lease, which the puppet holds from now on.
    async fn lease(&mut self) -> Lease {
        loop {
            if let Some(lease) = self.ask(5_000).await.unwrap() {
                self.held.push(lease.lease_id);
                return lease;
            }
        }
    }

    async fn submit(&mut self, lease_id: u64, outcome: Outcome) -> Result<bool, Refusal> {
        let request = SubmitWorkRequest { lease_id, outcome: Some(outcome) };
        let answer = self.service.submit_work(request).await.map_err(|status| Refusal::read(&status))?;
        Ok(answer.into_inner().repeated_before)
    }

    /// Answers what is asked at enrolment, as an honest node of two teachers.
    async fn enrol(&mut self, organisation: &str, cluster: &Cluster) {
        for _ in 0..2 {
            let lease = self.lease().await;
            let outcome = match lease.work.unwrap() {
                Work::Describe(_) => Outcome::Described(described(organisation, cluster)),
                Work::AcceptContract(asked) => {
                    let contract = Contract::try_from(asked.contract.unwrap()).unwrap();
                    let contract_digest = contract.digest().as_bytes().to_vec();
                    Outcome::Accepted(AcceptContractResponse { contract_digest })
                }
                Work::Vote(_) => panic!("asked to vote before it agreed"),
            };
            assert_eq!(self.submit(lease.lease_id, outcome).await, Ok(false));
        }
    }

    /// The next batch, and honest votes on it: all for class 0.
    async fn batch(&mut self) -> (u64, VoteResponse) {
        let Lease { lease_id, work: Some(Work::Vote(asked)), .. } = self.lease().await else {
            panic!("no batch")
        };
        let packed_votes = vec![0; 2 * asked.query_ids.len() / 32];
        let (campaign_id, batch_id, attempt) = (asked.campaign_id, asked.batch_id, asked.attempt);
        (lease_id, VoteResponse { campaign_id, batch_id, attempt, teachers: 2, packed_votes })
    }
}

fn described(organisation: &str, cluster: &Cluster) -> DescribeResponse {
    DescribeResponse {
        protocol: Some(ProtocolVersion { ..PROTOCOL }),
        organisation: organisation.to_owned(),
        node: "node".to_owned(),
        data_id: format!("data-{organisation}"),
        partition_digest: vec![7; 32],
        teachers: 2,
        class_names: cluster.pool.class_names().to_vec(),
        pool_digest: cluster.pool.digest().as_bytes().to_vec(),
        features_digest: cluster.pool.features().as_bytes().to_vec(),
        ..DescribeResponse::default()
    }
}

/// An aggregator with two honest silos that listen, and puppets by these names.
async fn with_puppets(
    names: &[&str],
    campaign: &Campaign,
) -> (Arc<Cluster>, Aggregator, CampaignServiceClient<Channel>, Vec<Puppet>) {
    let mut cluster = Cluster::of_silos(2, 200).await;
    for name in names {
        cluster.list(name, Reach::Dials(cluster.nodes_listen));
    }
    let mut aggregator = Aggregator::spawn(&conclave(), &cluster.config(campaign), &[], &cluster.path("log"));
    let mut puppets = Vec::new();
    for name in names {
        let kit = cluster.kit(Role::Teacher, name, "node");
        puppets.push(Puppet::dial(cluster.nodes_listen, kit).await);
    }
    // At the same time: nobody is asked to agree before everybody has told who it is.
    let cluster = Arc::new(cluster);
    let enrolling = names.iter().zip(puppets).map(|(&name, mut puppet)| {
        let (name, cluster) = (name.to_owned(), Arc::clone(&cluster));
        tokio::spawn(async move {
            puppet.enrol(&name, &cluster).await;
            puppet
        })
    });
    let enrolling: Vec<_> = enrolling.collect();
    let mut puppets = Vec::new();
    for enrolled in enrolling {
        puppets.push(enrolled.await.unwrap());
    }
    aggregator.ready(&cluster).await;
    let service = cluster.caller(Role::Student).await;
    (cluster, aggregator, service, puppets)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_listed_as_dialling_in_gets_no_work_and_can_hand_nothing_in() {
    let (cluster, _aggregator, mut service, mut puppets) =
        with_puppets(&["silo-3", "silo-4"], &Campaign::default()).await;
    let recorder = Recorder::default();
    let strangers = [
        (Role::Teacher, "silo-9", "node", "NOT_A_MEMBER"),
        (Role::Teacher, "silo-3", "other-node", "NOT_A_MEMBER"),
        // A member, but one that the aggregator dials.
        (Role::Teacher, "silo-1", "node", "NOT_A_MEMBER"),
        (Role::Student, "silo-3", "node", "WRONG_ROLE"),
        (Role::Client, "silo-3", "node", "WRONG_ROLE"),
        (Role::Aggregator, "silo-3", "node", "WRONG_ROLE"),
    ];
    recorder.submit(&mut service, &[query(1)]).await.unwrap();
    let (lease, votes) = puppets[0].batch().await;
    for (role, organisation, name, reason) in strangers {
        let mut stranger = Puppet::dial(cluster.nodes_listen, cluster.kit(role, organisation, name)).await;
        let refusal = stranger.ask(0).await.unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.reason()),
            (Code::PermissionDenied, reason),
            "{role} {organisation}"
        );
        let refusal = stranger.submit(lease, Outcome::Voted(votes.clone())).await.unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.reason()),
            (Code::PermissionDenied, reason),
            "{role} {organisation}"
        );
        assert!(cluster.log().contains(&format!("/{role}/{organisation}/{name}")), "{}", cluster.log());
    }
    // A member cannot answer for another.
    let refusal = puppets[1].submit(lease, Outcome::Voted(votes.clone())).await.unwrap_err();
    assert_eq!(refusal.reason(), "LEASE_NOT_OPEN");
    assert_eq!(puppets[0].submit(lease, Outcome::Voted(votes.clone())).await, Ok(false));
    assert_eq!(
        puppets[0].submit(lease, Outcome::Voted(votes.clone())).await,
        Ok(true),
        "repeated, as before"
    );
    let changed = VoteResponse { packed_votes: vec![1; 2], ..votes };
    let refusal = puppets[0].submit(lease, Outcome::Voted(changed)).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.reason()), (Code::AlreadyExists, "OUTCOME_CHANGED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_holds_its_work_back_or_sends_nonsense_holds_up_nobody() {
    let campaign = Campaign { vote_deadline_ms: 600, ..Campaign::default() };
    let (cluster, _aggregator, mut service, mut puppets) = with_puppets(&["silo-3"], &campaign).await;
    let puppet = &mut puppets[0];
    let mut recorder = Recorder::default();
    // The honest silos are a quorum: the batch goes on without what does not come, and what comes late is refused.
    recorder.submit(&mut service, &[query(1)]).await.unwrap();
    let (lease, votes) = puppet.batch().await;
    assert_eq!(recorder.listen(&mut service).await.unwrap(), CampaignState::Idle);
    let refusal = puppet.submit(lease, Outcome::Voted(votes)).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.reason()), (Code::FailedPrecondition, "LEASE_NOT_OPEN"));
    assert_eq!(recorder.status(&mut service).await.rejected["late"], 1);
    puppet.enrol("silo-3", &cluster).await;

    let nonsense: [fn(VoteResponse) -> Outcome; 4] = [
        |votes| Outcome::Voted(VoteResponse { packed_votes: vec![0; 3], ..votes }),
        |votes| Outcome::Voted(VoteResponse { packed_votes: vec![9; 2], ..votes }),
        |votes| Outcome::Voted(VoteResponse { batch_id: votes.batch_id + 1, ..votes }),
        |votes| Outcome::Voted(VoteResponse { teachers: 3, packed_votes: vec![0; 3], ..votes }),
    ];
    for (number, nonsense) in (2..).zip(nonsense) {
        recorder.submit(&mut service, &[query(number)]).await.unwrap();
        let (lease, votes) = puppet.batch().await;
        assert_eq!(puppet.submit(lease, nonsense(votes)).await, Ok(false));
        recorder.status_when(&mut service, |status| status.queries_answered >= number).await;
        // Its votes did not count, so it is away until it agrees again.
        puppet.enrol("silo-3", &cluster).await;
    }
    let rejected = recorder.status(&mut service).await.rejected;
    assert_eq!(rejected["malformed"] + rejected["foreign"], 4, "{rejected:?}");
    assert_eq!(recorder.listen(&mut service).await.unwrap(), CampaignState::Idle);
    assert_eq!(recorder.answers().len(), 5);

    // Another kind of answer, a list without end, a message beyond the bound: refused, and the connection lives on.
    recorder.submit(&mut service, &[query(9)]).await.unwrap();
    let (lease, votes) = puppet.batch().await;
    let refusal = puppet.submit(lease, Outcome::Described(DescribeResponse::default())).await.unwrap_err();
    assert_eq!(refusal.faulty_field(), Some("outcome"));
    let huge = VoteResponse { packed_votes: vec![0; 5 << 20], ..votes.clone() };
    assert_eq!(puppet.submit(lease, Outcome::Voted(huge)).await.unwrap_err().code(), Code::OutOfRange);
    puppet.held = vec![0; 10_000];
    assert_eq!(puppet.ask(0).await.unwrap_err().faulty_field(), Some("held"));
    puppet.held = vec![lease];
    assert_eq!(puppet.submit(lease, Outcome::Voted(votes)).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_kit_are_told_so_and_no_vote_counts_twice() {
    let (cluster, _aggregator, mut service, mut puppets) =
        with_puppets(&["silo-3"], &Campaign::default()).await;
    let mut first = puppets.pop().unwrap();
    let mut second = Puppet::dial(cluster.nodes_listen, cluster.kit(Role::Teacher, "silo-3", "node")).await;
    let waiting = tokio::spawn(async move {
        let displaced = first.ask(8_000).await;
        (first, displaced)
    });
    pause(200).await;
    assert_eq!(second.ask(0).await, Ok(None));
    let (mut first, displaced) = waiting.await.unwrap();
    assert_eq!(displaced.unwrap_err().reason(), "DISPLACED");
    assert!(cluster.log().contains("DISPLACED") && cluster.log().contains("one process with this kit"));
    let recorder = Recorder::default();
    recorder.submit(&mut service, &[query(1)]).await.unwrap();
    let (lease, votes) = first.batch().await;
    assert_eq!(second.batch().await, (lease, votes.clone()), "neither holds what the other has");
    assert_eq!(first.submit(lease, Outcome::Voted(votes.clone())).await, Ok(false));
    assert_eq!(second.submit(lease, Outcome::Voted(votes)).await, Ok(true));
    let status = recorder.status_when(&mut service, |status| status.queries_answered == 1).await;
    assert_eq!((status.queries_answered, status.rejected["repeated"]), (1, 0));
}
