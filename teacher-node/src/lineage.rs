//! Which data this silo votes with, on record: data that change say so, and name the data that they follow.
//!
//! A budget belongs to data for life. If an edited row quietly made new data, every edit would reset ε. So the node
//! keeps a small record beside its guard book, and starts on another partition only when the operator has declared how
//! the new data relate to the old (PRODUCT.md, promise 6).

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use conclave_proto::ids::{DataId, PartitionDigest};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::settings::{People, Succession};

/// The data that a node votes with, and those that they follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) data: DataId,
    pub(crate) partition: PartitionDigest,
    pub(crate) follows: Option<Succession>,
}

impl Lineage {
    /// Compares today's data with the record at `path`; [`Lineage::record`] brings the record up to date.
    ///
    /// `data` is the configured name, or none for one derived from the partition. Refused with
    /// [`Error::DataChanged`]: another partition or name than recorded without a declaration that names the recorded
    /// data as predecessor and gives the new ones a name of their own.
    pub(crate) fn establish(
        path: &Path,
        data: Option<DataId>,
        partition: PartitionDigest,
        declared: Option<&Succession>,
    ) -> Result<Self> {
        let data = data.unwrap_or_else(|| derived_id(partition));
        let today = |data| Self { data, partition, follows: declared.cloned() };
        let Some(recorded) = read(path)? else {
            return Ok(today(data));
        };
        if recorded.data == data && recorded.partition == partition {
            return Ok(recorded);
        }
        match declared {
            Some(declared) if declared.predecessor == recorded.data && data != recorded.data => {
                Ok(today(data))
            }
            _ => Err(Error::DataChanged {
                recorded: recorded.data.to_string(),
                was: recorded.partition.to_string(),
                data: data.to_string(),
                now: partition.to_string(),
            }),
        }
    }

    /// Makes these the data on record. Writes beside the record and renames, so that a crash leaves the old one or
    /// the new one.
    pub(crate) fn record(&self, path: &Path) -> Result<()> {
        const FIX: &str = "choose a state_dir that this user may write";
        let record = Record {
            data: self.data.to_string(),
            partition: self.partition.to_string(),
            predecessor: self.follows.as_ref().map(|follows| follows.predecessor.to_string()),
            people: self.follows.as_ref().map(|follows| follows.people),
        };
        let text = toml::to_string(&record).map_err(|error| Error::file(path, &error, FIX))?;
        let beside = path.with_extension("new");
        fs::File::create(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all()))
            .map_err(|error| Error::file(path, &error, FIX))
    }
}

/// The record as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    data: String,
    partition: String,
    predecessor: Option<String>,
    people: Option<People>,
}

fn read(path: &Path) -> Result<Option<Lineage>> {
    const FIX: &str = "restore this file, which names the data that the silo voted with";
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file(path, &error, FIX)),
    };
    let record: Record = toml::from_str(&text).map_err(|error| Error::file(path, &&error.message(), FIX))?;
    let damaged = |error| Error::file(path, &error, FIX);
    let follows = match (record.predecessor, record.people) {
        (Some(predecessor), Some(people)) => {
            Some(Succession { predecessor: DataId::new(&predecessor).map_err(damaged)?, people })
        }
        (None, None) => None,
        _ => {
            return Err(Error::file(path, &"predecessor without people, or people without predecessor", FIX));
        }
    };
    let data = DataId::new(&record.data).map_err(damaged)?;
    Ok(Some(Lineage { data, partition: record.partition.parse().map_err(damaged)?, follows }))
}

/// A name that follows from the partition, which is keyed and so tells nothing.
fn derived_id(partition: PartitionDigest) -> DataId {
    let digits = partition.to_string();
    DataId::new(&format!("data-{}", &digits[..16])).expect("`data-` and 16 hexadecimal digits are a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: PartitionDigest = PartitionDigest::new([1; 32]);
    const SECOND: PartitionDigest = PartitionDigest::new([2; 32]);

    fn follows(predecessor: &str, people: People) -> Succession {
        Succession { predecessor: DataId::new(predecessor).unwrap(), people }
    }

    #[test]
    fn a_derived_name_changes_with_the_partition_and_still_needs_a_declaration() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("data.toml");
        let establish = |partition, declared| {
            let lineage = Lineage::establish(&record, None, partition, declared)?;
            lineage.record(&record).map(|()| lineage)
        };
        let first = establish(FIRST, None).unwrap();
        assert_eq!(establish(FIRST, None).unwrap(), first);
        assert!(matches!(establish(SECOND, None), Err(Error::DataChanged { .. })));
        let wrong = follows("another", People::Same);
        assert!(matches!(establish(SECOND, Some(&wrong)), Err(Error::DataChanged { .. })));
        let right = follows(first.data.as_str(), People::Same);
        let second = establish(SECOND, Some(&right)).unwrap();
        assert_ne!(second.data, first.data);
        assert_eq!(second.follows.as_ref(), Some(&right));
        assert_eq!(establish(SECOND, None).unwrap(), second, "the declaration is on record");
    }

    #[test]
    fn another_name_for_the_same_rows_is_a_change_too() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("data.toml");
        let one = Lineage::establish(&record, Some(DataId::new("one").unwrap()), FIRST, None).unwrap();
        one.record(&record).unwrap();
        let renamed = Lineage::establish(&record, Some(DataId::new("two").unwrap()), FIRST, None);
        assert!(matches!(renamed, Err(Error::DataChanged { .. })), "a new name would be a new account");
    }

    #[test]
    fn a_damaged_record_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("data.toml");
        for damaged in
            ["", "data = 'a'", "data = 'A'\npartition = '00'", "data = 'a'\npartition = '00'", "\u{fffd}"]
        {
            fs::write(&record, damaged).unwrap();
            let refusal = Lineage::establish(&record, None, FIRST, None).unwrap_err().to_string();
            assert!(refusal.contains("data.toml"), "{refusal}");
            assert_eq!(fs::read_to_string(&record).unwrap(), damaged);
        }
    }
}
