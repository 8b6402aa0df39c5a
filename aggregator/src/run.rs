//! The life of an aggregator as a process: identity, settings, ledger, enrolment, listening, stopping.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use conclave_privacy::noise::ReleaseNoise;
use conclave_proto::pool::PoolManifest;
use conclave_service::admin;
use conclave_service::clock::WallClock;
use conclave_service::config::Loaded;
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_service::{Kit, Role};
use tokio_util::sync::CancellationToken;

use crate::config::AggregatorConfig;
use crate::error::{Error, Result};
use crate::settings::Transport;
use crate::{Aggregator, Observer, Running};

/// Runs the campaigns that configuration and operators ask for until `shutdown` is cancelled.
pub async fn run(
    loaded: &Loaded<AggregatorConfig>,
    shutdown: CancellationToken,
) -> std::result::Result<(), Failure> {
    let config = &loaded.value;
    let transport = transport(config)?;
    let settings = AggregatorConfig::check(loaded, read_pool(&config.pool)?)?;
    let certificate = match &transport {
        Transport::Mutual(kit) => Some(kit.expiry()),
        Transport::PlaintextLoopback => None,
    };
    // First, so that an address that is taken is found before anything begins.
    let observer = Arc::new(OnceLock::<Observer>::new());
    let observed = Arc::clone(&observer);
    let figures = move || {
        let observer = observed.get().cloned();
        async move { observer?.figures(certificate).await }
    };
    admin::serve(config.admin, figures, shutdown.clone()).await?;
    let aggregator = Aggregator::prepare(settings, transport, ReleaseNoise, &shutdown).await?;
    let running: Running = aggregator.serve(config.listen, shutdown).await?;
    observer.get_or_init(|| running.observer().clone());
    if let Some(contract) = running.contract() {
        tracing::info!(address = %running.address(), campaign = %contract.campaign, "listening");
    } else {
        tracing::info!(address = %running.address(), "listening; no campaign is open yet");
    }
    running.finished().await?;
    tracing::info!("stopped; the ledger is closed");
    Ok(())
}

/// Reads the manifest of the public pool.
pub fn read_pool(path: &Path) -> Result<PoolManifest> {
    let fix = "write it with `conclave data manifest`, or correct the setting pool";
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, &error, fix))?;
    PoolManifest::parse(&text).map_err(|source| Error::Pool { path: path.to_owned(), source })
}

fn transport(config: &AggregatorConfig) -> std::result::Result<Transport, Failure> {
    let bad = |message: String| Failure::new(ExitStatus::BadInput, message);
    match (&config.kit, config.plaintext_loopback) {
        (Some(folder), false) => {
            let kit = Kit::load(folder, WallClock::now_ms())?;
            let identity = kit.identity();
            if identity.role() != Role::Aggregator {
                let path = folder.display();
                let words = format!("kit {path}: it is that of {identity}; give the kit of an aggregator");
                return Err(bad(words).about("kit", path.to_string()));
            }
            Ok(Transport::Mutual(Box::new(kit)))
        }
        (None, true) => Ok(Transport::PlaintextLoopback),
        _ => {
            Err(bad("setting kit: give either a kit (mutual TLS) or plaintext_loopback = true, not both"
                .to_owned())
            .about("kit", ""))
        }
    }
}
