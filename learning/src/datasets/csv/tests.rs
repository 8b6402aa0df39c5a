//! What a table may be, and what each refusal says.

use std::io::Write;

use super::*;

fn read(text: &str) -> Result<Dataset> {
    CsvSource::new("ward.csv").read(text.as_bytes())
}

fn refusal(source: &CsvSource, bytes: &[u8]) -> String {
    source.read(bytes).unwrap_err().to_string()
}

#[test]
fn a_table_with_a_header_keeps_names_values_and_classes() {
    let data = read("age,dose,outcome\n40,1.5,well\n 50 , -2e1 , ill\n60,0,well\n").unwrap();
    assert_eq!(data.schema().name(), "ward");
    assert_eq!(data.schema().shape(), [2]);
    assert_eq!(data.schema().feature_names(), ["age", "dose"]);
    assert_eq!(data.schema().class_names(), ["ill", "well"]);
    assert_eq!(data.row(1).to_vec(), [50.0, -20.0]);
    assert_eq!(data.labels().unwrap(), [1, 0, 1].map(Label::new));
}

#[test]
fn a_table_of_numbers_needs_no_header_and_whole_number_classes_are_in_order_of_value() {
    let data = read("1,2,10\n3,4,9\n5,6,2\n").unwrap();
    assert_eq!(data.rows(), 3);
    assert_eq!(data.schema().feature_names(), ["1", "2"]);
    assert_eq!(data.schema().class_names(), ["2", "9", "10"]);
}

#[test]
fn label_and_subject_are_found_by_name_wherever_they_stand_and_are_no_features() {
    let source = CsvSource {
        label: Some("y".to_owned()),
        subject: Some("who".to_owned()),
        classes: Some(vec!["b".to_owned(), "a".to_owned()]),
        ..CsvSource::new("x.csv")
    };
    let data = source.read("who,x1,y,x2\nann,1,a,2\nbob,3,b,4\n".as_bytes()).unwrap();
    assert_eq!(data.schema().feature_names(), ["x1", "x2"]);
    assert_eq!(data.subjects().unwrap(), ["ann", "bob"]);
    assert_eq!(data.labels().unwrap(), [1, 0].map(Label::new));
}

#[test]
fn a_stated_header_overrides_the_guess() {
    let years = "2001,2002,kind\n1,2,a\n3,4,b\n";
    assert_eq!(read(years).unwrap().rows(), 3, "a header of numbers looks like a row");
    let source = CsvSource { header: Some(true), ..CsvSource::new("x.csv") };
    let data = source.read(years.as_bytes()).unwrap();
    assert_eq!(data.schema().feature_names(), ["2001", "2002"]);
    let source = CsvSource { header: Some(false), ..CsvSource::new("x.csv") };
    assert!(refusal(&source, b"age,kind\n1,a\n").contains("x.csv, line 1, column 1: \"age\""));
}

#[test]
fn a_first_row_with_a_hole_is_not_taken_for_a_header() {
    let found = read("1,?,a\n3,4,b\n").unwrap_err().to_string();
    assert!(found.contains("ward.csv, line 1, column 2: \"?\" in a line that also has numbers"), "{found}");
    assert!(found.contains("header = true or false"), "{found}");
}

#[test]
fn each_bad_cell_is_refused_with_file_line_column_value_and_fix() {
    for (text, expected) in [
        ("a,b,y\n1,2,x\n1,2\n", "ward.csv, line 3, column 3: ragged row of 2 cells; give every row 3 cells"),
        (
            "a,b,y\n1,2,x\n1,2,3,x\n",
            "ward.csv, line 3, column 4: ragged row of 4 cells; give every row 3 cells",
        ),
        (
            "a,b,y\n1,2,x\n1,Private,x\n",
            "ward.csv, line 3, column b: \"Private\"; features are finite numbers",
        ),
        ("a,b,y\n1,?,x\n", "ward.csv, line 2, column b: \"?\"; features are finite numbers"),
        ("a,b,y\n1,,x\n", "ward.csv, line 2, column b: an empty cell"),
        ("a,b,y\n1,NaN,x\n", "ward.csv, line 2, column b: \"NaN\""),
        ("a,b,y\n1e99,2,x\n", "ward.csv, line 2, column a: \"1e99\""),
        ("a,b,y\n1,2,\n", "ward.csv, line 2, column y: missing label; give every row its label"),
        ("a,b,y\n1,abcdefghijklmnopqrstuvwxyz,x\n", "\"abcdefghijklmnopqrstuvwx\"…"),
        ("", "ward.csv: length is 0 rows; the file is empty"),
        ("a,b,y\n", "ward.csv: length is 0 rows; the file has a header only"),
        ("y\nx\n", "ward.csv: columns is 1; a row has at least one feature and a label"),
        ("a,y\n1,x\n2,x\n", "schema class_names is 1 classes"),
    ] {
        let found = read(text).unwrap_err().to_string();
        assert!(found.contains(expected), "{text:?} gave: {found}");
    }
}

#[test]
fn labels_outside_the_declared_classes_and_unknown_columns_are_refused_with_what_exists() {
    let declared =
        CsvSource { classes: Some(vec!["a".to_owned(), "b".to_owned()]), ..CsvSource::new("x.csv") };
    let found = refusal(&declared, b"f,y\n1,a\n2,c\n");
    assert!(found.contains("x.csv, line 3, column y: \"c\"; the declared classes are a, b"), "{found}");
    for (label, subject, expected) in [
        (Some("z"), None, "label column is \"z\", which occurs nowhere in the header; name one of: f, f, y"),
        (Some("f"), None, "label column is \"f\", which occurs twice"),
        (None, Some("who"), "subject column is \"who\", which occurs nowhere"),
        (None, Some("y"), "subject column is also the label column"),
    ] {
        let source = CsvSource {
            label: label.map(str::to_owned),
            subject: subject.map(str::to_owned),
            ..CsvSource::new("x.csv")
        };
        let found = refusal(&source, b"f,f,y\n1,1,a\n");
        assert!(found.contains(expected), "{found}");
    }
    let source = CsvSource { subject: Some("who".to_owned()), ..CsvSource::new("x.csv") };
    assert!(refusal(&source, b"who,f,y\n,1,a\n").contains("line 2, column who: missing subject"));
}

#[test]
fn binary_content_is_refused_as_such() {
    for bytes in [&b"a,y\n\xff\xfe\x01,x\n"[..], b"a,y\n1\x002,x\n", b"PK\x03\x04\x00\x00\x08"] {
        let found = refusal(&CsvSource::new("x.csv"), bytes);
        assert!(found.contains("x.csv, line") && found.contains("binary content"), "{found}");
    }
}

#[test]
fn a_gzipped_table_reads_like_a_plain_one_and_a_truncated_one_is_refused() {
    let lines: Vec<String> = (0..500).map(|i| format!("{i},{},{}", i * 7 % 13, i % 2)).collect();
    let text = lines.join("\n");
    let packed = gzip::packed(text.as_bytes());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&packed).unwrap();
    assert_eq!(CsvSource::new(file.path()).load().unwrap().features(), read(&text).unwrap().features());

    file.as_file().set_len(packed.len() as u64 / 2).unwrap();
    let found = CsvSource::new(file.path()).load().unwrap_err().to_string();
    assert!(found.contains("gzip stream is truncated") && found.contains("again"), "{found}");
}

#[test]
fn a_file_that_is_not_there_is_refused_by_its_path() {
    let found = CsvSource::new("/nowhere/x.csv").load().unwrap_err().to_string();
    assert!(found.contains("/nowhere/x.csv") && found.contains("check that the path exists"), "{found}");
}

#[test]
fn a_configuration_may_leave_out_everything_but_the_path() {
    let source: CsvSource = serde_json::from_str(r#"{"path":"a.csv"}"#).unwrap();
    assert_eq!(source, CsvSource::new("a.csv"));
    assert!(serde_json::from_str::<CsvSource>(r#"{"path":"a.csv","lable":"y"}"#).is_err());
}

#[test]
fn a_stated_shape_must_have_as_many_elements_as_a_row_has_features() {
    let source = |shape: &[u32]| CsvSource { shape: Some(shape.to_vec()), ..CsvSource::new("x.csv") };
    let rows = "1,2,3,4,a\n5,6,7,8,b\n";
    assert_eq!(source(&[2, 2]).read(rows.as_bytes()).unwrap().schema().shape(), [2, 2]);
    for shape in [&[2, 3][..], &[], &[0, 4], &[1 << 31, 1 << 31]] {
        let words = refusal(&source(shape), rows.as_bytes());
        assert!(words.contains("shape") && words.contains("4 features"), "{words}");
    }
}
