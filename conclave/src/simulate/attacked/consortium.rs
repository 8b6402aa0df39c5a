//! A consortium that can be run again and again, with some silos poisoned: everything else is as in the first run.

use std::path::PathBuf;

use conclave_attack_harness::attacks::poisoning::flipped;
use conclave_attack_harness::world::{self, Campaigned};
use conclave_attack_harness::{Error, Result};
use conclave_learning::features::FeatureSpace;
use conclave_student::query_selection::query_ids;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::attacks::fault;
use crate::cli::{Fault, Progress};
use crate::simulate::campaign;
use crate::simulate::plan::Plan;
use crate::simulate::world::{World, broken};

use super::campaigned;

/// The consortium of a plan.
#[derive(Debug)]
pub struct Consortium {
    plan: Plan,
    space: FeatureSpace,
    runtime: Handle,
    shutdown: CancellationToken,
    /// How the run without poison ended.
    clean: Campaigned,
}

impl Consortium {
    /// The consortium of `plan`, which came to `clean` when nobody was poisoned.
    pub fn new(plan: Plan, space: FeatureSpace, clean: Campaigned, shutdown: &CancellationToken) -> Self {
        Self { plan, space, runtime: Handle::current(), shutdown: shutdown.clone(), clean }
    }

    async fn run(&self, silos: u32) -> std::result::Result<Campaigned, Fault> {
        let mut plan = self.plan.clone();
        for shard in plan.shards.iter_mut().take(silos as usize) {
            *shard = flipped(shard).map_err(fault)?;
        }
        let folder = tempfile::tempdir().map_err(|error| broken("making a temporary directory", &error))?;
        let ledger: PathBuf = folder.path().join("ledger.db");
        let queries = query_ids(&plan.pool.select(&plan.queries));
        let mut world = World::with_silos(&plan, None, |_, _| (), &self.shutdown).await?;
        let outcome =
            campaign(&mut world, &plan, &self.space, &queries, &ledger, Progress::Silent, &self.shutdown)
                .await;
        let stopped = world.stop().await;
        let campaign = outcome?;
        stopped?;
        Ok(campaigned(&plan, &campaign))
    }
}

impl world::World for Consortium {
    fn campaign(&mut self, silos: u32) -> Result<Campaigned> {
        if silos == 0 {
            return Ok(self.clean.clone());
        }
        self.runtime.block_on(self.run(silos)).map_err(Error::target)
    }
}
