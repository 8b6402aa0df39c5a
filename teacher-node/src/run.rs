//! The life of a node as a process: identity, settings, data, training, listening or dialling, stopping.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use conclave_learning::features::FeatureSpec;
use conclave_ledger::LedgerError;
use conclave_proto::ids::{NodeId, OrganisationId};
use conclave_service::admin;
use conclave_service::clock::WallClock;
use conclave_service::config::Loaded;
use conclave_service::lifecycle::{ExitStatus, Failure};
use conclave_service::{Kit, Role, ServerTransport, health};
use tokio_util::sync::CancellationToken;

use crate::config::{Meeting, TeacherNodeConfig};
use crate::error::Error;
use crate::settings::Settings;
use crate::shard::{Shard, partition_key};
use crate::{DialOut, Observer, PARTITION_KEY, PublicPool, TeacherNode, contact};

/// Starts the node that the configuration describes and answers the aggregator until `shutdown` is cancelled.
pub async fn run(loaded: &Loaded<TeacherNodeConfig>, shutdown: CancellationToken) -> Result<(), Failure> {
    let config = &loaded.value;
    let (transport, organisation, node) = identity(config)?;
    let settings = TeacherNodeConfig::check(loaded, organisation, node)?;
    let (organisation, name) = (settings.organisation.clone(), settings.node.clone());
    tracing::info!(%organisation, node = %name, teachers = settings.teachers, "training the teachers of this node");

    let certificate = match &transport {
        ServerTransport::Mutual(kit) => Some(kit.expiry()),
        ServerTransport::PlaintextLoopback => None,
    };
    // First, so that an address that is taken is found before hours of training.
    let observer = Arc::new(OnceLock::<Observer>::new());
    let observed = Arc::clone(&observer);
    let figures = move || {
        let figures = observed.get().map(|observer| observer.figures(certificate));
        std::future::ready(figures)
    };
    admin::serve(config.admin, figures, shutdown.clone()).await?;

    let meeting = meeting(config)?;
    let config = config.clone();
    let limits = config.channel;
    let preparing = tokio::task::spawn_blocking(move || prepare(&config, settings));
    let node = tokio::select! {
        prepared = preparing => prepared.map_err(|panic| Failure::new(ExitStatus::Other, panic.to_string()))??,
        () = shutdown.cancelled() => return Err(Failure::interrupted("nothing was answered yet; start the node again")),
    };
    observer.get_or_init(|| node.observer());
    let member = node.member();
    tracing::info!(data = %member.data, partition = %member.partition, teachers = member.teachers, "teachers are ready");

    match (meeting, transport) {
        (Meeting::Listen(address), transport) => {
            let running = node.serve(address, transport, shutdown).await?;
            tracing::info!(address = %running.address(), "listening");
            running.finished().await?;
        }
        (Meeting::DialOut(aggregator), ServerTransport::Mutual(kit)) => {
            let (address, aggregator) = (aggregator.address, aggregator.identity);
            tracing::info!(address, %aggregator, "dialling the aggregator; listening to nobody");
            node.dial_out(DialOut { address, kit, aggregator, limits }, shutdown).finished().await;
        }
        (Meeting::DialOut(_), ServerTransport::PlaintextLoopback) => {
            return Err(Failure::new(
                ExitStatus::BadInput,
                "setting plaintext_loopback; give a kit to dial out",
            )
            .about("plaintext_loopback", "set"));
        }
    }
    tracing::info!("stopped; the guard's book is closed");
    Ok(())
}

/// Whether the process that runs with this configuration is ready: it listens and says so, or its aggregator answers it.
pub async fn probe(config: &TeacherNodeConfig) -> Result<(), Failure> {
    match meeting(config)? {
        Meeting::Listen(address) => health::probe(address, config.kit.as_deref()).await,
        Meeting::DialOut(_) => contact::probe(&config.state_dir, WallClock::now_ms()),
    }
}

fn meeting(config: &TeacherNodeConfig) -> Result<Meeting, Failure> {
    config.meeting().map_err(|(field, value, fix)| {
        Failure::new(ExitStatus::BadInput, format!("setting {field} = {value}; {fix}")).about(field, value)
    })
}

fn prepare(config: &TeacherNodeConfig, settings: Settings) -> Result<TeacherNode, Error> {
    make_state_dir(&settings.state_dir)?;
    let examples = config.pool.source.load()?;
    let features = config.pool.features.unwrap_or_else(|| FeatureSpec::for_schema(examples.schema()));
    let pool = PublicPool::new(examples, &features)?;
    let key = partition_key(&settings.state_dir.join(PARTITION_KEY))?;
    let shard = Shard::open(&config.data.source, key)?;
    let progress = |done, total| tracing::debug!(done, total, "teachers vote on the public pool");
    TeacherNode::prepare(settings, &shard, &pool, progress)
}

/// The state of a silo: for its owner only.
pub(crate) fn make_state_dir(dir: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .map_err(|error| Error::file(dir, &error, "choose a state_dir that this user may write"))
}

/// How the node is reached, and what it is called: by its certificate, or by its settings in plain text.
fn identity(config: &TeacherNodeConfig) -> Result<(ServerTransport, OrganisationId, NodeId), Failure> {
    let bad = |message: String| Failure::new(ExitStatus::BadInput, message);
    let named = |transport, organisation: &str, node: &str| {
        let organisation = OrganisationId::new(organisation).map_err(|error| bad(error.to_string()))?;
        let node = NodeId::new(node).map_err(|error| bad(error.to_string()))?;
        Ok((transport, organisation, node))
    };
    match (&config.kit, &config.plaintext_loopback) {
        (Some(dir), None) => {
            let kit = Kit::load(dir, WallClock::now_ms())?;
            let identity = kit.identity().clone();
            if identity.role() != Role::Teacher {
                let path = dir.display();
                let words = format!("kit {path}: it is that of {identity}; give the kit of a teacher node");
                return Err(bad(words).about("kit", path.to_string()));
            }
            named(ServerTransport::Mutual(kit), identity.organisation(), identity.name())
        }
        (None, Some(name)) => named(ServerTransport::PlaintextLoopback, &name.organisation, &name.node),
        _ => Err(bad(
            "setting kit: give either a kit (mutual TLS) or [plaintext_loopback], not both".to_owned()
        )
        .about("kit", "")),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::Service(error) => return error.into(),
            Error::Guard(LedgerError::Corrupt { .. } | LedgerError::NotALedger { .. }) => {
                ExitStatus::Verification
            }
            Error::Guard(_) => ExitStatus::Other,
            Error::Learning(_)
            | Error::Pool(_)
            | Error::Setting { .. }
            | Error::DataChanged { .. }
            | Error::File { .. } => ExitStatus::BadInput,
        };
        let (field, value) = match &error {
            Error::Setting { field, value, .. } => (*field, value.clone()),
            Error::DataChanged { recorded, .. } => ("data", recorded.clone()),
            Error::File { path, .. } => ("file", path.display().to_string()),
            Error::Guard(error) => ("guard", error.to_string()),
            Error::Learning(error) => ("data", error.to_string()),
            Error::Pool(error) => ("pool", error.to_string()),
            Error::Service(error) => error.about(),
        };
        Self::new(status, error.to_string()).about(field, value)
    }
}
