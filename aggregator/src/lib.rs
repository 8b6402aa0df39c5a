//! The aggregator: collects votes, spends budget, releases labels; the only process that sees vote counts.
//!
//! | step | module |
//! |---|---|
//! | ask the silos who they are, agree on a contract, open accounts | `opening`, `enrolment`, `sessions` |
//! | receive nodes that nobody can dial | `leases` (pure), `desk`, `work` |
//! | decide which queries are asked together, and when it is over | `campaign` (pure), run by `driver` |
//! | see what an opening would find, and change nothing | [`rehearsal`] |
//! | set the worst case aside before anybody is asked | `admission` |
//! | collect votes, reject what does not fit, freeze | `query` |
//! | draw noise once, make charge and answer durable together | `release` |
//! | hand out what is durable, and nothing else | `published`, `rpc`, `status` |
//!
//! What leaves it: released answers, figures that do not depend on votes, and refusals in words. Never: a vote, a count,
//! a draw, or anything derived from them, in a log, a metric, an error or a file other than the ledger, which holds
//! answers and a salted commitment to each vote set.
//!
//! It cannot train and cannot open a shard: it does not depend on the crate that could.

mod admission;
mod campaign;
pub mod config;
mod desk;
mod driver;
mod enrolment;
mod error;
mod leases;
mod opening;
mod published;
mod query;
pub mod rehearsal;
mod release;
mod rpc;
mod run;
mod sessions;
pub mod settings;
mod status;
#[cfg(conclave_weakened = "selectable")]
mod weakened;
mod work;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use conclave_ledger::{BookHandle, LedgerError, Released, Reservation};
use conclave_privacy::noise::NoiseSource;
use conclave_proto::campaign::v1::campaign_service_server::CampaignServiceServer;
use conclave_proto::ids::QueryId;
use conclave_service::{RunningServer, Server, ServerTransport};
use conclave_trust::Contract;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::Ledger;
use crate::campaign::{Bounds, Campaign, Phase};
use crate::desk::Desks;
use crate::driver::{Engine, Nodes};
use crate::published::Published;
use crate::rpc::CampaignRpc;
use crate::sessions::Session;
use crate::status::Standing;
use crate::work::WorkServer;

pub use config::{AggregatorConfig, ENV_PREFIX};
pub use error::{Error, Result};
pub use rpc::ROLES;
pub use run::{read_pool, run};
pub use settings::{AccountSettings, CampaignSettings, Flow, NodeSettings, Settings, Transport};
pub use work::WORK_ROLES;

/// An aggregator whose ledger is open and whose silos have agreed; it does not listen yet.
///
/// Generic over where noise comes from: a cluster binary knows [`conclave_privacy::noise::ReleaseNoise`] and no other.
pub struct Aggregator<N> {
    settings: Arc<Settings>,
    transport: Transport,
    contract: Arc<Contract>,
    ledger: Ledger,
    sessions: Vec<Arc<Session>>,
    work: Option<WorkServer>,
    answers: Vec<Released>,
    reserved: Vec<Reservation>,
    epoch: u32,
    noise: N,
}

impl<N: NoiseSource + 'static> Aggregator<N> {
    /// Opens the ledger, or makes it; asks every node who it is; opens accounts and campaign, or goes on with the
    /// campaign that the ledger holds.
    ///
    /// A new campaign needs every silo's agreement. One that goes on needs none before its first batch: nodes that are
    /// away are looked for. Refused: settings under which a stored contract would read differently, a damaged ledger,
    /// one that another process holds, a cap other than the one on record. Cancelling `shutdown` gives up in order.
    pub async fn prepare(
        settings: Settings,
        transport: Transport,
        noise: N,
        shutdown: &CancellationToken,
    ) -> Result<Self> {
        let (book, epoch) = opening::open_book(&settings.ledger, N::SIMULATED).await?;
        match Self::enrol(settings, transport, noise, epoch, &book, shutdown).await {
            Ok(aggregator) => Ok(aggregator),
            Err(error) => {
                // The first error counts; a ledger that was only read closes without one.
                let _ = close(book).await;
                Err(error)
            }
        }
    }

    async fn enrol(
        settings: Settings,
        transport: Transport,
        noise: N,
        epoch: u32,
        book: &BookHandle,
        shutdown: &CancellationToken,
    ) -> Result<Self> {
        let desks = Desks::of(&settings.nodes)?;
        // First of all: who cannot be dialled must be able to say who it is.
        let work = WorkServer::open(&settings, &transport, &desks).await?;
        let opening = opening::open_campaign(&settings, &transport, &desks, book, N::SIMULATED);
        let opened = shutdown.run_until_cancelled(opening).await.unwrap_or(Err(Error::Interrupted))?;
        Ok(Self {
            settings: Arc::new(settings),
            transport,
            contract: Arc::new(opened.contract),
            ledger: opened.ledger,
            sessions: opened.sessions,
            work,
            answers: opened.answers,
            reserved: opened.reserved,
            epoch,
            noise,
        })
    }

    /// What every silo agreed to.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Listens on `address` (port 0: a free one) and runs the campaign until `shutdown` is cancelled.
    pub async fn serve(self, address: SocketAddr, shutdown: CancellationToken) -> Result<Running> {
        let book = self.ledger.book().clone();
        match self.listen(address, shutdown).await {
            Ok(running) => Ok(running),
            Err(error) => {
                let _ = close(book).await;
                Err(error)
            }
        }
    }

    async fn listen(self, address: SocketAddr, shutdown: CancellationToken) -> Result<Running> {
        let Self { settings, transport, contract, ledger, sessions, work, answers, reserved, epoch, noise } =
            self;
        // Ends with the process's token, and also when the server cannot start.
        let stop = shutdown.child_token();
        let nodes = Arc::new(Nodes::new(sessions, &contract));
        let published = Published::new(&answers);
        let answered = answers.iter().map(|released| QueryId::new(*released.query().as_bytes()));
        let campaign = Campaign::new(bounds(&settings), answered);
        let standing = watch::Sender::new(Standing { phase: Phase::Idle, admitted: campaign.admitted() });
        let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);

        let handlers = CampaignRpc {
            contract: Arc::clone(&contract),
            pool: Arc::new(settings.pool.queries().iter().copied().collect::<HashSet<_>>()),
            published: published.clone(),
            standing: standing.subscribe(),
            commands: commands.clone(),
            ledger: ledger.clone(),
            nodes: Arc::clone(&nodes),
        };
        let limits = settings.server;
        let service =
            CampaignServiceServer::new(handlers).max_decoding_message_size(limits.message_bytes_max);
        let transport = match transport {
            Transport::Mutual(kit) => ServerTransport::Mutual(*kit),
            Transport::PlaintextLoopback => ServerTransport::PlaintextLoopback,
        };
        let server =
            Server::new(transport, ROLES, limits).add_service(service).bind(address, shutdown).await?;

        for session in &nodes.sessions {
            tokio::spawn(driver::look_for(
                Arc::clone(session),
                Arc::clone(&settings),
                Arc::clone(&contract),
                commands.clone(),
                stop.clone(),
            ));
        }
        let book = ledger.book().clone();
        let engine = Engine {
            settings,
            contract: Arc::clone(&contract),
            ledger,
            nodes,
            published,
            noise: Mutex::new(noise),
            epoch,
            stop,
        };
        let driver = tokio::spawn(driver::drive(Arc::new(engine), campaign, reserved, waiting, standing));
        server.readiness().set(true).await;
        Ok(Running { server, work, driver, book, contract })
    }
}

impl<N> fmt::Debug for Aggregator<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregator").field("campaign", &self.contract.campaign).finish_non_exhaustive()
    }
}

/// An aggregator that listens. Dropping it does not stop it: cancel the token that it was given.
#[derive(Debug)]
pub struct Running {
    server: RunningServer,
    work: Option<WorkServer>,
    driver: JoinHandle<()>,
    book: BookHandle,
    contract: Arc<Contract>,
}

impl Running {
    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where nodes dial in, if any do, with the port that was chosen.
    pub fn nodes_address(&self) -> Option<SocketAddr> {
        self.work.as_ref().map(WorkServer::address)
    }

    /// What every silo agreed to.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Waits until the aggregator has stopped: batches have ended or are given up, and the ledger is one closed file.
    pub async fn finished(self) -> Result<()> {
        let driven = self.driver.await;
        let served = self.server.finished().await;
        // Last, because what the batches had asked ends with them.
        let received = match self.work {
            Some(work) => work.finish().await,
            None => Ok(()),
        };
        let closed = close(self.book).await;
        if let Err(fault) = driven {
            tracing::error!(%fault, "the campaign's loop broke off");
        }
        closed?;
        received?;
        Ok(served?)
    }
}

/// Closes the ledger and waits for it.
async fn close(book: BookHandle) -> Result<(), LedgerError> {
    tokio::task::spawn_blocking(move || book.shutdown()).await.unwrap_or(Err(LedgerError::Closed))
}

fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        queries_max: settings.campaign.queries_max,
        batch_queries_max: settings.flow.batch_queries_max,
        batches_in_flight_max: settings.flow.batches_in_flight_max,
        retry_ms: settings.flow.retry_ms,
    }
}

/// Proposals that wait for the loop; further callers wait in their call.
const COMMANDS_WAITING_MAX: usize = 256;
