//! A start without a start: reads data and pool, splits the rows, compares with what is on record, and changes nothing.
//!
//! What it tells is what the node tells the aggregator at enrolment: digests and names, never a row or how many there are.

use conclave_learning::features::FeatureSpec;
use conclave_proto::ids::{DataId, PartitionDigest};
use conclave_proto::pool::PoolManifest;

use crate::config::TeacherNodeConfig;
use crate::error::{Error, Result};
use crate::lineage::Lineage;
use crate::settings::Settings;
use crate::shard::{Shard, partition_key};
use crate::{DATA_RECORD, PARTITION_KEY, PublicPool, check_same_ground};

/// What a node would offer a campaign.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// The public pool, with its digests.
    pub pool: PoolManifest,
    /// The data id and the partition digest; `None` before the first start, which makes the partition key.
    pub data: Option<(DataId, PartitionDigest)>,
}

/// Everything that `TeacherNode::prepare` would refuse before it trains. Blocks while it reads.
///
/// Refused further: a data record whose partition key is gone, because a start would then make a new key, and with it
/// other data.
pub fn rehearse(config: &TeacherNodeConfig, settings: &Settings) -> Result<Rehearsed> {
    settings.check()?;
    let examples = config.pool.source.load()?;
    let features = config.pool.features.unwrap_or_else(|| FeatureSpec::for_schema(examples.schema()));
    let pool = PublicPool::new(examples, &features)?;
    let rows = config.data.source.load()?;
    let (key, record) = (settings.state_dir.join(PARTITION_KEY), settings.state_dir.join(DATA_RECORD));
    if !key.exists() {
        if record.exists() {
            const FIX: &str =
                "restore the key from the backup of state_dir: with a new one the same rows are other data";
            return Err(Error::file(&key, &"is missing, while the record of the data is there", FIX));
        }
        // No key is needed to compare columns and classes.
        let shard = Shard::from_dataset(rows, conclave_learning::partition::PartitionKey::new([0; 32]))?;
        check_same_ground(&shard, &pool)?;
        return Ok(Rehearsed { pool: pool.manifest().clone(), data: None });
    }
    let shard = Shard::from_dataset(rows, partition_key(&key)?)?;
    check_same_ground(&shard, &pool)?;
    let partition = shard.partition(settings.teachers, settings.unit)?;
    let partition = PartitionDigest::new(*partition.digest());
    let lineage = Lineage::establish(&record, settings.data.clone(), partition, settings.changed.as_ref())?;
    Ok(Rehearsed { pool: pool.manifest().clone(), data: Some((lineage.data, lineage.partition)) })
}
