//! A student process from its settings: it learns, saves, serves; started again it serves what it saved.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_learning::Label;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_proto::campaign::v1::CampaignState;
use conclave_service::config::{Loaded, load_from};
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_service::{ChannelLimits, Role};
use conclave_student::config::StudentConfig;
use conclave_student::{PredictionClient, StudentModel};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::campaign::Campaign;
use crate::world::{anywhere, client, identity, kit, points};

/// A folder with kit, pool and settings of a student, and the campaign that it will learn from.
struct Home {
    folder: TempDir,
    campaign: Campaign,
    listen: SocketAddr,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        kit(Role::Student).save(&folder.path().join("kit")).unwrap();
        for (name, rows, offset) in [("pool.csv", 40, 0.0), ("test.csv", 20, 0.25)] {
            std::fs::write(folder.path().join(name), csv(rows, offset)).unwrap();
        }
        let source = toml::from_str::<DatasetSpec>(&source(&folder.path().join("pool.csv"))).unwrap();
        let pool = source.load().unwrap();
        let space = FeatureSpace::fit(&FeatureSpec::Standardised, &pool).unwrap();
        // Somebody else may take the port in between, which the student would say; nobody does on a test machine.
        let listen = TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
        Self { folder, campaign: Campaign::over(&pool, &space), listen }
    }

    fn model_path(&self) -> PathBuf {
        self.folder.path().join("student.model")
    }

    fn settings(&self, aggregator: SocketAddr, more: &str) -> Loaded<StudentConfig> {
        let folder = self.folder.path();
        let text = format!(
            "listen = '{}'\nkit = '{}'\ncampaign = 'points-1'\nmodel_path = '{}'\n{more}\n\
             [aggregator]\naddress = '{aggregator}'\nidentity = '{}'\n\
             [pool]\nfeatures = {{ kind = 'standardised' }}\n[pool.source]\n{}\n[test]\n{}\n\
             [patience]\nanswer_wait_ms = 20\nquorum_wait_ms = 50\n\
             [patience.retry]\nattempts_max = 3\ndelay_first_ms = 5\ndelay_max_ms = 20\n",
            self.listen,
            folder.join("kit").display(),
            self.model_path().display(),
            identity(Role::Aggregator),
            source(&folder.join("pool.csv")),
            source(&folder.join("test.csv")),
        );
        let path = folder.join("student.toml");
        std::fs::write(&path, text).unwrap();
        load_from(Some(&path), "UNSET", [], toml::Table::new()).unwrap()
    }

    async fn predictions(&self) -> Vec<Label> {
        let transport = client(Role::Client, Role::Student);
        let address = self.listen.to_string();
        for _ in 0..500 {
            match PredictionClient::connect(&address, &transport, &ChannelLimits::default()).await {
                Ok(mut student) => return student.predict(points(20, 0.25).features()).await.unwrap(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("the student is not ready after 5 s");
    }
}

fn source(path: &Path) -> String {
    format!("kind = 'csv'\npath = '{}'\nclasses = ['near', 'far']", path.display())
}

fn csv(rows: usize, offset: f32) -> String {
    let points = points(rows, offset);
    let names = points.schema().class_names();
    let line = |row: usize| {
        let name = &names[points.labels().unwrap()[row].index()];
        format!("{},{},{name}\n", points.row(row)[0], points.row(row)[1])
    };
    (0..rows).map(line).fold("east,north,label\n".to_owned(), |text, line| text + &line)
}

fn start(settings: Loaded<StudentConfig>) -> (JoinHandle<Result<(), Failure>>, CancellationToken) {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    (tokio::spawn(async move { conclave_student::run(&settings, stopped).await }), stop)
}

#[tokio::test]
async fn a_student_learns_saves_and_serves_and_after_a_restart_needs_nobody() {
    let home = Home::new();
    let (aggregator, halt) = home.campaign.start(anywhere()).await;
    let settings = home.settings(aggregator.address(), "queries = { count = 8 }");

    let (student, stop) = start(settings.clone());
    let first = home.predictions().await;
    assert_eq!(first, points(20, 0.25).labels().unwrap());
    assert_eq!(home.campaign.script().released.len(), 8, "it asked what it was told to");
    stop.cancel();
    student.await.unwrap().unwrap();
    let saved = StudentModel::load(&home.model_path()).unwrap();
    assert_eq!((saved.origin().labels, saved.origin().simulated), (8, true));

    halt.cancel();
    aggregator.finished().await.unwrap();
    let (student, stop) = start(settings);
    assert_eq!(home.predictions().await, first);
    stop.cancel();
    student.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_spent_budget_still_gives_a_student() {
    let home = Home::new();
    home.campaign.script().answers_max = 10;
    let (aggregator, _halt) = home.campaign.start(anywhere()).await;
    let (student, stop) = start(home.settings(aggregator.address(), ""));
    home.predictions().await;
    assert_eq!(StudentModel::load(&home.model_path()).unwrap().origin().labels, 10);
    stop.cancel();
    student.await.unwrap().unwrap();
}

/// What is spoilt, what is set instead, how the process ends, and which word it says.
type Case = (fn(&Home), &'static str, ExitStatus, &'static str);

#[tokio::test]
async fn what_stops_a_student_has_its_exit_status_and_saves_nothing() {
    let status_of = async |change: fn(&Home), more: &str| {
        let home = Home::new();
        change(&home);
        let (aggregator, _halt) = home.campaign.start(anywhere()).await;
        let (student, _stop) = start(home.settings(aggregator.address(), more));
        let failure = student.await.unwrap().unwrap_err();
        assert!(!home.model_path().exists());
        (failure.status, failure.message)
    };
    let cases: [Case; 5] = [
        (
            |home| {
                let mut script = home.campaign.script();
                script.silent_after = 38;
                script.state_when_empty = Some(CampaignState::BelowQuorum);
            },
            "queries = { count = 39 }",
            ExitStatus::Peer,
            "below its quorum for patience.quorum_wait_ms = 50",
        ),
        (
            |home| home.campaign.script().contract.queries_max = 7,
            "queries = { count = 8 }",
            ExitStatus::BadInput,
            "queries.count is 8; the contract allows 7",
        ),
        (
            |home| home.campaign.script().contract.campaign_id = "other".to_owned(),
            "",
            ExitStatus::BadInput,
            "campaign is points-1; the aggregator runs campaign other",
        ),
        (
            |home| std::fs::write(home.folder.path().join("pool.csv"), csv(41, 0.0)).unwrap(),
            "",
            ExitStatus::BadInput,
            "digest of the pool is",
        ),
        (
            |home| home.campaign.script().outcomes.clear(),
            "",
            ExitStatus::Peer,
            "answers[0].outcome is absent",
        ),
    ];
    for (change, more, status, words) in cases {
        let change: fn(&Home) = change;
        let (found, message) = status_of(change, more).await;
        assert_eq!(found, status, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn an_aggregator_that_is_away_ends_it_as_a_missing_peer() {
    let home = Home::new();
    let nobody = TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
    let (student, _stop) = start(home.settings(nobody, ""));
    let failure = student.await.unwrap().unwrap_err();
    assert_eq!(failure.status, ExitStatus::Peer, "{failure}");
    assert!(failure.message.contains(&nobody.to_string()), "{failure}");
}

#[tokio::test]
async fn an_interrupt_while_it_learns_says_how_to_go_on() {
    let home = Home::new();
    home.campaign.script().silent_after = 5;
    let (aggregator, _halt) = home.campaign.start(anywhere()).await;
    let (student, stop) = start(home.settings(aggregator.address(), ""));
    while home.campaign.script().released.len() < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    let failure = student.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.status, failure.message.as_str()),
        (ExitStatus::Other, "interrupted; start the student again: answers are kept")
    );
}

#[tokio::test]
async fn a_saved_model_that_is_damaged_or_of_another_campaign_is_refused_by_name() {
    let home = Home::new();
    let (aggregator, _halt) = home.campaign.start(anywhere()).await;
    let settings = home.settings(aggregator.address(), "queries = { count = 4 }");
    let (student, stop) = start(settings.clone());
    home.predictions().await;
    stop.cancel();
    student.await.unwrap().unwrap();

    let mut other = settings.clone();
    other.value.campaign = "points-2".to_owned();
    let failure = start(other).0.await.unwrap().unwrap_err();
    assert!(failure.message.contains("campaign of the saved model is points-1; remove"), "{failure}");

    let mut bytes = std::fs::read(home.model_path()).unwrap();
    bytes[150] ^= 1;
    std::fs::write(home.model_path(), bytes).unwrap();
    let failure = start(settings).0.await.unwrap().unwrap_err();
    assert_eq!(failure.status, ExitStatus::BadInput);
    assert!(failure.message.contains("student.model") && failure.message.contains("is damaged"), "{failure}");
}
