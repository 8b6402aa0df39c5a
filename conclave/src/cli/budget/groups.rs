//! Groups of records with budgets of their own in `conclave budget plan`: what each pays, by three methods and by none.

use std::fmt::Write as _;

use conclave_privacy::accountant::filter_order_for;
use conclave_privacy::individualised::{Group, GroupCharge, IndividualPlan, IndividualTarget, plans};
use conclave_privacy::planning::PublicVotes;
use conclave_privacy::quantity::Delta;
use serde::Serialize;

use super::super::Fault;
use super::super::values::{epsilon, number};
use crate::simulate::report::figure_up;

/// One `--group NAME:SHARE:EPSILON`.
#[derive(Debug, Clone)]
pub(super) struct NamedGroup {
    name: String,
    share: f64,
    group: Group,
}

/// The section of the answer.
#[derive(Serialize)]
pub(super) struct Section {
    mechanism: &'static str,
    filter_order: u32,
    plans: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    method: &'static str,
    sigma: f64,
    teachers: u32,
    expected_votes: f64,
    votes_per_sigma: f64,
    expected_agreement: f64,
    groups: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    name: String,
    share: f64,
    epsilon: f64,
    copies: u32,
    weight: f64,
    queries: u32,
    rho_per_query: f64,
    rho: f64,
    rho_cap: f64,
    epsilon_charged: f64,
}

/// Reads NAME:SHARE:EPSILON; the name may have colons itself.
pub(super) fn group(text: &str) -> Result<NamedGroup, Fault> {
    let fix = "give NAME:SHARE:EPSILON, such as strict:0.3:1";
    let mut parts = text.rsplitn(3, ':');
    let (Some(budget), Some(share), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Fault::input("invalid-value", "group", text, "not a group", fix));
    };
    if name.is_empty() {
        return Err(Fault::input("invalid-value", "group", text, "has no name", fix));
    }
    let share = number("share", share)?;
    Ok(NamedGroup { name: name.to_owned(), share, group: Group::new(share, epsilon(budget)?)? })
}

impl Section {
    /// Plans for the `named` groups; nothing if there are none.
    ///
    /// Their accounts have the order that suits the strictest of them.
    pub(super) fn of(
        named: &[NamedGroup],
        (teachers, queries, delta): (u32, u32, Delta),
        model: &PublicVotes,
    ) -> Result<Option<Self>, Fault> {
        for (index, group) in named.iter().enumerate() {
            if named[..index].iter().any(|other| other.name == group.name) {
                let fix = "give each group another name";
                return Err(Fault::input("invalid-value", "--group", &group.name, "is named twice", fix));
            }
        }
        let groups: Vec<Group> = named.iter().map(|named| named.group).collect();
        let strictest = groups.iter().map(Group::epsilon).min_by(|a, b| a.get().total_cmp(&b.get()));
        let Some(strictest) = strictest else { return Ok(None) };
        let order = filter_order_for(strictest, delta);
        let target = IndividualTarget { groups: &groups, teachers, queries, delta, order };
        let found = plans(&target, model)?;
        let plans = found.iter().map(|plan| Row::new(plan, named)).collect();
        Ok(Some(Self { mechanism: "gnmax", filter_order: order.get(), plans }))
    }

    /// The section for people, to follow the plans for one budget.
    pub(super) fn words(&self) -> String {
        let mut text = String::from(
            "\nGroups with budgets of their own, under one noise (gnmax: every query is answered). Every group is charged within its ε.\n",
        );
        for row in &self.plans {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n{}: sigma {}, {} teachers, {:.1} votes a query, {:.2} votes per sigma, agree {:.1}%\n{:<16}{:>8}{:>8}{:>8}{:>9}{:>14}{:>14}{:>11}{:>8}\n",
                row.method,
                row.sigma,
                row.teachers,
                row.expected_votes,
                row.votes_per_sigma,
                row.expected_agreement * 100.0,
                "group",
                "share",
                "copies",
                "weight",
                "queries",
                "ρ per query",
                "ρ campaign",
                "ε charged",
                "ε",
            );
            for part in &row.groups {
                let _ = writeln!(
                    text,
                    "{:<16}{:>8}{:>8}{:>8}{:>9}{:>14}{:>14}{:>11}{:>8}",
                    part.name,
                    part.share,
                    part.copies,
                    part.weight,
                    part.queries,
                    rho_up(part.rho_per_query),
                    rho_up(part.rho),
                    figure_up(part.epsilon_charged),
                    part.epsilon,
                );
            }
        }
        text.push_str(
            "\nuniform gives all the strictest budget. upsampling has records in several shards, so it trains more teachers of the same\n\
             size; weighting has votes of different weight; with vanishing a teacher votes on some of the queries, by a public schedule.\n\
             agree takes teachers of all groups to vote alike. Groups must follow from the records alone, never from votes; which group\n\
             somebody is in is sensitive in itself and is not hidden. Most right answers first.\n",
        );
        text
    }
}

impl Row {
    fn new(plan: &IndividualPlan, named: &[NamedGroup]) -> Self {
        Self {
            method: plan.method.as_str(),
            sigma: plan.sigma.get(),
            teachers: plan.teachers,
            expected_votes: plan.votes,
            votes_per_sigma: plan.votes_per_sigma(),
            expected_agreement: plan.agreement,
            groups: plan.groups.iter().zip(named).map(|(charge, named)| Part::new(charge, named)).collect(),
        }
    }
}

impl Part {
    fn new(charge: &GroupCharge, named: &NamedGroup) -> Self {
        Self {
            name: named.name.clone(),
            share: named.share,
            epsilon: named.group.epsilon().get(),
            copies: charge.copies,
            weight: charge.weight,
            queries: charge.queries,
            rho_per_query: charge.per_query.to_f64_up(),
            rho: charge.campaign.to_f64_up(),
            rho_cap: charge.cap.to_f64_up(),
            epsilon_charged: charge.epsilon,
        }
    }
}

/// ρ in nats with nine decimals, rounded up.
fn rho_up(rho: f64) -> String {
    format!("{:.9}", (rho * 1e9).ceil() / 1e9)
}
