//! Nothing private leaves by the log: a whole life of a node is traced at the finest level and searched.
//!
//! The canaries are a cell of a private row, the number of private rows, and a class that only some votes name, in every
//! form in which a log could show it.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "the other test needs more of it")]
mod consortium;

use std::io::Write;
use std::sync::{Arc, Mutex};

use conclave_learning::Dataset;
use conclave_privacy::ClassIndex;
use conclave_proto::ids::PartitionDigest;
use conclave_proto::pool::PoolManifest;
use conclave_service::{Role, ServerLimits};
use conclave_teacher_node::{Settings, TeacherNode, Teachers};
use tracing_subscriber::filter::LevelFilter;

use consortium::{Consortium, contract, manifest, pool, query, rows, settings, shard};

/// Its bytes are `c3 d4`: no text shows them by accident.
const CANARY_CLASS: u16 = 0xd4c3;
const CANARY_CELL: f32 = 31_337.75;
const CANARY_ROWS: usize = 1_237;

#[tokio::test(flavor = "multi_thread")]
async fn no_vote_row_or_size_of_a_shard_is_in_any_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    voting_of_a_node(&Consortium::new()).await;
    training_of_a_node(&Consortium::new()).await;

    let log = log.text();
    for told in
        ["described this node", "agreed to a campaign", "voted", "queries=3 left=2", "SILO_BUDGET_SPENT"]
    {
        assert!(log.contains(told), "the operator is told: {told}\n{log}");
    }
    assert!(log.contains("caller=\"conclave://demo/aggregator/clinic/caller\""), "who asked");
    assert!(log.contains("TRACE"), "the log is complete");
    for (name, canary) in [
        ("vote", "54467"),
        ("vote", "195, 212"),
        ("vote", "\\xc3\\xd4"),
        ("vote", "c3d4"),
        ("vote", "c3, d4"),
        ("cell", "31337.75"),
        ("accuracy", "accuracy"),
    ] {
        assert!(!log.contains(canary), "{name} in the log: {canary}");
    }
    let mut words = log.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(|word| word == CANARY_ROWS.to_string()), "size of the shard in the log");
}

/// A silo whose teachers vote for the canary class, asked and refused.
async fn voting_of_a_node(consortium: &Consortium) {
    let classes = (0..60_000).map(|class| format!("class {class}")).collect();
    let pool = PoolManifest::new(classes, manifest().features(), (0..10).map(query)).unwrap();
    let votes = vec![vec![ClassIndex::from(CANARY_CLASS); 10]; 2];
    let teachers = Teachers::from_votes(votes, pool.class_names().len()).unwrap();
    let settings = Settings { server: ServerLimits::default(), ..settings(consortium.dir.path()) };
    let node =
        TeacherNode::with_votes(settings, PartitionDigest::new([4; 32]), pool.clone(), teachers).unwrap();
    tracing::trace!(?node, "whatever a Debug shows");
    let silo = consortium.serve(node).await;

    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    aggregator.describe().await.unwrap();
    let contract = contract(silo.member(), &pool);
    aggregator.agree(&contract).await;
    let voted = aggregator.vote(&contract, &[0, 1, 2].map(query)).await.unwrap();
    assert_eq!(voted.packed_votes, [0xc3, 0xd4].repeat(6), "the canary did fly");
    aggregator.vote(&contract, &[3, 4, 5].map(query)).await.expect_err("past the cap");
    aggregator.vote(&contract, &[query(77)]).await.expect_err("not in the pool");
    silo.stop().await;
}

/// A silo with canaries in its rows, trained, asked and refused.
async fn training_of_a_node(consortium: &Consortium) {
    let plain = rows(CANARY_ROWS, &["a", "b"]);
    let mut features = plain.features().clone();
    features[(7, 0)] = CANARY_CELL;
    let labels = plain.labels().map(<[_]>::to_vec);
    let private = shard(Dataset::new(plain.schema().clone(), features, labels, None).unwrap());
    let pool = pool();
    let settings = settings(consortium.dir.path());
    let prepared = TeacherNode::prepare(settings.clone(), &private, &pool, |_, _| ()).unwrap();
    tracing::trace!(?prepared, ?private, "whatever a Debug shows");
    let silo = consortium.serve(prepared).await;
    let mut aggregator = consortium.caller(&silo, Role::Aggregator).await;
    let contract = contract(silo.member(), pool.manifest());
    aggregator.agree(&contract).await;
    aggregator.vote(&contract, &pool.manifest().queries()[..4]).await.unwrap();
    silo.stop().await;
    let refusal =
        TeacherNode::prepare(Settings { teachers: 3, ..settings }, &private, &pool, |_, _| ()).unwrap_err();
    tracing::error!(%refusal, ?refusal, "data changed");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
