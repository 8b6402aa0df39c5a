//! The data sets that are known by name: what they are, whose, under which licence, and where their files are expected.

use std::path::Path;

use serde::Serialize;

use super::{DatasetSpec, mnist};
use crate::{Error, Result};

/// The variable that names the folder of larger data sets, each in a folder of its own name.
pub const DATA_DIR: &str = "CONCLAVE_DATA_DIR";

/// A data set by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Known {
    /// As on the command line.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// Which rows play which role in a simulation.
    pub rows: &'static str,
    /// Shape of one example.
    pub shape: [u32; 2],
    /// Number of classes.
    pub classes: u16,
    /// Who made it, and where it was published.
    pub source: &'static str,
    /// Under which licence it may be used.
    pub licence: &'static str,
    /// Its files.
    pub files: &'static [KnownFile],
    /// How many organisations a simulation has when nobody says.
    pub organisations: u32,
    /// How many teachers a simulation has at most when nobody says.
    pub teachers: u32,
}

/// One file of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KnownFile {
    /// Its name, without `.gz`.
    pub name: &'static str,
    /// SHA-256 of its unpacked bytes, in hexadecimal.
    pub sha256: &'static str,
}

/// Whether a data set can be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Presence {
    /// Inside the program.
    BuiltIn,
    /// All its files are in the folder. What they hold is checked when they are read.
    Present,
    /// Some are not.
    Absent {
        /// How to put it right.
        fix: String,
    },
}

/// All that are known.
pub const KNOWN: [Known; 2] = [OPTDIGITS, MNIST];

pub(super) const OPTDIGITS: Known = Known {
    name: "optdigits",
    what: "handwritten digits, 8×8 grey values from 0 to 16, 10 classes",
    rows: "3823 private (30 writers); 900 pool and 897 test (13 other writers, dealt by seed)",
    shape: [8, 8],
    classes: 10,
    source: "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI 1998, doi 10.24432/C50P49",
    licence: "CC BY 4.0",
    files: &[
        KnownFile {
            name: "optdigits.tra",
            sha256: "f87ffe5149ece6d73cc08c296f180e695885849036c0b22a7973e74e3f35d3ee",
        },
        KnownFile {
            name: "optdigits.tes",
            sha256: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        },
    ],
    organisations: 5,
    teachers: 100,
};

pub(super) const MNIST: Known = Known {
    name: "mnist",
    what: "handwritten digits, 28×28 grey values from 0 to 255, 10 classes",
    rows: "60000 private; 9000 pool (first test images) and 1000 test (last test images)",
    shape: [28, 28],
    classes: 10,
    source: "Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, 1998",
    licence: "CC BY-SA 3.0",
    files: &[
        KnownFile {
            name: "train-images-idx3-ubyte",
            sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        },
        KnownFile {
            name: "train-labels-idx1-ubyte",
            sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        },
        KnownFile {
            name: "t10k-images-idx3-ubyte",
            sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        KnownFile {
            name: "t10k-labels-idx1-ubyte",
            sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ],
    organisations: 10,
    teachers: 250,
};

impl Known {
    /// The data set of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        static ALL: [Known; 2] = KNOWN;
        ALL.iter().find(|known| known.name == name)
    }

    /// As a configuration names it. `data_dir` is the folder of larger data sets; refused when this one needs it and it is not given.
    pub fn spec(&self, data_dir: Option<&Path>) -> Result<DatasetSpec> {
        if *self == OPTDIGITS {
            return Ok(DatasetSpec::Optdigits);
        }
        let folder = data_dir.map(|data_dir| data_dir.join(self.name));
        folder.map(|folder| DatasetSpec::Mnist { folder }).ok_or_else(|| {
            Error::argument(DATA_DIR, "not set", format!("set it to a folder that holds {}", self.wanted()))
        })
    }

    /// Whether it can be used.
    pub fn presence(&self, data_dir: Option<&Path>) -> Presence {
        match self.spec(data_dir) {
            Ok(DatasetSpec::Mnist { folder }) => {
                let missing = mnist::missing(&folder);
                if missing.is_empty() {
                    return Presence::Present;
                }
                let fix = format!("put {} into {}, plain or .gz", missing.join(", "), folder.display());
                Presence::Absent { fix }
            }
            Ok(_) => Presence::BuiltIn,
            Err(_) => {
                Presence::Absent { fix: format!("let {DATA_DIR} name a folder that holds {}", self.wanted()) }
            }
        }
    }

    /// The folder and the files that are wanted.
    pub(super) fn wanted(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(|file| file.name).collect();
        format!("{}/ with {}, plain or .gz", self.name, files.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_data_set_or_to_the_variable_that_is_missing() {
        assert_eq!(Known::named("optdigits").unwrap().spec(None).unwrap(), DatasetSpec::Optdigits);
        let mnist = Known::named("mnist").unwrap();
        let folder = Path::new("data/mnist").to_owned();
        assert_eq!(mnist.spec(Some(Path::new("data"))).unwrap(), DatasetSpec::Mnist { folder });
        let refusal = mnist.spec(None).unwrap_err().to_string();
        assert!(
            refusal.contains(
                "CONCLAVE_DATA_DIR is not set; set it to a folder that holds mnist/ with train-images"
            ),
            "{refusal}"
        );
        assert_eq!(Known::named("cifar"), None);
    }

    #[test]
    fn what_is_absent_is_told_with_what_to_do_and_what_is_there_as_present() {
        assert_eq!(OPTDIGITS.presence(None), Presence::BuiltIn);
        let Presence::Absent { fix } = MNIST.presence(None) else { panic!("there is no folder") };
        assert!(fix.contains("CONCLAVE_DATA_DIR"), "{fix}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mnist")).unwrap();
        for file in MNIST.files {
            let Presence::Absent { fix } = MNIST.presence(Some(folder.path())) else {
                panic!("{} is not there", file.name)
            };
            assert!(fix.contains(file.name), "{fix}");
            std::fs::write(folder.path().join("mnist").join(format!("{}.gz", file.name)), "").unwrap();
        }
        assert_eq!(MNIST.presence(Some(folder.path())), Presence::Present);
    }
}
