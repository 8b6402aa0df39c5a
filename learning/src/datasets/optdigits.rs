//! Optical recognition of handwritten digits (Alpaydin and Kaynak, UCI 1998), embedded in the binary: 8×8 blocks
//! with counts 0 to 16, ten classes. See `data/optdigits/README.md` for origin and licence.

use super::csv::CsvSource;
use super::{Splits, gzip};
use crate::{Dataset, Error, Result, Schema};

const TRAIN: &[u8] = include_bytes!("../../data/optdigits/optdigits.tra.gz");
const TEST: &[u8] = include_bytes!("../../data/optdigits/optdigits.tes.gz");
const SIDE: u32 = 8;
/// Rows of the test writers that form the public pool; the other 897 measure the student.
const POOL_ROWS: usize = 900;

/// All 3,823 rows of the training writers.
pub(super) fn private() -> Result<Dataset> {
    read(TRAIN, "optdigits.tra.gz")
}

/// Private: all rows of the training writers. Of the 1,797 rows of the test writers, who occur nowhere in the
/// private rows, 900 dealt by `seed` are the pool and the other 897 the test rows.
pub(super) fn splits(seed: u64) -> Result<Splits> {
    let others = read(TEST, "optdigits.tes.gz")?;
    let [pool, test] = others.split([POOL_ROWS, others.rows() - POOL_ROWS], seed)?;
    Ok(Splits { private: private()?, pool, test })
}

fn read(bytes: &[u8], name: &str) -> Result<Dataset> {
    let text = gzip::unpacked(bytes).map_err(|source| Error::Io { path: name.into(), source })?;
    let table = CsvSource { header: Some(false), ..CsvSource::new(name) }.read(text)?;
    let schema = Schema::new(
        "optdigits",
        vec![SIDE, SIDE],
        (0..SIDE * SIDE).map(|at| format!("row {} column {}", at / SIDE, at % SIDE)).collect(),
        table.schema().class_names().to_vec(),
    )?;
    Dataset::new(schema, table.features().clone(), table.labels().map(<[_]>::to_vec), None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sha2::{Digest, Sha256};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let pairs: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.concat()
    }

    #[test]
    fn the_embedded_files_are_those_of_the_origin_note() {
        assert_eq!(hex(TRAIN), "edc07576d03368f31100f70d5aee5bed261de4fd0ce627ba6c73e889c6e4650a");
        assert_eq!(hex(TEST), "34af3b9b1a8afa599fef9fa56f4d7d4933c3e969bdf02f3fa698213eb8c8adec");
    }

    #[test]
    fn rows_shape_range_and_classes_are_those_of_the_data_set() {
        let Splits { private, pool, test } = splits(1).unwrap();
        assert_eq!((private.rows(), pool.rows(), test.rows()), (3_823, 900, 897));
        for part in [&private, &pool, &test] {
            assert_eq!(part.schema().shape(), [8, 8]);
            assert_eq!(part.schema().class_names(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
            assert!(part.features().iter().all(|&v| (0.0..=16.0).contains(&v) && v.fract() == 0.0));
        }
        let zeros = private.labels().unwrap().iter().filter(|label| label.get() == 0).count();
        assert_eq!(zeros, 376, "as in the data set's own description");
    }

    #[test]
    fn the_seed_deals_pool_and_test_rows_and_every_row_goes_to_one_of_them() {
        let key = |data: &Dataset| -> BTreeSet<Vec<u32>> {
            (0..data.rows()).map(|row| data.row(row).iter().map(|value| value.to_bits()).collect()).collect()
        };
        let one = splits(1).unwrap();
        assert_eq!(one.pool, splits(1).unwrap().pool);
        assert_ne!(one.pool, splits(2).unwrap().pool);
        let all = key(&read(TEST, "t").unwrap());
        let both: BTreeSet<_> = key(&one.pool).union(&key(&one.test)).cloned().collect();
        assert_eq!(both, all);
    }
}
