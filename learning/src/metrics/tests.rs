//! Counts by hand.

use super::*;

#[test]
fn accuracy_agreement_and_confusion_count_what_they_say() {
    let truth = [0, 0, 1, 2].map(Label::new);
    let said = [0, 1, 1, 0].map(Label::new);
    assert!((accuracy(&said, &truth).unwrap() - 0.5).abs() < 1e-12);
    assert!((agreement(&truth, &truth).unwrap() - 1.0).abs() < 1e-12);
    let counts = confusion(&said, &truth, 3).unwrap();
    assert_eq!(counts, ndarray::array![[1, 1, 0], [0, 1, 0], [1, 0, 0]]);
}

#[test]
fn unequal_or_empty_lists_and_labels_out_of_range_are_refused() {
    let labels = [0, 5].map(Label::new);
    assert!(accuracy(&labels, &labels[..1]).unwrap_err().to_string().contains("2 against 1"));
    assert!(accuracy(&[], &[]).unwrap_err().to_string().contains("0 against 0"));
    assert!(
        confusion(&labels, &labels, 3)
            .unwrap_err()
            .to_string()
            .contains("label is 5; labels run from 0 to 2")
    );
}
