//! A silo's node as the simulation knows it, in this process or in one of its own.

use std::net::SocketAddr;

use conclave_proto::ids::{NodeId, OrganisationId};

use super::fault;
use super::process::NodeProcess;
use crate::cli::Fault;

/// A node that listens.
pub(super) struct Node {
    pub(super) organisation: OrganisationId,
    pub(super) name: NodeId,
    /// The name of its data.
    pub(super) data: String,
    pub(super) address: SocketAddr,
    pub(super) place: Place,
}

/// Where a node runs.
pub(super) enum Place {
    /// In this process; it stops with the token that it was given.
    Here(conclave_teacher_node::Running),
    /// In a process of its own.
    Apart(NodeProcess),
}

impl Node {
    /// A node of this process.
    pub(super) fn here(running: conclave_teacher_node::Running) -> Self {
        let member = running.member();
        Self {
            organisation: member.organisation.clone(),
            name: member.node.clone(),
            data: member.data.to_string(),
            address: running.address(),
            place: Place::Here(running),
        }
    }

    /// Waits until it has stopped and its book is closed; a process of its own is asked to.
    pub(super) async fn finished(self) -> Result<(), Fault> {
        match self.place {
            Place::Here(running) => running.finished().await.map_err(fault),
            Place::Apart(process) => process.finished().await,
        }
    }
}
