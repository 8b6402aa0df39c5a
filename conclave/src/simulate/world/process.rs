//! A silo in an operating-system process of its own: the teacher's role of this program, run from files as an operator would.
//!
//! ```text
//! FOLDER/teacher.toml   kit/   NAME.csv (the silo's rows)   state/ (partition key, guard's book)
//! ```
//!
//! The process gets these files and nothing else: its settings come from no environment, and it meets the aggregator on
//! loopback over mutual TLS. It ends when its standard input closes, so that it never outlives the simulation, however that ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_learning::Dataset;
use conclave_learning::datasets::{CsvSource, DatasetSpec, write_csv};
use conclave_proto::ids::{NodeId, OrganisationId};
use conclave_service::lifecycle::DRAIN_GRACE;
use conclave_service::{ChannelLimits, Kit, ServerLimits};
use conclave_teacher_node::config::{DataConfig, LimitsConfig, Mode, PoolConfig, ProtectsConfig};
use conclave_teacher_node::{PARTITION_KEY, TeacherNodeConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use super::node::{Node, Place};
use super::{NODE, broken, loopback, named, organisation, silo};
use crate::cli::{Exit, Fault};
use crate::simulate::plan::Plan;

/// A process that was started, and whose teachers learn.
pub(super) struct Starting {
    process: NodeProcess,
    log: Log,
}

/// A process that listens, and that is told to stop by closing its input.
pub(super) struct NodeProcess {
    organisation: String,
    child: Child,
    input: ChildStdin,
    last: LastWords,
}

/// What every process shares: the pool as a file.
pub(super) struct Pool {
    source: DatasetSpec,
}

impl Pool {
    /// Writes the pool into `folder`.
    pub(super) fn write(plan: &Plan, folder: &Path) -> Result<Self, Fault> {
        Ok(Self { source: table(&plan.pool, folder)? })
    }
}

impl Starting {
    /// Writes the files of a silo into `folder`, which is made for it, and starts its process. Its log goes to `log`, if anywhere.
    pub(super) fn process(
        plan: &Plan,
        index: usize,
        kit: &Kit,
        pool: &Pool,
        folder: &Path,
        log: Option<&Path>,
    ) -> Result<Self, Fault> {
        let settings = write(plan, index, kit, pool, folder)?;
        let organisation = organisation(index);
        let program = std::env::current_exe().map_err(|error| cannot_start(&organisation, &error))?;
        let file =
            log.map(|path| File::create(path).map_err(|error| unwritable(path, &error))).transpose()?;
        let mut command = Command::new(program);
        command.args(["teacher", "run", "--until-input-ends", "--config"]).arg(settings);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OUR_VARIABLES) {
                command.env_remove(name);
            }
        }
        command.env(LOG_VARIABLE, "info");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // An interrupt at the terminal is for the simulation, which then stops its silos in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| cannot_start(&organisation, &error))?;
        let (Some(input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(broken("starting a silo", &"its input and errors were asked for as pipes"));
        };
        let last = LastWords::default();
        let log = Log { lines: BufReader::new(errors).lines(), file, last: last.clone() };
        Ok(Self { process: NodeProcess { organisation, child, input, last }, log })
    }

    /// The node, once it listens. `lost` is cancelled when its process has ended.
    pub(super) async fn listening(self, lost: CancellationToken) -> Result<Node, Fault> {
        let Self { mut process, mut log } = self;
        let Some((data, address)) = log.until_listening().await else {
            let status = process.child.wait().await.map_err(|error| broken("starting a silo", &error))?;
            return Err(process.ended(status));
        };
        tokio::spawn(async move {
            while log.next().await.is_some() {}
            lost.cancel();
        });
        Ok(Node {
            organisation: named(OrganisationId::new(&process.organisation))?,
            name: named(NodeId::new(NODE))?,
            data,
            address,
            place: Place::Apart(process),
        })
    }
}

impl NodeProcess {
    /// Why it is not there any more, if it is not. Waits a moment for one whose log has ended.
    pub(super) async fn gone(&mut self) -> Option<Fault> {
        let status = tokio::time::timeout(ENDING_GRACE, self.child.wait()).await.ok()?.ok()?;
        Some(self.ended(status))
    }

    fn ended(&self, status: ExitStatus) -> Fault {
        let problem = format!("its process has ended ({status}), last heard: {}", self.last.words());
        let fix = "correct what it names, and run again; without --processes the silos run in this process";
        Fault::new(Exit::Peer, "silo-ended", "organisation", self.organisation.as_str(), problem, fix)
    }

    /// Asks it to stop, and waits until its book is closed.
    pub(super) async fn finished(self) -> Result<(), Fault> {
        let Self { input, mut child, .. } = self;
        drop(input);
        // One that ended badly has told why; one that hangs is killed when it is dropped.
        let ended = tokio::time::timeout(DRAIN_GRACE, child.wait()).await;
        ended
            .map(drop)
            .map_err(|_| broken("stopping a silo", &format!("{} did not stop in time", self.organisation)))
    }
}

/// The files of a silo; where its settings are.
fn write(plan: &Plan, index: usize, kit: &Kit, pool: &Pool, folder: &Path) -> Result<PathBuf, Fault> {
    let state = folder.join("state");
    make_folder(&state)?;
    kit.save(&folder.join("kit"))?;
    let key = state.join(PARTITION_KEY);
    write_private(&key, &plan.partition_key_bytes(index))?;
    let settings = folder.join("teacher.toml");
    let config = config(plan, index, table(&plan.shards[index], folder)?, pool, folder)?;
    let text = toml::to_string(&config).map_err(|error| broken("writing a silo's settings", &error))?;
    write_private(&settings, text.as_bytes())?;
    Ok(settings)
}

/// The same settings as those of a silo in this process, as its operator would write them.
fn config(
    plan: &Plan,
    index: usize,
    source: DatasetSpec,
    pool: &Pool,
    folder: &Path,
) -> Result<TeacherNodeConfig, Fault> {
    let settings = silo(plan, index, folder.join("state"))?;
    let limits = settings.limits;
    Ok(TeacherNodeConfig {
        mode: Mode::Listen,
        listen: Some(loopback()),
        aggregator: None,
        kit: Some(folder.join("kit")),
        plaintext_loopback: None,
        state_dir: settings.state_dir,
        teachers: settings.teachers,
        teacher: settings.teacher,
        seed: settings.seed,
        simulated: settings.simulated,
        data: DataConfig { source, id: None, changed: None },
        pool: PoolConfig { source: pool.source.clone(), features: Some(plan.features) },
        protects: ProtectsConfig { unit: settings.unit, adjacency: settings.adjacency },
        limits: LimitsConfig {
            epsilon_max: limits.epsilon_max.get(),
            delta_max: limits.delta_max.get(),
            noise_min_votes: limits.noise_min.votes(),
            queries_max: limits.queries_max,
            batch_queries_max: limits.batch_queries_max,
        },
        server: ServerLimits::default(),
        channel: ChannelLimits::default(),
        admin: conclave_service::admin::AdminConfig::default(),
    })
}

/// Writes rows into `folder`, and says how they are read again.
fn table(rows: &Dataset, folder: &Path) -> Result<DatasetSpec, Fault> {
    make_folder(folder)?;
    let schema = rows.schema();
    // A table's schema is called after its file.
    let path = folder.join(format!("{}.csv", schema.name()));
    let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
    write_csv(rows, file).map_err(|error| unwritable(&path, &error))?;
    Ok(DatasetSpec::Csv(CsvSource {
        // The last column, whatever the features are called.
        label: None,
        subject: rows.subjects().map(|_| "subject".to_owned()),
        header: Some(true),
        classes: Some(schema.class_names().to_vec()),
        shape: Some(schema.shape().to_vec()),
        path,
    }))
}

/// The log of a process: kept in a file where one was asked for, and its end in any case.
struct Log {
    lines: Lines<BufReader<ChildStderr>>,
    file: Option<File>,
    last: LastWords,
}

impl Log {
    async fn next(&mut self) -> Option<String> {
        let line = self.lines.next_line().await.ok().flatten()?;
        if let Some(file) = &mut self.file {
            // A log that cannot be kept is no reason to lose the campaign.
            let _ = writeln!(file, "{line}");
        }
        self.last.set(&line);
        Some(line)
    }

    /// The name of the node's data, and where it listens; `None` if it ended before.
    async fn until_listening(&mut self) -> Option<(String, SocketAddr)> {
        let mut data = None;
        while let Some(line) = self.next().await {
            let Ok(told) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let text = |field: &str| told.get(field).and_then(serde_json::Value::as_str);
            data = text("data").map(str::to_owned).or(data);
            if let Some(address) = text("address").and_then(|address| address.parse().ok()) {
                return Some((data?, address));
            }
        }
        None
    }
}

/// The last line that a process wrote.
#[derive(Debug, Clone, Default)]
struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    fn set(&self, line: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
    }

    fn words(&self) -> String {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.clone().unwrap_or_else(|| "it said nothing".to_owned())
    }
}

/// Makes a folder for this user alone.
pub(super) fn make_folder(folder: &Path) -> Result<(), Fault> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| unwritable(folder, &error))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(bytes)).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    let fix = "make room in the temporary directory, or name another in TMPDIR";
    Fault::new(Exit::Other, "unwritable-file", "file", path.display().to_string(), error, fix)
}

fn cannot_start(organisation: &str, error: &std::io::Error) -> Fault {
    let problem = format!("its process cannot be started: {error}");
    let fix = "allow this user more processes and open files, or leave --processes out";
    Fault::new(Exit::Other, "no-process", "organisation", organisation, problem, fix)
}

/// Settings in the environment are of the simulation, or of nobody here.
const OUR_VARIABLES: &str = "CONCLAVE_";
/// Between the end of a log and that of its process.
const ENDING_GRACE: Duration = Duration::from_millis(200);
const LOG_VARIABLE: &str = "CONCLAVE_LOG";
