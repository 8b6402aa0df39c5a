//! When a node that dials out was last answered by the aggregator: a small file, because there is no port to ask.
//!
//! `--probe` reads it. The file holds milliseconds since 1970, and is gone while the node does not run; it says nothing
//! about votes. Only the machine's own clock is compared with itself; one that is set back delays what the probe notices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_service::clock::WallClock;
use conclave_service::lifecycle::{ExitStatus, Failure};

/// The file of one node.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    path: PathBuf,
}

impl Contact {
    /// Inside `state_dir`; what an earlier process left is removed.
    pub(crate) fn fresh(state_dir: &Path) -> Self {
        let contact = Self { path: state_dir.join(CONTACT_FILE) };
        contact.end();
        contact
    }

    /// The aggregator has answered.
    pub(crate) async fn made(&self) {
        let path = self.path.clone();
        let written =
            tokio::task::spawn_blocking(move || std::fs::write(path, WallClock::now_ms().to_string()));
        if let Ok(Err(error)) = written.await {
            tracing::warn!(path = %self.path.display(), %error, "the probe will not see that the aggregator answers");
        }
    }

    /// The node stops.
    pub(crate) fn end(&self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the node whose state is in `state_dir` was answered by the aggregator within [`CONTACT_AGE_MAX`].
pub(crate) fn probe(state_dir: &Path, now_ms: u64) -> Result<(), Failure> {
    let peer = |words: String| Failure::new(ExitStatus::Peer, words);
    let written = std::fs::read_to_string(state_dir.join(CONTACT_FILE)).ok();
    let Some(made_ms) = written.and_then(|text| text.trim().parse::<u64>().ok()) else {
        return Err(peer("not in contact with the aggregator; see the node's log for why".to_owned()));
    };
    let age = Duration::from_millis(now_ms.saturating_sub(made_ms));
    if age <= CONTACT_AGE_MAX {
        return Ok(());
    }
    Err(peer(format!("the aggregator last answered {} s ago; see the node's log for why", age.as_secs())))
}

/// Inside `state_dir`.
const CONTACT_FILE: &str = "aggregator.contact";
/// Three calls in a row without an answer.
const CONTACT_AGE_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_ready_while_the_aggregator_answers_and_not_before_after_or_once_stopped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONTACT_FILE), WallClock::now_ms().to_string()).unwrap();
        let contact = Contact::fresh(dir.path());
        let refused = |now_ms| probe(dir.path(), now_ms).unwrap_err().to_string();
        assert!(
            refused(WallClock::now_ms()).contains("not in contact"),
            "what a killed process left is gone"
        );
        contact.made().await;
        let now_ms = WallClock::now_ms();
        probe(dir.path(), now_ms).unwrap();
        assert!(refused(now_ms + 60_000).contains("ago"));
        contact.end();
        assert!(refused(now_ms).contains("not in contact"));
        std::fs::write(dir.path().join(CONTACT_FILE), "soon").unwrap();
        assert!(refused(now_ms).contains("not in contact"));
    }
}
