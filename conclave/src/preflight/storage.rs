//! Where a role keeps what must last: may it write there, does a flush come back, will the disk forget, is there room?
//!
//! No program can see whether a disk keeps what it acknowledged. What can be seen is looked at: that a file, its rename
//! and its folder can be flushed and read back, and which kind of file system answers.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use conclave_ledger::guard::GuardBook;
use conclave_ledger::{LedgerError, verify};

use super::Preflight;
use crate::cli::{Exit, Fault};

/// Looks at the folder that the setting `field` names, or at the one above it that exists. `private`: nobody but its owner
/// should read it.
pub fn folder(flight: &mut Preflight, field: &str, folder: &Path, private: bool) {
    let shown = folder.display();
    let Some(existing) = nearest(folder) else {
        let fault = unusable(field, folder, "no folder above it exists", "name a folder on this machine");
        return flight.problem("storage", fault);
    };
    if !existing.is_dir() {
        let problem = format!("{} is not a folder", existing.display());
        return flight.problem("storage", unusable(field, folder, problem, "name a folder"));
    }
    match flushes(&existing) {
        Err(error) => {
            let problem =
                format!("{}: a file cannot be written, flushed and read back: {error}", existing.display());
            let fix = "choose a folder that this user may write, on a disk with room";
            return flight.problem("storage", unusable(field, folder, problem, fix));
        }
        Ok(slowest_ms) => {
            let made = if folder.exists() { "" } else { "; the folder is made at the first start" };
            let words = format!(
                "{FLUSHES} flushes were acknowledged and read back, the slowest in {slowest_ms} ms{made}"
            );
            flight.good("storage", field, shown, words);
        }
    }
    if private && folder.exists() {
        permissions(flight, field, folder);
    }
    kind(flight, field, &existing);
    room(flight, field, folder, &existing);
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    let whole = if folder.is_absolute() { folder.to_owned() } else { Path::new(".").join(folder) };
    whole.ancestors().find(|ancestor| ancestor.exists()).map(Path::to_path_buf)
}

/// Writes, flushes, renames, flushes the folder, reads back and removes; the slowest of some rounds in milliseconds.
fn flushes(folder: &Path) -> io::Result<u128> {
    let trial = tempfile::Builder::new().prefix(".conclave-preflight-").tempdir_in(folder)?;
    let mut slowest_ms = 0;
    for round in 0..FLUSHES {
        let began = Instant::now();
        let (before, after) = (trial.path().join("new"), trial.path().join("kept"));
        let pattern = vec![round; TRIAL_BYTES];
        let mut file = File::create(&before)?;
        file.write_all(&pattern)?;
        file.sync_all()?;
        fs::rename(&before, &after)?;
        File::open(trial.path())?.sync_all()?;
        let mut read = Vec::new();
        File::open(&after)?.read_to_end(&mut read)?;
        if read != pattern {
            return Err(io::Error::other("what was read back is not what was written"));
        }
        slowest_ms = slowest_ms.max(began.elapsed().as_millis());
    }
    trial.close()?;
    Ok(slowest_ms)
}

#[cfg(unix)]
fn permissions(flight: &mut Preflight, field: &str, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(data) = fs::metadata(path) else { return };
    let mode = data.permissions().mode() & 0o777;
    let (shown, wanted) = (path.display(), if data.is_dir() { 700 } else { 600 });
    let open_to_others = mode & 0o077 != 0;
    if open_to_others {
        let words = format!("others than its owner may look into it (mode {mode:03o})");
        flight.warn("permissions", field, &shown, words, &format!("chmod {wanted} {shown}"));
    } else {
        flight.good("permissions", field, shown, "for its owner alone");
    }
}

#[cfg(not(unix))]
fn permissions(flight: &mut Preflight, field: &str, _: &Path) {
    flight.unchecked("permissions", field, "not on this system");
}

#[cfg(target_os = "linux")]
fn kind(flight: &mut Preflight, field: &str, folder: &Path) {
    let found = match rustix::fs::statfs(folder) {
        Ok(found) => found,
        Err(error) => return flight.unchecked("durability", field, &error.to_string()),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a magic number has 32 bits")]
    let magic = found.f_type as u32;
    match FORGETFUL.iter().find(|(known, ..)| *known == magic) {
        Some((_, name, words)) => {
            let fix = "keep this folder on a disk of this machine, in containers in a volume";
            flight.warn("durability", field, folder.display(), format!("{name}: {words}"), fix);
        }
        None => flight.good("durability", field, folder.display(), "no file system that is known to forget"),
    }
}

#[cfg(not(target_os = "linux"))]
fn kind(flight: &mut Preflight, field: &str, _: &Path) {
    flight.unchecked("durability", field, "the kind of file system is not looked at on this system");
}

#[cfg(unix)]
fn room(flight: &mut Preflight, field: &str, folder: &Path, existing: &Path) {
    let found = match rustix::fs::statvfs(existing) {
        Ok(found) => found,
        Err(error) => return flight.unchecked("room", field, &error.to_string()),
    };
    let free_mib = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
    let words = format!("{free_mib} MiB are free");
    if free_mib < FREE_MIB_MIN {
        let fix = format!("make room: at least {FREE_MIB_MIN} MiB");
        flight.problem("room", unusable(field, folder, words, &fix));
    } else if free_mib < FREE_MIB_WARNED {
        flight.warn("room", field, folder.display(), words, "a full disk stops all releases: make room");
    } else {
        flight.good("room", field, folder.display(), words);
    }
}

#[cfg(not(unix))]
fn room(flight: &mut Preflight, field: &str, _: &Path, _: &Path) {
    flight.unchecked("room", field, "not on this system");
}

fn unusable(field: &str, folder: &Path, problem: impl std::fmt::Display, fix: &str) -> Fault {
    Fault::new(Exit::BadInput, "unusable-folder", field, folder.display().to_string(), problem, fix)
}

/// Verifies the ledger, on a copy; one that is not there yet is made at the first start.
pub fn ledger(flight: &mut Preflight, path: &Path) {
    let shown = path.display();
    if !path.exists() {
        return flight.good("ledger", "ledger", shown, "not there yet; the first start makes it");
    }
    permissions(flight, "ledger", path);
    match verify(path) {
        Ok(found) if found.valid => {
            let words = format!(
                "{} entries, each in order; head {}: compare it with the one you noted last",
                found.entries, found.head
            );
            flight.good("ledger", "ledger", shown, words);
        }
        Ok(found) => {
            let bad = found.first_bad.map_or_else(String::new, |bad| bad.to_string());
            let problem = format!("it does not verify: {bad}; the first {} entries are good", found.entries);
            let fix = "do not start on it; restore a good copy and compare its head";
            flight.problem(
                "ledger",
                Fault::new(Exit::Verification, "corrupt-ledger", "ledger", shown.to_string(), problem, fix),
            );
        }
        Err(error) => flight.problem("ledger", unverified(error, path)),
    }
}

/// Tells who has the book at `path` open, if anybody has. `check` names the kind of book.
pub fn opened(flight: &mut Preflight, check: &'static str, path: &Path) {
    let Some(holder) = holder(path) else { return };
    if flight.running {
        return flight.runs(check, check, path.display(), format!("{holder} has it open: the role itself"));
    }
    let mut fault = Fault::from(LedgerError::InUse { path: path.to_owned() });
    fault.message = format!("{check} {}: {holder} has it open", path.display());
    "stop that process first: a book has one writer".clone_into(&mut fault.fix);
    flight.problem(check, fault);
}

/// Who has the book at `path` open. Reads SQLite's lock on it, which opens no book and leaves the file as it is: a process
/// that has a book open locks these bytes for itself alone (SQLite, os_unix.c).
#[cfg(unix)]
pub fn holder(path: &Path) -> Option<String> {
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    const PENDING_BYTE: u64 = 0x4000_0000;
    const LOCK_BYTES: u64 = 512;
    let book = File::open(path).ok()?;
    let lock = Flock { start: PENDING_BYTE, length: LOCK_BYTES, ..FlockType::ReadLock.into() };
    let held = fcntl_getlk(&book, &lock).ok().flatten()?;
    // A process of another container has no number here.
    let number = held.pid.map(|pid| format!("process {}", pid.as_raw_nonzero()));
    Some(number.unwrap_or_else(|| "a process of another container or machine".to_owned()))
}

#[cfg(not(unix))]
pub fn holder(_: &Path) -> Option<String> {
    None
}

/// Verifies a silo's guard book, on a copy, and tells what is left under the cap that the settings give.
pub fn guard_book(flight: &mut Preflight, path: &Path, queries_max: u64) {
    let shown = path.display();
    if !path.exists() {
        return flight.good("guard", "guard book", shown, "not there yet; the first start makes it");
    }
    match GuardBook::inspect(path) {
        Ok(found) => {
            let left = queries_max.saturating_sub(found.used);
            let words = format!(
                "{} entries, each in order; {} of {queries_max} queries are used, {left} left",
                found.entries, found.used
            );
            if left == 0 {
                let fix = "raise limits.queries_max, if this silo means to answer more";
                flight.warn("guard", "limits.queries_max", queries_max, words, fix);
            } else {
                flight.good("guard", "guard book", shown, words);
            }
        }
        Err(error) => flight.problem("guard", unverified(error, path)),
    }
}

/// A file that is no book of ours did not verify either, wherever else it would be a usage error.
fn unverified(error: LedgerError, path: &Path) -> Fault {
    let verification = matches!(error, LedgerError::Corrupt { .. } | LedgerError::NotALedger { .. });
    let mut fault = Fault::from(error);
    if verification {
        fault.exit = Exit::Verification;
        fault.value = path.display().to_string();
    }
    fault
}

/// Magic number (statfs(2)), name, and why not.
#[cfg(target_os = "linux")]
const FORGETFUL: [(u32, &str, &str); 8] = [
    (0x0102_1994, "tmpfs", "it is memory, and a restart of the machine or container empties it"),
    (0x8584_58F6, "ramfs", "it is memory, and a restart of the machine empties it"),
    (0x794C_7630, "overlayfs", "it is a container's own layer, and goes with the container"),
    (0x0000_6969, "NFS", NETWORK),
    (0xFF53_4D42, "CIFS", NETWORK),
    (0xFE53_4D42, "SMB", NETWORK),
    (0x0102_1997, "9p", NETWORK),
    (0x6573_5546, "FUSE", "whether it keeps what it acknowledged depends on the program behind it"),
];
#[cfg(target_os = "linux")]
const NETWORK: &str = "it is a network file system, whose locks and flushes are not dependable";
const FLUSHES: u8 = 3;
const TRIAL_BYTES: usize = 64 << 10;
/// Below this a campaign of some thousand queries may not fit.
#[cfg(unix)]
const FREE_MIB_MIN: u64 = 64;
#[cfg(unix)]
const FREE_MIB_WARNED: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Verdict;

    fn looked(field: &str, path: &Path, private: bool) -> Preflight {
        let mut flight = Preflight::of("teacher");
        folder(&mut flight, field, path, private);
        flight
    }

    #[test]
    fn a_folder_is_tried_and_left_as_it_was_also_before_it_exists() {
        let scratch = tempfile::tempdir().unwrap();
        for path in [scratch.path().to_owned(), scratch.path().join("not/yet")] {
            let flight = looked("state_dir", &path, false);
            assert!(flight.error().is_none(), "{flight:?}");
            assert_eq!(flight.checks()[0].check, "storage");
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left behind");
        }
    }

    #[test]
    fn a_file_in_the_way_is_a_problem_with_field_value_and_fix() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let flight = looked("state_dir", &file.join("state"), false);
        let fault = flight.error().unwrap();
        assert_eq!((fault.exit, fault.field.as_str()), (Exit::BadInput, "state_dir"));
        assert!(fault.message.contains("not a folder") && !fault.fix.is_empty(), "{fault}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_known_to_forget() {
        let memory = Path::new("/dev/shm");
        if rustix::fs::statfs(memory).is_ok_and(|found| found.f_type == 0x0102_1994) {
            let flight = looked("state_dir", memory, false);
            let found = flight.checks().iter().find(|finding| finding.check == "durability").unwrap();
            assert_eq!(found.verdict, Verdict::Warning);
            assert!(found.message.contains("tmpfs") && found.fix.contains("volume"), "{found:?}");
        } else {
            eprintln!("skipped: /dev/shm is no tmpfs here");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_state_folder_or_a_ledger_that_others_may_read_is_warned_of_with_the_command() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let flight = looked("state_dir", scratch.path(), true);
        let found = flight.checks().iter().find(|finding| finding.check == "permissions").unwrap();
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.fix.starts_with("chmod 700"), "{found:?}");

        let file = scratch.path().join("ledger.db");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut flight = Preflight::of("aggregator");
        ledger(&mut flight, &file);
        let found = flight.checks().iter().find(|finding| finding.check == "permissions").unwrap();
        assert!(found.fix.starts_with("chmod 600"), "{found:?}");
    }

    #[test]
    fn a_book_that_is_none_does_not_verify() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("ledger.db");
        fs::write(&path, "not a ledger").unwrap();
        for look in [ledger, |flight: &mut Preflight, path: &Path| guard_book(flight, path, 10)] {
            let mut flight = Preflight::of("aggregator");
            look(&mut flight, &path);
            assert_eq!(flight.error().unwrap().exit, Exit::Verification, "{flight:?}");
        }
    }
}
