//! The sum of what queries cost, by each accountant in its own measure.

use super::{Account, AccountantName, Answered, Costs, Question, ROUNDING, published};
use crate::Error;
use crate::accountant::Conversion;
use crate::accountant::{Loss, advanced_epsilon, rdp_to_epsilon, rho_to_epsilon_classic, rho_to_loss};
use crate::data_dependent::{NoisyVote, StepCosts};
use crate::pld::{FixedPlan, PlanFloor, PlannedNoise};
use crate::quantity::{Delta, RdpCurve, Rho};
use libm::{log, sqrt};

/// Costs summed so far.
pub(super) struct Sum<'a> {
    accountant: AccountantName,
    question: &'a Question,
    pub(super) rdp: Vec<f64>,
    /// With a stated number of answers and data-dependent prices: the argmax costs per order, of which the dearest count.
    dearest: Vec<Vec<f64>>,
    pub(super) queries: usize,
    pub(super) answered: f64,
    /// Of an exact accountant: the published costs of a query at each order, and for how many queries its own were no smaller.
    published: Vec<(f64, usize)>,
}

impl<'a> Sum<'a> {
    pub(super) fn new(accountant: AccountantName, question: &'a Question) -> Self {
        let orders = question.orders.len();
        Self {
            accountant,
            question,
            rdp: vec![0.0; orders],
            dearest: vec![Vec::new(); orders],
            queries: 0,
            answered: 0.0,
            published: Self::published(accountant, question),
        }
    }

    fn published(accountant: AccountantName, question: &Question) -> Vec<(f64, usize)> {
        if !matches!(accountant, AccountantName::Exact | AccountantName::ExactWorstCase) {
            return Vec::new();
        }
        let (threshold, mut argmax) = published(&question.mechanism, &question.orders);
        if let (Answered::Joint, Some(threshold)) = (question.answered, threshold) {
            add_to(&mut argmax, &threshold, 1.0);
        }
        argmax.into_iter().map(|cost| (cost, 0)).collect()
    }

    /// Notes where the argmax of `queries` costs no less than it has been published to cost.
    pub(super) fn compare(&mut self, costs: &[f64], queries: usize) {
        for ((published, at), cost) in self.published.iter_mut().zip(costs) {
            // More than the roundings up of both.
            *at += queries * usize::from(*cost >= *published * (1.0 - 1e-12));
        }
    }

    /// Whether the policy for answers matters at all.
    pub(super) const fn confident(&self) -> bool {
        matches!(self.question.mechanism, NoisyVote::ConfidentGnMax { .. })
    }

    /// The cost of one query by itself.
    pub(super) fn one(&self, costs: &Costs) -> Vec<f64> {
        match costs {
            Costs::Joint(rdp, _) => rdp.clone(),
            Costs::Steps(steps) => {
                let expected = self.confident() && self.question.answered == Answered::Expected;
                let worst = self.accountant == AccountantName::ExactWorstCase;
                let weight = if expected && !worst { steps.answered } else { 1.0 };
                let thresholds = steps.threshold.iter().flatten().copied().chain(std::iter::repeat(0.0));
                steps
                    .argmax
                    .iter()
                    .zip(thresholds)
                    .map(|(argmax, threshold)| threshold + weight * argmax)
                    .collect()
            }
        }
    }

    pub(super) fn add(&mut self, costs: Costs) {
        self.queries += 1;
        match costs {
            Costs::Joint(rdp, answered) => {
                self.compare(&rdp, 1);
                self.answered += answered;
                add_to(&mut self.rdp, &rdp, 1.0);
            }
            Costs::Steps(StepCosts { threshold, argmax, answered }) => {
                self.compare(&argmax, 1);
                if let Some(threshold) = threshold {
                    add_to(&mut self.rdp, &threshold, 1.0);
                }
                match self.question.answered {
                    Answered::Stated(most) if self.confident() => {
                        self.answered = (self.queries as f64).min(most as f64);
                        for (costs, cost) in self.dearest.iter_mut().zip(argmax) {
                            costs.push(cost);
                        }
                    }
                    Answered::Expected if self.confident() => {
                        self.answered += answered;
                        add_to(&mut self.rdp, &argmax, answered);
                    }
                    _ => {
                        self.answered += 1.0;
                        add_to(&mut self.rdp, &argmax, 1.0);
                    }
                }
            }
        }
    }

    pub(super) fn account(&self) -> Result<Account, Error> {
        let by_votes =
            self.confident() && matches!(self.question.answered, Answered::Expected | Answered::Joint);
        let loss = self.loss()?;
        let found = self.question.orders.iter().position(|order| Some(order.get()) == loss.order);
        Ok(Account {
            accountant: self.accountant,
            queries: self.queries,
            answered: self.answered,
            loss,
            at_published_price: found.and_then(|index| self.published.get(index)).map_or(0, |(_, at)| *at),
            publishable: self.accountant.cost_publishable() && self.accountant.is_guarantee() && !by_votes,
            cost_publishable: self.accountant.cost_publishable(),
        })
    }

    fn loss(&self) -> Result<Loss, Error> {
        let (queries, answered) = (self.queries as f64, self.answered);
        let Question { delta, conversion, mechanism, .. } = self.question;
        Ok(match self.accountant {
            AccountantName::Pure => {
                let epsilon = 2.0 * queries / mechanism.argmax().scale() * (1.0 + ROUNDING);
                Loss::off_grid(epsilon, None)
            }
            AccountantName::Advanced => {
                let each = 2.0 / mechanism.argmax().scale() * (1.0 + ROUNDING);
                Loss::off_grid(advanced_epsilon(each, queries, *delta), None)
            }
            AccountantName::Zcdp => zcdp_loss(self.zcdp(queries, answered)?, *delta, *conversion),
            // Gaussians compose to one Gaussian, whether their number is fixed before (a plan) or not (a filter).
            AccountantName::Pld | AccountantName::Gdp => {
                let noises = self.plan(queries, answered);
                let plan = match self.question.lattice {
                    Some(lattice) => FixedPlan::on_lattice(&noises, lattice)?,
                    None => FixedPlan::new(&noises)?,
                };
                Loss::off_grid(plan.epsilon(*delta), None)
            }
            AccountantName::PldLower if self.question.lattice.is_some() => {
                let (event, fix) = ("noise on a lattice", "use pld, or continuous noise");
                return Err(Error::UnsupportedEvent { accountant: self.accountant.as_str(), event, fix });
            }
            AccountantName::PldLower => {
                Loss::off_grid(PlanFloor::new(&self.plan(queries, answered))?.epsilon(*delta), None)
            }
            _ => {
                let mut rdp = self.rdp.clone();
                for (sum, costs) in rdp.iter_mut().zip(&self.dearest).filter(|(_, costs)| !costs.is_empty()) {
                    let mut costs = costs.clone();
                    costs.sort_unstable_by(|a, b| b.total_cmp(a));
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a number of queries"
                    )]
                    let most = answered as usize;
                    *sum += costs[..most].iter().sum::<f64>();
                }
                // Each of the additions may have lost half a unit in the last place.
                let up = 1.0 + 2.0 * f64::EPSILON * (queries + 4.0);
                let rdp = rdp.into_iter().map(|cost| cost * up).collect();
                let overflow = |refusal| match refusal {
                    Error::RdpCurve { orders, .. } if orders > 0 => Error::CostOverflow { field: "rdp" },
                    other => other,
                };
                let curve = RdpCurve::new(self.question.orders.clone(), rdp).map_err(overflow)?;
                rdp_to_epsilon(&curve, *delta, *conversion)
            }
        })
    }

    fn zcdp(&self, queries: f64, answered: f64) -> Result<Rho, Error> {
        let inverse_square = |scale: f64| 1.0 / (scale * scale);
        let nats = match self.question.mechanism {
            NoisyVote::LnMax { scale } => 2.0 * queries * inverse_square(scale.get()),
            NoisyVote::GnMax { sigma } => queries * inverse_square(sigma.get()),
            NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => {
                0.5 * queries * inverse_square(sigma1.get()) + answered * inverse_square(sigma2.get())
            }
        };
        Rho::from_nats_up(nats * (1.0 + ROUNDING)).ok_or(Error::CostOverflow { field: "rho" })
    }

    fn plan(&self, queries: f64, answered: f64) -> Vec<PlannedNoise> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of queries")]
        let twice = (queries as u64).saturating_mul(2);
        match self.question.mechanism {
            // One moved vote shifts two counts by one each.
            NoisyVote::LnMax { scale } => vec![PlannedNoise::Laplace { scale, shift: 1.0, times: twice }],
            NoisyVote::GnMax { sigma } => {
                vec![PlannedNoise::Gaussian { scale: sigma, shift: std::f64::consts::SQRT_2, times: queries }]
            }
            NoisyVote::ConfidentGnMax { sigma1, sigma2, .. } => vec![
                PlannedNoise::Gaussian { scale: sigma1, shift: 1.0, times: queries },
                PlannedNoise::Gaussian { scale: sigma2, shift: std::f64::consts::SQRT_2, times: answered },
            ],
        }
    }
}

pub(super) fn zcdp_loss(rho: Rho, delta: Delta, conversion: Conversion) -> Loss {
    match conversion {
        Conversion::Tight => rho_to_loss(rho, delta),
        Conversion::Classic => {
            let order = 1.0 + sqrt(-log(delta.get()) / rho.to_f64_up());
            Loss::off_grid(rho_to_epsilon_classic(rho, delta), order.is_finite().then_some(order))
        }
    }
}

pub(super) fn add_to(sum: &mut [f64], costs: &[f64], weight: f64) {
    for (sum, cost) in sum.iter_mut().zip(costs) {
        *sum += weight * cost;
    }
}
