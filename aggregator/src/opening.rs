//! From settings to an open campaign: the ledger, the sessions, the contract, and what an earlier process left.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use conclave_ledger::{
    AbandonReason, AccountState, Book, BookHandle, BookWriter, CampaignKey, CampaignState, Genesis,
    LedgerError, LedgerId, Released, Reservation,
};
use conclave_service::clock::WallClock;
use conclave_service::metrics::FlushTimes;
use conclave_trust::Contract;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::oneshot;

use crate::admission::{Ledger, settled};
use crate::desk::Desks;
use crate::enrolment::{self, Description, Hindrance};
use crate::error::{Error, Result};
use crate::marker::{Marker, State};
use crate::sessions::Session;
use crate::settings::{CampaignSettings, NodeSettings, Settings, Transport};

/// A campaign that is in the ledger.
pub(crate) struct Opened {
    pub(crate) contract: Contract,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: Vec<Arc<Session>>,
    /// Every answer so far, in the order of the ledger.
    pub(crate) answers: Vec<Released>,
    /// Batches that an earlier process reserved and did not draw.
    pub(crate) reserved: Vec<Reservation>,
    /// An operator has stopped it: it is there to be read.
    pub(crate) ended: bool,
}

/// Which campaign a start of the process is about.
pub(crate) struct Chosen {
    pub(crate) plan: CampaignSettings,
    pub(crate) pace: Option<NonZeroU32>,
    pub(crate) ended: bool,
}

/// What an operator started or stopped last comes before the campaign of the settings, unless that one is new and the
/// other was stopped.
pub(crate) async fn choose(
    settings: &Settings<Option<CampaignSettings>>,
    marker: &Marker,
    book: &BookHandle,
) -> Result<Option<Chosen>> {
    let configured = settings.campaign.clone();
    let pace = settings.flow.queries_per_minute_max;
    let Some(wanted) = marker.read()? else {
        return Ok(configured.map(|plan| Chosen { plan, pace, ended: false }));
    };
    let ended = wanted.state == State::Stopped;
    if let Some(plan) = configured.as_ref().filter(|plan| plan.id.as_str() != wanted.campaign) {
        if ended && recorded(book, plan.id.as_str()).await?.is_none() {
            return Ok(Some(Chosen { plan: plan.clone(), pace, ended: false }));
        }
        tracing::warn!(
            settings = %plan.id,
            wanted = wanted.campaign,
            state = ?wanted.state,
            file = %marker.path().display(),
            "the campaign of the settings is not opened: an operator has started or stopped another since"
        );
    }
    let Some(stored) = recorded(book, &wanted.campaign).await? else {
        let field = format!("campaign in {}", marker.path().display());
        let fix =
            "the ledger does not hold it: restore the ledger that belongs to this file, or remove the file";
        return Err(Error::setting(&field, &wanted.campaign, fix));
    };
    // The figures of the settings under the same name are compared with those on record; without them, nothing can differ.
    let same_name = configured.filter(|plan| plan.id.as_str() == wanted.campaign && !ended);
    let plan = same_name.map_or_else(|| planned(&stored), Ok)?;
    Ok(Some(Chosen { plan, pace: wanted.queries_per_minute_max.or(pace), ended }))
}

/// A campaign that the ledger holds.
pub(crate) async fn recorded(book: &BookHandle, campaign: &str) -> Result<Option<CampaignState>> {
    let Ok(key) = CampaignKey::new(campaign) else { return Ok(None) };
    look(book, move |book| book.campaign(&key)).await
}

/// Every campaign that the ledger holds by name, oldest first.
pub(crate) async fn names(book: &BookHandle) -> Result<Vec<String>> {
    look(book, |book| book.campaign_keys().iter().map(ToString::to_string).collect()).await
}

/// Every account that the ledger holds.
pub(crate) async fn accounts(book: &BookHandle) -> Result<Vec<AccountState>> {
    look(book, conclave_ledger::Book::accounts).await
}

/// What was planned when a campaign of the ledger was opened.
fn planned(stored: &CampaignState) -> Result<CampaignSettings> {
    let contract = enrolment::stored_contract(stored.terms())?;
    Ok(CampaignSettings {
        id: contract.campaign,
        mechanism: contract.mechanism,
        unit: contract.unit,
        adjacency: contract.adjacency,
        scheme: contract.scheme,
        epsilon: stored.terms().epsilon,
        delta: contract.delta,
        teachers_quorum_min: contract.teachers_quorum_min,
        queries_max: contract.queries_max,
        vote_deadline_ms: contract.vote_deadline_ms,
    })
}

/// A campaign that was stopped, to be read. What a process that was killed had reserved for it is given back.
pub(crate) async fn open_to_read(book: &BookHandle, plan: &CampaignSettings) -> Result<Opened> {
    let key = CampaignKey::new(plan.id.as_str())?;
    let unknown = || LedgerError::UnknownCampaign(key.clone());
    let stored = recorded(book, plan.id.as_str()).await?.ok_or_else(unknown)?;
    let contract = enrolment::stored_contract(stored.terms())?;
    let ledger = Ledger::new(book.clone(), key.clone(), stored.price());
    for reservation in settled(|reply| book.reclaim(key, reply)).await? {
        ledger.abandon(reservation, AbandonReason::Stopped).await?;
    }
    let answers = ledger.read(|book, campaign| book.answers(campaign, 0, usize::MAX)).await?;
    tracing::info!(campaign = %contract.campaign, answers = answers.len(), "the campaign was stopped; its answers can be read");
    Ok(Opened { contract, ledger, sessions: Vec::new(), answers, reserved: Vec::new(), ended: true })
}

/// Opens the ledger at `path`, or makes it, on a thread of its own; also tells how often it has been opened. `flushes`
/// learns how long its commits take.
pub(crate) async fn open_book(
    path: &Path,
    simulated: bool,
    flushes: &FlushTimes,
) -> Result<(BookHandle, u32)> {
    let (path, flushes) = (path.to_owned(), flushes.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let now_ms = WallClock::now_ms();
        let (book, epoch) = if path.exists() {
            let (book, recovery) = open(&path, now_ms)?;
            tracing::info!(
                ledger = %path.display(),
                entries = book.entries(),
                interrupted_draws = recovery.interrupted_draws,
                open_reservations = recovery.open_reservations,
                "opened the ledger; every entry is in order"
            );
            (book, recovery.epoch)
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            std::fs::create_dir_all(folder).map_err(|error| {
                Error::file(folder, &error, "choose a ledger path that this user may write")
            })?;
            tracing::info!(ledger = %path.display(), "a new ledger");
            (Book::create(&path, Genesis { ledger_id: fresh_id()?, simulated }, now_ms)?, 1)
        };
        if book.genesis().simulated != simulated {
            let made = if simulated { "in earnest" } else { "by a simulation" };
            let fix = "simulations and real campaigns never share a ledger; name another file";
            return Err(Error::setting("ledger", &format!("{} (made {made})", path.display()), fix));
        }
        let writer = BookWriter::spawn_watched(book, WallClock::now_ms, move |took| flushes.took(took))?;
        Ok((writer, epoch))
    });
    let (book, epoch) = opened.await.map_err(|_| LedgerError::Closed)??;
    Ok((book, u32::try_from(epoch).unwrap_or(u32::MAX)))
}

/// Opens the campaign of the settings: a new one with every silo's agreement, or the one that the ledger holds.
pub(crate) async fn open_campaign(
    settings: &Settings,
    transport: &Transport,
    desks: &Desks,
    book: &BookHandle,
    simulated: bool,
) -> Result<Opened> {
    let key = CampaignKey::new(settings.campaign.id.as_str())?;
    let mut nodes = settings.nodes.clone();
    nodes.sort_by(|a, b| a.organisation.cmp(&b.organisation));
    let (contract, sessions) = match recorded(book, key.as_str()).await? {
        Some(stored) => go_on(&stored, &accounts(book).await?, settings, transport, desks, &nodes).await?,
        None => begin(settings, transport, desks, &nodes, book, simulated).await?,
    };
    // The price that stands in the ledger is the one that is charged.
    let entered = recorded(book, key.as_str()).await?;
    let price = entered.map_or_else(|| contract.price_per_query(), |campaign| Ok(campaign.price()))?;
    let ledger = Ledger::new(book.clone(), key.clone(), price);
    let answers = ledger.read(|book, campaign| book.answers(campaign, 0, usize::MAX)).await?;
    let reserved = settled(|reply| book.reclaim(key, reply)).await?;
    tracing::info!(
        campaign = %contract.campaign,
        contract = %contract.digest(),
        silos = contract.members.len(),
        teachers = contract.teachers(),
        answers = answers.len(),
        reserved = reserved.len(),
        "the campaign is open"
    );
    let sessions = sessions.into_iter().map(Arc::new).collect();
    Ok(Opened { contract, ledger, sessions, answers, reserved, ended: false })
}

/// A new campaign: who are you, do you agree, and then into the ledger.
async fn begin(
    settings: &Settings,
    transport: &Transport,
    desks: &Desks,
    nodes: &[NodeSettings],
    book: &BookHandle,
    simulated: bool,
) -> Result<(Contract, Vec<Session>)> {
    let sessions = open_sessions(settings, transport, desks, nodes)?;
    let described = enrolment::describe_all(&sessions, settings).await?;
    let members = described.iter().map(|described| described.member.clone()).collect();
    let order = enrolment::filter_order(settings, &accounts(book).await?);
    let contract = enrolment::contract(settings, members, order, simulated)?;
    let sessions = expecting(sessions, settings, &contract)?;
    let mut hindered = Vec::new();
    // One description per session, in their order. Every silo is asked, also after one has refused: its log has the reason.
    for (session, description) in sessions.iter().zip(&described) {
        match enrolment::agree(session, description, &contract).await {
            Ok(()) => {
                session.set_present(true);
            }
            Err(hindrance) => hindered.push((session, hindrance)),
        }
    }
    enrolment::all_agreed(hindered)?;
    enter(settings, &described, &contract, book).await?;
    Ok((contract, sessions))
}

/// Accounts and campaign, in one transaction: after every silo's agreement and before its first vote.
async fn enter(
    settings: &Settings,
    described: &[Description],
    contract: &Contract,
    book: &BookHandle,
) -> Result<()> {
    let recorded = accounts(book).await?;
    let accounts: Vec<_> = described
        .iter()
        .map(|described| enrolment::account_terms(described, settings, &recorded))
        .collect::<Result<_>>()?;
    let campaign = enrolment::campaign_terms(contract, settings)?;
    settled(|reply| {
        let work = move |transaction: &mut conclave_ledger::Transaction<'_>| {
            for account in accounts {
                transaction.open_account(account)?;
            }
            transaction.open_campaign(campaign)
        };
        book.write(work, reply);
    })
    .await?;
    Ok(())
}

/// A campaign that the ledger holds goes by the contract there; who is away is looked for later.
async fn go_on(
    stored: &CampaignState,
    accounts: &[AccountState],
    settings: &Settings,
    transport: &Transport,
    desks: &Desks,
    nodes: &[NodeSettings],
) -> Result<(Contract, Vec<Session>)> {
    let contract = enrolment::stored_contract(stored.terms())?;
    enrolment::check_unchanged(&contract, settings)?;
    for member in &contract.members {
        // Only to refuse settings under which the accounts would read differently.
        let described = Description { member: member.clone(), predecessor: None, misfit: None };
        enrolment::account_terms(&described, settings, accounts)?;
    }
    let sessions = expecting(open_sessions(settings, transport, desks, nodes)?, settings, &contract)?;
    for session in &sessions {
        match enrolment::rejoin(session, settings, &contract).await {
            Ok(()) => {
                session.set_present(true);
            }
            Err(Hindrance::Passing(words)) => session.tell(&words),
            Err(Hindrance::Lasting(error)) => session.tell(&error.to_string()),
        }
    }
    Ok((contract, sessions))
}

fn open_sessions(
    settings: &Settings,
    transport: &Transport,
    desks: &Desks,
    nodes: &[NodeSettings],
) -> Result<Vec<Session>> {
    nodes.iter().map(|node| Session::open(node.clone(), settings, transport, desks)).collect()
}

/// Sessions that read as many votes as their member has, and no more.
fn expecting(sessions: Vec<Session>, settings: &Settings, contract: &Contract) -> Result<Vec<Session>> {
    let teachers = |session: &Session| {
        let organisation = &session.node().organisation;
        let member = contract.members.iter().find(|member| member.organisation == *organisation);
        member.map_or(0, |member| member.teachers)
    };
    let (queries, bytes_max) = (settings.flow.batch_queries_max, settings.server.message_bytes_max);
    sessions
        .into_iter()
        .map(|session| {
            let teachers = teachers(&session);
            session.expecting(teachers, queries, bytes_max)
        })
        .collect()
}

/// Looks at what is durable.
async fn look<T: Send + 'static>(
    book: &BookHandle,
    look: impl FnOnce(&Book) -> T + Send + 'static,
) -> Result<T> {
    let (found, finding) = oneshot::channel();
    book.read(move |book| {
        let _ = found.send(look(book));
    })?;
    Ok(finding.await.map_err(|_| LedgerError::Closed)?)
}

fn open(path: &Path, now_ms: u64) -> conclave_ledger::Result<(Book, conclave_ledger::Recovery)> {
    #[cfg(conclave_weakened = "selectable")]
    return crate::weakened::open(path, now_ms);
    #[cfg(not(conclave_weakened = "selectable"))]
    Book::open(path, now_ms)
}

fn fresh_id() -> Result<LedgerId> {
    let mut id = [0; 16];
    SysRng.try_fill_bytes(&mut id).map_err(|error| Error::NoEntropy(error.to_string()))?;
    Ok(LedgerId::new(id))
}
