//! A student's life: listen, learn unless that was done before, serve until it is asked to stop.

use std::path::Path;
use std::sync::Arc;

use conclave_learning::Dataset;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::features::FeatureSpace;
use conclave_proto::ids::QueryId;
use conclave_proto::pool::PoolManifest;
use conclave_service::ServerTransport;
use conclave_service::admin;
use conclave_service::clock::WallClock;
use conclave_service::config::Loaded;
use conclave_service::lifecycle::{ExitStatus, Failure};
use tokio_util::sync::CancellationToken;

use crate::client::{CampaignClient, Ended, Progress};
use crate::config::{Settings, StudentConfig};
use crate::error::{Fault, Result, StudentError};
use crate::label_store::LabelStore;
use crate::query_selection::{manifest, query_ids, select};
use crate::serving::Serving;
use crate::terms::Terms;
use crate::training::{StudentModel, evaluate, train};

/// Runs the student that the configuration describes until `shutdown` is cancelled.
///
/// A model file that exists is served as it is; otherwise the student asks its queries, learns, and saves. Stopped while
/// it learns, it can be started again: released answers stay with the aggregator, and reading them again is free.
pub async fn run(
    loaded: &Loaded<StudentConfig>,
    shutdown: CancellationToken,
) -> std::result::Result<(), Failure> {
    let settings = Settings::check(loaded, WallClock::now_ms())?;
    let stop = shutdown.child_token();
    let config = &settings.config;
    let serving = Serving::open(config.listen, settings.server.clone(), config.serving, stop.clone()).await?;
    let certificate = match &settings.server {
        ServerTransport::Mutual(kit) => Some(kit.expiry()),
        ServerTransport::PlaintextLoopback => None,
    };
    let observer = serving.observer();
    let figures = move || std::future::ready(Some(observer.figures(certificate)));
    admin::serve(config.admin, figures, stop.clone()).await?;
    tracing::info!(address = %serving.address(), campaign = %settings.campaign, "listening; not ready yet");
    make_folder(&settings.config.model_path)?;
    let readied = async { Ok(serving.publish(obtain(&settings).await?).await?) };
    let readied = tokio::select! {
        readied = readied => readied,
        () = shutdown.cancelled() => Err(Failure::interrupted("start the student again: answers are kept")),
    };
    if let Err(failure) = readied {
        stop.cancel();
        return Err(failure);
    }
    tracing::info!(address = %serving.address(), "ready to predict");
    Ok(serving.into_running().finished().await?)
}

/// The folder of the model, before the campaign rather than after it.
fn make_folder(model: &Path) -> Result<()> {
    let folder = model.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), std::fs::create_dir_all).map_err(|error| {
        StudentError::setting(
            "model_path",
            model.display(),
            format!("{error}; name a folder that this user may make"),
        )
    })
}

async fn obtain(settings: &Settings) -> std::result::Result<StudentModel, Failure> {
    let path = settings.config.model_path.clone();
    if !path.exists() {
        return learn(settings).await;
    }
    let shown = path.display().to_string();
    let model = blocking("loading the model", move || StudentModel::load(&path)).await?;
    let origin = model.origin();
    if origin.campaign != settings.campaign {
        let fix = format!(
            "remove {shown} to learn from campaign {}, or name another model_path",
            settings.campaign
        );
        let fault = Fault::new("campaign of the saved model", &origin.campaign, fix);
        return Err(StudentError::ContractMismatch(fault).into());
    }
    tracing::info!(labels = origin.labels, simulated = origin.simulated, "serving the saved model {shown}");
    Ok(model)
}

async fn learn(settings: &Settings) -> std::result::Result<StudentModel, Failure> {
    let config = settings.config.clone();
    let public = Arc::new(blocking("reading public data", move || PublicData::load(&config)).await?);

    let config = &settings.config;
    let patience = &config.patience;
    let mut client =
        CampaignClient::connect(&config.aggregator.address, &settings.aggregator, patience).await?;
    let terms = client.contract().clone();
    let asked = choose(settings, &public, &terms).await?;
    let submitted = client.submit(&asked).await?;
    tracing::info!(admitted = submitted.admitted, repeated = submitted.repeated, "queries proposed");

    let mut labels = LabelStore::new();
    let mut tenths_told = 0;
    let ended = client.follow(&asked, &mut labels, |progress| tell(progress, &mut tenths_told)).await?;
    match ended {
        Ended::Completed => {}
        Ended::BudgetSpent => {
            tracing::warn!(answers = labels.len(), "the budget is spent: learning from what was released");
        }
        Ended::Stopped => {
            tracing::warn!(
                answers = labels.len(),
                "the campaign was stopped: learning from what was released"
            );
        }
        Ended::BelowQuorum => {
            let (field, waited_ms) = ("patience.quorum_wait_ms", patience.quorum_wait_ms);
            let words = format!(
                "the campaign stayed below its quorum for {field} = {waited_ms}; start the student again when the teachers \
                 are back, or let it wait for longer"
            );
            return Err(Failure::new(ExitStatus::Peer, words).about(field, waited_ms.to_string()));
        }
        Ended::Halted => {
            let words =
                "the aggregator cannot write its ledger; start the student again when that is repaired";
            return Err(Failure::new(ExitStatus::Peer, words));
        }
    }
    let (spec, seed, path) = (config.learning, config.seed, config.model_path.clone());
    let model = blocking("training", move || {
        let model = train(&public.pool, &public.space, &labels, &terms, &spec, seed)?;
        if let Some(test) = &public.test {
            tracing::info!(
                accuracy = evaluate(&model, test)?,
                rows = test.rows(),
                "measured on held-out public rows"
            );
        }
        model.save(&path)?;
        Ok(model)
    });
    Ok(model.await?)
}

/// Which queries to propose, once it is sure that pool, features and classes are those of the contract.
async fn choose(settings: &Settings, public: &Arc<PublicData>, terms: &Terms) -> Result<Vec<QueryId>> {
    if terms.campaign != settings.campaign {
        let fix = format!(
            "the aggregator runs campaign {}: set that, or another aggregator.address",
            terms.campaign
        );
        return Err(StudentError::ContractMismatch(Fault::new("campaign", &settings.campaign, fix)));
    }
    terms.check(&public.manifest)?;
    let allowed = terms.queries_max as usize;
    let count = settings.config.queries.count.unwrap_or_else(|| allowed.min(public.manifest.queries().len()));
    if count > allowed {
        return Err(StudentError::setting(
            "queries.count",
            count,
            format!("the contract allows {allowed} queries"),
        ));
    }
    let (selection, seed, public) =
        (settings.config.queries.selection, settings.config.seed, Arc::clone(public));
    blocking("choosing queries", move || {
        let rows = select(selection, &public.pool, &public.space, count, seed)?;
        Ok(query_ids(&public.pool.select(&rows)))
    })
    .await
}

/// Everything public that a student learns from.
struct PublicData {
    pool: Dataset,
    test: Option<Dataset>,
    space: FeatureSpace,
    manifest: PoolManifest,
}

impl PublicData {
    fn load(config: &StudentConfig) -> Result<Self> {
        let pool = config.pool.source.load()?.without_labels();
        let test = config.test.as_ref().map(DatasetSpec::load).transpose()?;
        let space = FeatureSpace::fit(&config.pool.features, &pool)?;
        let manifest = manifest(&pool, &space)?;
        Ok(Self { pool, test, space, manifest })
    }
}

/// Logs every further tenth of the way, however many pages the answers come in.
fn tell(progress: Progress, tenths_told: &mut usize) {
    let tenths = progress.settled * 10 / progress.asked.max(1);
    if tenths > *tenths_told {
        *tenths_told = tenths;
        let Progress { settled, asked, tally } = progress;
        tracing::info!(settled, asked, labels = tally.labels, abstentions = tally.abstentions, "answers");
    }
}

/// Work that keeps a processor busy, away from the threads that serve.
async fn blocking<T: Send + 'static>(
    task: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StudentError::Interrupted { task, reason: error.to_string() }))
}
