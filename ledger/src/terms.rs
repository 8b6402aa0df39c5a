//! What is agreed when a ledger, an account or a campaign is opened; none of it ever changes afterwards.

use conclave_privacy::mechanism::Mechanism;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};

use crate::error::{LedgerError, Result};
use crate::keys::{CampaignKey, DataKey, Digest, LedgerId, checked_text};

/// What is said once about a whole ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// 16 random bytes that name this ledger.
    pub ledger_id: LedgerId,
    /// Whether its noise comes from a seed: such a ledger protects nobody, and says so everywhere.
    pub simulated: bool,
}

/// The terms of an account: the budget of one silo's data, for the life of that data.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountTerms {
    /// Names the data.
    pub data: DataKey,
    /// The organisation that holds the data, 1 to [`NAME_BYTES_MAX`] bytes.
    pub organisation: String,
    /// Keyed digest of how the rows were dealt to the silo's teachers.
    pub partition: Digest,
    /// ε of the cap, in nats.
    pub epsilon: Epsilon,
    /// δ of the cap: one for the life of the data.
    pub delta: Delta,
    /// ω: up to which Rényi order the account bounds the loss, for the life of the data.
    pub filter_order: FilterOrder,
    /// Who is protected.
    pub unit: PrivacyUnit,
    /// How neighbouring data differ.
    pub adjacency: Adjacency,
    /// In how many silos one person may have rows, as the operator declares; at least 1.
    pub max_silos_per_subject: u32,
    /// How this data relates to the data of the organisation's account before it.
    pub predecessor: Predecessor,
}

/// How new data relate to the data of the same organisation's latest account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// The organisation has no account yet.
    None,
    /// Some people may be in both: the new account starts with the spend of the old one, which ends.
    Inherits(DataKey),
    /// The operator declares, on record, that no person is in this data and in any earlier data of the organisation.
    Disjoint(DataKey),
}

/// The terms of a campaign: its contract as far as the budget is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignTerms {
    /// Names the campaign.
    pub key: CampaignKey,
    /// Digest of the contract that every silo agreed to.
    pub contract_digest: Digest,
    /// The contract itself, opaque here, at most [`CONTRACT_BYTES_MAX`] bytes.
    pub contract: Vec<u8>,
    /// The mechanism with its noise: what a query costs.
    pub mechanism: Mechanism,
    /// Who is protected; at least as much as every member's account promises.
    pub unit: PrivacyUnit,
    /// How neighbouring data differ; the same as in every member's account.
    pub adjacency: Adjacency,
    /// How private data become votes.
    pub scheme: VotingScheme,
    /// ε of the campaign's part of the budget, in nats.
    pub epsilon: Epsilon,
    /// δ at which that ε is stated; the same as in every member's account.
    pub delta: Delta,
    /// ω of its prices and sub-cap; the same as in every member's account.
    pub filter_order: FilterOrder,
    /// How many different queries the campaign may hold, at least 1.
    pub queries_max: u64,
    /// The names of the classes, in the order of their indices.
    pub classes: Vec<String>,
    /// The data whose teachers vote; each pays for every draw that its votes are in.
    pub members: Vec<DataKey>,
    /// Whether the noise comes from a seed; the same as for the ledger.
    pub simulated: bool,
}

/// The longest name of an organisation or class, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The largest contract, in bytes.
pub const CONTRACT_BYTES_MAX: usize = 1 << 20;
/// The most members of one campaign.
pub const MEMBERS_MAX: usize = 10_000;
/// The most classes of one campaign.
pub const CLASSES_MAX: usize = 1 << 16;
/// The most queries of one reservation.
pub const QUERIES_PER_RESERVATION_MAX: usize = 1 << 14;

impl AccountTerms {
    pub(crate) fn check(&self) -> Result<()> {
        checked_text("organisation", self.organisation.clone(), NAME_BYTES_MAX)?;
        in_range("max_silos_per_subject", u64::from(self.max_silos_per_subject), 1, u64::from(u32::MAX))?;
        if let PrivacyUnit::Subject { max_silos_per_subject } = self.unit
            && max_silos_per_subject != self.max_silos_per_subject
        {
            return Err(LedgerError::Mismatch {
                field: "max_silos_per_subject",
                of: self.data.to_string(),
                found: self.max_silos_per_subject.to_string(),
                expected: format!("{max_silos_per_subject}, as the privacy unit says"),
                fix: "state one figure in both places",
            });
        }
        Sensitivity::of(self.unit, self.adjacency, VotingScheme::Ensemble)?;
        Ok(())
    }
}

impl CampaignTerms {
    /// What one unit of privacy can change in one query's counts.
    pub fn sensitivity(&self) -> Result<Sensitivity> {
        Ok(Sensitivity::of(self.unit, self.adjacency, self.scheme)?)
    }

    pub(crate) fn check(&self) -> Result<()> {
        in_range("contract bytes", self.contract.len() as u64, 0, CONTRACT_BYTES_MAX as u64)?;
        in_range("queries_max", self.queries_max, 1, u64::from(u32::MAX))?;
        in_range("classes", self.classes.len() as u64, 2, CLASSES_MAX as u64)?;
        in_range("members", self.members.len() as u64, 1, MEMBERS_MAX as u64)?;
        for class in &self.classes {
            checked_text("class name", class.clone(), NAME_BYTES_MAX)?;
        }
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable();
        if let Some([twice, _]) = members.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(LedgerError::Mismatch {
                field: "members",
                of: self.key.to_string(),
                found: format!("{twice} twice"),
                expected: "each data id once".to_owned(),
                fix: "name each member once",
            });
        }
        Ok(())
    }
}

/// Whether the price of a campaign that protects `campaign` also covers an account that promises `account`.
pub(crate) const fn covers(campaign: PrivacyUnit, account: PrivacyUnit) -> bool {
    use PrivacyUnit::{Organisation, Record, Subject};
    match (campaign, account) {
        (Record, Record) => true,
        (Subject { max_silos_per_subject: asked }, Subject { max_silos_per_subject: promised })
        | (Organisation { teachers_max: asked }, Organisation { teachers_max: promised }) => {
            asked >= promised
        }
        _ => false,
    }
}

/// Refuses a figure outside `min..=max`.
pub(crate) const fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<()> {
    if value < min || value > max {
        return Err(LedgerError::OutOfRange { field, value, min, max });
    }
    Ok(())
}
