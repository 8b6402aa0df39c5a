//! The silo's private rows and the key that splits them: the only module that opens either.
//!
//! Neither leaves the process. What is wrong with a file is told with its line, column and the one cell that cannot be
//! read, to the operator who owns it, and never with the rest of a row.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use conclave_learning::Dataset;
use conclave_learning::datasets::DatasetSpec;
use conclave_learning::partition::{Partition, PartitionKey, partition};
use conclave_privacy::unit::PrivacyUnit;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::{Error, Result};

/// Private, labelled rows of one silo. Its `Debug` shows nothing of them.
pub struct Shard {
    rows: Dataset,
    key: PartitionKey,
}

impl Shard {
    /// Reads the rows of `source`. Refused: whatever [`DatasetSpec::load`] refuses, and rows without labels.
    pub fn open(source: &DatasetSpec, key: PartitionKey) -> Result<Self> {
        Self::from_dataset(source.load()?, key)
    }

    /// Takes rows that a simulation dealt.
    pub fn from_dataset(rows: Dataset, key: PartitionKey) -> Result<Self> {
        if rows.labels().is_none() {
            return Err(Error::setting(
                "labels of the private data",
                &"absent",
                "name the column that holds them",
            ));
        }
        Ok(Self { rows, key })
    }

    pub(crate) fn rows(&self) -> &Dataset {
        &self.rows
    }

    /// Sends every row, or every person's rows, to one of `teachers` sub-shards.
    pub(crate) fn partition(&self, teachers: u32, unit: PrivacyUnit) -> Result<Partition> {
        let by_subject = matches!(unit, PrivacyUnit::Subject { .. });
        Ok(partition(&self.rows, &self.key, teachers, by_subject)?)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shard(redacted)")
    }
}

/// Reads the silo's partition key from `path`, or makes one there that only its owner may read.
pub fn partition_key(path: &Path) -> Result<PartitionKey> {
    const FIX: &str =
        "restore the key that this silo's data were split with; a new one makes them other data";
    match fs::read(path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(bytes) => Ok(PartitionKey::new(bytes)),
            Err(bytes) => {
                Err(Error::file(path, &format!("{} bytes, expected {KEY_BYTES}", bytes.len()), FIX))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(path),
        Err(error) => Err(Error::file(path, &error, FIX)),
    }
}

fn make_key(path: &Path) -> Result<PartitionKey> {
    let mut bytes = [0; KEY_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::file(path, &error, "repair the system's random generator"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .map_err(|error| Error::file(path, &error, "choose a state_dir that this user may write"))?;
    Ok(PartitionKey::new(bytes))
}

const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use conclave_learning::datasets::CsvSource;
    use conclave_learning::{Label, Schema};

    use super::*;

    #[test]
    fn a_partition_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partition.key");
        let made = partition_key(&path).unwrap();
        assert_eq!(partition_key(&path).unwrap(), made);
        assert_ne!(partition_key(&dir.path().join("other.key")).unwrap(), made);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_partition_key_is_refused_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partition.key");
        fs::write(&path, [7; 31]).unwrap();
        let refusal = partition_key(&path).unwrap_err().to_string();
        assert!(refusal.contains("partition.key") && refusal.contains("31 bytes"), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), [7; 31]);
    }

    #[test]
    fn a_bad_cell_is_told_with_its_place_and_without_the_rest_of_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private.csv");
        let open = |text: &str| {
            fs::write(&path, text).unwrap();
            let mut source = CsvSource::new(&path);
            source.classes = Some(vec!["ill".to_owned(), "well".to_owned()]);
            Shard::open(&DatasetSpec::Csv(source), PartitionKey::new([0; 32]))
        };
        assert!(open("age,weight,state\n61,70.5,ill\n").is_ok());
        for (text, told) in [
            ("age,weight,state\n61,70.5,ill\n4711,heavy,well\n", ["line 3", "weight", "heavy"]),
            ("age,weight,state\n61,70.5,ill\n4711,80.5,dead\n", ["line 3", "state", "dead"]),
        ] {
            let refusal = open(text).unwrap_err().to_string();
            assert!(told.iter().all(|told| refusal.contains(told)) && !refusal.contains("4711"), "{refusal}");
        }
    }

    #[test]
    fn rows_without_labels_teach_nobody() {
        let unlabelled = rows(None);
        assert!(Shard::from_dataset(unlabelled, PartitionKey::new([0; 32])).is_err());
    }

    #[test]
    fn debug_shows_neither_rows_nor_key() {
        let shard = Shard::from_dataset(rows(Some(vec![Label::new(1)])), PartitionKey::new([0; 32])).unwrap();
        assert_eq!(format!("{shard:?}"), "Shard(redacted)");
    }

    fn rows(labels: Option<Vec<Label>>) -> Dataset {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let schema = Schema::new("line", vec![1], names(&["x"]), names(&["a", "b"])).unwrap();
        Dataset::new(schema, ndarray::Array2::zeros((1, 1)), labels, None).unwrap()
    }
}
