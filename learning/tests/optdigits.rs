//! The whole path on the embedded digits, with votes counted and noised here as an aggregator would.

use conclave_learning::datasets::{DatasetSpec, Splits};
use conclave_learning::dealing::Dealing;
use conclave_learning::features::{FeatureSpace, FeatureSpec, centres};
use conclave_learning::metrics::accuracy;
use conclave_learning::partition::{PartitionKey, partition};
use conclave_learning::student::{StudentSpec, train_student};
use conclave_learning::{Ensemble, Label, Predictor, Result, TeacherSpec, checkpoint};
use ndarray::Axis;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Normal};

const ORGANISATIONS: u32 = 5;
const TEACHERS_EACH: u32 = 20;
const QUERIES: usize = 80;
/// Gaussian noise on each count, in votes: 80 GNMax answers at 1/σ² zCDP each cost ρ = 0.224, which is ε < 3 at
/// δ = 1e-5.
const SIGMA: f64 = 18.9;

struct Campaign {
    student: Predictor,
    student_accuracy: f64,
    label_accuracy: f64,
    votes: Vec<Vec<Label>>,
}

fn campaign(seed: u64, teachers: &TeacherSpec) -> Result<Campaign> {
    let Splits { private, pool, test } = DatasetSpec::Optdigits.splits(seed)?;
    let space = FeatureSpace::fit(&FeatureSpec::for_schema(pool.schema()), &pool)?;
    let features = space.transform(pool.features());
    let queries = centres(&features, QUERIES, seed)?;
    let raw = pool.features().select(Axis(0), &queries);

    let mut votes = vec![Vec::new(); QUERIES];
    for (shard, name) in Dealing::Iid.deal(&private, ORGANISATIONS, seed)?.iter().zip(0_u8..) {
        let parts = partition(shard, &PartitionKey::new([name; 32]), TEACHERS_EACH, false)?;
        let ensemble = Ensemble::train(teachers, &space, &pool.without_labels(), shard, &parts, seed)?;
        votes.iter_mut().zip(ensemble.votes(&raw)?).for_each(|(all, own)| all.extend(own));
    }

    let noise = Normal::new(0.0, SIGMA).expect("σ is positive");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let released: Vec<(usize, Label)> = queries
        .iter()
        .zip(&votes)
        .map(|(&row, votes)| {
            let mut counts = [0.0; 10];
            for vote in votes {
                counts[vote.index()] += 1.0;
            }
            let noisy = counts.map(|count: f64| count + noise.sample(&mut rng));
            let top = (0..10_u16).max_by(|&a, &b| noisy[a as usize].total_cmp(&noisy[b as usize]));
            (row, Label::new(top.expect("there are ten classes")))
        })
        .collect();

    let model = train_student(&features, &released, 10, &StudentSpec::default(), seed)?;
    let student = Predictor::new(test.schema().clone(), space, model)?;
    let truth: Vec<Label> =
        queries.iter().map(|&row| pool.labels().expect("optdigits is labelled")[row]).collect();
    let labels: Vec<Label> = released.into_iter().map(|(_, label)| label).collect();
    Ok(Campaign {
        student_accuracy: student.accuracy(&test)?,
        label_accuracy: accuracy(&labels, &truth)?,
        student,
        votes,
    })
}

#[test]
fn eighty_noisy_labels_make_a_student_above_ninety_per_cent_on_writers_that_nobody_saw() {
    for seed in 0..3 {
        let made = campaign(seed, &TeacherSpec::default()).unwrap();
        println!("seed {seed}: labels {:.3}, student {:.3}", made.label_accuracy, made.student_accuracy);
        assert!(made.student_accuracy > 0.905, "seed {seed}: {}", made.student_accuracy);
    }
}

#[test]
fn one_thread_and_two_give_the_same_votes_and_the_same_student_bit_for_bit() {
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let made = campaign(11, &TeacherSpec::default()).unwrap();
            (made.votes, checkpoint::encode(&made.student))
        })
    };
    let (one, two) = (with_threads(1), with_threads(2));
    assert!(one.0 == two.0, "votes differ");
    assert!(one.1 == two.1, "students differ");
}
