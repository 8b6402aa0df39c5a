//! A trained student in one file: a few lines of text that say where it comes from, the predictor, and a digest of both.
//!
//! ```text
//! conclave student 1
//! campaign optdigits-1
//! contract 6c1f… (64 hexadecimal digits)
//! simulated no
//! labels 312
//! model kernel machine
//! (an empty line)
//! the predictor, as learning::checkpoint writes it, and 32 bytes: SHA-256 of everything before
//! ```
//!
//! The mark `simulated` is under the digest, so that it cannot get lost by accident. The digest is no signature: it
//! finds damage, not forgery.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use conclave_learning::checkpoint;
use conclave_proto::ids::{CampaignId, ContractDigest};
use sha2::{Digest, Sha256};

use crate::error::{Result, StudentError};
use crate::training::{Origin, StudentModel};

impl StudentModel {
    /// Writes the file whole or not at all: a temporary file beside it, flushed to the disk, takes its name.
    pub fn save(&self, path: &Path) -> Result<()> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&self.encode())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            // The new name itself must reach the disk as well.
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| StudentError::ModelFile {
            path: path.to_owned(),
            problem: format!("cannot be written: {error}"),
            fix: "choose a folder that exists and that this process may write, with space left",
        })
    }

    /// Reads what [`StudentModel::save`] wrote, and refuses anything else with what is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        let refuse = |problem, fix| StudentError::ModelFile { path: path.to_owned(), problem, fix };
        let bytes = fs::read(path).map_err(|error| {
            refuse(format!("cannot be read: {error}"), "check the path and its permissions")
        })?;
        Self::decode(&bytes)
            .map_err(|problem| refuse(problem, "remove it and train again, or restore a copy"))
    }

    /// SHA-256 of the saved form, its own digest left out.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.contents()).into()
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.contents();
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// The student in these bytes, or what is wrong with them.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err("is not a student: it does not start with `conclave student 1`".to_owned());
        }
        let (contents, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or("is cut short")?;
        if Sha256::digest(contents).as_slice() != digest {
            return Err("is damaged: its contents do not have the digest at its end".to_owned());
        }
        let body = &contents[MAGIC.len()..];
        let end =
            body.windows(HEADER_END.len()).position(|window| window == HEADER_END).ok_or("has no header")?;
        let header = std::str::from_utf8(&body[..end]).map_err(|_| "has a header that is not text")?;
        let predictor = checkpoint::decode(&body[end + HEADER_END.len()..], "predictor");
        Ok(Self { origin: read_header(header)?, predictor: predictor.map_err(|error| error.to_string())? })
    }

    fn contents(&self) -> Vec<u8> {
        let Origin { campaign, contract, simulated, labels, model } = &self.origin;
        let simulated = if *simulated { "yes" } else { "no" };
        let header = format!(
            "campaign {campaign}\ncontract {contract}\nsimulated {simulated}\nlabels {labels}\nmodel {model}\n\n"
        );
        [MAGIC, header.as_bytes(), &checkpoint::encode(&self.predictor)].concat()
    }
}

/// Every line once, in order: a later version that says more has another first line.
fn read_header(header: &str) -> std::result::Result<Origin, String> {
    let mut lines = header.lines();
    let mut field = |name: &str| {
        lines
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .ok_or_else(|| format!("lacks the line `{name}`"))
    };
    let malformed = |error: &dyn std::fmt::Display| format!("has a malformed header: {error}");
    let origin = Origin {
        campaign: CampaignId::new(field("campaign")?).map_err(|error| malformed(&error))?,
        contract: field("contract")?.parse::<ContractDigest>().map_err(|error| malformed(&error))?,
        simulated: match field("simulated")? {
            "yes" => true,
            "no" => false,
            other => return Err(malformed(&format!("simulated is {other:?}, neither yes nor no"))),
        },
        labels: field("labels")?.parse().map_err(|error| malformed(&error))?,
        model: field("model")?.to_owned(),
    };
    if lines.next().is_some() { Err(malformed(&"more lines than known")) } else { Ok(origin) }
}

const MAGIC: &[u8] = b"conclave student 1\n";
const HEADER_END: &[u8] = b"\n\n";
const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests;
