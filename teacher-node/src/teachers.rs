//! The teachers that a node hosts, reduced to what they are for: one vote each on every example of the public pool.
//!
//! All votes are cast once, before the node listens. So the same query always gets the same votes, and how long a reply
//! takes depends on how many are asked for, never on rows or votes.

use std::fmt;

use conclave_learning::Ensemble;
use conclave_learning::partition::Partition;
use conclave_privacy::counts::ClassIndex;
use ndarray::Axis;

use crate::error::{Error, Result};
use crate::pool::PublicPool;
use crate::settings::Settings;
use crate::shard::Shard;

/// The votes of every hosted teacher on every query of the pool. Its `Debug` shows only how many there are.
#[derive(Clone)]
pub struct Teachers {
    /// `votes[teacher][query]`, queries in the order of the pool's manifest; at least one teacher.
    votes: Vec<Vec<ClassIndex>>,
}

impl Teachers {
    /// Takes votes that were cast elsewhere: `votes[teacher][query]`, queries in the order of the pool's manifest.
    ///
    /// Refused: no teachers, teachers that voted on different numbers of queries, a class index of `classes` or more.
    pub fn from_votes(votes: Vec<Vec<ClassIndex>>, classes: usize) -> Result<Self> {
        let fix =
            "give each of at least one teacher one vote per query of the pool, below the number of classes";
        let refuse = |what: &str| Err(Error::setting("precomputed votes", &what, fix));
        let Some(queries) = votes.first().map(Vec::len) else {
            return refuse("no teachers");
        };
        if votes.iter().any(|of_teacher| of_teacher.len() != queries) {
            return refuse("of different lengths");
        }
        if votes.iter().flatten().any(|class| class.position() >= classes) {
            return refuse("out of range");
        }
        Ok(Self { votes })
    }

    /// Trains one teacher per sub-shard in the public feature space and lets each vote on the whole pool. A teacher
    /// without rows votes class 0. `progress` is told how many queries of how many have been voted on.
    pub(crate) fn train(
        settings: &Settings,
        shard: &Shard,
        partition: &Partition,
        pool: &PublicPool,
        progress: impl Fn(usize, usize),
    ) -> Result<Self> {
        let total = pool.rows().len();
        progress(0, total);
        let (spec, seed) = (&settings.teacher, settings.seed);
        let ensemble = Ensemble::train(spec, pool.space(), pool.examples(), shard.rows(), partition, seed)?;
        let mut votes = vec![Vec::with_capacity(total); ensemble.teachers()];
        for rows in pool.rows().chunks(QUERIES_PER_STEP) {
            let examples = pool.examples().features().select(Axis(0), rows);
            for of_query in ensemble.votes(&examples)? {
                for (of_teacher, label) in votes.iter_mut().zip(of_query) {
                    of_teacher.push(label.get().into());
                }
            }
            progress(votes[0].len(), total);
        }
        Self::from_votes(votes, shard.rows().schema().classes())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.votes.len()
    }

    /// How many queries each has voted on.
    pub fn queries(&self) -> usize {
        self.votes[0].len()
    }

    /// Every teacher's votes on the queries at `positions` of the pool's manifest: `[teacher][position]`.
    pub(crate) fn on(&self, positions: &[usize]) -> Vec<Vec<ClassIndex>> {
        let pick =
            |of_teacher: &Vec<ClassIndex>| positions.iter().map(|&position| of_teacher[position]).collect();
        self.votes.iter().map(pick).collect()
    }
}

impl fmt::Debug for Teachers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teachers").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// Between two reports of progress.
const QUERIES_PER_STEP: usize = 256;
