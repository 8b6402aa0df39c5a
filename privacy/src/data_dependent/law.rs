//! The law of the noisy argmax at given votes, and at every neighbour of theirs.
//!
//! A neighbour moves one vote from a class s to a class t. With F = Π Φ(x-n_l), each of the integrals for all
//! neighbours is a sum over the same nodes of products of a few factors that depend on one class each, so a table per
//! distinct count (per distance from the largest, for Gaussian noise, kept between queries) serves them all. Only the
//! sorted counts matter; classes with equal counts are one group.

use super::divergence::Pair;
use super::quadrature::{Nodes, even_pieces, gaussian_reach, gaussian_step, laplace_pieces, trapezoid};
use crate::counts::VoteCounts;
use crate::numerics::{extreme_mode, log_normal_cdf, log_normal_density, log_sum, normal_cdf};
use crate::quantity::Scale;
use libm::{exp, log};
use std::collections::HashMap;
use std::f64::consts::PI;

/// The noise of a noisy argmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArgmaxNoise {
    /// N(0, σ²) on each count.
    Gaussian(Scale),
    /// Laplace noise of scale b on each count.
    Laplace(Scale),
}

impl ArgmaxNoise {
    /// σ or b, in votes.
    pub const fn scale(self) -> f64 {
        match self {
            Self::Gaussian(scale) | Self::Laplace(scale) => scale.get(),
        }
    }
}

/// Classes with equal counts.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) classes: f64,
}

/// The counts as groups, largest first.
pub(super) fn groups(counts: &VoteCounts) -> Vec<Group> {
    let mut sorted = counts.as_slice().to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let mut groups: Vec<Group> = Vec::new();
    for count in sorted {
        match groups.last_mut() {
            Some(group) if group.count == count => group.classes += 1.0,
            _ => groups.push(Group { count, classes: 1.0 }),
        }
    }
    groups
}

/// A neighbour: what its largest count gains, and where its outcomes are in the list of pairs.
#[derive(Clone)]
pub(super) struct Neighbour {
    pub(super) largest_gains: f64,
    pub(super) outcomes: std::ops::Range<usize>,
}

/// All neighbours of some counts with their laws (p at the counts, q at the neighbour).
#[derive(Default)]
pub(super) struct Neighbourhood {
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) pairs: Vec<Pair>,
}

/// Tables for one noise, kept between queries.
pub(super) struct Laws {
    noise: ArgmaxNoise,
    /// For Gaussian noise: the number of classes that the nodes fit, and a column per distance from the largest count.
    classes: f64,
    nodes: Nodes,
    columns: HashMap<u64, Column>,
}

/// What a class contributes at each node, by its count n (or n ± 1 for the ends of a move).
#[derive(Clone)]
struct Column {
    /// Φ(x-n).
    cdf: Vec<f64>,
    /// φ(x-n)/Φ(x-n).
    wins: Vec<f64>,
    /// Φ(x-n+1)/Φ(x-n), φ(x-n+1)/Φ(x-n): one vote less.
    less: Vec<f64>,
    less_wins: Vec<f64>,
    /// Φ(x-n-1)/Φ(x-n), φ(x-n-1)/Φ(x-n): one vote more.
    more: Vec<f64>,
    more_wins: Vec<f64>,
}

impl Laws {
    pub(super) fn new(noise: ArgmaxNoise) -> Self {
        Self { noise, classes: 0.0, nodes: Nodes::default(), columns: HashMap::new() }
    }

    /// The laws at `groups` and at all their neighbours.
    pub(super) fn neighbourhood(&mut self, groups: &[Group]) -> Neighbourhood {
        let scale = self.noise.scale();
        let range = (groups[0].count - groups[groups.len() - 1].count) as f64 / scale;
        let shift = 1.0 / scale;
        match self.noise {
            ArgmaxNoise::Gaussian(_) if range > LINEAR_RANGE || shift > LINEAR_SHIFT => {
                far_apart(groups, scale)
            }
            ArgmaxNoise::Gaussian(_) => {
                let classes = groups.iter().map(|group| group.classes).sum::<f64>();
                self.prepare(classes, shift);
                let (low, high) = gaussian_reach(classes, range, shift);
                let step = gaussian_step(classes);
                let from = ((low - self.nodes.places[0]) / step).floor().max(0.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an index of a node"
                )]
                let from = from as usize;
                let to = self.nodes.places.partition_point(|place| *place <= high + step);
                let error = relative_error(classes, range);
                self.by_tables(groups, from..to, error)
            }
            ArgmaxNoise::Laplace(_) => {
                let values: Vec<_> = groups.iter().map(|group| self.below(groups, group)).collect();
                self.nodes = laplace_pieces(&values, shift);
                self.columns.clear();
                for (group, (value, _)) in groups.iter().zip(&values) {
                    let column = Column::new(&self.nodes.places, *value, shift, laplace_cdf, laplace_density);
                    self.columns.insert(groups[0].count - group.count, column);
                }
                let classes = groups.iter().map(|group| group.classes).sum::<f64>();
                let nodes = 0..self.nodes.places.len();
                self.by_tables(groups, nodes, relative_error(classes, range))
            }
        }
    }

    /// A group's place relative to the largest count, in units of the scale, and its size.
    fn below(&self, groups: &[Group], group: &Group) -> (f64, f64) {
        (-((groups[0].count - group.count) as f64) / self.noise.scale(), group.classes)
    }

    fn prepare(&mut self, classes: f64, shift: f64) {
        #[expect(clippy::float_cmp, reason = "whole numbers")]
        if self.classes != classes {
            self.classes = classes;
            self.columns.clear();
            self.nodes = trapezoid(gaussian_reach(classes, LINEAR_RANGE, shift), gaussian_step(classes));
        }
    }

    fn by_tables(&mut self, groups: &[Group], nodes: std::ops::Range<usize>, error: f64) -> Neighbourhood {
        let (scale, shift) = (self.noise.scale(), 1.0 / self.noise.scale());
        for group in groups {
            let below = groups[0].count - group.count;
            self.columns.entry(below).or_insert_with(|| {
                Column::new(&self.nodes.places, -(below as f64) / scale, shift, normal_cdf, normal_density)
            });
        }
        let columns: Vec<&Column> =
            groups.iter().map(|group| &self.columns[&(groups[0].count - group.count)]).collect();
        let mut everyone_below = self.nodes.weights[nodes.clone()].to_vec();
        for (group, column) in groups.iter().zip(&columns) {
            for (product, cdf) in everyone_below.iter_mut().zip(&column.cdf[nodes.clone()]) {
                *product *= power(*cdf, group.classes);
            }
        }
        let here: Vec<(f64, f64)> = columns
            .iter()
            .map(|column| dot(&everyone_below, &column.wins[nodes.clone()]))
            .map(|wins| (wins, log(wins)))
            .collect();
        let mut neighbourhood = Neighbourhood::default();
        let mut one_less = vec![0.0; everyone_below.len()];
        let mut moved = one_less.clone();
        for (source, from) in columns.iter().enumerate() {
            if groups[source].count == 0 {
                continue;
            }
            multiply(&mut one_less, &everyone_below, &from.less[nodes.clone()]);
            for (target, to) in columns.iter().enumerate() {
                if source == target && groups[source].classes < 2.0 {
                    continue;
                }
                multiply(&mut moved, &one_less, &to.more[nodes.clone()]);
                let first = neighbourhood.pairs.len();
                for (k, column) in columns.iter().enumerate() {
                    let left = groups[k].classes - f64::from(k == source) - f64::from(k == target);
                    if left > 0.0 {
                        let there = dot(&moved, &column.wins[nodes.clone()]);
                        neighbourhood.pairs.push(Pair::of(left, here[k], there, error));
                    }
                }
                let loses = dot3(&everyone_below, &to.more[nodes.clone()], &from.less_wins[nodes.clone()]);
                let gains = dot(&one_less, &to.more_wins[nodes.clone()]);
                neighbourhood.pairs.push(Pair::of(1.0, here[source], loses, error));
                neighbourhood.pairs.push(Pair::of(1.0, here[target], gains, error));
                let outcomes = first..neighbourhood.pairs.len();
                neighbourhood
                    .neighbours
                    .push(Neighbour { largest_gains: gain(groups, source, target), outcomes });
            }
        }
        neighbourhood
    }
}

impl Column {
    fn new(places: &[f64], value: f64, shift: f64, cdf: fn(f64) -> f64, density: fn(f64) -> f64) -> Self {
        let ratio = |moved: f64, of: fn(f64) -> f64| -> Vec<f64> {
            places.iter().map(|x| of(x - value - moved) / cdf(x - value)).collect()
        };
        Self {
            cdf: places.iter().map(|x| cdf(x - value)).collect(),
            wins: ratio(0.0, density),
            less: ratio(-shift, cdf),
            less_wins: ratio(-shift, density),
            more: ratio(shift, cdf),
            more_wins: ratio(shift, density),
        }
    }
}

/// What the largest count gains when a vote moves between these groups.
fn gain(groups: &[Group], source: usize, target: usize) -> f64 {
    let top = groups[0].count;
    if target == 0 {
        return 1.0;
    }
    let alone = source == 0 && groups[0].classes < 2.0;
    let reached = groups[target].count + 1 >= top;
    if alone && !reached { -1.0 } else { 0.0 }
}

/// The laws where counts are so far apart, or noise is so small, that probabilities leave the range of doubles.
fn far_apart(groups: &[Group], sigma: f64) -> Neighbourhood {
    let log_law = |values: &[(f64, f64)]| -> Vec<f64> {
        let classes: f64 = values.iter().map(|(_, times)| times).sum();
        let step = gaussian_step(classes);
        values.iter().map(|(value, _)| log_probability(values, *value, classes, step)).collect()
    };
    let values: Vec<_> = groups
        .iter()
        .map(|group| (-((groups[0].count - group.count) as f64) / sigma, group.classes))
        .collect();
    let here = log_law(&values);
    let mut neighbourhood = Neighbourhood::default();
    for (source, from) in values.iter().enumerate().filter(|(source, _)| groups[*source].count > 0) {
        for (target, to) in values.iter().enumerate() {
            if source == target && from.1 < 2.0 {
                continue;
            }
            let mut there = values.clone();
            there[source].1 -= 1.0;
            there[target].1 -= 1.0;
            there.push((from.0 - 1.0 / sigma, 1.0));
            there.push((to.0 + 1.0 / sigma, 1.0));
            let log_there = log_law(&there);
            let first = neighbourhood.pairs.len();
            let depth = -values.iter().map(|value| value.0).fold(0.0, f64::min) + 1.0 / sigma;
            let error = 64.0 * f64::EPSILON * (1.0 + depth * depth);
            let log_here = here.iter().chain([&here[source], &here[target]]);
            for (((_, times), log_p), log_q) in there.iter().zip(log_here).zip(&log_there) {
                if *times > 0.0 {
                    neighbourhood.pairs.push(Pair::new(*times, *log_p, *log_q, error));
                }
            }
            let outcomes = first..neighbourhood.pairs.len();
            neighbourhood
                .neighbours
                .push(Neighbour { largest_gains: gain(groups, source, target), outcomes });
        }
    }
    neighbourhood
}

/// The probability that one class with this `count`, one of the groups', wins.
pub(super) fn wins(noise: ArgmaxNoise, groups: &[Group], count: u64) -> f64 {
    let below = |count: u64| -((groups[0].count - count) as f64) / noise.scale();
    let values: Vec<_> = groups.iter().map(|group| (below(group.count), group.classes)).collect();
    match noise {
        ArgmaxNoise::Gaussian(_) => {
            let classes = groups.iter().map(|group| group.classes).sum();
            exp(log_probability(&values, below(count), classes, gaussian_step(classes)))
        }
        ArgmaxNoise::Laplace(_) => {
            // Who is further behind wins with less than e^-100, and need not make the integral longer.
            let near = |(value, times): &(f64, f64)| (value.max(-LAPLACE_RANGE), *times);
            let values: Vec<_> = values.iter().map(near).collect();
            let value = below(count).max(-LAPLACE_RANGE);
            let nodes = even_pieces(&values);
            let at = |(x, weight): (&f64, &f64)| {
                let below = values.iter().map(|(other, times)| power(laplace_cdf(x - other), *times));
                // φ/Φ is 1 left of the count, where both may be too small for doubles.
                let ratio =
                    if *x < value { 1.0 } else { laplace_density(x - value) / laplace_cdf(x - value) };
                weight * below.product::<f64>() * ratio
            };
            nodes.places.iter().zip(&nodes.weights).map(at).sum()
        }
    }
}

/// ln of the probability of one class at `value` among `values` (it included), in units of σ.
fn log_probability(values: &[(f64, f64)], value: f64, classes: f64, step: f64) -> f64 {
    let largest =
        values.iter().filter(|(_, times)| *times > 0.0).map(|(value, _)| *value).fold(value, f64::max);
    // The mode of this class's integrand; nothing counts that is further than the reach from it.
    let low = f64::midpoint(value, largest) - crate::numerics::NORMAL_REACH;
    let high = largest.max(value) + extreme_mode(classes) + crate::numerics::NORMAL_REACH;
    let log_integrand = |x: f64| {
        let others = values.iter().map(|(other, times)| times * log_normal_cdf(x - other)).sum::<f64>();
        log_normal_density(x - value) - log_normal_cdf(x - value) + others
    };
    let nodes = trapezoid((low, high), step);
    let terms: Vec<f64> = nodes.places.iter().map(|x| log_integrand(*x)).collect();
    log_sum(terms.iter().copied()) + log(step)
}

/// Rounding of the sums: each node's factor Φ^c has c times the error of Φ, which is that of its argument (up to half
/// the range from the bulk, plus the reach) times its slope there.
fn relative_error(classes: f64, range: f64) -> f64 {
    let depth = 0.5 * range + 4.0;
    8.0 * f64::EPSILON * (classes + depth * depth)
}

fn power(base: f64, exponent: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^20 classes")]
    base.powi(exponent as i32)
}

/// Σ ab, as several partial sums: in a single one each addition waits for the last.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Σ abc, likewise.
fn dot3(a: &[f64], b: &[f64], c: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest), (c, c_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), c.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane] * c[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).zip(c_rest).map(|((a, b), c)| a * b * c);
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

const LANES: usize = 8;

fn multiply(product: &mut [f64], a: &[f64], b: &[f64]) {
    for ((product, a), b) in product.iter_mut().zip(a).zip(b) {
        *product = a * b;
    }
}

fn normal_density(x: f64) -> f64 {
    exp(-0.5 * x * x) / (2.0 * PI).sqrt()
}

fn laplace_density(x: f64) -> f64 {
    0.5 * exp(-x.abs())
}

fn laplace_cdf(x: f64) -> f64 {
    if x < 0.0 { 0.5 * exp(x) } else { 1.0 - 0.5 * exp(-x) }
}

/// Up to this range in units of σ no probability is below 10^-200, so plain doubles hold them all.
const LINEAR_RANGE: f64 = 28.0;
/// Laplace scales after which a class is as far behind as it may be.
const LAPLACE_RANGE: f64 = 200.0;
/// Up to this shift the tables of n ± 1 stay in the range of doubles.
const LINEAR_SHIFT: f64 = 2.0;
