//! `labels.csv`: the released labels, and nothing that a real campaign could not publish.
//!
//! One line per released query: its id, its row in the pool, the outcome, and the label's name. No truths, no counts.

use std::io::{self, Write};

/// One released answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedLabel {
    /// The query's id, in hexadecimal.
    pub query_id: String,
    /// Its row in the public pool.
    pub pool_row: u64,
    /// The class by name; `None` is an abstention.
    pub label: Option<String>,
}

/// Writes the header and one line per label, as RFC 4180 wants it.
pub fn write_labels(mut out: impl Write, labels: &[ReleasedLabel]) -> io::Result<()> {
    writeln!(out, "query_id,pool_row,outcome,label")?;
    for ReleasedLabel { query_id, pool_row, label } in labels {
        match label {
            Some(name) => writeln!(out, "{},{pool_row},label,{}", field(query_id), field(name))?,
            None => writeln!(out, "{},{pool_row},abstained,", field(query_id))?,
        }
    }
    out.flush()
}

/// Quoted where it has to be.
pub(crate) fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_with_commas_and_quotes_is_one_field() {
        let labels = [
            ReleasedLabel { query_id: "9a03".into(), pool_row: 7, label: Some("a \"big\", bad one".into()) },
            ReleasedLabel { query_id: "11ff".into(), pool_row: 0, label: None },
        ];
        let mut out = Vec::new();
        write_labels(&mut out, &labels).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "query_id,pool_row,outcome,label\n9a03,7,label,\"a \"\"big\"\", bad one\"\n11ff,0,abstained,\n"
        );
    }
}
