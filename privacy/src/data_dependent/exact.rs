//! The exact cost of a noisy argmax at given votes: the largest Rényi divergence, in either direction, between the law
//! at these votes and the law after any one vote has moved.

use super::divergence::{self, Pair, psi, psi_slope};
use super::law::{ArgmaxNoise, Group, Laws, Neighbour, Neighbourhood, groups};
use super::threshold;
use crate::counts::VoteCounts;
use crate::numerics::widen_up;
use crate::quantity::{RdpOrder, Scale};
use libm::exp;
use std::collections::HashMap;
use std::fmt;

/// Exact costs, two-sided, at a fixed list of orders.
///
/// For each order: max over all moves of one vote (empty classes may receive one), and over both directions, of the
/// Rényi divergence between the two laws of the answer, computed by quadrature with a proven error bound
/// (`data_dependent/quadrature.rs`) and rounded up. Never above the data-independent bound of the noise, which also stands in
/// for votes with more than 200 distinct counts.
///
/// **What it is**: with the sum R of these costs over a fixed list of queries, the released answers shift the odds
/// between these votes and any one neighbour by at most e^ε except with probability δ. It is a property of these votes,
/// private itself, and no differential-privacy guarantee. If queries are chosen adaptively, one order fixed beforehand
/// still bounds the loss by Ville's inequality, with the classic conversion; nothing else does.
pub struct ExactArgmax {
    laws: Laws,
    noise: ArgmaxNoise,
    alphas: Vec<f64>,
    /// By the groups of equal counts: the count, and the bits of how many classes have it.
    memo: HashMap<Vec<(u64, u64)>, Vec<f64>>,
}

/// The threshold test of a mechanism.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    pub(super) threshold: f64,
    pub(super) sigma1: Scale,
}

impl ExactArgmax {
    /// For `noise` at `orders`.
    pub fn new(noise: ArgmaxNoise, orders: &[RdpOrder]) -> Self {
        let alphas = orders.iter().map(|order| order.get()).collect();
        Self { laws: Laws::new(noise), noise, alphas, memo: HashMap::new() }
    }

    /// The cost of one argmax at `counts`, for each order. Remembered by the sorted counts, on which alone it depends.
    pub(super) fn argmax(&mut self, counts: &VoteCounts) -> &Vec<f64> {
        let groups = groups(counts);
        let key: Vec<_> = groups.iter().map(|group| (group.count, group.classes.to_bits())).collect();
        if !self.memo.contains_key(&key) {
            let cost = self.argmax_anew(&groups);
            self.memo.insert(key.clone(), cost);
        }
        &self.memo[&key]
    }

    /// [`ExactArgmax::argmax`] without the memory.
    fn argmax_anew(&mut self, groups: &[Group]) -> Vec<f64> {
        if !self.in_range(groups) {
            return self.alphas.iter().map(|alpha| self.ceiling(*alpha)).collect();
        }
        let neighbourhood = self.laws.neighbourhood(groups);
        let directed = Directed::all(&neighbourhood);
        let largest = largest_excess(&directed, &self.alphas);
        let costs = self.alphas.iter().zip(largest);
        costs
            .map(|(alpha, excess)| divergence::divergence(excess, *alpha).min(self.ceiling(*alpha)))
            .collect()
    }

    /// Threshold test and argmax as one law: for each order, max over neighbours and directions of
    /// ln((1-p)^α (1-p')^(1-α) + p^α p'^(1-α) e^((α-1)R))/(α-1), R the divergence of the argmax for the same neighbour.
    pub(super) fn joint(&mut self, counts: &VoteCounts, test: Test) -> Vec<f64> {
        let groups = groups(counts);
        let independent = |alpha: f64| alpha / (2.0 * test.sigma1.get() * test.sigma1.get());
        if !self.in_range(&groups) {
            return self.alphas.iter().map(|alpha| self.ceiling(*alpha) + independent(*alpha)).collect();
        }
        let neighbourhood = self.laws.neighbourhood(&groups);
        let largest = groups[0].count as f64;
        let at = |alpha: f64| {
            let mut most = 0.0_f64;
            for neighbour in &neighbourhood.neighbours {
                let outcomes =
                    threshold::outcomes(largest, neighbour.largest_gains, test.threshold, test.sigma1);
                for reversed in [false, true] {
                    let turn = |pair: Pair| if reversed { pair.reversed() } else { pair };
                    let argmax = pairs_of(&neighbourhood, neighbour).iter().map(|pair| turn(*pair));
                    let passed =
                        exp((turn(outcomes[0])).log_summand(alpha)) * divergence::excess(argmax, alpha);
                    let tested = divergence::excess(outcomes.iter().map(|pair| turn(*pair)), alpha);
                    most = larger(most, tested + passed);
                }
            }
            widen_up(divergence::divergence(most, alpha), 1e-14).min(self.ceiling(alpha) + independent(alpha))
        };
        self.alphas.iter().map(|alpha| at(*alpha)).collect()
    }

    /// The data-independent bound, rounded up.
    fn ceiling(&self, alpha: f64) -> f64 {
        let scale = self.noise.scale();
        let bound = match self.noise {
            ArgmaxNoise::Gaussian(_) => alpha / (scale * scale),
            ArgmaxNoise::Laplace(_) => (2.0 * alpha / (scale * scale)).min(2.0 / scale),
        };
        widen_up(bound, 1e-15)
    }

    /// Laplace probabilities leave the range of doubles where counts are more than 600 scales apart; there, where the counts
    /// could not be subtracted from each other in doubles, where there are so many classes that the bound on the error of a piece asks for
    /// pieces without end, and where there are too many distinct counts, whose neighbours grow with
    /// their square and the outcomes of all of these with the cube, the data-independent bound stands in.
    fn in_range(&self, groups: &[Group]) -> bool {
        let range = groups[0].count - groups[groups.len() - 1].count;
        let scales = range as f64 / self.noise.scale();
        if groups.len() > DISTINCT_MAX {
            return false;
        }
        match self.noise {
            ArgmaxNoise::Gaussian(_) => scales <= GAUSSIAN_RANGE,
            ArgmaxNoise::Laplace(_) => {
                let classes: f64 = groups.iter().map(|group| group.classes).sum();
                let few = classes <= LAPLACE_CLASSES_MAX;
                few && scales <= LAPLACE_RANGE && self.noise.scale() >= LAPLACE_SCALE_MIN
            }
        }
    }
}

/// The noise, and nothing that it remembers of the votes.
impl fmt::Debug for ExactArgmax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactArgmax").field("noise", &self.noise).finish_non_exhaustive()
    }
}

/// The threshold test alone: for each order, max over the two neighbours and directions.
pub(super) fn threshold_cost(largest: f64, test: Test, alphas: &[f64]) -> Vec<f64> {
    let pairs = [-1.0, 1.0].map(|change| threshold::outcomes(largest, change, test.threshold, test.sigma1));
    let independent = |alpha: f64| alpha / (2.0 * test.sigma1.get() * test.sigma1.get());
    let at = |alpha: f64| {
        let excesses = pairs.iter().flat_map(|pair| {
            let reversed = pair.map(Pair::reversed);
            [divergence::excess(pair.iter().copied(), alpha), divergence::excess(reversed.into_iter(), alpha)]
        });
        divergence::divergence(excesses.fold(0.0, larger), alpha).min(widen_up(independent(alpha), 1e-15))
    };
    alphas.iter().map(|alpha| at(*alpha)).collect()
}

/// The larger of two; what is not a number stays, so that a bound and not zero comes of it. (`f64::max` would drop it.)
fn larger(most: f64, next: f64) -> f64 {
    if next <= most { most } else { next }
}

fn pairs_of<'a>(neighbourhood: &'a Neighbourhood, neighbour: &Neighbour) -> &'a [Pair] {
    &neighbourhood.pairs[neighbour.outcomes.clone()]
}

/// One neighbour in one direction, with what bounds its cost cheaply.
struct Directed {
    pairs: Vec<Pair>,
    /// Σ q L².
    spread: f64,
    /// max |L|.
    reach: f64,
}

impl Directed {
    fn all(neighbourhood: &Neighbourhood) -> Vec<Self> {
        let both = neighbourhood.neighbours.iter().flat_map(|neighbour| {
            let pairs = pairs_of(neighbourhood, neighbour);
            [pairs.to_vec(), pairs.iter().map(|pair| pair.reversed()).collect()]
        });
        let mut all: Vec<Self> = both
            .map(|pairs| Self {
                spread: pairs.iter().map(Pair::squared).sum(),
                reach: pairs.iter().map(|pair| pair.ratio().abs()).fold(0.0, f64::max),
                pairs,
            })
            .collect();
        all.sort_unstable_by(|a, b| b.spread.total_cmp(&a.spread));
        all
    }

    fn excess(&self, alpha: f64) -> f64 {
        divergence::excess(self.pairs.iter().copied(), alpha)
    }
}

/// For each order the largest excess over all neighbours and directions, leaving out those that provably are not.
///
/// ψ(L) <= L² ψ(reach)/reach² for |L| <= reach: ψ'' grows on L > 0, so ψ(L)/L² does, and for L < 0 ψ'' <= ψ''(0). So
/// Σ q ψ(L) is at most spread·ψ(reach)/reach².
fn largest_excess(directed: &[Directed], alphas: &[f64]) -> Vec<f64> {
    let reach = directed.iter().map(|one| one.reach).fold(0.0, f64::max);
    let mut largest = vec![0.0_f64; alphas.len()];
    if reach == 0.0 {
        return largest;
    }
    let curvature: Vec<f64> = alphas.iter().map(|alpha| curvature(*alpha, reach)).collect();
    for one in directed {
        for ((largest, alpha), curvature) in largest.iter_mut().zip(alphas).zip(&curvature) {
            if one.spread * curvature <= *largest {
                continue;
            }
            if one.reach < 0.7 * reach && one.spread * self::curvature(*alpha, one.reach) <= *largest {
                continue;
            }
            *largest = largest.max(one.excess(*alpha));
        }
    }
    largest
}

/// An upper bound on ψ(L)/L² for |L| <= reach.
fn curvature(alpha: f64, reach: f64) -> f64 {
    if reach <= 0.0 {
        return 0.5 * psi_slope(alpha, 1e-9) / 1e-9;
    }
    widen_up(psi(alpha, reach) / (reach * reach), 1e-9)
}

/// So many distinct counts take 20,000 votes, and seconds.
const DISTINCT_MAX: usize = 200;
const GAUSSIAN_RANGE: f64 = 1e5;
const LAPLACE_RANGE: f64 = 600.0;
const LAPLACE_CLASSES_MAX: f64 = 128.0;
const LAPLACE_SCALE_MIN: f64 = 1e-2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dependent::published::{gaussian_rdp, gnmax_log_q};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_published_bound_is_above_the_exact_cost_in_the_direction_that_it_covers(
            votes in prop::collection::vec(0_u64..60, 2..7), sigma in 1.0_f64..30.0,
        ) {
            let orders = [1.5, 4.0, 16.0].map(|order| RdpOrder::new(order).unwrap());
            let (sigma, counts) = (Scale::new(sigma).unwrap(), VoteCounts::new(votes).unwrap());
            let published = gaussian_rdp(gnmax_log_q(&counts, sigma), sigma, &orders);
            let neighbourhood = Laws::new(ArgmaxNoise::Gaussian(sigma)).neighbourhood(&groups(&counts));
            for (order, published) in orders.iter().zip(published) {
                for neighbour in &neighbourhood.neighbours {
                    let pairs = pairs_of(&neighbourhood, neighbour).iter().copied();
                    let exact = divergence::divergence(divergence::excess(pairs, order.get()), order.get());
                    prop_assert!(exact <= published * (1.0 + 1e-7) + 1e-13, "{exact:e} above {published:e}");
                }
            }
        }

        #[test]
        fn what_is_left_out_of_the_search_is_never_the_largest(
            votes in prop::collection::vec(0_u64..60, 2..7), sigma in 1.0_f64..30.0,
        ) {
            let counts = VoteCounts::new(votes).unwrap();
            let noise = ArgmaxNoise::Gaussian(Scale::new(sigma).unwrap());
            let neighbourhood = Laws::new(noise).neighbourhood(&groups(&counts));
            let directed = Directed::all(&neighbourhood);
            let alphas = [1.1, 3.0, 12.0, 64.0];
            for (alpha, found) in alphas.iter().zip(largest_excess(&directed, &alphas)) {
                let all = directed.iter().map(|one| one.excess(*alpha)).fold(0.0, f64::max);
                prop_assert!(found >= all, "{found:e}, not {all:e}");
            }
        }
    }
}
