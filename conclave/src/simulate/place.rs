//! Where a run writes: a directory that is new or empty, made for it and for nobody else.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::Fault;

/// Makes the directory that was asked for; without one, the first free name in the working directory. Two runs at the
/// same time never get the same.
pub fn make(asked: Option<&Path>) -> Result<PathBuf, Fault> {
    let Some(asked) = asked else { return make_free() };
    refuse_if_occupied(asked)?;
    fs::create_dir_all(asked).map_err(|error| unusable(asked, &error))?;
    Ok(asked.to_owned())
}

/// Refuses a directory in which something is: nothing is ever overwritten. Makes nothing.
pub fn refuse_if_occupied(asked: &Path) -> Result<(), Fault> {
    let occupied = match fs::read_dir(asked) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(unusable(asked, &error)),
    };
    if !occupied {
        return Ok(());
    }
    let shown = asked.display().to_string();
    let problem = "it is not empty, and nothing is ever overwritten";
    Err(Fault::input("occupied-directory", "out", shown, problem, "name a new directory"))
}

fn make_free() -> Result<PathBuf, Fault> {
    for number in 1..=RUNS_MAX {
        let path = PathBuf::from(format!("conclave-run-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(&path, &error)),
        }
    }
    let problem = format!("all names up to conclave-run-{RUNS_MAX} are taken");
    Err(Fault::input("unusable-directory", "out", "", problem, "name a directory, or tidy up"))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    let shown = path.display().to_string();
    Fault::input("unusable-directory", "out", shown, error, "name a directory that can be made and written")
}

const RUNS_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_or_empty_is_taken_and_what_is_occupied_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        assert_eq!(make(Some(&deep)).unwrap(), deep);
        assert_eq!(make(Some(&deep)).unwrap(), deep, "still empty");
        fs::write(deep.join("mine"), "").unwrap();
        assert_eq!(make(Some(&deep)).unwrap_err().code, "occupied-directory");
        assert_eq!(make(Some(&deep.join("mine"))).unwrap_err().code, "unusable-directory");
    }
}
