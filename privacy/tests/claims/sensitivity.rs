//! Brute force over small worlds: no data set and no neighbour of it moves more votes than `Sensitivity`
//! says.
//!
//! A world has two silos with two sub-shards each. Each row belongs to a silo, a subject and, by a fixed
//! assignment that no other row can change, to a sub-shard of its silo; a teacher's vote is an arbitrary
//! (pseudo-random) function of the set of rows in its sub-shard. Every data set over eight possible rows is
//! tried, with every neighbour, under many voting functions.

use conclave_privacy::Error;
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};

/// (silo, subject, sub-shard). The sub-shard is a function of (silo, subject), as a keyed hash of the subject
/// is.
const SUBJECT_ROWS: [(u8, u8, u8); 8] =
    [(0, 0, 0), (0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 1), (0, 2, 0), (1, 2, 0)];
/// Here it is a function of the row alone.
const RECORD_ROWS: [(u8, u8, u8); 8] =
    [(0, 0, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 0), (1, 1, 1), (0, 2, 0), (1, 2, 0)];
const CLASSES: usize = 3;

/// The votes of the four teachers on the data set `rows` (a bit for each row), under the voting function `f`.
fn counts(world: [(u8, u8, u8); 8], rows: u8, f: u64) -> [i32; CLASSES] {
    let mut counts = [0; CLASSES];
    for teacher in 0..4_u8 {
        let shard = (0..8).filter(|&row| rows >> row & 1 == 1 && world[row].0 * 2 + world[row].2 == teacher);
        let key = shard.fold(u64::from(teacher) + 1 + f * 1_000_003, |key, row| mix(key ^ (row as u64 + 11)));
        counts[usize::try_from(mix(key) % CLASSES as u64).unwrap()] += 1;
    }
    counts
}

/// The finaliser of SplitMix64.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The rows of each unit.
fn units(world: [(u8, u8, u8); 8], unit: PrivacyUnit) -> Vec<u8> {
    let rows_where =
        |holds: &dyn Fn(usize) -> bool| (0..8).filter(|&row| holds(row)).map(|row| 1 << row).sum();
    match unit {
        PrivacyUnit::Record => (0..8).map(|row| 1 << row).collect(),
        PrivacyUnit::Subject { .. } => (0..3).map(|s| rows_where(&|row| world[row].1 == s)).collect(),
        PrivacyUnit::Organisation { .. } => (0..2).map(|s| rows_where(&|row| world[row].0 == s)).collect(),
    }
}

/// The most moves, the largest squared distance and the largest change of the maximum, over all neighbours.
fn worst(world: [(u8, u8, u8); 8], unit: PrivacyUnit, adjacency: Adjacency) -> (i32, i32, i32) {
    let mut worst = (0, 0, 0);
    for f in 0..40 {
        let table: Vec<_> = (0..=255).map(|rows| counts(world, rows, f)).collect();
        for rows in 0..=255_u8 {
            for removed in units(world, unit) {
                let without = rows & !removed;
                let neighbours = match adjacency {
                    Adjacency::AddRemove => vec![without],
                    // Another unit takes its place: one that was not there before.
                    Adjacency::Replace => units(world, unit)
                        .into_iter()
                        .filter(|added| rows & added == 0)
                        .map(|added| without | added)
                        .collect(),
                };
                for neighbour in neighbours {
                    let (a, b) = (table[usize::from(rows)], table[usize::from(neighbour)]);
                    let differences = || a.iter().zip(b).map(|(a, b)| a - b);
                    let moves = differences().map(i32::abs).sum::<i32>() / 2;
                    let square = differences().map(|d| d * d).sum::<i32>();
                    let maximum = a.iter().max().unwrap() - b.iter().max().unwrap();
                    worst = (worst.0.max(moves), worst.1.max(square), worst.2.max(maximum.abs()));
                }
            }
        }
    }
    worst
}

#[test]
fn no_neighbour_moves_more_votes_than_stated_and_the_bound_is_reached() {
    let subject = PrivacyUnit::Subject { max_silos_per_subject: 2 };
    let organisation = PrivacyUnit::Organisation { teachers_max: 2 };
    for (world, unit, adjacency, reached) in [
        (RECORD_ROWS, PrivacyUnit::Record, Adjacency::AddRemove, 1),
        (RECORD_ROWS, PrivacyUnit::Record, Adjacency::Replace, 2),
        (SUBJECT_ROWS, subject, Adjacency::AddRemove, 2),
        (SUBJECT_ROWS, subject, Adjacency::Replace, 4),
        (RECORD_ROWS, organisation, Adjacency::AddRemove, 2),
        // Two silos with two teachers each: twice two is stated, and a replacement can reach it.
        (RECORD_ROWS, organisation, Adjacency::Replace, 4),
    ] {
        let stated = Sensitivity::of(unit, adjacency, VotingScheme::Ensemble).unwrap();
        let m = i32::try_from(stated.moves()).unwrap();
        let (moves, square, maximum) = worst(world, unit, adjacency);
        assert!(moves <= m, "{stated}: {moves} moves");
        assert!(square <= 2 * m * m, "{stated}: squared distance {square}");
        assert!(maximum <= m, "{stated}: the maximum changes by {maximum}");
        assert_eq!(moves, reached, "{stated}: the bound is not loose in this world");
    }
}

#[test]
fn a_row_that_moves_other_rows_would_break_the_bound() {
    // The same worlds, but rows are dealt by rank (the i-th row present goes to sub-shard i mod 2): the
    // mistake that a keyed hash avoids. This shows that the brute force above can fail.
    let dealt = |rows: u8, f: u64| {
        let mut counts = [0_i32; CLASSES];
        for teacher in 0..2_u64 {
            let shard = (0..8_u64)
                .filter(|row| rows >> row & 1 == 1)
                .enumerate()
                .filter(|(i, _)| *i as u64 % 2 == teacher);
            let key = shard.fold(teacher + 1 + f * 1_000_003, |key, (_, row)| mix(key ^ (row + 11)));
            counts[usize::try_from(mix(key) % CLASSES as u64).unwrap()] += 1;
        }
        counts
    };
    let moves =
        |a: [i32; CLASSES], b: [i32; CLASSES]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<i32>() / 2;
    let worst = (0..40)
        .flat_map(|f| (0..=255_u8).flat_map(move |rows| (0..8).map(move |row| (f, rows, rows & !(1 << row)))))
        .map(|(f, rows, without)| moves(dealt(rows, f), dealt(without, f)))
        .max();
    assert_eq!(worst, Some(2));
}

#[test]
fn units_that_cannot_be_protected_are_refused_by_name() {
    let of = |unit| Sensitivity::of(unit, Adjacency::Replace, VotingScheme::Ensemble);
    for max_silos_per_subject in [0, Sensitivity::MOVES_MAX, u32::MAX] {
        let refusal = of(PrivacyUnit::Subject { max_silos_per_subject }).unwrap_err();
        assert!(matches!(refusal, Error::OutOfRange { field: "max_silos_per_subject", .. }), "{refusal}");
    }
    let refusal = of(PrivacyUnit::Organisation { teachers_max: 0 }).unwrap_err();
    assert!(matches!(refusal, Error::OutOfRange { field: "teachers_max", .. }), "{refusal}");
}

#[test]
fn the_words_name_the_unit_and_the_adjacency() {
    let words = |unit, adjacency| Sensitivity::of(unit, adjacency, VotingScheme::Ensemble).unwrap().words();
    assert_eq!(words(PrivacyUnit::Record, Adjacency::AddRemove), "one record added or removed");
    assert_eq!(words(PrivacyUnit::Record, Adjacency::Replace), "one record replaced by another");
    assert_eq!(
        words(PrivacyUnit::Subject { max_silos_per_subject: 3 }, Adjacency::AddRemove),
        "all records of one person (in up to 3 silos) added or removed"
    );
    assert_eq!(
        words(PrivacyUnit::Organisation { teachers_max: 25 }, Adjacency::AddRemove),
        "all records of one organisation (up to 25 teachers) added or removed"
    );
}
