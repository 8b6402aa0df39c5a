//! Every account that rests on noise alone, for queries that are not asked yet.

use super::{AccountantName, Answered, Question, account_in_advance, default_orders, out_of_reach};
use crate::Error;
use crate::accountant::{Conversion, Loss};
use crate::data_dependent::NoisyVote;
use crate::quantity::{Delta, Lattice, RdpOrder, Scale};
use crate::unit::Sensitivity;

/// What will be done at most.
#[derive(Debug, Clone, Copy)]
pub struct InAdvance {
    /// The mechanism.
    pub mechanism: NoisyVote,
    /// The lattice on which its noise is drawn; none for continuous noise.
    pub lattice: Option<Lattice>,
    /// Who is protected.
    pub sensitivity: Sensitivity,
    /// δ.
    pub delta: Delta,
    /// How many queries are asked.
    pub queries: u64,
    /// How many of them are answered: a cap that is fixed before the votes.
    pub answers: u64,
}

impl InAdvance {
    /// ε by each accountant that prices this for all votes, and the order at which it was found. All may be published.
    ///
    /// An accountant whose figures end before this loss is left out. For more than one moved vote [`crate::worst_case`] has nothing, and neither have privacy-loss distributions of Laplace noise.
    pub fn accounts(&self) -> Result<Vec<(AccountantName, Loss)>, Error> {
        let moves = self.sensitivity.shift();
        // m moved votes are as one with an m-th of the noise: counts and the largest of them move m times as far, Σv² is m² times as large.
        let question = self.question(with_part_of_noise(self.mechanism, moves)?);
        let loss = |name, question: &Question| Ok(account_in_advance(name, question, self.queries)?.loss);
        // A conversion takes the best of the orders that it is given: those around the best of the published costs will do, and
        // exact costs, two thirds of these, have theirs somewhat above it.
        let published: Loss = loss(AccountantName::Rdp, &question)?;
        let best = published.order.unwrap_or(1.0);
        let mut orders: Vec<RdpOrder> = Vec::new();
        for order in question.orders.iter().filter(|order| (0.8 * best..=1.8 * best).contains(&order.get())) {
            // Each is a search, and near its best order ε is flat.
            if orders.last().is_none_or(|last| order.get() >= APART * last.get()) {
                orders.push(*order);
            }
        }
        let searched =
            if orders.is_empty() { question.clone() } else { Question { orders, ..question.clone() } };
        let account = |name| {
            let question = if name == AccountantName::ExactWorstCase { &searched } else { &question };
            match loss(name, question) {
                // A δ that the lattice alone uses up leaves no ε.
                Ok(loss) => loss.epsilon.is_finite().then_some(Ok((name, loss))),
                Err(refusal) if out_of_reach(&refusal) => None,
                Err(refusal) => Some(Err(refusal)),
            }
        };
        AccountantName::ALL.into_iter().filter(|name| self.prices(*name)).filter_map(account).collect()
    }

    /// What an accountant is asked about `mechanism`.
    pub(crate) fn question(&self, mechanism: NoisyVote) -> Question {
        let scale = mechanism.argmax().scale();
        Question {
            mechanism,
            lattice: self.lattice,
            delta: self.delta,
            // Larger orders than this are the best only for an ε near 0, and take the longest to certify.
            orders: default_orders()
                .into_iter()
                .filter(|order| order.get() <= (2.5 * scale).max(2.0))
                .collect(),
            conversion: Conversion::Tight,
            answered: Answered::Stated(self.answers),
            checkpoints: Vec::new(),
            curves: false,
        }
    }

    fn prices(&self, name: AccountantName) -> bool {
        let of_one_move = match name {
            AccountantName::ExactWorstCase => true,
            // The losses of two counts that move m votes are not known to dominate those of 2m counts that move one.
            AccountantName::Pld => matches!(self.mechanism, NoisyVote::LnMax { .. }),
            _ => false,
        };
        name.cost_publishable()
            && name.is_guarantee()
            && name.check(&self.mechanism, Answered::Stated(self.answers)).is_ok()
            && (self.sensitivity.shift() == 1 || !of_one_move)
    }
}

fn with_part_of_noise(mechanism: NoisyVote, moves: u32) -> Result<NoisyVote, Error> {
    let part = |scale: Scale| Scale::new(scale.get() / f64::from(moves));
    Ok(match mechanism {
        NoisyVote::LnMax { scale } => NoisyVote::LnMax { scale: part(scale)? },
        NoisyVote::GnMax { sigma } => NoisyVote::GnMax { sigma: part(sigma)? },
        NoisyVote::ConfidentGnMax { threshold, sigma1, sigma2 } => {
            NoisyVote::ConfidentGnMax { threshold, sigma1: part(sigma1)?, sigma2: part(sigma2)? }
        }
    })
}

/// The ratio of the orders that are searched.
const APART: f64 = 1.08;
