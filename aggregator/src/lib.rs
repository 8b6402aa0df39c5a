//! The aggregator: collects votes, spends budget, releases labels; the only process that sees vote counts.
//!
//! | step | module |
//! |---|---|
//! | ask the silos who they are, agree on a contract, open accounts | `opening`, `enrolment`, `sessions` |
//! | one campaign at a time: open, run, end it; what a restart goes on with | `host`, `marker`; for operators: `operator` |
//! | receive nodes that nobody can dial | `leases` (pure), `desk`, `work` |
//! | decide which queries are asked together, and when it is over | `campaign` (pure), run by `driver` |
//! | see what an opening would find, and change nothing | [`rehearsal`] |
//! | set the worst case aside before anybody is asked | `admission` |
//! | collect votes, reject what does not fit, freeze | `query` |
//! | draw noise once, make charge and answer durable together | `release` |
//! | hand out what is durable, and nothing else | `published`, `current`, `rpc`, `status` |
//! | show figures to whoever watches the process | `figures` |
//!
//! What leaves it: released answers, figures that do not depend on votes, and refusals in words. Never: a vote, a count,
//! a draw, or anything derived from them, in a log, a metric, an error or a file other than the ledger, which holds
//! answers and a salted commitment to each vote set.
//!
//! It cannot train and cannot open a shard: it does not depend on the crate that could.

mod admission;
mod campaign;
pub mod config;
mod current;
mod desk;
mod driver;
mod enrolment;
mod error;
mod figures;
mod host;
mod leases;
mod marker;
mod opening;
mod operator;
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

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use conclave_ledger::{BookHandle, LedgerError};
use conclave_privacy::noise::NoiseSource;
use conclave_proto::campaign::v1::campaign_service_server::CampaignServiceServer;
use conclave_proto::campaign::v1::operator_service_server::OperatorServiceServer;
use conclave_service::{Repeats, RunningServer, Server, ServerTransport};
use conclave_trust::Contract;
use tokio_util::sync::CancellationToken;

use crate::current::Current;
use crate::desk::Desks;
use crate::figures::Meters;
use crate::host::Host;
use crate::marker::Marker;
use crate::opening::{Chosen, Opened};
use crate::operator::OperatorRpc;
use crate::rpc::CampaignRpc;
use crate::work::WorkServer;

pub use config::{AggregatorConfig, CampaignFile, ENV_PREFIX};
pub use error::{Error, Result};
pub use figures::Observer;
pub use rpc::ROLES;
pub use run::{read_pool, run};
pub use settings::{AccountSettings, CampaignSettings, Flow, NodeSettings, Settings, Transport};
pub use work::WORK_ROLES;

/// An aggregator whose ledger is open and whose silos have agreed, if there is a campaign to open; it does not listen yet.
///
/// Generic over where noise comes from: a cluster binary knows [`conclave_privacy::noise::ReleaseNoise`] and no other.
pub struct Aggregator<N> {
    settings: Settings<Option<CampaignSettings>>,
    transport: Transport,
    desks: Desks,
    marker: Marker,
    work: Option<WorkServer>,
    book: BookHandle,
    opened: Option<(Opened, Chosen)>,
    epoch: u32,
    meters: Meters,
    noise: N,
}

impl<N: NoiseSource + 'static> Aggregator<N> {
    /// Opens the ledger, or makes it; then the campaign that an operator started last, or else that of the settings: asks
    /// every node who it is, opens accounts and campaign, or goes on with the campaign that the ledger holds.
    ///
    /// A new campaign needs every silo's agreement. One that goes on needs none before its first batch: nodes that are
    /// away are looked for. Refused: settings under which a stored contract would read differently, a damaged ledger,
    /// one that another process holds, a cap other than the one on record. Cancelling `shutdown` gives up in order.
    pub async fn prepare(
        settings: impl Into<Settings<Option<CampaignSettings>>>,
        transport: Transport,
        noise: N,
        shutdown: &CancellationToken,
    ) -> Result<Self> {
        let settings = settings.into();
        let meters = Meters::default();
        let (book, epoch) = opening::open_book(&settings.ledger, N::SIMULATED, &meters.flushes).await?;
        let counted = (epoch, meters);
        // On the heap: it holds the settings of aggregator and campaign, and callers hold it.
        match Box::pin(Self::enrol(settings, transport, noise, counted, &book, shutdown)).await {
            Ok(aggregator) => Ok(aggregator),
            Err(error) => {
                // The first error counts; a ledger that was only read closes without one.
                let _ = close(book).await;
                Err(error)
            }
        }
    }

    async fn enrol(
        settings: Settings<Option<CampaignSettings>>,
        transport: Transport,
        noise: N,
        (epoch, meters): (u32, Meters),
        book: &BookHandle,
        shutdown: &CancellationToken,
    ) -> Result<Self> {
        let desks = Desks::of(&settings.nodes)?;
        // First of all: who cannot be dialled must be able to say who it is.
        let work = WorkServer::open(&settings, &transport, &desks, &meters.refusals).await?;
        let marker = Marker::beside(&settings.ledger);
        let opened = match opening::choose(&settings, &marker, book).await? {
            None => None,
            Some(chosen) if chosen.ended => Some((opening::open_to_read(book, &chosen.plan).await?, chosen)),
            Some(chosen) => {
                let of_campaign = settings.clone().with(chosen.plan.clone());
                let opening = opening::open_campaign(&of_campaign, &transport, &desks, book, N::SIMULATED);
                let opened =
                    shutdown.run_until_cancelled(opening).await.unwrap_or(Err(Error::Interrupted))?;
                if marker.read()?.is_some_and(|wanted| wanted.campaign != chosen.plan.id.as_str()) {
                    // The settings name a campaign that is newer than the one that was stopped.
                    marker.remove()?;
                }
                Some((opened, chosen))
            }
        };
        let book = book.clone();
        Ok(Self { settings, transport, desks, marker, work, book, opened, epoch, meters, noise })
    }

    /// What every silo agreed to, if a campaign is open.
    pub fn contract(&self) -> Option<&Contract> {
        self.opened.as_ref().map(|(opened, _)| &opened.contract)
    }

    /// Listens on `address` (port 0: a free one) and runs campaigns until `shutdown` is cancelled.
    pub async fn serve(self, address: SocketAddr, shutdown: CancellationToken) -> Result<Running> {
        let book = self.book.clone();
        match self.listen(address, shutdown).await {
            Ok(running) => Ok(running),
            Err(error) => {
                let _ = close(book).await;
                Err(error)
            }
        }
    }

    async fn listen(self, address: SocketAddr, shutdown: CancellationToken) -> Result<Running> {
        let Self { settings, transport, desks, marker, work, book, opened, epoch, meters, noise } = self;
        let limits = settings.server;
        let current = Current::default();
        let pool = settings.pool.queries().iter().copied().collect();
        let handlers =
            CampaignRpc { current: current.clone(), pool, book: book.clone(), said: Repeats::default() };
        let server_transport = match &transport {
            Transport::Mutual(kit) => ServerTransport::Mutual((**kit).clone()),
            Transport::PlaintextLoopback => ServerTransport::PlaintextLoopback,
        };
        let noise = Arc::new(Mutex::new(noise));
        let host = Arc::new(Host {
            settings,
            transport,
            desks,
            book: book.clone(),
            marker,
            noise,
            epoch,
            current: current.clone(),
            // Ends with the process's token, and also when the server cannot start.
            shutdown: shutdown.child_token(),
            turn: tokio::sync::Mutex::default(),
        });
        let operator = OperatorRpc { host: Arc::clone(&host), said: Repeats::default() };
        let server = Server::new(server_transport, ROLES, limits)
            .counting(meters.refusals.clone())
            .add_service(
                CampaignServiceServer::new(handlers).max_decoding_message_size(limits.message_bytes_max),
            )
            .add_service(
                OperatorServiceServer::new(operator).max_decoding_message_size(limits.message_bytes_max),
            );
        // Held until the first campaign runs, so that no operator's call comes in between.
        let mut turn = host.turn.lock().await;
        let server = server.bind(address, shutdown).await?;
        if let Some((opened, Chosen { plan, pace, .. })) = opened {
            *turn = host.run(opened, plan, pace).driver;
        }
        drop(turn);
        server.readiness().set(true).await;
        let finished = Box::pin(async move { host.finish().await });
        let observer = Observer { current: current.clone(), book: book.clone(), meters };
        Ok(Running { server, work, finished, book, current, observer })
    }
}

impl<N> fmt::Debug for Aggregator<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let campaign = self.opened.as_ref().map(|(opened, _)| &opened.contract.campaign);
        f.debug_struct("Aggregator").field("campaign", &campaign).finish_non_exhaustive()
    }
}

/// An aggregator that listens. Dropping it does not stop it: cancel the token that it was given.
pub struct Running {
    server: RunningServer,
    work: Option<WorkServer>,
    /// Ends when nothing is opened or run any more.
    finished: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    book: BookHandle,
    current: Current,
    observer: Observer,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address()).finish_non_exhaustive()
    }
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

    /// What every silo agreed to in the campaign that is open, or was last.
    pub fn contract(&self) -> Option<Arc<Contract>> {
        self.current.get().map(|open| Arc::clone(&open.contract))
    }

    /// Its figures, at any time.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Waits until the aggregator has stopped: batches have ended or are given up, and the ledger is one closed file.
    pub async fn finished(self) -> Result<()> {
        self.finished.await;
        let served = self.server.finished().await;
        // Last, because what the batches had asked ends with them.
        let received = match self.work {
            Some(work) => work.finish().await,
            None => Ok(()),
        };
        let closed = close(self.book).await;
        closed?;
        received?;
        Ok(served?)
    }
}

/// Closes the ledger and waits for it.
async fn close(book: BookHandle) -> Result<(), LedgerError> {
    tokio::task::spawn_blocking(move || book.shutdown()).await.unwrap_or(Err(LedgerError::Closed))
}
