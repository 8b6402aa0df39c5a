//! The vectors themselves: none has lost a case or a number, and none of their numbers is passed over unseen.
//!
//! Each file has one type that [`read`] makes of it. The types deny unknown fields, so every number of a file has a place in them, and
//! the compiler warns of a field that no test reads; the few that none needs say why. Whoever cuts a file fails here.

use conclave_privacy::accountant::Conversion;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A file of vectors, and what must be in it.
struct File {
    name: &'static str,
    text: &'static str,
    /// Lists and tables at the top, with the number of their entries.
    sections: &'static [(&'static str, usize)],
    /// How many numbers and words there are in all, however deep.
    values: usize,
}

/// ε by both conversions, and the orders at which they were found, as several files have them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Epsilons {
    pub(crate) eps_classic: f64,
    pub(crate) order_classic: f64,
    pub(crate) eps_cks: f64,
    pub(crate) order_cks: f64,
}

impl Epsilons {
    /// Each conversion with the ε and the order that it finds.
    pub(crate) fn each(&self) -> [(Conversion, f64, f64); 2] {
        [
            (Conversion::Classic, self.eps_classic, self.order_classic),
            (Conversion::Tight, self.eps_cks, self.order_cks),
        ]
    }
}

/// All of `file`, but for the words that say what it is.
pub(crate) fn read<T: DeserializeOwned>(file: &str) -> T {
    let text = FILES.iter().find(|known| known.name == file).unwrap().text;
    let mut value: Value = serde_json::from_str(text).unwrap();
    value.as_object_mut().unwrap().retain(|field, _| !ABOUT.contains(&field.as_str()));
    serde_json::from_value(value).unwrap()
}

/// A number that is written as a word, for its digits.
pub(crate) fn digits<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// A list of [`digits`].
pub(crate) fn all_digits<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    words.iter().map(|word| word.parse().map_err(D::Error::custom)).collect()
}

/// How many entries `section` of `file` has.
pub(crate) fn stated(file: &str, section: &str) -> usize {
    let file = FILES.iter().find(|known| known.name == file).unwrap();
    file.sections.iter().find(|(name, _)| *name == section).unwrap().1
}

/// `a` and `b` side by side; they must be equally long.
pub(crate) fn paired<'a, A, B>(a: &'a [A], b: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> + Clone {
    assert_eq!(a.len(), b.len(), "two lists about the same things");
    a.iter().zip(b)
}

fn values(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(self::values).sum(),
        Value::Object(values) => values.values().map(self::values).sum(),
        _ => 1,
    }
}

#[test]
fn no_vector_is_lost() {
    for File { name, text, sections, values } in FILES {
        let file: Value = serde_json::from_str(text).unwrap();
        let found: Vec<_> = file
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(section, value)| {
                let entries = value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len));
                entries.map(|entries| (section.as_str(), entries))
            })
            .collect();
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
            (found.into_iter().collect(), sections.iter().copied().collect());
        assert_eq!(found, expected, "{name}");
        assert_eq!(self::values(&file), values, "{name} has lost or gained values");
    }
    for (name, text, rows, classes, votes) in TABLES {
        let table: Vec<Vec<u64>> = text
            .lines()
            .map(|row| row.split(',').map(|count| count.trim().parse().unwrap()).collect())
            .collect();
        assert!(table.len() == rows && table.iter().all(|row| row.len() == classes), "{name}");
        assert_eq!(table.iter().flatten().sum::<u64>(), votes, "{name}");
    }
    // And no file is forgotten here.
    let listed = FILES.iter().map(|file| file.name).chain(TABLES.iter().map(|table| table.0));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let there = std::fs::read_dir(folder).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let listed: BTreeSet<String> = listed.chain(["README.md"]).map(str::to_owned).collect();
    assert_eq!(there, listed);
}

/// Fields at the top that say what a file is.
const ABOUT: [&str; 4] = ["kind", "origin", "one_run_fields", "clopper_pearson_fields"];
/// Rows, classes, and all votes together.
type Table = (&'static str, &'static str, usize, usize, u64);
const FILES: [File; 16] = [
    File {
        name: "argmax_probs.json",
        text: include_str!("../vectors/argmax_probs.json"),
        sections: &[("cases", 40)],
        values: 1291,
    },
    File {
        name: "audits.json",
        text: include_str!("../vectors/audits.json"),
        sections: &[("one_run", 66), ("clopper_pearson", 24)],
        values: 705,
    },
    File {
        name: "calibration.json",
        text: include_str!("../vectors/calibration.json"),
        sections: &[("cases", 10)],
        values: 291,
    },
    File {
        name: "cumulative.json",
        text: include_str!("../vectors/cumulative.json"),
        sections: &[
            ("params", 6),
            ("orders", 298),
            ("checkpoints", 3),
            ("answered_flags", 1000),
            ("gnmax_total_smooth_sensitivity", 4),
        ],
        values: 1643,
    },
    File {
        name: "exact_divergence.json",
        text: include_str!("../vectors/exact_divergence.json"),
        sections: &[("cases", 10)],
        values: 681,
    },
    File {
        name: "filter_individual.json",
        text: include_str!("../vectors/filter_individual.json"),
        sections: &[("budget_eps_delta", 2), ("stream", 300), ("per_order", 7), ("weighted_teachers", 12)],
        values: 961,
    },
    File {
        name: "gnmax_rdp.json",
        text: include_str!("../vectors/gnmax_rdp.json"),
        sections: &[("orders", 20), ("cases", 87)],
        values: 9104,
    },
    File {
        name: "gnmax_rdp_from_logq.json",
        text: include_str!("../vectors/gnmax_rdp_from_logq.json"),
        sections: &[("orders", 20), ("cases", 112)],
        values: 4725,
    },
    File {
        name: "lnmax.json",
        text: include_str!("../vectors/lnmax.json"),
        sections: &[("orders", 20), ("moment_lambdas", 32), ("cases", 86)],
        values: 13_026,
    },
    File {
        name: "pate2018_exact_accounting.json",
        text: include_str!("../vectors/pate2018_exact_accounting.json"),
        sections: &[("orders", 22), ("argmax_sup_three_cell_sigma40", 22), ("datasets", 3)],
        values: 456,
    },
    File {
        name: "pate2018_real_votes.json",
        text: include_str!("../vectors/pate2018_real_votes.json"),
        sections: &[("orders", 298), ("datasets", 3)],
        values: 413,
    },
    File {
        name: "pld.json",
        text: include_str!("../vectors/pld.json"),
        sections: &[("cases", 15), ("mixed", 2)],
        values: 596,
    },
    File {
        name: "rdp_to_dp.json",
        text: include_str!("../vectors/rdp_to_dp.json"),
        sections: &[("orders", 23), ("eps_cases", 44), ("delta_cases", 44), ("zcdp_cases", 12)],
        values: 2692,
    },
    File {
        name: "smooth_sensitivity.json",
        text: include_str!("../vectors/smooth_sensitivity.json"),
        sections: &[("gnmax_cases", 11), ("threshold_cases", 6), ("gnss_release_cost", 48)],
        values: 5583,
    },
    File {
        name: "threshold.json",
        text: include_str!("../vectors/threshold.json"),
        sections: &[("orders", 20), ("cases", 35), ("interactive", 12)],
        values: 3028,
    },
    File {
        name: "worst_case_argmax_rdp.json",
        text: include_str!("../vectors/worst_case_argmax_rdp.json"),
        sections: &[("cases", 42)],
        values: 313,
    },
];
const TABLES: [Table; 4] = [
    ("cumulative_votes.csv", include_str!("../vectors/cumulative_votes.csv"), 1_000, 10, 250_000),
    (
        "votes_adult_250_teachers.csv",
        include_str!("../vectors/votes_adult_250_teachers.csv"),
        16_281,
        2,
        4_070_250,
    ),
    (
        "votes_mnist_250_teachers.csv",
        include_str!("../vectors/votes_mnist_250_teachers.csv"),
        9_000,
        10,
        2_250_000,
    ),
    (
        "votes_svhn_250_teachers.csv",
        include_str!("../vectors/votes_svhn_250_teachers.csv"),
        26_032,
        10,
        6_508_000,
    ),
];
