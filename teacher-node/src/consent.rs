//! What a silo agrees to: it compares a campaign's contract with its own data and limits, field by field.
//!
//! The aggregator proposes and every silo decides for itself, so noise cannot be lowered nor a budget raised behind a
//! silo's back. A refusal names the field, what was offered and what holds here, on both sides of the wire.

use std::fmt::Display;

use conclave_privacy::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use conclave_proto::pool::PoolManifest;
use conclave_trust::{Contract, Member};

use crate::budget_guard::Standing;
use crate::error::CallError;
use crate::settings::SiloLimits;

/// What must hold in every contract that a silo agrees to.
pub(crate) struct Consent {
    pub(crate) member: Member,
    pub(crate) pool: PoolManifest,
    pub(crate) unit: PrivacyUnit,
    pub(crate) adjacency: Adjacency,
    pub(crate) limits: SiloLimits,
    pub(crate) simulated: bool,
}

impl Consent {
    /// Agrees, or refuses with the first field that does not fit. `standing` is the guard's, for this campaign.
    pub(crate) fn check(&self, contract: &Contract, standing: Standing) -> Result<(), CallError> {
        self.check_membership(contract)?;
        self.check_public_ground(contract)?;
        self.check_protection(contract)?;
        let left = standing.cap.saturating_sub(standing.used).saturating_add(standing.used_by_campaign);
        at_most(
            "queries_max",
            u64::from(contract.queries_max),
            left,
            "ask fewer queries, or have the operator raise limits.queries_max",
        )
    }

    fn check_membership(&self, contract: &Contract) -> Result<(), CallError> {
        let ours = &self.member;
        let Some(theirs) = contract.members.iter().find(|member| member.organisation == ours.organisation)
        else {
            return Err(CallError::Disagreement {
                field: "members",
                offered: format!("without organisation {}", ours.organisation),
                ours: format!(
                    "organisation {}, node {}, data id {}",
                    ours.organisation, ours.node, ours.data
                ),
                fix: "list this silo as a member, or do not ask it",
            });
        };
        let fix = "enrol the node again, so that the contract names what it holds today";
        same("members.node", &theirs.node, &ours.node, fix)?;
        same("members.data_id", &theirs.data, &ours.data, fix)?;
        same("members.partition_digest", &theirs.partition, &ours.partition, fix)?;
        same("members.teachers", &theirs.teachers, &ours.teachers, fix)
    }

    fn check_public_ground(&self, contract: &Contract) -> Result<(), CallError> {
        let fix = "give both sides the same public pool, class names and feature settings";
        if contract.class_names != self.pool.class_names() {
            let listed =
                |names: &[String]| names.iter().take(CLASSES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
            return Err(CallError::Disagreement {
                field: "class_names",
                offered: format!("{} names: {}", contract.class_names.len(), listed(&contract.class_names)),
                ours: format!("{} names: {}", self.pool.class_names().len(), listed(self.pool.class_names())),
                fix,
            });
        }
        same("pool_digest", &contract.pool, &self.pool.digest(), fix)?;
        same("features_digest", &contract.features, &self.pool.features(), fix)
    }

    fn check_protection(&self, contract: &Contract) -> Result<(), CallError> {
        if !covers(contract.unit, self.unit) || contract.adjacency != self.adjacency {
            let words = |unit: PrivacyUnit, adjacency: Adjacency| format!("{unit}, {}", adjacency.name());
            return Err(CallError::Disagreement {
                field: "unit",
                offered: words(contract.unit, contract.adjacency),
                ours: words(self.unit, self.adjacency),
                fix: "protect at least whom this silo has promised to protect",
            });
        }
        let limits = &self.limits;
        at_most("delta", contract.delta.get(), limits.delta_max.get(), "use a smaller delta")?;
        let (order, most) = (contract.filter_order, limits.epsilon_max);
        if contract.rho_cap > epsilon_to_rho_within(most, limits.delta_max, order) {
            let (offered, delta) =
                (rho_to_epsilon_within(contract.rho_cap, contract.delta, order), contract.delta);
            return Err(CallError::Disagreement {
                field: "rho_cap_units",
                offered: format!(
                    "{}, which is epsilon {offered:.4} at delta {:e}",
                    contract.rho_cap.units(),
                    delta.get()
                ),
                ours: format!("at most epsilon {} at delta {:e}", most.get(), limits.delta_max.get()),
                fix: "use a smaller epsilon, or have the silo raise limits.epsilon_max",
            });
        }
        let least = contract.mechanism.least_noise();
        if least.votes() < limits.noise_min.votes() {
            return Err(CallError::Disagreement {
                field: "mechanism",
                offered: format!("noise of {least}"),
                ours: format!("at least {}", limits.noise_min),
                fix: "use more noise, or have the silo lower limits.noise_min_votes",
            });
        }
        same(
            "simulated",
            &contract.simulated,
            &self.simulated,
            "run simulated campaigns on simulated nodes only, and real ones on real nodes",
        )
    }
}

/// Whether a campaign that protects `offered` also protects `promised`.
fn covers(offered: PrivacyUnit, promised: PrivacyUnit) -> bool {
    use PrivacyUnit::{Organisation, Record, Subject};
    match (offered, promised) {
        (Record, Record) => true,
        (Subject { max_silos_per_subject: offered }, Subject { max_silos_per_subject: promised })
        | (Organisation { teachers_max: offered }, Organisation { teachers_max: promised }) => {
            offered >= promised
        }
        _ => false,
    }
}

fn same<T: PartialEq + Display>(
    field: &'static str,
    offered: &T,
    ours: &T,
    fix: &'static str,
) -> Result<(), CallError> {
    if offered == ours {
        return Ok(());
    }
    Err(CallError::Disagreement { field, offered: offered.to_string(), ours: ours.to_string(), fix })
}

fn at_most<T: PartialOrd + Display + Copy>(
    field: &'static str,
    offered: T,
    most: T,
    fix: &'static str,
) -> Result<(), CallError> {
    if offered <= most {
        return Ok(());
    }
    Err(CallError::Disagreement { field, offered: offered.to_string(), ours: format!("at most {most}"), fix })
}

/// Enough to see a difference, never enough to flood a log.
const CLASSES_SHOWN: usize = 20;
