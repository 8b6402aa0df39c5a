//! What a plan costs under every accountant: by its noise alone, and at the votes of its model.

use super::Target;
use super::vote_model::Shape;
use crate::Error;
use crate::accountant::{Loss, rdp_to_epsilon};
use crate::analysis::{AccountantName, Answered, InAdvance, Question};
use crate::data_dependent::{DataDependent, Method, NoisyVote};
use crate::quantity::RdpCurve;
use crate::secret::Analyst;

/// ε of a plan by one accountant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanAccount {
    /// Which.
    pub accountant: AccountantName,
    /// How often an answer is charged: a stated cap, which is the expected number rounded up, or as the model's votes have it.
    pub answered: Answered,
    /// ε and the order at which it was found.
    pub loss: Loss,
}

impl PlanAccount {
    /// Whether it holds for private votes too, and may be published for them. The others are properties of the model.
    pub const fn holds_for_all_votes(&self) -> bool {
        self.accountant.cost_publishable()
    }
}

/// The accounts of all queries and of `answers` of them.
pub(super) fn of(
    target: &Target,
    mechanism: NoisyVote,
    answers: u64,
    shapes: &[Shape],
) -> Result<Vec<PlanAccount>, Error> {
    let Target { queries, delta, sensitivity, .. } = *target;
    let plan = InAdvance { mechanism, lattice: None, sensitivity, delta, queries: queries.into(), answers };
    let answered = Answered::Stated(answers);
    let in_advance = plan.accounts()?.into_iter();
    let mut accounts: Vec<_> =
        in_advance.map(|(accountant, loss)| PlanAccount { accountant, answered, loss }).collect();
    // Data-dependent costs are of one moved vote.
    if sensitivity.is_one_moved_vote() {
        accounts.extend(of_model(target, &plan.question(mechanism), shapes)?);
    }
    Ok(accounts)
}

/// Those of the model's votes, each asked about as often as its share of the model says.
fn of_model(target: &Target, question: &Question, shapes: &[Shape]) -> Result<Vec<PlanAccount>, Error> {
    let times = f64::from(target.queries) / shapes.iter().map(|shape| shape.rows).sum::<f64>();
    let data = |method| DataDependent::new(question.mechanism, method, &question.orders);
    // Nobody's: the votes of a model are public or made up.
    let analyst = Analyst::who_may_see_the_votes();
    let account = |accountant, answered, cost: &mut dyn FnMut(&Shape) -> Vec<f64>| {
        let mut sum = vec![0.0; question.orders.len()];
        for shape in shapes {
            for (sum, cost) in sum.iter_mut().zip(cost(shape)) {
                *sum += shape.rows * times * cost;
            }
        }
        let curve = RdpCurve::new(question.orders.clone(), sum)?;
        let loss = rdp_to_epsilon(&curve, target.delta, question.conversion);
        Ok::<_, Error>(PlanAccount { accountant, answered, loss })
    };
    let expected = |accountant, method| {
        let mut data = data(method)?;
        account(accountant, Answered::Expected, &mut |shape| {
            let steps = data.steps(&shape.counts).open(&analyst);
            let tests = steps.threshold.into_iter().flatten().chain(std::iter::repeat(0.0));
            steps.argmax.iter().zip(tests).map(|(argmax, test)| test + steps.answered * argmax).collect()
        })
    };
    let mut accounts = vec![
        expected(AccountantName::RdpDataDependent, Method::Published)?,
        expected(AccountantName::Exact, Method::Exact)?,
    ];
    if matches!(question.mechanism, NoisyVote::ConfidentGnMax { .. }) {
        let mut data = data(Method::Exact)?;
        accounts.push(account(AccountantName::Exact, Answered::Joint, &mut |shape| {
            data.joint(&shape.counts).open(&analyst)
        })?);
    }
    Ok(accounts)
}
