//! The teacher node: a gRPC service that answers queries from private sub-shards; the only one that sees private data.
//!
//! | step | module |
//! |---|---|
//! | open the private rows, split them by a keyed hash | [`shard`] |
//! | say on record which data these are | `lineage` |
//! | train one teacher per sub-shard; each votes once on the public pool | [`teachers`], [`pool`] |
//! | agree to a campaign's contract, or refuse it | `consent` |
//! | check a batch, put it into the silo's own book, vote | `ballot_paper`, `budget_guard`, `voter` |
//! | read and compare everything without starting | [`rehearsal`] |
//! | speak gRPC with the aggregator, and nobody else | `rpc`, `status`; over a connection that the node opens: `session` |
//! | tell the machine's operator whether the aggregator answers | `contact` |
//! | show figures to whoever watches the process | `figures` |
//!
//! What leaves the node: sealed votes to the aggregator that the contract names, after they are in the silo's book.
//! Never: a row, a teacher, an accuracy, or a vote in a log, an error or a `Debug`.
//!
//! It does not draw noise and does not know the campaign's budget: those are the aggregator's. The guard is what the
//! silo need not trust the aggregator for.

mod ballot_paper;
mod budget_guard;
pub mod config;
mod consent;
mod contact;
mod error;
mod figures;
mod lineage;
pub mod pool;
pub mod rehearsal;
mod rpc;
mod run;
mod session;
pub mod settings;
pub mod shard;
mod silo;
mod status;
pub mod teachers;
mod voter;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use conclave_learning::partition::Partition;
use conclave_proto::ids::PartitionDigest;
use conclave_proto::pool::PoolManifest;
use conclave_proto::teacher::v1::teacher_service_server::TeacherServiceServer;
use conclave_service::clock::WallClock;
use conclave_service::{Repeats, RunningServer, Server, ServerLimits, ServerTransport};
use conclave_trust::Member;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::budget_guard::BudgetGuard;
use crate::consent::Consent;
use crate::contact::Contact;
use crate::figures::Meters;
use crate::lineage::Lineage;
use crate::rpc::TeacherRpc;
use crate::session::Session;
use crate::silo::Silo;

pub use config::TeacherNodeConfig;
pub use error::{CallError, Error, Result};
pub use figures::Observer;
pub use pool::PublicPool;
pub use rpc::ROLES;
pub use run::{probe, run};
pub use session::DialOut;
pub use settings::{People, Settings, SiloLimits, Succession};
pub use shard::Shard;
pub use status::{REASON_CONTRACT_UNKNOWN, REASON_SILO_BUDGET_SPENT};
pub use teachers::Teachers;

/// A node whose teachers have voted and whose guard is open; nobody can ask it yet.
pub struct TeacherNode {
    silo: Silo,
    guard: BudgetGuard,
    contact: Contact,
    server: ServerLimits,
    meters: Meters,
}

impl TeacherNode {
    /// Splits the shard, trains the teachers and lets them vote on the pool. Blocks for as long as that takes: call it
    /// where blocking is allowed. `progress` is told how many queries of how many have been voted on.
    ///
    /// Refused: no rows, more teachers than rows, columns or classes other than the pool's, data that changed without a
    /// declaration, a damaged guard book.
    pub fn prepare(
        settings: Settings,
        shard: &Shard,
        pool: &PublicPool,
        progress: impl Fn(usize, usize),
    ) -> Result<Self> {
        settings.check()?;
        check_same_ground(shard, pool)?;
        let partition: Partition = shard.partition(settings.teachers, settings.unit)?;
        // Before the hours of training: the record of the data may refuse.
        let lineage = establish(&settings, PartitionDigest::new(*partition.digest()))?;
        let teachers = Teachers::train(&settings, shard, &partition, pool, progress)?;
        Self::assemble(settings, lineage, pool.manifest().clone(), teachers)
    }

    /// A node whose teachers voted elsewhere; `partition` stands for the data that they learned from.
    ///
    /// Refused: as many teachers or queries as settings and pool do not have, data that changed without a declaration,
    /// a damaged guard book.
    pub fn with_votes(
        settings: Settings,
        partition: PartitionDigest,
        pool: PoolManifest,
        teachers: Teachers,
    ) -> Result<Self> {
        settings.check()?;
        if teachers.count() != settings.teachers as usize {
            return Err(Error::setting(
                "teachers",
                &settings.teachers,
                format!("{} have voted", teachers.count()),
            ));
        }
        if teachers.queries() != pool.queries().len() {
            let fix = format!("the pool has {} queries", pool.queries().len());
            return Err(Error::setting("queries voted on", &teachers.queries(), fix));
        }
        let lineage = establish(&settings, partition)?;
        Self::assemble(settings, lineage, pool, teachers)
    }

    fn assemble(
        settings: Settings,
        lineage: Lineage,
        pool: PoolManifest,
        teachers: Teachers,
    ) -> Result<Self> {
        let guard_book = settings.state_dir.join(GUARD_BOOK);
        let guard = BudgetGuard::open(&guard_book, settings.limits.queries_max, WallClock::now_ms)?;
        // Only now is this the one process that holds the silo's state, and nothing can refuse the data any more.
        lineage.record(&settings.state_dir.join(DATA_RECORD))?;
        let contact = Contact::fresh(&settings.state_dir);
        let consent = Consent {
            member: Member {
                organisation: settings.organisation,
                node: settings.node,
                data: lineage.data,
                partition: lineage.partition,
                teachers: settings.teachers,
            },
            pool,
            unit: settings.unit,
            adjacency: settings.adjacency,
            limits: settings.limits,
            simulated: settings.simulated,
        };
        let silo = Silo::new(consent, lineage.follows, teachers);
        Ok(Self { silo, guard, contact, server: settings.server, meters: Meters::default() })
    }

    /// How a contract must name this node.
    pub fn member(&self) -> &Member {
        &self.silo.consent().member
    }

    /// Its figures, at any time, also while it answers.
    pub fn observer(&self) -> Observer {
        Observer { guard: self.guard.handle(), meters: self.meters.clone() }
    }

    /// Listens on `address` (port 0: a free one) until `shutdown` is cancelled.
    pub async fn serve(
        self,
        address: SocketAddr,
        transport: ServerTransport,
        shutdown: CancellationToken,
    ) -> Result<Running> {
        let Self { silo, guard, server: limits, meters, .. } = self;
        let member = silo.consent().member.clone();
        let refusals = meters.refusals.clone();
        let handlers =
            TeacherRpc { silo: Arc::new(silo), guard: guard.handle(), said: Repeats::default(), meters };
        let service = TeacherServiceServer::new(handlers).max_decoding_message_size(limits.message_bytes_max);
        let server = Server::new(transport, ROLES, limits)
            .add_service(service)
            .counting(refusals)
            .bind(address, shutdown)
            .await?;
        server.readiness().set(true).await;
        Ok(Running { server, guard, member })
    }

    /// Dials the aggregator, and answers what it asks over that connection and its successors, until `shutdown` is
    /// cancelled. Listens to nobody. To be called inside a runtime.
    pub fn dial_out(self, dial: DialOut, shutdown: CancellationToken) -> Dialling {
        let Self { silo, guard, contact, meters, .. } = self;
        let member = silo.consent().member.clone();
        let handlers =
            TeacherRpc { silo: Arc::new(silo), guard: guard.handle(), said: Repeats::default(), meters };
        let session = tokio::spawn(Session::new(handlers, dial, contact).run(shutdown));
        Dialling { session, guard, member }
    }
}

impl fmt::Debug for TeacherNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeacherNode").field("member", self.member()).finish_non_exhaustive()
    }
}

/// A node that listens. Dropping it does not stop it: cancel the token that it was given.
#[derive(Debug)]
pub struct Running {
    server: RunningServer,
    guard: BudgetGuard,
    member: Member,
}

impl Running {
    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How a contract must name this node.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Waits until the node has stopped, open calls are answered and the guard's book is closed.
    pub async fn finished(self) -> Result<()> {
        let stopped = self.server.finished().await;
        self.guard.close().await;
        Ok(stopped?)
    }
}

/// A node that dials out. Dropping it does not stop it: cancel the token that it was given.
#[derive(Debug)]
pub struct Dialling {
    session: JoinHandle<()>,
    guard: BudgetGuard,
    member: Member,
}

impl Dialling {
    /// How a contract must name this node.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Waits until the node has stopped, what was under way is handed in or given up, and the guard's book is closed.
    pub async fn finished(self) {
        if let Err(fault) = self.session.await {
            tracing::error!(%fault, "the session with the aggregator broke off");
        }
        self.guard.close().await;
    }
}

fn establish(settings: &Settings, partition: PartitionDigest) -> Result<Lineage> {
    run::make_state_dir(&settings.state_dir)?;
    let record = settings.state_dir.join(DATA_RECORD);
    Lineage::establish(&record, settings.data.clone(), partition, settings.changed.as_ref())
}

/// Private rows and public examples must have the same columns and the same classes in the same order.
fn check_same_ground(shard: &Shard, pool: &PublicPool) -> Result<()> {
    let (private, public) = (shard.rows().schema(), pool.examples().schema());
    let differ = |what: &'static str, private: &[String], public: &[String]| {
        let fix = format!("give the private data those of the pool: {}", shortened(public));
        Error::setting(what, &shortened(private), fix)
    };
    if private.feature_names() != public.feature_names() {
        return Err(differ("columns of the private data", private.feature_names(), public.feature_names()));
    }
    if private.class_names() != public.class_names() {
        return Err(differ("classes of the private data", private.class_names(), public.class_names()));
    }
    Ok(())
}

fn shortened(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{} ({}{more})", names.len(), shown.join(", "))
}

/// Inside `state_dir`: what the silo has allowed.
pub const GUARD_BOOK: &str = "guard.db";
/// Inside `state_dir`: which data it votes with.
pub const DATA_RECORD: &str = "data.toml";
/// Inside `state_dir`: what the rows are split with; whoever has it can tell which teacher saw a row.
pub const PARTITION_KEY: &str = "partition.key";
