//! A refused call as a gRPC status: the one place where an error of this crate becomes words on the wire.

use std::time::Duration;

use conclave_service::Refusal;
use conclave_trust::ContractError;
use tonic::Code;

use crate::error::CallError;

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let said = error.to_string();
        let refuse = |code, reason| Self::new(code, reason, said.clone());
        match error {
            CallError::Protocol { offered } | CallError::Contract(ContractError::Protocol(offered)) => {
                refuse(Code::FailedPrecondition, "PROTOCOL_VERSION")
                    .field("protocol.major")
                    .value(offered)
                    .fix("run the same major version on both sides")
            }
            CallError::Contract(_) => refuse(Code::InvalidArgument, "CONTRACT_INVALID").field("contract"),
            CallError::Disagreement { field, offered, fix, .. } => {
                refuse(Code::FailedPrecondition, "CONTRACT_REFUSED")
                    .field(format!("contract.{field}"))
                    .value(offered)
                    .fix(fix)
            }
            CallError::ContractChanged { offered, .. } => {
                refuse(Code::FailedPrecondition, "CONTRACT_CHANGED")
                    .field("contract")
                    .value(offered)
                    .fix("a campaign keeps its contract; open a new campaign for a new one")
            }
            CallError::ContractUnknown { offered, .. } => {
                refuse(Code::FailedPrecondition, REASON_CONTRACT_UNKNOWN)
                    .field("contract_digest")
                    .value(offered)
                    .fix("ask the node to accept the contract (again, after it was restarted)")
            }
            CallError::Id { field, source } => refuse(Code::InvalidArgument, "INVALID_FIELD")
                .field(field)
                .value(source)
                .fix("send it as the protocol says"),
            CallError::BatchSize { queries, queries_max } => refuse(Code::InvalidArgument, "BATCH_SIZE")
                .field("query_ids")
                .value(queries)
                .fix(format!("send 1 to {queries_max} queries at once")),
            CallError::QueryUnknown { query, position } => refuse(Code::InvalidArgument, "QUERY_UNKNOWN")
                .field(format!("query_ids[{position}]"))
                .value(query)
                .fix("ask only for examples of the pool that the contract names"),
            CallError::QueryRepeated { query, position } => refuse(Code::InvalidArgument, "QUERY_REPEATED")
                .field(format!("query_ids[{position}]"))
                .value(query)
                .fix("name each query once"),
            CallError::SiloBudgetSpent { cap, used, asked } => {
                refuse(Code::FailedPrecondition, REASON_SILO_BUDGET_SPENT)
                    .quota(
                        "silo",
                        format!(
                            "cap {cap} queries, used {used}, asked {asked}, left {}",
                            cap.saturating_sub(used)
                        ),
                    )
                    .fix("ask fewer queries, or have the silo's operator raise limits.queries_max")
            }
            CallError::GuardHalted => refuse(Code::FailedPrecondition, "GUARD_HALTED")
                .fix("the silo's operator must look at the node's log, repair the disk and restart it"),
            CallError::Overloaded => Self::overloaded(said, RETRY_AFTER),
        }
    }
}

/// The node knows no such agreement: it was restarted, and must be asked to accept the contract again.
pub const REASON_CONTRACT_UNKNOWN: &str = "CONTRACT_UNKNOWN";
/// The silo's own cap on answered queries refuses.
pub const REASON_SILO_BUDGET_SPENT: &str = "SILO_BUDGET_SPENT";

/// A few flushes of the guard's book.
const RETRY_AFTER: Duration = Duration::from_millis(200);
