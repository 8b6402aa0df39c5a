//! A saved student comes back as it was, or not at all.

use proptest::prelude::*;

use super::*;
use crate::training::tests::trained;

#[test]
fn a_saved_student_predicts_as_before_and_keeps_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.model");
    for simulated in [false, true] {
        let model = trained(simulated);
        model.save(&path).unwrap();
        let loaded = StudentModel::load(&path).unwrap();
        assert_eq!(loaded, model);
        assert_eq!((loaded.origin().simulated, loaded.digest()), (simulated, model.digest()));
        let text = fs::read(&path).unwrap();
        let mark = if simulated { "simulated yes\n" } else { "simulated no\n" };
        assert!(String::from_utf8_lossy(&text).contains(mark));
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["student.model"], "no temporary file stays behind");
}

#[test]
fn a_failed_save_leaves_the_old_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.model");
    trained(true).save(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let elsewhere = folder.path().join("missing").join("student.model");
    let message = trained(false).save(&elsewhere).unwrap_err().to_string();
    assert!(
        message.contains(&elsewhere.display().to_string()) && message.contains("choose a folder"),
        "{message}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn every_kind_of_damage_has_its_words() {
    let bytes = trained(true).encode();
    let header_of = |change: &dyn Fn(&str) -> String| {
        let end = bytes.windows(2).position(|window| window == HEADER_END).unwrap();
        let header = change(std::str::from_utf8(&bytes[MAGIC.len()..end]).unwrap());
        let mut changed = [MAGIC, header.as_bytes(), &bytes[end..bytes.len() - DIGEST_BYTES]].concat();
        let digest = Sha256::digest(&changed);
        changed.extend_from_slice(&digest);
        changed
    };
    let magic_only = MAGIC.to_vec();
    for (bytes, words) in [
        (Vec::new(), "is not a student"),
        (b"PK\x03\x04".to_vec(), "is not a student"),
        (magic_only, "is cut short"),
        (bytes[..bytes.len() - 1].to_vec(), "is damaged"),
        (header_of(&|_| "no header".to_owned()), "lacks the line `campaign`"),
        (header_of(&|header| header.replace("simulated yes", "simulated maybe")), "neither yes nor no"),
        (header_of(&|header| header.replace("campaign points-1", "campaign NO")), "campaign id `NO`"),
        (header_of(&|header| format!("{header}\nmore of it")), "more lines than known"),
    ] {
        let problem = StudentModel::decode(&bytes).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.model");
    fs::write(&path, &bytes[..40]).unwrap();
    let message = StudentModel::load(&path).unwrap_err().to_string();
    assert!(message.contains("student.model") && message.contains("train again"), "{message}");
    let message = StudentModel::load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("cannot be read"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_always_found(place: prop::sample::Index, bit in 0..8u32, cut: bool) {
        let mut bytes = trained(true).encode();
        let place = place.index(bytes.len());
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << bit;
        }
        prop_assert!(StudentModel::decode(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_behind_the_first_line_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = [MAGIC, &bytes].concat();
        prop_assert!(StudentModel::decode(&file).is_err());
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
        prop_assert!(StudentModel::decode(&file).is_err());
    }
}
