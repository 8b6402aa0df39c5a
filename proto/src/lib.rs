//! The contract on the wire: what crosses between silos, aggregator and student, and nothing else.
//!
//! The messages are generated from `proto/conclave/*/v1`; [`ids`] holds the checked identifiers that
//! every node shares. Wire types never enter a node's core: each node translates them once, at its edge.
//!
//! This crate does no IO, keeps no state and knows nothing of privacy or learning.

#![allow(
    missing_docs,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated code; the .proto files hold the words"
)]

pub mod ids;
pub mod pool;

/// What more than one service says.
pub mod common {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.common.v1");
    }
}

/// What the aggregator offers to those who learn from its answers.
pub mod campaign {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.campaign.v1");
    }
}

/// What a teacher node is asked.
pub mod teacher {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.teacher.v1");
    }
}

/// What the student serves.
pub mod student {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("conclave.student.v1");
    }
}

/// The protocol that this build speaks. A peer with another major version is refused at enrolment.
pub const PROTOCOL: common::v1::ProtocolVersion = common::v1::ProtocolVersion { major: 1, minor: 0 };

/// The compiled protocol files as an encoded `FileDescriptorSet`: every service and RPC that exists.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
