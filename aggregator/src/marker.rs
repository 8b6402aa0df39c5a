//! Which campaign an operator started or stopped last: a small file beside the ledger, so that a restart goes on with it.
//!
//! What the campaign is stands in the ledger; the file only names it. It is written whole, flushed and renamed into
//! place before the operator is answered, so a crash leaves the old file or the new one. Without the file the campaign of
//! the settings is the one to open.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What an operator wanted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The campaign, which the ledger holds.
    pub(crate) campaign: String,
    /// Whether it was started or stopped.
    pub(crate) state: State,
    /// The pace that it was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queries_per_minute_max: Option<NonZeroU32>,
}

/// Whether a campaign is to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Started,
    Stopped,
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    path: PathBuf,
}

impl Marker {
    /// The one of this ledger.
    pub(crate) fn beside(ledger: &Path) -> Self {
        let mut path = ledger.as_os_str().to_owned();
        path.push(ENDING);
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<Wanted>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                let read = toml::from_str(&text).map(Some);
                read.map_err(|error| Error::file(&self.path, &error.to_string().trim_end(), FIX_OF_WORDS))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Comes back when it is durable.
    pub(crate) fn write(&self, wanted: &Wanted) -> Result<()> {
        let text = toml::to_string(wanted).map_err(|error| self.fault(&error))?;
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(".new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // For its owner alone, like the ledger that it stands beside.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&fresh).and_then(|mut file| {
            file.write_all(format!("{HEADER}{text}").as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            self.sync_folder()
        });
        written.map_err(|error| self.fault(&error))
    }

    /// The settings decide again.
    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.fault(&error)),
            _ => self.sync_folder().map_err(|error| self.fault(&error)),
        }
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn fault(&self, problem: &impl ToString) -> Error {
        Error::file(&self.path, problem, FIX)
    }
}

const ENDING: &str = ".campaign.toml";
const HEADER: &str = "# Written by the aggregator when an operator starts or stops a campaign.\n";
const FIX: &str =
    "it says which campaign is open: make room on its disk, and let this user read and write it";
const FIX_OF_WORDS: &str =
    "restore it; without it the aggregator goes by [campaign] in its settings, if there is one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_last_is_read_back_and_anything_else_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let marker = Marker::beside(&folder.path().join("ledger.db"));
        assert_eq!(marker.read().unwrap(), None);
        let wanted = |state, pace| Wanted {
            campaign: "digits-2".to_owned(),
            state,
            queries_per_minute_max: NonZeroU32::new(pace),
        };
        for wanted in [wanted(State::Started, 60), wanted(State::Stopped, 0)] {
            marker.write(&wanted).unwrap();
            assert_eq!(marker.read().unwrap(), Some(wanted));
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(marker.path()).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "for its owner alone");
            }
        }
        for broken in ["campaign = 'digits-2'", "campaign = 'digits-2'\nstate = 'paused'", "\u{0}"] {
            fs::write(marker.path(), broken).unwrap();
            let words = marker.read().unwrap_err().to_string();
            assert!(words.contains("ledger.db.campaign.toml") && words.contains("restore it"), "{words}");
        }
        marker.remove().unwrap();
        marker.remove().unwrap();
        assert_eq!(marker.read().unwrap(), None);
    }
}
