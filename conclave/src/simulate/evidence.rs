//! From what a simulation left to what its report tells: released answers, the ledger, and what only a simulation sees.

use conclave_learning::{Label, metrics};
use conclave_ledger::{Answer, CampaignKey, Released, Snapshot};
use conclave_privacy::VoteCounts;
use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::{FilterOrder, Rho};
use conclave_proto::ids::QueryId;

use super::label_of;
use super::labels::ReleasedLabel;
use super::plan::Plan;
use super::report::{BudgetPoint, ClassOutcomes, Confusion, Privacy, QueryExample, QueryTotals, SiloAccount};
use super::world::{CAMPAIGN, organisation};
use crate::cli::Fault;

/// A campaign after its end: the plan, the names of its queries, and the ledger.
pub struct Evidence<'a> {
    plan: &'a Plan,
    ledger: Snapshot,
    campaign: CampaignKey,
    /// In the order of the plan; `None` was not answered.
    answers: Vec<Option<Answer>>,
    released: Vec<Released>,
}

impl<'a> Evidence<'a> {
    /// Reads and checks the ledger of the run. `queries` are the names of the plan's queries, in its order.
    pub fn read(plan: &'a Plan, queries: &[QueryId], ledger: &std::path::Path) -> Result<Self, Fault> {
        let ledger = Snapshot::read(ledger)?;
        let campaign = CampaignKey::new(CAMPAIGN)?;
        let released = ledger.answers(&campaign, 0, usize::MAX).to_vec();
        let answer = |query: &QueryId| {
            let found = released.iter().find(|released| released.query().as_bytes() == query.as_bytes());
            found.map(Released::answer)
        };
        let answers = queries.iter().map(answer).collect();
        Ok(Self { plan, ledger, campaign, answers, released })
    }

    /// What was asked and how it ended.
    pub fn totals(&self) -> QueryTotals {
        let count = |kind: fn(&Answer) -> bool| {
            self.answers.iter().flatten().filter(|answer| kind(answer)).count() as u64
        };
        QueryTotals {
            pool: self.plan.pool.rows() as u64,
            asked: self.answers.iter().flatten().count() as u64,
            answered: count(|answer| matches!(answer, Answer::Label(_))),
            abstained: count(|answer| !matches!(answer, Answer::Label(_))),
        }
    }

    /// The released answers, in the order in which they were asked.
    pub fn labels(&self, queries: &[QueryId]) -> Vec<ReleasedLabel> {
        let names = self.plan.pool.schema().class_names();
        let asked = queries.iter().zip(&self.plan.queries).zip(&self.answers);
        asked
            .filter_map(|((query, row), answer)| {
                let label = match (*answer)? {
                    Answer::Label(class) => Some(names[class.position()].clone()),
                    Answer::Abstained | Answer::Interrupted => None,
                };
                Some(ReleasedLabel { query_id: query.to_string(), pool_row: *row as u64, label })
            })
            .collect()
    }

    /// The share of released labels that are right.
    pub fn label_accuracy(&self) -> Option<f64> {
        let judged: Vec<bool> = self
            .judged()
            .filter_map(|(truth, answer)| match answer {
                Answer::Label(class) => Some(class.position() == truth.index()),
                Answer::Abstained | Answer::Interrupted => None,
            })
            .collect();
        let right = judged.iter().filter(|right| **right).count();
        (!judged.is_empty()).then(|| right as f64 / judged.len() as f64)
    }

    /// What happened to the queries of each true class.
    pub fn outcomes(&self) -> Vec<ClassOutcomes> {
        let none = ClassOutcomes { right: 0, wrong: 0, abstained: 0 };
        let mut outcomes = vec![none; self.plan.pool.schema().classes()];
        for (truth, answer) in self.judged() {
            let of_class = &mut outcomes[truth.index()];
            match answer {
                Answer::Label(class) if class.position() == truth.index() => of_class.right += 1,
                Answer::Label(_) => of_class.wrong += 1,
                Answer::Abstained | Answer::Interrupted => of_class.abstained += 1,
            }
        }
        outcomes
    }

    /// Some queries to look at, spread over the campaign.
    pub fn examples(&self, counts: &[VoteCounts]) -> Vec<QueryExample> {
        let plan = self.plan;
        let shape = match plan.pool.schema().shape() {
            [height, width] => Some((*height, *width)),
            _ => None,
        };
        let step = (plan.queries.len() / EXAMPLES).max(1);
        let shown = (0..plan.queries.len()).step_by(step).take(EXAMPLES);
        shown
            .map(|index| {
                let row = plan.queries[index];
                QueryExample {
                    row: row as u64,
                    shape,
                    values: plan.pool.row(row).to_vec(),
                    label: match self.answers[index] {
                        Some(Answer::Label(class)) => Some(label_of(class).get()),
                        _ => None,
                    },
                    truth: plan.pool.labels().map(|labels| labels[row].get()),
                    top_vote_share: counts.get(index).map(top_share),
                }
            })
            .collect()
    }

    /// The guarantee and the spending.
    pub fn privacy(&self) -> Privacy {
        let (plan, scenario) = (self.plan, &self.plan.scenario);
        let spent = self.spent();
        Privacy {
            unit: scenario.unit.name().to_owned(),
            adjacency: scenario.adjacency.name().to_owned(),
            protects: plan.sensitivity.words(),
            delta: scenario.delta.get(),
            epsilon: scenario.epsilon.get(),
            epsilon_spent: rho_to_epsilon_within(spent, scenario.delta, plan.filter_order),
            rho_cap: plan.rho_cap.to_f64_up(),
            rho_spent: spent.to_f64_up(),
            accountant: accountant_in_words(plan.filter_order),
            // What is charged follows from the mechanism and the released answers alone.
            publishable: true,
            mechanism: plan.mechanism.name().to_owned(),
            noise: plan.noise_in_words(),
        }
    }

    /// The spending after each query, in the order of the ledger.
    pub fn budget(&self) -> Result<Vec<BudgetPoint>, Fault> {
        let (plan, delta) = (self.plan, self.plan.scenario.delta);
        let mut spent = Rho::ZERO;
        let mut points = vec![BudgetPoint { queries: 0, rho: 0.0, epsilon: 0.0 }];
        for (queries, released) in (1..).zip(&self.released) {
            let outcome = match released.answer() {
                Answer::Label(class) => Outcome::Label(class),
                Answer::Abstained | Answer::Interrupted => Outcome::Abstained,
            };
            let charge = plan.mechanism.charge_within(&outcome, &plan.sensitivity, plan.filter_order)?;
            spent = spent.checked_add(charge).unwrap_or(Rho::MAX);
            points.push(BudgetPoint {
                queries,
                rho: spent.to_f64_up(),
                epsilon: rho_to_epsilon_within(spent, delta, plan.filter_order),
            });
        }
        Ok(points)
    }

    /// One account per silo.
    pub fn silos(&self, data_ids: &[String]) -> Vec<SiloAccount> {
        let (plan, delta) = (self.plan, self.plan.scenario.delta);
        let account = |(index, data_id): (usize, &String)| {
            let accounts = self.ledger.accounts();
            let account = accounts.iter().find(|account| account.terms().data.as_str() == data_id)?;
            Some(SiloAccount {
                organisation: organisation(index),
                data_id: data_id.clone(),
                teachers: plan.teachers[index],
                records: Some(plan.shards[index].rows() as u64),
                epsilon_cap: account.terms().epsilon.get(),
                epsilon_spent: rho_to_epsilon_within(account.spent(), delta, plan.filter_order),
                rho_cap: account.cap().to_f64_up(),
                rho_spent: account.spent().to_f64_up(),
            })
        };
        data_ids.iter().enumerate().filter_map(account).collect()
    }

    fn spent(&self) -> Rho {
        self.ledger.campaign(&self.campaign).map_or(Rho::ZERO, conclave_ledger::CampaignState::spent)
    }

    /// Answered queries whose true class is known.
    fn judged(&self) -> impl Iterator<Item = (Label, Answer)> + '_ {
        let truths = self.plan.pool.labels();
        let asked = self.plan.queries.iter().zip(&self.answers);
        asked.filter_map(move |(row, answer)| Some((truths?[*row], (*answer)?)))
    }
}

/// Who keeps the account.
pub(crate) fn accountant_in_words(order: FilterOrder) -> String {
    if order.is_unbounded() { "zcdp".to_owned() } else { format!("zcdp up to order {order}") }
}

/// The largest count's share of all votes.
pub fn top_share(counts: &VoteCounts) -> f64 {
    let all: u64 = counts.as_slice().iter().sum();
    let most = counts.as_slice().iter().copied().max().unwrap_or(0);
    most as f64 / all.max(1) as f64
}

/// Test rows by true and by predicted class, and the share that is right.
pub fn measured(plan: &Plan, predicted: &[Label]) -> Result<Option<(f64, Confusion)>, Fault> {
    let Some(truth) = plan.test.labels() else { return Ok(None) };
    let table = metrics::confusion(predicted, truth, plan.test.schema().classes())?;
    let rows = table.outer_iter().map(|row| row.to_vec()).collect();
    Ok(Some((metrics::accuracy(predicted, truth)?, Confusion(rows))))
}

const EXAMPLES: usize = 24;
