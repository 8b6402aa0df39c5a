//! The shell: what every long-running process of Conclave needs, once.
//!
//! - who is calling: [`identity`], [`kit`], [`authority`], [`authorise`] (mutual TLS with the role inside the certificate);
//! - serving and calling: [`server`], [`channel`], [`deadline`], [`health`], [`wire_error`];
//! - being a process: [`config`], [`lifecycle`], [`telemetry`], [`repeats`], [`clock`], [`clock_difference`];
//! - being watched: [`metrics`] (the closed set of figures), [`admin`] (where they are read).
//!
//! It knows nothing of votes, models or the project's own messages, and depends on none of our crates. Of budgets it knows
//! the names of the figures that may be shown.
//! It is also the one place that may read the system clock and the environment: everything else takes them as arguments.

pub mod admin;
pub mod authorise;
pub mod authority;
pub mod backoff;
pub mod channel;
pub mod clock;
pub mod clock_difference;
pub mod config;
pub mod deadline;
pub mod error;
pub mod health;
pub mod identity;
pub mod kit;
pub mod lifecycle;
pub mod metrics;
pub mod repeats;
pub mod server;
pub mod telemetry;
pub mod wire_error;

mod certificate;
mod connection;
mod dialling;
mod handshake;

pub use authorise::{RoleTable, peer_identity};
pub use backoff::Backoff;
pub use channel::{ChannelLimits, ClientTransport};
pub use error::ServiceError;
pub use identity::{Identity, Role};
pub use kit::Kit;
pub use repeats::Repeats;
pub use server::{RunningServer, Server, ServerLimits, ServerTransport};
pub use wire_error::Refusal;
