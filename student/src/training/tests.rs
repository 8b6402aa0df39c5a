//! Learning from few labels, and what is not learned from.

use conclave_learning::features::FeatureSpec;
use conclave_proto::common::v1::Contract;
use conclave_proto::{PROTOCOL, pool::PoolManifest};

use super::*;

/// 60 points on a line around 0 and 10 in turn, and their labels.
fn points() -> (Dataset, FeatureSpace, PoolManifest) {
    let classes = vec!["near".to_owned(), "far".to_owned()];
    let schema = Schema::new("points", vec![1], vec!["x".to_owned()], classes).unwrap();
    let values = Array2::from_shape_fn((60, 1), |(row, _)| (row % 2 * 10) as f32 + row as f32 / 60.0);
    let labels = (0..60).map(|row| Label::new(row % 2)).collect();
    let pool = Dataset::new(schema, values, Some(labels), None).unwrap();
    let space = FeatureSpace::fit(&FeatureSpec::Standardised, &pool).unwrap();
    let manifest = manifest(&pool, &space).unwrap();
    (pool, space, manifest)
}

fn contract(manifest: &PoolManifest, simulated: bool) -> Contract {
    Contract {
        campaign_id: "points-1".to_owned(),
        protocol: Some(PROTOCOL),
        class_names: manifest.class_names().to_vec(),
        pool_digest: manifest.digest().as_bytes().to_vec(),
        features_digest: manifest.features().as_bytes().to_vec(),
        simulated,
        ..Contract::default()
    }
}

fn terms(contract: &Contract) -> Terms {
    Terms::read(contract, &[7; 32]).unwrap()
}

/// The right labels of the first `rows` rows.
fn labels(pool: &Dataset, rows: usize) -> LabelStore {
    let mut store = LabelStore::new();
    for (query, label) in query_ids(pool).into_iter().zip(pool.labels().unwrap()).take(rows) {
        store.record(query, Answer::Label(*label)).unwrap();
    }
    store
}

/// A student of four labels.
pub(crate) fn trained(simulated: bool) -> StudentModel {
    let (pool, space, manifest) = points();
    let terms = terms(&contract(&manifest, simulated));
    train(&pool, &space, &labels(&pool, 4), &terms, &StudentSpec::default(), 1).unwrap()
}

#[test]
fn four_labels_and_the_unlabelled_pool_teach_two_clusters() {
    let model = trained(false);
    let (pool, _, _) = points();
    assert!((evaluate(&model, &pool).unwrap() - 1.0).abs() < f64::EPSILON);
    let origin = model.origin();
    assert_eq!((origin.labels, origin.simulated, origin.model.as_str()), (4, false, "kernel machine"));
    assert_eq!(model, trained(false), "the same seed gives the same model");
}

#[test]
fn the_pools_own_labels_are_not_looked_at() {
    let (pool, space, manifest) = points();
    let terms = terms(&contract(&manifest, false));
    let blind = pool.without_labels();
    let of = |pool| train(pool, &space, &labels(&points().0, 4), &terms, &StudentSpec::default(), 1).unwrap();
    assert_eq!(of(&pool), of(&blind));
}

#[test]
fn abstentions_alone_teach_nothing_and_say_so() {
    let (pool, space, manifest) = points();
    let mut store = LabelStore::new();
    store.record(query_ids(&pool)[0], Answer::Abstention).unwrap();
    store.record(query_ids(&pool)[1], Answer::Interrupted).unwrap();
    let terms = terms(&contract(&manifest, false));
    let message = train(&pool, &space, &store, &terms, &StudentSpec::default(), 1).unwrap_err().to_string();
    assert!(message.contains("released labels: none (of 2 answers)"), "{message}");
}

#[test]
fn an_answer_about_no_example_of_the_pool_is_refused() {
    let (pool, space, manifest) = points();
    let mut store = labels(&pool, 4);
    let foreign = QueryId::new([1; 32]);
    store.record(foreign, Answer::Abstention).unwrap();
    let terms = terms(&contract(&manifest, false));
    let message = train(&pool, &space, &store, &terms, &StudentSpec::default(), 1).unwrap_err().to_string();
    assert!(
        message.contains(&format!("answered query is {foreign}; it is no example of the pool")),
        "{message}"
    );
}

#[test]
fn another_pool_space_or_list_of_classes_than_the_contracts_is_refused() {
    let (pool, space, manifest) = points();
    let mut wrong = vec![contract(&manifest, false); 3];
    wrong[0].pool_digest = vec![1; 32];
    wrong[1].features_digest = vec![1; 32];
    wrong[2].class_names.reverse();
    for (contract, words) in wrong.iter().zip([
        "digest of the pool is",
        "digest of the feature space is",
        "classes of the pool is near, far",
    ]) {
        let outcome = train(&pool, &space, &labels(&pool, 4), &terms(contract), &StudentSpec::default(), 1);
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("the contract names"), "{message}");
    }
}

/// A field, and how it is spoilt.
type Spoilt = (&'static str, fn(&mut Contract));

#[test]
fn a_malformed_contract_is_refused_by_field() {
    let (_, _, manifest) = points();
    let malformed: [Spoilt; 5] = [
        ("contract.campaign_id", |contract| contract.campaign_id = "NO".to_owned()),
        ("contract.class_names", |contract| contract.class_names.truncate(1)),
        ("contract.pool_digest", |contract| contract.pool_digest.clear()),
        ("contract.features_digest", |contract| contract.features_digest.truncate(31)),
        ("contract.protocol", |contract| contract.protocol = None),
    ];
    for (field, spoil) in malformed {
        let mut contract = contract(&manifest, false);
        spoil(&mut contract);
        let message = Terms::read(&contract, &[7; 32]).unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
    let message = Terms::read(&contract(&manifest, false), &[7; 31]).unwrap_err().to_string();
    assert!(message.contains("contract.contract_digest is contract digest: 31 bytes"), "{message}");
}
