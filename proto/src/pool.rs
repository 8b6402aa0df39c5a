//! The manifest of a public pool: what may be asked, under which classes, in which feature space.
//!
//! Every party holds the public examples themselves; the aggregator needs only this list of their names and never
//! sees an example. The form is plain text, one statement a line, so that it can be read, compared and signed:
//!
//! ```text
//! conclave pool 1
//! features 6c1f… (64 hexadecimal digits)
//! class zero
//! class one
//! query 9a03… (64 hexadecimal digits)
//! ```

use std::fmt::Write as _;

use crate::ids::{FeaturesDigest, IdError, PoolDigest, QueryId};

/// Fewest classes that a vote can choose from.
pub const CLASSES_MIN: usize = 2;
/// Most classes that a campaign may have: two bytes hold a vote on the wire and an answer in the ledger.
pub const CLASSES_MAX: usize = 65_535;
/// Longest name of a class.
pub const CLASS_NAME_BYTES_MAX: usize = 256;
/// Most examples that a pool may have.
pub const POOL_QUERIES_MAX: usize = 10_000_000;

const HEADER: &str = "conclave pool 1";

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The first line is another.
    #[error("pool manifest, line 1: expected `{HEADER}`; is this a pool manifest?")]
    Header,
    /// A line that says nothing known.
    #[error("pool manifest, line {line}: expected `features HEX`, `class NAME` or `query HEX`")]
    Statement {
        /// Counted from 1.
        line: usize,
    },
    /// A digest that is none.
    #[error("pool manifest, line {line}: {source}")]
    Digest {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: IdError,
    },
    /// Too few or too many classes, or a bad name.
    #[error("pool manifest, classes: {0}")]
    Classes(String),
    /// No features line, or more than one.
    #[error("pool manifest: expected exactly one `features` line, found {0}")]
    Features(usize),
    /// No query, or more than the limit.
    #[error("pool manifest, queries: {0} listed; list 1 to {POOL_QUERIES_MAX}")]
    Queries(usize),
}

/// A checked manifest. Examples that are listed twice are kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolManifest {
    class_names: Vec<String>,
    features: FeaturesDigest,
    queries: Vec<QueryId>,
}

impl PoolManifest {
    /// Checks and wraps; the order of first mention is kept, repetitions are dropped.
    pub fn new(
        class_names: Vec<String>,
        features: FeaturesDigest,
        queries: impl IntoIterator<Item = QueryId>,
    ) -> Result<Self, PoolError> {
        check_class_names(&class_names)?;
        let mut seen = std::collections::HashSet::new();
        let queries: Vec<QueryId> = queries.into_iter().filter(|id| seen.insert(*id)).collect();
        if queries.is_empty() || queries.len() > POOL_QUERIES_MAX {
            return Err(PoolError::Queries(queries.len()));
        }
        Ok(Self { class_names, features, queries })
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, PoolError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        if lines.next().map(|(_, line)| line.trim_end()) != Some(HEADER) {
            return Err(PoolError::Header);
        }
        let (mut features, mut class_names, mut queries) = (Vec::new(), Vec::new(), Vec::new());
        for (line, statement) in lines {
            let digest = |source| PoolError::Digest { line, source };
            match statement.split_once(' ') {
                Some(("features", hex)) => features.push(hex.trim_end().parse().map_err(digest)?),
                Some(("query", hex)) => queries.push(hex.trim_end().parse().map_err(digest)?),
                Some(("class", name)) => class_names.push(name.to_owned()),
                _ if statement.trim().is_empty() => {}
                _ => return Err(PoolError::Statement { line }),
            }
        }
        match features[..] {
            [features] => Self::new(class_names, features, queries),
            _ => Err(PoolError::Features(features.len())),
        }
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nfeatures {}\n", self.features);
        for name in &self.class_names {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "class {name}");
        }
        for query in &self.queries {
            let _ = writeln!(text, "query {query}");
        }
        text
    }

    /// Names of the classes; a vote is an index into them.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Digest of the public feature space.
    pub fn features(&self) -> FeaturesDigest {
        self.features
    }

    /// What may be asked.
    pub fn queries(&self) -> &[QueryId] {
        &self.queries
    }

    /// Digest of the set of examples.
    pub fn digest(&self) -> PoolDigest {
        PoolDigest::of(self.queries.iter().copied())
    }
}

/// Checks class names: enough of them, distinct, printable, on one line.
pub fn check_class_names(names: &[String]) -> Result<(), PoolError> {
    if !(CLASSES_MIN..=CLASSES_MAX).contains(&names.len()) {
        return Err(PoolError::Classes(format!(
            "{} named; name {CLASSES_MIN} to {CLASSES_MAX}",
            names.len()
        )));
    }
    let mut seen = std::collections::HashSet::new();
    for name in names {
        let fits =
            !name.is_empty() && name.len() <= CLASS_NAME_BYTES_MAX && !name.chars().any(char::is_control);
        if !fits || name.trim() != name {
            return Err(PoolError::Classes(format!(
                "name {name:?}: use 1 to {CLASS_NAME_BYTES_MAX} printable bytes without surrounding blanks"
            )));
        }
        if !seen.insert(name) {
            return Err(PoolError::Classes(format!("`{name}` is named twice; name each class once")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> PoolManifest {
        let ids = [3, 1, 3, 2].map(|byte| QueryId::new([byte; 32]));
        PoolManifest::new(vec!["no".into(), "yes, really".into()], FeaturesDigest::new([9; 32]), ids).unwrap()
    }

    #[test]
    fn text_survives_a_round_trip_and_repetitions_are_dropped() {
        let manifest = manifest();
        assert_eq!(manifest.queries().len(), 3);
        assert_eq!(PoolManifest::parse(&manifest.to_text()), Ok(manifest));
    }

    #[test]
    fn what_is_not_a_manifest_is_refused_with_its_line() {
        let text = manifest().to_text();
        assert_eq!(PoolManifest::parse(""), Err(PoolError::Header));
        assert_eq!(PoolManifest::parse("\0\0"), Err(PoolError::Header));
        assert_eq!(PoolManifest::parse(&format!("{text}bogus")), Err(PoolError::Statement { line: 8 }));
        assert!(matches!(
            PoolManifest::parse(&format!("{text}query 12")),
            Err(PoolError::Digest { line: 8, .. })
        ));
        assert_eq!(
            PoolManifest::parse(&text.replace("class no\n", "")).unwrap_err().to_string(),
            "pool manifest, classes: 1 named; name 2 to 65535"
        );
        assert!(matches!(
            PoolManifest::parse(&text.replace("features", "class")),
            Err(PoolError::Features(0))
        ));
        assert!(PoolManifest::parse(&text.replace("query", "class")).is_err());
    }

    #[test]
    fn a_vote_of_two_bytes_tells_all_classes_apart_and_more_are_refused_with_their_number() {
        let check =
            |count: usize| check_class_names(&(0..count).map(|class| class.to_string()).collect::<Vec<_>>());
        assert_eq!(check(CLASSES_MAX), Ok(()));
        assert!(u16::try_from(CLASSES_MAX - 1).is_ok());
        for more in [CLASSES_MAX + 1, 1_000_000] {
            let said = check(more).unwrap_err().to_string();
            assert_eq!(said, format!("pool manifest, classes: {more} named; name 2 to 65535"));
        }
    }

    #[test]
    fn class_names_are_distinct_and_printable() {
        let names =
            |names: &[&str]| check_class_names(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert!(names(&["a", "b"]).is_ok());
        for bad in [&["a"][..], &["a", "a"], &["a", ""], &["a", "b\n"], &["a", " b"]] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
    }
}
