//! From contract, status and released answers to the report of a campaign: all of it public.

use conclave_privacy::ClassIndex;
use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::Rho;
use conclave_proto::campaign::v1::GetStatusResponse;
use conclave_trust::{Contract, ContractError};

use super::labels::Released;
use crate::cli::status::meaning;
use crate::simulate::evidence::accountant_in_words;
use crate::simulate::plan::noise_in_words;
use crate::simulate::report::campaign::{self, CampaignReport, Queries};
use crate::simulate::report::{BudgetPoint, Privacy, Setting, SiloAccount};

/// The page.
pub(super) fn to_html(
    contract: &Contract,
    status: &GetStatusResponse,
    answers: &[Released],
) -> Result<String, ContractError> {
    let sensitivity = contract.sensitivity()?;
    let price = contract.price_per_query()?;
    let accounts = status.accounts.iter();
    let left = accounts
        .map(|account| (account.rho_cap_units, account.rho_spent_units, account.rho_reserved_units))
        .chain([(status.rho_cap_units, status.rho_spent_units, status.rho_reserved_units)])
        .map(|(cap, spent, reserved)| {
            cap.saturating_sub(spent.saturating_add(reserved)) / price.units().max(1)
        })
        .min();
    let rho = |units: u64| Rho::from_units(units).to_f64_up();
    let report = CampaignReport {
        name: contract.campaign.to_string(),
        phase: meaning(status.state()).to_owned(),
        simulated: contract.simulated,
        organisations: u32::try_from(contract.members.len()).unwrap_or(u32::MAX),
        teachers: contract.teachers(),
        queries: Queries {
            most: contract.queries_max.into(),
            proposed: status.queries_admitted.into(),
            labelled: status.queries_answered.into(),
            abstained: status.queries_abstained.into(),
            interrupted: status.queries_interrupted.into(),
        },
        queries_left: left.unwrap_or(0),
        privacy: Privacy {
            unit: contract.unit.name().to_owned(),
            adjacency: contract.adjacency.name().to_owned(),
            protects: sensitivity.words(),
            delta: contract.delta.get(),
            epsilon: status.epsilon_cap,
            epsilon_spent: status.epsilon_spent,
            rho_cap: rho(status.rho_cap_units),
            rho_spent: rho(status.rho_spent_units),
            accountant: accountant_in_words(contract.filter_order),
            // What is charged follows from the mechanism and the released answers alone.
            publishable: true,
            mechanism: contract.mechanism.name().to_owned(),
            noise: noise_in_words(&contract.mechanism),
        },
        budget: spending(contract, status, answers)?,
        away: status
            .nodes
            .iter()
            .filter(|node| !node.present)
            .map(|node| format!("{}/{}", node.organisation, node.node))
            .collect(),
        // Who votes on a release pays all of its charge, and an account remembers every campaign.
        missed: status
            .accounts
            .iter()
            .filter(|account| account.rho_spent_units < status.rho_spent_units)
            .map(|account| account.organisation.clone())
            .collect(),
        silos: status
            .accounts
            .iter()
            .map(|account| SiloAccount {
                organisation: account.organisation.clone(),
                data_id: account.data_id.clone(),
                teachers: contract.member(&account.data_id).map_or(0, |member| member.teachers),
                records: None,
                epsilon_cap: epsilon(contract, account.rho_cap_units),
                epsilon_spent: epsilon(contract, account.rho_spent_units),
                rho_cap: rho(account.rho_cap_units),
                rho_spent: rho(account.rho_spent_units),
            })
            .collect(),
        labels: contract
            .class_names
            .iter()
            .map(|name| {
                let of_it = |released: &&Released| released.label.as_ref() == Some(name);
                (name.clone(), answers.iter().filter(of_it).count() as u64)
            })
            .collect(),
        terms: terms(contract),
    };
    Ok(campaign::to_html(&report))
}

/// ε of a sum of charges, at the contract's δ.
fn epsilon(contract: &Contract, units: u64) -> f64 {
    rho_to_epsilon_within(Rho::from_units(units), contract.delta, contract.filter_order)
}

/// The spending after each answer; at the end what the ledger says, which has the draws that were interrupted.
fn spending(
    contract: &Contract,
    status: &GetStatusResponse,
    answers: &[Released],
) -> Result<Vec<BudgetPoint>, ContractError> {
    let sensitivity = contract.sensitivity()?;
    let point = |queries: usize, units: u64| BudgetPoint {
        queries: queries as u64,
        rho: Rho::from_units(units).to_f64_up(),
        epsilon: epsilon(contract, units),
    };
    // An answer's charge depends on whether it is a label, not on which.
    let charge = |outcome| contract.mechanism.charge_within(&outcome, &sensitivity, contract.filter_order);
    let (label, abstention) = (charge(Outcome::Label(ClassIndex(0)))?, charge(Outcome::Abstained)?);
    let mut spent = 0;
    let mut points = vec![BudgetPoint { queries: 0, rho: 0.0, epsilon: 0.0 }];
    for (number, released) in (1..).zip(answers) {
        let charge = match released.outcome {
            "label" => label,
            "abstained" => abstention,
            _ => contract.price_per_query()?,
        };
        spent += charge.units();
        points.push(point(number, spent));
    }
    if status.rho_spent_units > spent {
        points.push(point(answers.len(), status.rho_spent_units));
    }
    Ok(points)
}

/// What every silo agreed to.
fn terms(contract: &Contract) -> Vec<Setting> {
    let term =
        |name: &str, value: String| Setting { name: name.to_owned(), value, origin: "contract".to_owned() };
    let mut terms = vec![
        term("Digest", contract.digest().to_string()),
        term("Mechanism", format!("{}: {}", contract.mechanism.name(), noise_in_words(&contract.mechanism))),
        term("Teachers that must vote, at the least", contract.teachers_quorum_min.to_string()),
        term("Queries, at the most", contract.queries_max.to_string()),
        term("Classes", contract.class_names.join(", ")),
        term("Public pool", contract.pool.to_string()),
        term("Features", contract.features.to_string()),
    ];
    terms.extend(contract.members.iter().map(|member| {
        let what = format!("{} teachers on {}, partition {}", member.teachers, member.data, member.partition);
        term(&format!("{}/{}", member.organisation, member.node), what)
    }));
    terms
}
