//! What of a campaign's contract a student must know, checked once when it is received.

use conclave_proto::PROTOCOL;
use conclave_proto::common::v1::Contract;
use conclave_proto::ids::{CampaignId, ContractDigest, FeaturesDigest, IdError, PoolDigest};
use conclave_proto::pool::{PoolManifest, check_class_names};

use crate::error::{Fault, Result, StudentError};

/// The student's part of the contract that the silos agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Digest of the whole contract, as the aggregator states it.
    pub contract: ContractDigest,
    /// A label is an index into these.
    pub class_names: Vec<String>,
    /// Of the public pool.
    pub pool: PoolDigest,
    /// Of the public feature space.
    pub features: FeaturesDigest,
    /// Most queries that may be asked.
    pub queries_max: u32,
    /// Noise comes from a seeded generator: whatever is learned here carries no privacy guarantee.
    pub simulated: bool,
}

impl Terms {
    /// Reads a contract; refuses another protocol major, and malformed names and digests.
    pub fn read(contract: &Contract, contract_digest: &[u8]) -> Result<Self> {
        let spoken = contract.protocol.unwrap_or_default();
        if spoken.major != PROTOCOL.major {
            return Err(StudentError::ContractMismatch(Fault::new(
                "contract.protocol",
                format!("{}.{}", spoken.major, spoken.minor),
                format!(
                    "this student speaks {}.{}: run the aggregator's version",
                    PROTOCOL.major, PROTOCOL.minor
                ),
            )));
        }
        check_class_names(&contract.class_names).map_err(|fault| malformed("class_names", &fault))?;
        Ok(Self {
            campaign: CampaignId::new(&contract.campaign_id)
                .map_err(|fault| malformed("campaign_id", &fault))?,
            contract: ContractDigest::from_slice(contract_digest)
                .map_err(|fault| malformed("contract_digest", &fault))?,
            class_names: contract.class_names.clone(),
            pool: PoolDigest::from_slice(&contract.pool_digest)
                .map_err(|fault: IdError| malformed("pool_digest", &fault))?,
            features: FeaturesDigest::from_slice(&contract.features_digest)
                .map_err(|fault: IdError| malformed("features_digest", &fault))?,
            queries_max: contract.queries_max,
            simulated: contract.simulated,
        })
    }

    /// Refuses a pool, a feature space or classes other than those of the contract: labels would be learned under
    /// wrong names, or would name no example.
    pub fn check(&self, own: &PoolManifest) -> Result<()> {
        let differs = |field: &str, value: String, fix: String| {
            Err(StudentError::ContractMismatch(Fault::new(field, value, fix)))
        };
        if own.class_names() != self.class_names {
            let fix =
                format!("the contract names {}: declare these, in this order", self.class_names.join(", "));
            return differs("classes of the pool", own.class_names().join(", "), fix);
        }
        if own.digest() != self.pool {
            let fix =
                format!("the contract names {}: use the campaign's pool, whole and unchanged", self.pool);
            return differs("digest of the pool", own.digest().to_string(), fix);
        }
        if own.features() != self.features {
            let fix = format!("the contract names {}: configure the campaign's features", self.features);
            return differs("digest of the feature space", own.features().to_string(), fix);
        }
        Ok(())
    }
}

fn malformed(field: &str, fault: &dyn std::fmt::Display) -> StudentError {
    StudentError::Protocol {
        peer: "aggregator",
        fault: Fault::new(
            format!("contract.{field}"),
            fault,
            "check the aggregator's version and configuration",
        ),
    }
}
