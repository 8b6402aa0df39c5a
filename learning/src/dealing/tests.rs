//! Every row reaches one organisation, and a subject never two.

use std::collections::BTreeSet;

use super::*;
use crate::toy;

fn keys(data: &Dataset) -> Vec<u32> {
    data.features().column(1).iter().map(|value| value.to_bits()).collect()
}

fn by(column: &str) -> Dealing {
    Dealing::By { column: column.to_owned() }
}

#[test]
fn iid_deals_every_row_once_in_equal_parts_as_the_seed_says() {
    let data = toy::clusters(103, 0);
    let shards = Dealing::Iid.deal(&data, 5, 1).unwrap();
    assert_eq!(shards.iter().map(Dataset::rows).collect::<Vec<_>>(), [21, 21, 21, 20, 20]);
    let dealt: BTreeSet<u32> = shards.iter().flat_map(keys).collect();
    assert_eq!(dealt, keys(&data).into_iter().collect());
    assert_eq!(shards, Dealing::Iid.deal(&data, 5, 1).unwrap());
    assert_ne!(shards, Dealing::Iid.deal(&data, 5, 2).unwrap());
}

#[test]
fn iid_keeps_a_subject_in_one_organisation() {
    let subjects: Vec<String> = (0..100).map(|row| format!("s{}", row % 9)).collect();
    let shards = Dealing::Iid.deal(&toy::with_subjects(&toy::clusters(100, 0), subjects), 4, 3).unwrap();
    let mut seen = BTreeSet::new();
    for shard in &shards {
        let own: BTreeSet<String> = shard.subjects().unwrap().iter().cloned().collect();
        assert!(own.iter().all(|subject| seen.insert(subject.clone())));
    }
    assert_eq!(seen.len(), 9);
}

#[test]
fn by_column_keeps_equal_values_together_and_deals_them_round_in_order() {
    let data = toy::clusters(30, 0);
    let shards = by("label").deal(&data, 2, 1).unwrap();
    let classes = |shard: &Dataset| shard.labels().unwrap().iter().map(|l| l.get()).collect::<BTreeSet<_>>();
    assert_eq!(classes(&shards[0]), BTreeSet::from([0, 2]));
    assert_eq!(classes(&shards[1]), BTreeSet::from([1]));

    let negative =
        Dataset::new(toy::schema(1, 2), ndarray::array![[1.0], [-2.0], [-1.0], [-2.0]], None, None).unwrap();
    let shards = by("f0").deal(&negative, 3, 1).unwrap();
    let values: Vec<Vec<f32>> = shards.iter().map(|shard| shard.features().column(0).to_vec()).collect();
    assert_eq!(values, [vec![-2.0, -2.0], vec![-1.0], vec![1.0]]);
}

#[test]
fn a_subject_in_two_shards_too_many_organisations_and_unknown_columns_are_refused() {
    let data = toy::clusters(6, 0);
    let split = toy::with_subjects(&data, ["a", "a", "b", "b", "c", "c"].map(str::to_owned).to_vec());
    for (dealing, data, organisations, expected) in [
        (by("label"), &split, 3, "subject is in two shards (row "),
        (
            by("label"),
            &data,
            4,
            "organisations is 4; this data can be dealt to 1 to 3 organisations with partition by:label",
        ),
        (Dealing::Iid, &data, 7, "organisations is 7"),
        (Dealing::Iid, &data, 0, "organisations is 0"),
        (by("ward"), &data, 2, "partition by column is \"ward\""),
        (by("subject"), &data, 2, "partition by column is \"subject\""),
    ] {
        let found = dealing.deal(data, organisations, 1).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_dealing_is_written_as_it_is_read_and_anything_else_is_refused() {
    for text in ["iid", "by:ward 3", "dirichlet:0.5"] {
        assert_eq!(text.parse::<Dealing>().unwrap().to_string(), text);
        let quoted = format!("\"{text}\"");
        assert_eq!(
            serde_json::to_string(&serde_json::from_str::<Dealing>(&quoted).unwrap()).unwrap(),
            quoted
        );
    }
    for (text, told) in [
        ("IID", "use iid, dirichlet:ALPHA, by:COLUMN or sizes:A,B,…"),
        ("by:", "use iid, dirichlet:ALPHA, by:COLUMN or sizes:A,B,…"),
        ("", "use iid, dirichlet:ALPHA, by:COLUMN or sizes:A,B,…"),
        ("dirichlet:0", "an alpha from 0.01 to 1000"),
        ("dirichlet:NaN", "an alpha from 0.01 to 1000"),
        ("dirichlet:many", "an alpha from 0.01 to 1000"),
    ] {
        let refusal = text.parse::<Dealing>().unwrap_err().to_string();
        assert!(refusal.contains(told), "{text}: {refusal}");
    }
}

#[test]
fn a_small_concentration_makes_silos_that_know_few_classes_and_a_large_one_approaches_iid() {
    let digits = crate::datasets::DatasetSpec::Optdigits.load().unwrap();
    let largest_share = |alpha: f64| {
        let shards = Dealing::Dirichlet { alpha }.deal(&digits, 5, 3).unwrap();
        let rows: usize = shards.iter().map(Dataset::rows).sum();
        assert_eq!(rows, digits.rows(), "each row goes to exactly one silo");
        let share = |shard: &Dataset| {
            let mut of_class = [0_usize; 10];
            for label in shard.labels().unwrap() {
                of_class[label.index()] += 1;
            }
            *of_class.iter().max().unwrap() as f64 / shard.rows() as f64
        };
        shards.iter().map(share).fold(0.0, f64::max)
    };
    assert!(largest_share(0.05) > 0.4, "{}", largest_share(0.05));
    assert!(largest_share(500.0) < 0.14, "{}", largest_share(500.0));
    let twice = [1, 1].map(|seed| Dealing::Dirichlet { alpha: 0.5 }.deal(&digits, 5, seed).unwrap());
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn shares_that_leave_a_silo_empty_are_refused() {
    let digits = crate::datasets::DatasetSpec::Optdigits.load().unwrap();
    let few = digits.select(&[0, 1, 2, 3, 4, 5]);
    let refusal = Dealing::Dirichlet { alpha: 0.01 }.deal(&few, 6, 1).unwrap_err().to_string();
    assert!(refusal.contains("left without a row"), "{refusal}");
}

#[test]
fn sizes_are_met_exactly_when_they_add_up_and_in_proportion_otherwise() {
    let data = toy::clusters(100, 0);
    let rows = |text: &str, organisations| {
        let dealing: Dealing = text.parse().unwrap();
        assert_eq!(dealing.to_string(), text);
        let shards = dealing.deal(&data, organisations, 1).unwrap();
        let dealt: BTreeSet<u32> = shards.iter().flat_map(keys).collect();
        assert_eq!(dealt, keys(&data).into_iter().collect(), "every row once");
        shards.iter().map(Dataset::rows).collect::<Vec<_>>()
    };
    assert_eq!(rows("sizes:70,29,1", 3), [70, 29, 1]);
    assert_eq!(rows("sizes:3,1,1", 3), [60, 20, 20]);
    assert_eq!(rows("sizes:1,1,1", 3), [33, 34, 33]);
    assert_eq!(rows("sizes:4294967295,4294967295", 2), [50, 50]);
    for (text, organisations, expected) in [
        ("sizes:3,1", 3, "give one size for each of the 3 organisations"),
        ("sizes:1,1000,1", 3, "an organisation is left without a row"),
    ] {
        let refusal = text.parse::<Dealing>().unwrap().deal(&data, organisations, 1).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
    for text in ["sizes:", "sizes:0,1", "sizes:1,-1", "sizes:1.5", "sizes:1,,2"] {
        let refusal = text.parse::<Dealing>().unwrap_err().to_string();
        assert!(refusal.contains("give whole numbers from 1"), "{text}: {refusal}");
    }
}
