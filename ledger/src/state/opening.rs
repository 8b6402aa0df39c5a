//! Opening accounts and campaigns: caps belong to data, and campaigns stay inside them.

use std::collections::HashMap;

use conclave_privacy::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use conclave_privacy::filter::{Charge, ZcdpFilter};
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Rho};
use conclave_privacy::unit::{PrivacyUnit, Sensitivity};

use super::{AccountState, AnswerTotals, At, Campaign, CampaignState, State};
use crate::backend::SCHEMA_VERSION_PLAIN;
use crate::entry::{AccountOpened, CampaignOpened};
use crate::error::{BudgetSpent, LedgerError, Result, Wall};
use crate::keys::DataKey;
use crate::terms::{AccountTerms, CampaignTerms, Predecessor, covers};

impl State {
    /// The figures that follow from an account's terms.
    pub(crate) fn plan_account(&self, terms: AccountTerms) -> AccountOpened {
        let cap = epsilon_to_rho_within(terms.epsilon, terms.delta, terms.filter_order);
        let inherited = match &terms.predecessor {
            Predecessor::Inherits(data) => self.account(data).map_or(Rho::ZERO, AccountState::committed),
            Predecessor::None | Predecessor::Disjoint(_) => Rho::ZERO,
        };
        AccountOpened { terms, cap, inherited }
    }

    /// The figures that follow from a campaign's terms.
    pub(crate) fn plan_campaign(terms: CampaignTerms) -> Result<CampaignOpened> {
        let (sensitivity, order) = (terms.sensitivity()?, terms.filter_order);
        let price = terms.mechanism.worst_case_within(&sensitivity, order)?;
        let abstention = terms.mechanism.charge_within(&Outcome::Abstained, &sensitivity, order)?;
        let abstention = (!order.is_unbounded()).then_some(abstention);
        let sub_cap = epsilon_to_rho_within(terms.epsilon, terms.delta, order);
        Ok(CampaignOpened { terms, sub_cap, price, abstention })
    }

    pub(super) fn apply_account(&mut self, at: At, entry: &AccountOpened) -> Result<()> {
        let AccountOpened { terms, cap, inherited } = entry;
        terms.check()?;
        let data = terms.data.as_str();
        self.check_filter_order(data, terms.filter_order)?;
        check_cap("cap", data, *cap, (terms.epsilon, terms.delta, terms.filter_order))?;
        if self.account(&terms.data).is_some() {
            return Err(differs("data id", terms.data.as_str(), "an account that is open already"));
        }
        let before = self.check_predecessor(entry)?;
        let mut filter = ZcdpFilter::new(*cap, terms.filter_order);
        if *inherited > filter.left() {
            return Err(spent(Wall::Account(terms.data.clone()), &filter, *inherited));
        }
        let taken_over = Charge::new(*inherited, terms.filter_order);
        filter.reserve(taken_over)?;
        filter.settle(taken_over, taken_over)?;

        if let Some(before) = before {
            self.accounts[before].successor = Some(terms.data.clone());
        }
        let index = self.accounts.len();
        self.account_of.insert(terms.data.clone(), index);
        self.latest_of.insert(terms.organisation.clone(), index);
        self.accounts.push(AccountState {
            terms: terms.clone(),
            filter,
            inherited: *inherited,
            successor: None,
            opened_at_ms: at.recorded_at_ms,
        });
        Ok(())
    }

    /// The account whose spend the new one takes over, if it does.
    fn check_predecessor(&self, entry: &AccountOpened) -> Result<Option<usize>> {
        let AccountOpened { terms, cap, inherited } = entry;
        let latest = self.latest_of.get(&terms.organisation).copied();
        let (named, inherits) = match &terms.predecessor {
            Predecessor::None => (None, false),
            Predecessor::Inherits(data) => (Some(data), true),
            Predecessor::Disjoint(data) => (Some(data), false),
        };
        let before = match (latest, named) {
            (None, None) => None,
            (Some(latest), None) => {
                return Err(LedgerError::PredecessorUnnamed {
                    organisation: terms.organisation.clone(),
                    latest: self.accounts[latest].terms.data.clone(),
                });
            }
            (Some(latest), Some(data)) if self.accounts[latest].terms.data == *data => Some(latest),
            (_, Some(data)) => return Err(self.not_the_latest(terms, data)),
        };
        let before = before.filter(|_| inherits);
        let expected = before.map_or(Rho::ZERO, |before| self.accounts[before].committed());
        if *inherited != expected {
            return Err(differs("inherited spend", terms.data.as_str(), "what the predecessor has spent"));
        }
        if let Some(before) = before {
            let old = &self.accounts[before];
            let kind_kept = covers(old.terms.unit, terms.unit)
                || matches!(
                    (old.terms.unit, terms.unit),
                    (PrivacyUnit::Organisation { .. }, PrivacyUnit::Organisation { .. })
                );
            if !kind_kept || old.terms.adjacency != terms.adjacency {
                return Err(differs("unit or adjacency", terms.data.as_str(), "those of the predecessor"));
            }
            if old.terms.filter_order != terms.filter_order {
                return Err(differs("filter order", terms.data.as_str(), "that of the predecessor"));
            }
            if old.terms.delta != terms.delta {
                return Err(differs("delta", terms.data.as_str(), "that of the predecessor"));
            }
            if *cap > old.cap() {
                return Err(differs("cap", terms.data.as_str(), "that of the predecessor, or less"));
            }
        }
        Ok(before)
    }

    fn not_the_latest(&self, terms: &AccountTerms, named: &DataKey) -> LedgerError {
        if self.account(named).is_none() {
            return LedgerError::UnknownAccount(named.clone());
        }
        LedgerError::Mismatch {
            field: "predecessor",
            of: terms.data.to_string(),
            found: named.to_string(),
            expected: format!("the latest account of organisation {}", terms.organisation),
            fix: "name that one",
        }
    }

    pub(super) fn apply_campaign(&mut self, at: At, entry: &CampaignOpened) -> Result<()> {
        let CampaignOpened { terms, sub_cap, price, .. } = entry;
        let key = terms.key.as_str();
        terms.check()?;
        self.check_filter_order(key, terms.filter_order)?;
        check_cap("sub-cap", key, *sub_cap, (terms.epsilon, terms.delta, terms.filter_order))?;
        let abstention = check_prices(entry, &terms.sensitivity()?)?;
        if self.genesis().map(|genesis| genesis.simulated) != Some(terms.simulated) {
            return Err(differs("simulated", key, "what the ledger was created for"));
        }
        if self.campaign(&terms.key).is_some() {
            return Err(differs("key", key, "a campaign that is open already"));
        }
        let members =
            terms.members.iter().map(|data| self.check_member(entry, data)).collect::<Result<_>>()?;

        self.campaign_of.insert(terms.key.clone(), self.campaigns.len());
        self.campaigns.push(Campaign {
            state: CampaignState {
                terms: terms.clone(),
                filter: ZcdpFilter::new(*sub_cap, terms.filter_order),
                price: *price,
                abstention,
                held: 0,
                answers: AnswerTotals::default(),
                opened_at_ms: at.recorded_at_ms,
            },
            members,
            released: Vec::new(),
            standing: HashMap::new(),
        });
        Ok(())
    }

    /// A campaign may only promise what its members' accounts promise, or more.
    fn check_member(&self, entry: &CampaignOpened, data: &DataKey) -> Result<usize> {
        let CampaignOpened { terms, sub_cap, .. } = entry;
        let key = terms.key.as_str();
        let &index = self.account_of.get(data).ok_or_else(|| LedgerError::UnknownAccount(data.clone()))?;
        let account = &self.accounts[index];
        account.check_not_superseded()?;
        if !covers(terms.unit, account.terms.unit) || terms.adjacency != account.terms.adjacency {
            return Err(differs("unit or adjacency", key, "what the accounts of its members promise"));
        }
        if terms.filter_order != account.terms.filter_order {
            return Err(differs("filter order", key, "that of its members' accounts"));
        }
        if terms.delta != account.terms.delta {
            return Err(differs("delta", key, "that of its members' accounts"));
        }
        if *sub_cap > account.cap() {
            return Err(spent(Wall::Account(data.clone()), &account.filter, *sub_cap));
        }
        Ok(index)
    }
}

impl State {
    /// A ledger of schema version 1 is read by programs that know plain zCDP only, and stays what it says.
    fn check_filter_order(&self, of: &str, order: FilterOrder) -> Result<()> {
        let plain = self.created().is_some_and(|created| created.schema == SCHEMA_VERSION_PLAIN);
        if plain && !order.is_unbounded() {
            return Err(differs(
                "filter order",
                of,
                "0 (plain zCDP), as all accounts of a ledger of schema version 1",
            ));
        }
        Ok(())
    }
}

/// The recorded prices are those of the mechanism; returns that of an abstention.
///
/// With a filter order they may be higher, never above the published ones: a program that searched less closely recorded
/// an upper bound that is as good.
fn check_prices(entry: &CampaignOpened, sensitivity: &Sensitivity) -> Result<Rho> {
    let CampaignOpened {
        terms: CampaignTerms { key, mechanism, filter_order, .. }, price, abstention, ..
    } = entry;
    let within = |found: Rho, least: Rho, most: Rho| least <= found && found <= most;
    let (least, most) =
        (mechanism.worst_case_within(sensitivity, *filter_order)?, mechanism.worst_case(sensitivity)?);
    if !within(*price, least, most) || *price == Rho::ZERO {
        return Err(differs("price", key.as_str(), "the worst case of its mechanism, above 0"));
    }
    let outcome = Outcome::Abstained;
    let (least, most) = (
        mechanism.charge_within(&outcome, sensitivity, *filter_order)?,
        mechanism.charge(&outcome, sensitivity)?,
    );
    let abstention = abstention.unwrap_or(least);
    if !within(abstention, least, most) || abstention > *price {
        return Err(differs("price of an abstention", key.as_str(), "that of what runs before one"));
    }
    Ok(abstention)
}

impl AccountState {
    /// Spent, or held by draws that may still happen.
    fn committed(&self) -> Rho {
        self.cap().saturating_sub(self.left())
    }

    pub(super) fn check_not_superseded(&self) -> Result<()> {
        match &self.successor {
            None => Ok(()),
            Some(successor) => {
                Err(LedgerError::Superseded { data: self.terms.data.clone(), successor: successor.clone() })
            }
        }
    }
}

/// A recorded ρ may not promise less privacy than the recorded (ε, δ).
///
/// The conversion is floating-point and another machine may differ in the last digits, hence the tolerance.
fn check_cap(
    field: &'static str,
    of: &str,
    cap: Rho,
    (epsilon, delta, order): (Epsilon, Delta, FilterOrder),
) -> Result<()> {
    if rho_to_epsilon_within(cap, delta, order) > epsilon.get() * (1.0 + CONVERSION_TOLERANCE) {
        return Err(differs(field, of, "rho that its epsilon, delta and filter order allow"));
    }
    Ok(())
}

/// Relative difference of ε that two floating-point implementations may show.
const CONVERSION_TOLERANCE: f64 = 1e-9;

/// The refusal that `filter` has to give to `asked`.
pub(super) fn spent(wall: Wall, filter: &ZcdpFilter, asked: Rho) -> LedgerError {
    BudgetSpent {
        wall,
        asked,
        spent: filter.spent(),
        reserved: filter.reserved(),
        cap: filter.cap(),
        left: filter.left(),
    }
    .into()
}

fn differs(field: &'static str, of: &str, expected: &str) -> LedgerError {
    LedgerError::Mismatch {
        field,
        of: of.to_owned(),
        found: "what was given".to_owned(),
        expected: expected.to_owned(),
        fix: "terms are agreed once; give the agreed ones, or open under a new name",
    }
}
