//! The aggregator as a process: started, killed, interrupted, waited for.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use conclave_service::Role;

use super::{Cluster, pause};

/// A running aggregator; killed when dropped.
pub(crate) struct Aggregator {
    child: Child,
}

/// The binary that this build made.
pub(crate) fn conclave() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_conclave"))
}

impl Aggregator {
    /// Starts one; what it says is appended to `log`.
    pub(crate) fn spawn(binary: &Path, config: &Path, environment: &[(&str, &str)], log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(binary)
            .args(["aggregator", "run", "--config"])
            .arg(config)
            .env("CONCLAVE_LOG", "info")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Waits until it answers.
    pub(crate) async fn ready(&mut self, cluster: &Cluster) {
        let began = Instant::now();
        while cluster.channel(Role::Student).await.is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the aggregator ended with {status}:\n{}", cluster.log());
            }
            assert!(began.elapsed() < READY_WITHIN, "the aggregator is not ready:\n{}", cluster.log());
            pause(2).await;
        }
    }

    /// As a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator ends it; panics if it does not within the drain time.
    pub(crate) async fn interrupt(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < ENDED_WITHIN, "the aggregator does not end");
            pause(5).await;
        }
    }
}

impl From<Child> for Aggregator {
    fn from(child: Child) -> Self {
        Self { child }
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY_WITHIN: Duration = Duration::from_secs(30);
const ENDED_WITHIN: Duration = Duration::from_secs(25);
