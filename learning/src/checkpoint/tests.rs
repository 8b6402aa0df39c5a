//! What is saved comes back, and nothing else does.

use ndarray::array;
use proptest::prelude::*;

use super::*;
use crate::Dataset;
use crate::features::FeatureSpec;
use crate::models::{ModelSpec, train};

fn predictor(spec: Option<ModelSpec>, features: FeatureSpec) -> Predictor {
    let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
    let schema = Schema::new("toy", vec![2, 2], names(4), names(3)).unwrap();
    let raw = array![[0.0, 1.0, 2.0, 3.0], [4.0, 0.5, 0.0, 9.0], [9.0, 9.0, 1.0, 0.0]];
    let labels = [0, 1, 2].map(Label::new);
    let pool = Dataset::new(schema.clone(), raw.clone(), Some(labels.to_vec()), None).unwrap();
    let space = FeatureSpace::fit(&features, &pool).unwrap();
    let model = match spec {
        Some(spec) => train(&spec, &space.transform(&raw), &labels, 3, 1).unwrap(),
        None => Model::Constant { classes: 3, label: Label::new(2) },
    };
    Predictor::new(schema, space, model).unwrap()
}

fn every_kind() -> Vec<Predictor> {
    let features = [
        FeatureSpec::Scaled,
        FeatureSpec::Standardised,
        FeatureSpec::Orientations { bins: 4, cell: 1 },
        FeatureSpec::DeskewedHog { bins: 4, cell: 1, components: 2 },
    ];
    let models = [
        None,
        Some(ModelSpec::default()),
        Some(ModelSpec::Linear { ridge: 0.1 }),
        Some(ModelSpec::NearestNeighbours { count: 2 }),
    ];
    features.iter().flat_map(|&f| models.iter().map(move |&m| predictor(m, f))).collect()
}

/// The bytes with a digest that fits them.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - DIGEST_BYTES);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

#[test]
fn every_kind_of_model_and_feature_space_comes_back_equal_and_predicts_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.model");
    for saved in every_kind() {
        save(&saved, &path).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(loaded, saved);
        let rows = array![[1.0, 2.0, 3.0, 4.0], [8.0, 8.0, 0.0, 0.0]];
        assert_eq!(loaded.predict(&rows).unwrap(), saved.predict(&rows).unwrap());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn any_flipped_byte_and_any_cut_is_refused() {
    let bytes = encode(&predictor(Some(ModelSpec::default()), FeatureSpec::Standardised));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(decode(&damaged, "m").is_err(), "byte {at}");
        assert!(decode(&bytes[..at], "m").is_err(), "cut at {at}");
    }
}

#[test]
fn refusals_name_the_file_and_say_what_to_do() {
    let good = encode(&predictor(None, FeatureSpec::Scaled));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (bytes, expected) in [
        (b"PK\x03\x04 a zip archive, say".to_vec(), "m: magic is not that of a Conclave model"),
        (Vec::new(), "m: magic is not"),
        (MAGIC.to_vec(), "m: length is 12 bytes"),
        (with(12, 2), "m: version is 2; this program reads version 1"),
        (with(16, 0xff), "not what the header says"),
        (with(40, 0xff), "m: SHA-256 is not that of the contents"),
    ] {
        let found = decode(&bytes, "m").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/student.model");
    assert!(save(&predictor(None, FeatureSpec::Scaled), &path).is_err());
    assert!(load(&path).unwrap_err().to_string().contains("absent/student.model"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nonsense_under_a_valid_digest_never_panics(
        which in 0_usize..12,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&every_kind().swap_remove(which));
        let body = bytes.len() - HEADER_BYTES - DIGEST_BYTES;
        for (at, byte) in edits {
            bytes[HEADER_BYTES + at.index(body)] = byte;
        }
        if let Ok(predictor) = decode(&signed(bytes), "m") {
            let _ = predictor.predict(&array![[1.0, 2.0, 3.0, 4.0]]);
        }
    }
}
