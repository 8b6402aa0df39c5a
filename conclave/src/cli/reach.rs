//! How a command reaches a running aggregator, and what its refusals mean for the exit status.

use std::path::PathBuf;
use std::sync::Arc;

use conclave_service::clock::WallClock;
use conclave_service::lifecycle::{self, Failure};
use conclave_service::{ChannelLimits, ClientTransport, Identity, Kit, Refusal, Role, channel};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Exit, Fault};
use crate::simulate::quoted;
use crate::simulate::world::Door;

/// Which aggregator, and who we are.
#[derive(Debug, clap::Args)]
pub(crate) struct ReachArgs {
    /// The aggregator's address
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: String,
    /// Our own kit, made by `conclave provision`
    #[arg(long, value_name = "DIR", required_unless_present = "plaintext")]
    kit: Option<PathBuf>,
    /// Who must be there: the aggregator's organisation and name, as in its kit
    #[arg(long, value_name = "ORGANISATION/NAME", default_value = AGGREGATOR)]
    aggregator: String,
    /// No TLS, for an aggregator on this machine that was told the same
    #[arg(long, conflicts_with = "kit")]
    plaintext: bool,
}

/// A way to an aggregator.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    server: String,
    transport: ClientTransport,
}

impl ReachArgs {
    /// The flags as they were given, to repeat a command.
    pub(crate) fn flags(&self) -> String {
        let kit = match &self.kit {
            Some(kit) => {
                let kit = quoted(&kit.display().to_string());
                format!("--kit {kit} --aggregator {}", quoted(&self.aggregator))
            }
            None => "--plaintext".to_owned(),
        };
        format!("--server {} {kit}", quoted(&self.server))
    }

    pub(crate) fn reach(&self) -> Result<Reach, Fault> {
        Reach::new(&self.server, self.kit.as_ref(), &self.aggregator)
    }
}

impl Reach {
    /// Plain text without a kit.
    pub(crate) fn new(server: &str, kit: Option<&PathBuf>, aggregator: &str) -> Result<Self, Fault> {
        let server = server.to_owned();
        let Some(folder) = kit else {
            return Ok(Self { server, transport: ClientTransport::PlaintextLoopback });
        };
        let kit = Kit::load(folder, WallClock::now_ms())?;
        let Some((organisation, name)) = aggregator.split_once('/') else {
            return Err(Fault::input(
                "invalid-party",
                "--aggregator",
                aggregator,
                "is not ORGANISATION/NAME",
                "write for example hub/aggregator",
            ));
        };
        let expected = Identity::new(kit.identity().consortium(), Role::Aggregator, organisation, name)?;
        Ok(Self { server, transport: ClientTransport::Mutual { kit: Arc::new(kit), expected } })
    }

    /// The same, for whoever connects by itself.
    pub(crate) fn door(&self) -> Door {
        Door { address: self.server.clone(), transport: self.transport.clone() }
    }

    pub(crate) async fn connect(&self) -> Result<Channel, Fault> {
        Ok(channel::connect(&self.server, &self.transport, &ChannelLimits::default()).await?)
    }

    /// A refusal: 3 for the budget, 2 for what can be put right in the request, 5 for whoever is not there or does not
    /// let us in.
    pub(crate) fn refused(&self, status: &Status) -> Fault {
        let refusal = Refusal::read(status);
        let told = |exit, code| {
            let field = refusal.faulty_field().unwrap_or_default();
            let value = refusal.faulty_value().unwrap_or_default();
            let quotas =
                refusal.quotas().iter().map(|quota| format!("; {}: {}", quota.subject, quota.description));
            let problem = refusal.message().to_owned() + &quotas.collect::<String>();
            let fix = refusal.suggested_fix().unwrap_or("see the aggregator's log");
            Fault::new(exit, code, field, value, problem, fix)
        };
        match refusal.code() {
            _ if refusal.is_budget() => told(Exit::Budget, "budget-spent"),
            Code::Internal if !refusal.reason().is_empty() => told(Exit::Other, "failed"),
            Code::Unavailable | Code::DeadlineExceeded | Code::PermissionDenied | Code::Unauthenticated => {
                channel::describe_status(status, &self.server, &self.transport).into()
            }
            _ if refusal.reason().is_empty() => {
                channel::describe_status(status, &self.server, &self.transport).into()
            }
            _ => told(Exit::BadInput, "refused"),
        }
    }

    /// Something that a server of another version may have sent.
    pub(crate) fn unreadable(&self, what: &str, error: &dyn std::fmt::Display) -> Fault {
        let problem = format!("{what} that {} sent cannot be read: {error}", self.server);
        Fault::new(Exit::Other, "unreadable-answer", "", "", problem, "run the same version")
    }
}

/// Runs what `ask` begins until it ends, or until the process is interrupted.
pub(crate) fn asking<T>(
    name: &str,
    resume: &str,
    ask: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    lifecycle::outcome(name, |shutdown| async move {
        let asked = shutdown.run_until_cancelled(ask).await;
        asked.ok_or_else(|| Failure::interrupted(resume))
    })?
}

/// As `conclave provision --silos` names it.
pub(crate) const AGGREGATOR: &str = "hub/aggregator";
