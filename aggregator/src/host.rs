//! One campaign at a time: opening it, running it, ending it, and making room for the next.
//!
//! Opening and ending are done in tasks of their own, one after the other, so a caller that goes away interrupts neither.
//! What was asked last is durable before its caller is told (`marker`): a restart goes on with it.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use conclave_ledger::{BookHandle, BudgetSpent, LedgerError, Wall};
use conclave_privacy::noise::NoiseSource;
use conclave_privacy::unit::Sensitivity;
use conclave_proto::ids::QueryId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::campaign::{Bounds, Campaign, Phase};
use crate::current::{Current, Open};
use crate::desk::Desks;
use crate::driver::{self, Command, Engine, Nodes};
use crate::enrolment;
use crate::error::{Error, Result};
use crate::marker::{Marker, State, Wanted};
use crate::opening::{self, Opened};
use crate::published::Published;
use crate::settings::{CampaignSettings, Settings, Transport};
use crate::status::Standing;

/// What campaigns are opened with.
pub(crate) struct Host<N> {
    pub(crate) settings: Settings<Option<CampaignSettings>>,
    pub(crate) transport: Transport,
    pub(crate) desks: Desks,
    pub(crate) book: BookHandle,
    pub(crate) marker: Marker,
    pub(crate) noise: Arc<Mutex<N>>,
    pub(crate) epoch: u32,
    pub(crate) current: Current,
    /// Ends every campaign.
    pub(crate) shutdown: CancellationToken,
    /// Held by whoever opens or ends a campaign; with the loop that runs.
    pub(crate) turn: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What a start came to.
pub(crate) struct Started {
    pub(crate) open: Arc<Open>,
    /// The ledger held it already.
    pub(crate) resumed: bool,
}

/// What a stop came to.
pub(crate) struct Stopped {
    pub(crate) answers: u64,
    pub(crate) before: bool,
}

impl<N: NoiseSource + 'static> Host<N> {
    /// Runs a campaign from here on, in place of the one before.
    pub(crate) fn run(&self, opened: Opened, plan: CampaignSettings, pace: Option<NonZeroU32>) -> Running {
        let Opened { contract, ledger, sessions, answers, reserved, ended } = opened;
        let settings = Arc::new(self.settings.clone().with(plan));
        let stop = self.shutdown.child_token();
        let contract = Arc::new(contract);
        let nodes = Arc::new(Nodes::new(sessions, &contract));
        let published = Published::new(&answers);
        let answered = answers.iter().map(|released| QueryId::new(*released.query().as_bytes()));
        let campaign = Campaign::new(bounds(&settings, pace), answered);
        let standing = watch::Sender::new(Standing { phase: Phase::Idle, admitted: campaign.admitted() });
        let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
        let open = Arc::new(Open::new(
            Arc::clone(&contract),
            published.clone(),
            ledger.clone(),
            Arc::clone(&nodes),
            commands.clone(),
            standing.subscribe(),
            stop.clone(),
            ended,
        ));
        self.current.set(Arc::clone(&open));
        if ended {
            return Running { open, driver: None };
        }
        for session in &nodes.sessions {
            tokio::spawn(driver::look_for(
                Arc::clone(session),
                Arc::clone(&settings),
                Arc::clone(&contract),
                commands.clone(),
                stop.clone(),
            ));
        }
        let noise = Arc::clone(&self.noise);
        let engine = Engine { settings, contract, ledger, nodes, published, noise, epoch: self.epoch, stop };
        let driver = tokio::spawn(driver::drive(Arc::new(engine), campaign, reserved, waiting, standing));
        Running { open, driver: Some(driver) }
    }

    /// Opens the campaign `plan`, with every silo's agreement, or goes on with the one in the ledger; one that is open
    /// goes on at the pace that is given.
    ///
    /// Refused: while another is open; other terms under a name that the ledger has; a budget in which not one query
    /// fits; whatever keeps a silo from agreeing.
    pub(crate) async fn start(&self, plan: CampaignSettings, pace: Option<NonZeroU32>) -> Result<Started> {
        let mut turn = self.turn.try_lock().map_err(|_| Error::AtWork)?;
        let pace = pace.or(self.settings.flow.queries_per_minute_max);
        let settings = self.settings.clone().with(plan.clone());
        if let Some(open) = self.current.get().filter(|open| !open.has_ended()) {
            if open.contract.campaign != plan.id {
                let (open, asked) = (open.contract.campaign.to_string(), plan.id.to_string());
                return Err(Error::CampaignOpen { open, asked });
            }
            enrolment::check_unchanged(&open.contract, &settings)?;
            self.mark(&plan, State::Started, pace).await?;
            // A loop that has gone will be resumed with what was marked.
            let _ = open.commands.send(Command::Pace(pace)).await;
            return Ok(Started { open, resumed: true });
        }
        let resumed = opening::recorded(&self.book, plan.id.as_str()).await?.is_some();
        if !resumed {
            self.check_budget(&settings).await?;
        }
        let opening =
            opening::open_campaign(&settings, &self.transport, &self.desks, &self.book, N::SIMULATED);
        let opened = self.shutdown.run_until_cancelled(opening).await.unwrap_or(Err(Error::Interrupted))?;
        self.mark(&plan, State::Started, pace).await?;
        let running = self.run(opened, plan, pace);
        *turn = running.driver;
        Ok(Started { open: running.open, resumed })
    }

    /// Ends the campaign of this name: batches before their draw are given up, those after it are released.
    pub(crate) async fn stop(&self, campaign: &str) -> Result<Stopped> {
        let mut turn = self.turn.try_lock().map_err(|_| Error::AtWork)?;
        let open = self.current.named(campaign).ok_or_else(|| Error::NotOpen {
            asked: campaign.to_owned(),
            open: self
                .current
                .get()
                .filter(|open| !open.has_ended())
                .map(|open| open.contract.campaign.to_string()),
        })?;
        let before = open.has_ended();
        if !before {
            let (named, state) = (campaign.to_owned(), State::Stopped);
            self.write(Wanted { campaign: named, state, queries_per_minute_max: None }).await?;
            open.stop.cancel();
            if let Some(driver) = turn.take()
                && let Err(fault) = driver.await
            {
                tracing::error!(%fault, "the campaign's loop broke off");
            }
            open.end();
            tracing::info!(campaign, answers = open.published.len(), "an operator has stopped the campaign");
        }
        Ok(Stopped { answers: open.published.len() as u64, before })
    }

    /// Waits for the end of the process, and then until nothing is opened or run any more.
    pub(crate) async fn finish(&self) {
        // Not before: whoever holds the turn keeps operators from theirs.
        self.shutdown.cancelled().await;
        if let Some(driver) = self.turn.lock().await.take()
            && let Err(fault) = driver.await
        {
            tracing::error!(%fault, "the campaign's loop broke off");
        }
    }

    async fn mark(&self, plan: &CampaignSettings, state: State, pace: Option<NonZeroU32>) -> Result<()> {
        let configured = self.settings.flow.queries_per_minute_max;
        self.write(Wanted {
            campaign: plan.id.to_string(),
            state,
            queries_per_minute_max: pace.filter(|pace| Some(*pace) != configured),
        })
        .await
    }

    async fn write(&self, wanted: Wanted) -> Result<()> {
        let marker = self.marker.clone();
        let written = tokio::task::spawn_blocking(move || marker.write(&wanted)).await;
        written.unwrap_or(Err(Error::Interrupted))
    }

    /// A new campaign is a part of its accounts' budget, and one in which not one query fits is not opened.
    async fn check_budget(&self, settings: &Settings) -> Result<()> {
        let (plan, accounts) = (&settings.campaign, opening::accounts(&self.book).await?);
        if plan.epsilon.get() > settings.accounts.epsilon.get() {
            let most = settings.accounts.epsilon.get();
            let fix = format!("a campaign is a part of its accounts' budget: give at most {most}");
            return Err(Error::setting("campaign.epsilon", &plan.epsilon.get(), fix));
        }
        let order = enrolment::filter_order(settings, &accounts);
        let of_contract = |error: conclave_privacy::Error| Error::Contract(error.into());
        let sensitivity = Sensitivity::of(plan.unit, plan.adjacency, plan.scheme).map_err(of_contract)?;
        let price = plan.mechanism.worst_case_within(&sensitivity, order).map_err(of_contract)?;
        for node in &settings.nodes {
            let latest = accounts
                .iter()
                .rev()
                .find(|account| account.terms().organisation == node.organisation.as_str());
            let Some(account) = latest else { continue };
            let left = account.left();
            if left < price {
                return Err(Error::Ledger(LedgerError::BudgetSpent(Box::new(BudgetSpent {
                    wall: Wall::Account(account.terms().data.clone()),
                    asked: price,
                    spent: account.spent(),
                    reserved: account.reserved(),
                    cap: account.cap(),
                    left,
                }))));
            }
        }
        Ok(())
    }
}

/// A campaign that callers reach, and the loop that runs it unless it has ended.
pub(crate) struct Running {
    pub(crate) open: Arc<Open>,
    pub(crate) driver: Option<JoinHandle<()>>,
}

fn bounds(settings: &Settings, pace: Option<NonZeroU32>) -> Bounds {
    Bounds {
        queries_max: settings.campaign.queries_max,
        batch_queries_max: settings.flow.batch_queries_max,
        batches_in_flight_max: settings.flow.batches_in_flight_max,
        retry_ms: settings.flow.retry_ms,
        queries_per_minute_max: pace,
    }
}

/// Proposals that wait for the loop; further callers wait in their call.
const COMMANDS_WAITING_MAX: usize = 256;
