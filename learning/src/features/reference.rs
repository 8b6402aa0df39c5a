//! Images and a table with what NumPy, SciPy and scikit-learn make of them: `tests/vectors/README.md` tells how.

use serde_json::Value;

pub(super) struct Reference(Value);

impl Reference {
    pub(super) fn of(part: &str) -> Self {
        let all: Value = serde_json::from_str(include_str!("../../tests/vectors/deskewed_hog.json")).unwrap();
        Self(all[part].clone())
    }

    pub(super) fn size(&self, first: &str, second: &str) -> (usize, usize) {
        let side = |name: &str| usize::try_from(self.0[name].as_u64().unwrap()).unwrap();
        (side(first), side(second))
    }

    pub(super) fn values(&self, name: &str) -> Vec<f64> {
        self.0[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }
}

pub(super) fn assert_near(found: impl IntoIterator<Item = f64>, expected: &[f64], tolerance: f64) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < tolerance, "value {at}: {found}, not {expected}");
    }
}
