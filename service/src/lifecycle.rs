//! The life of a process: it starts, is asked to stop, finishes what is open, and says by its exit status how it went.
//!
//! SIGINT or SIGTERM cancels the token that the body was given; the body then has [`DRAIN_GRACE`] to end. A second
//! signal ends the process at once, which is safe: whatever matters is durable before it is acted upon. Handlers are
//! installed explicitly, because as PID 1 of a container a process is not killed by signals that it does not handle.

use std::fmt;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::config::ConfigError;
use crate::error::ServiceError;
use crate::wire_error::Refusal;

/// How long a process may take to end after it was asked to.
pub const DRAIN_GRACE: Duration = Duration::from_secs(20);

/// What the exit status tells, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Finished.
    Done = 0,
    /// Anything that is not listed here, an interrupt included.
    Other = 1,
    /// Bad usage or bad input.
    BadInput = 2,
    /// The privacy budget refused.
    Budget = 3,
    /// A ledger or certificate did not verify.
    Verification = 4,
    /// A peer or the quorum is missing.
    Peer = 5,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// Why a process ends otherwise than done: the status for scripts and the words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For scripts.
    pub status: ExitStatus,
    /// For people; names field, value and fix.
    pub message: String,
    /// What it is about, for scripts: a setting, a file, an address. Empty if it is about nothing in particular.
    pub field: String,
    /// What was given or found there.
    pub value: String,
}

impl Failure {
    /// Any failure.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: String::new(), value: String::new() }
    }

    /// Names what it is about, and what was given or found there.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>, value: impl Into<String>) -> Self {
        (self.field, self.value) = (field.into(), value.into());
        self
    }

    /// A task that was interrupted; `resume` says how to go on.
    pub fn interrupted(resume: impl fmt::Display) -> Self {
        Self::new(ExitStatus::Other, format!("interrupted; {resume}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = Self::new(ExitStatus::BadInput, error.to_string());
        match error {
            ConfigError::File { path, .. } => failure.about("file", path.display().to_string()),
            // All are in the words; scripts get the first.
            ConfigError::Faults(faults) => match faults.into_iter().next() {
                Some(first) => failure.about(first.key, first.value.unwrap_or_default()),
                None => failure,
            },
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let status = match &error {
            ServiceError::Unreachable { .. } => ExitStatus::Peer,
            ServiceError::Serving { .. } => ExitStatus::Other,
            _ => ExitStatus::BadInput,
        };
        let (field, value) = error.about();
        Self::new(status, error.to_string()).about(field, value)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code() {
            _ if refusal.is_budget() => ExitStatus::Budget,
            Code::InvalidArgument | Code::OutOfRange | Code::NotFound | Code::AlreadyExists => {
                ExitStatus::BadInput
            }
            Code::DataLoss => ExitStatus::Verification,
            Code::Unavailable | Code::DeadlineExceeded | Code::Unauthenticated | Code::PermissionDenied => {
                ExitStatus::Peer
            }
            _ => ExitStatus::Other,
        };
        let (field, value) = (refusal.faulty_field(), refusal.faulty_value());
        Self::new(status, refusal.to_string()).about(field.unwrap_or_default(), value.unwrap_or_default())
    }
}

/// Runs `body` until it ends by itself or by signal, and returns the exit status; the failure's words go to stderr.
/// See [`outcome`].
pub fn run<B, F>(name: &str, body: B) -> ExitCode
where
    B: FnOnce(CancellationToken) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    match outcome(name, body) {
        Ok(()) => ExitStatus::Done.into(),
        Err(failure) => report(name, &failure),
    }
}

/// Runs `body` until it ends by itself or by signal. The body is given the token that is cancelled when it should stop;
/// a service that then drains and returns `Ok` is done, a task that was cut short returns [`Failure::interrupted`].
/// For callers that tell the failure themselves.
pub fn outcome<T, B, F>(name: &str, body: B) -> Result<T, Failure>
where
    B: FnOnce(CancellationToken) -> F,
    F: Future<Output = Result<T, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        let message = format!("the runtime cannot start: {error}; raise the limits on threads and files");
        Failure::new(ExitStatus::Other, message)
    })?;
    let (shutdown, ended) = (CancellationToken::new(), CancellationToken::new());
    watch_signals(name.to_owned(), shutdown.clone(), ended.clone())
        .map_err(|error| Failure::new(ExitStatus::Other, format!("signals cannot be handled: {error}")))?;
    let outcome = runtime.block_on(async { body(shutdown).await });
    ended.cancel();
    // A blocking task that hangs must not keep a finished process alive.
    runtime.shutdown_timeout(RUNTIME_GRACE);
    outcome
}

/// Watches for signals on a thread of its own, so that a body that computes without pause can still be stopped.
fn watch_signals(name: String, shutdown: CancellationToken, ended: CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::install()?
    };
    let watch = async move {
        let signal = signals.next().await;
        tracing::info!(process = name, signal, "stopping; a second signal stops at once");
        shutdown.cancel();
        let words = tokio::select! {
            signal = signals.next() => format!("stopped at once by a second signal ({signal})"),
            () = tokio::time::sleep(DRAIN_GRACE) => format!("did not finish within {} s", DRAIN_GRACE.as_secs()),
        };
        report(&name, &Failure::new(ExitStatus::Other, words));
        std::process::exit(ExitStatus::Other as i32);
    };
    let watch = async move { ended.run_until_cancelled(watch).await };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last words of a process, also when logging never started")]
fn report(name: &str, failure: &Failure) -> ExitCode {
    eprintln!("{name}: {failure}");
    failure.status.into()
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "same shape as on unix")]
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

const RUNTIME_GRACE: Duration = Duration::from_secs(1);
