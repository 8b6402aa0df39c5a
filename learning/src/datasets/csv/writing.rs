//! Rows back to a text table, such that reading it gives the same data set again.

use std::io::{self, Write};

use crate::Dataset;

/// The name of the column of subjects, where there are any.
const SUBJECT: &str = "subject";
/// The name of the column of labels, where there are any.
const LABEL: &str = "label";

/// Writes rows as CSV (RFC 4180) with a header: features, then `subject` and `label` where they are known. Numbers are
/// written in full. A [`super::CsvSource`] of a file that is called after the schema, with its classes and shape, reads
/// the same data set.
pub fn write_csv(data: &Dataset, to: impl Write) -> io::Result<()> {
    let schema = data.schema();
    let mut table = csv::Writer::from_writer(to);
    for name in schema.feature_names() {
        table.write_field(name)?;
    }
    for name in [data.subjects().map(|_| SUBJECT), data.labels().map(|_| LABEL)].into_iter().flatten() {
        table.write_field(name)?;
    }
    table.write_record(None::<&[u8]>)?;
    let mut number = Vec::new();
    for (index, row) in data.features().outer_iter().enumerate() {
        for value in row {
            number.clear();
            write!(number, "{value}")?;
            table.write_field(&number)?;
        }
        if let Some(subjects) = data.subjects() {
            table.write_field(&subjects[index])?;
        }
        if let Some(labels) = data.labels() {
            table.write_field(&schema.class_names()[labels[index].index()])?;
        }
        table.write_record(None::<&[u8]>)?;
    }
    table.flush()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::datasets::CsvSource;
    use crate::{Label, Schema};

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same_data_set(
            values in prop::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 6 * 4),
            labels in prop::collection::vec(0_u16..3, 4),
            subjects in prop::option::of(prop::collection::vec("[a-z,\"]{1,5}", 4)),
        ) {
            let names = (0..6).map(|at| format!("row {} column, \"{}\"", at / 3, at % 3)).collect();
            let classes = ["none", "a, b", "say \"c\""].map(str::to_owned).to_vec();
            let schema = Schema::new("ward", vec![2, 3], names, classes.clone()).unwrap();
            let features = Array2::from_shape_vec((4, 6), values).unwrap();
            let labels = labels.into_iter().map(Label::new).collect();
            let data = Dataset::new(schema, features, Some(labels), subjects.clone()).unwrap();
            let mut text = Vec::new();
            write_csv(&data, &mut text).unwrap();
            let source = CsvSource {
                label: Some(LABEL.to_owned()),
                subject: subjects.map(|_| SUBJECT.to_owned()),
                classes: Some(classes),
                shape: Some(vec![2, 3]),
                ..CsvSource::new("ward.csv")
            };
            let read = source.read(text.as_slice()).unwrap();
            prop_assert_eq!(read.schema().digest(), data.schema().digest());
            prop_assert_eq!(read, data);
        }
    }
}
