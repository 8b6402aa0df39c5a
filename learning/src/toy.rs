//! Small data sets for tests.

use ndarray::Array2;

use crate::{Dataset, Label, Schema};

pub(crate) fn schema(width: u32, classes: usize) -> Schema {
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    Schema::new("toy", vec![width], names("f", width as usize), names("c", classes)).unwrap()
}

/// Rows in three clusters on a line, class by cluster, all rows different; `first` numbers the first row.
pub(crate) fn clusters(rows: usize, first: usize) -> Dataset {
    let class = |row: usize| (first + row) % 3;
    let features = Array2::from_shape_fn((rows, 2), |(row, column)| match column {
        0 => class(row) as f32 * 10.0 + ((first + row) * 37 % 101) as f32 / 50.0,
        _ => (first + row) as f32 / 1e6,
    });
    let labels = (0..rows).map(|row| Label::new(u16::try_from(class(row)).unwrap())).collect();
    Dataset::new(schema(2, 3), features, Some(labels), None).unwrap()
}

/// The same rows with these subjects.
pub(crate) fn with_subjects(data: &Dataset, subjects: Vec<String>) -> Dataset {
    Dataset::new(
        data.schema().clone(),
        data.features().clone(),
        data.labels().map(<[_]>::to_vec),
        Some(subjects),
    )
    .unwrap()
}
