//! Kits and authorities on disk: what is saved loads again, and whatever does not fit is refused by file and fix.

use std::fs;
use std::path::Path;

use conclave_service::authority::{AUTHORITY_VALIDITY_DAYS, Authority, DEFAULT_VALIDITY_DAYS};
use conclave_service::clock::WallClock;
use conclave_service::{Identity, Kit, Role};
use tempfile::TempDir;

use crate::echo::{authority, kit, party};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn saved(kit: &Kit) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    kit.save(dir.path()).unwrap();
    dir
}

fn refusal(dir: &Path) -> String {
    Kit::load(dir, WallClock::now_ms()).unwrap_err().to_string()
}

#[test]
fn a_saved_kit_loads_with_its_identity_and_days() {
    let now_ms = WallClock::now_ms();
    let issued = authority().issue(&party(Role::Teacher, "t1"), DEFAULT_VALIDITY_DAYS, now_ms).unwrap();
    let loaded = Kit::load(saved(&issued).path(), now_ms).unwrap();
    assert_eq!(loaded.identity(), &party(Role::Teacher, "t1"));
    assert!((364..=365).contains(&loaded.days_left(now_ms)), "{}", loaded.days_left(now_ms));
    assert_eq!(loaded.days_left(now_ms + 364 * DAY_MS + DAY_MS / 2), 0);
    assert!(loaded.days_left(now_ms + 366 * DAY_MS) < 0);
}

#[test]
fn a_kit_does_not_show_its_key_when_printed() {
    let shown = format!("{:?}", kit(&authority(), Role::Teacher, "t1"));
    assert!(shown.contains("t1") && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn each_missing_or_malformed_file_is_named() {
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        let dir = saved(&kit(&authority(), Role::Teacher, "t1"));
        let path = dir.path().join(file);
        fs::write(&path, "not pem").unwrap();
        let words = refusal(dir.path());
        assert!(words.contains(file) && words.contains("holds no PEM"), "{words}");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        let words = refusal(dir.path());
        assert!(words.contains(file) && words.contains("is not text"), "{words}");
        fs::remove_file(&path).unwrap();
        let words = refusal(dir.path());
        assert!(words.contains(file) && words.contains("is missing"), "{words}");
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = saved(&kit(&authority(), Role::Teacher, "t1"));
    let key = dir.path().join("key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o610, 0o666] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let words = refusal(dir.path());
        assert!(words.contains(&format!("chmod 600 {}", key.display())), "{words}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Kit::load(dir.path(), WallClock::now_ms()).is_ok());
}

#[test]
fn files_of_different_kits_do_not_fit_together() {
    let (ours, foreign) = (authority(), authority());
    let dir = saved(&kit(&ours, Role::Teacher, "t1"));
    let other = saved(&kit(&ours, Role::Teacher, "t2"));
    let stranger = saved(&kit(&foreign, Role::Teacher, "t1"));

    fs::copy(other.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    let words = refusal(dir.path());
    assert!(words.contains("key.pem") && words.contains("does not belong"), "{words}");

    fs::copy(stranger.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    fs::copy(stranger.path().join("cert.pem"), dir.path().join("cert.pem")).unwrap();
    let words = refusal(dir.path());
    assert!(words.contains("cert.pem") && words.contains("foreign authority"), "{words}");
}

#[test]
fn expired_and_future_kits_are_refused_with_whose_they_are() {
    let (authority, now_ms) = (authority(), WallClock::now_ms());
    let identity = party(Role::Teacher, "t1");
    let expired = authority.issue(&identity, 1, now_ms - 10 * DAY_MS).unwrap();
    let words = refusal(saved(&expired).path());
    assert!(words.contains("conclave://demo/teacher/north/t1 expired 9 days ago"), "{words}");
    let dates = ["it is valid from", "GMT to", "GMT, and this machine's date is"];
    assert!(dates.iter().all(|part| words.contains(part)), "{words}");
    let future = authority.issue(&identity, 1, now_ms + DAY_MS).unwrap();
    let words = refusal(saved(&future).path());
    assert!(words.contains("not yet valid") && dates.iter().all(|part| words.contains(part)), "{words}");
}

#[test]
fn the_authoritys_own_certificate_is_no_kit() {
    let authority = authority();
    let dir = saved(&kit(&authority, Role::Teacher, "t1"));
    let home = tempfile::tempdir().unwrap();
    authority.save(home.path()).unwrap();
    fs::copy(home.path().join("ca.pem"), dir.path().join("cert.pem")).unwrap();
    let words = refusal(dir.path());
    assert!(words.contains("cert.pem") && words.contains("subject alternative name"), "{words}");
}

#[test]
fn nothing_existing_is_overwritten() {
    let authority = authority();
    let dir = saved(&kit(&authority, Role::Teacher, "t1"));
    let words = kit(&authority, Role::Teacher, "t2").save(dir.path()).unwrap_err().to_string();
    assert!(words.contains("already exists"), "{words}");
    assert_eq!(Kit::load(dir.path(), WallClock::now_ms()).unwrap().identity().name(), "t1");

    let home = tempfile::tempdir().unwrap();
    authority.save(home.path()).unwrap();
    assert!(authority.save(home.path()).is_err());
}

#[test]
fn a_reloaded_authority_has_the_same_fingerprint_and_signs_kits_that_fit() {
    let (authority, home) = (authority(), tempfile::tempdir().unwrap());
    authority.save(home.path()).unwrap();
    let reloaded = Authority::load(home.path()).unwrap();
    assert_eq!(reloaded.consortium(), "demo");
    assert_eq!(reloaded.fingerprint(), authority.fingerprint());
    assert_eq!(reloaded.fingerprint().len(), 79);

    // The kit is signed by the reloaded authority, and its ca.pem is the original's.
    let dir = saved(&kit(&reloaded, Role::Teacher, "t1"));
    let home_ca = fs::read(home.path().join("ca.pem")).unwrap();
    assert_eq!(fs::read(dir.path().join("ca.pem")).unwrap(), home_ca);
    assert!(Kit::load(dir.path(), WallClock::now_ms()).is_ok());
}

#[cfg(unix)]
#[test]
fn an_authority_whose_key_is_shared_foreign_or_missing_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    authority().save(home.path()).unwrap();
    authority().save(other.path()).unwrap();
    let key = home.path().join("ca-key.pem");
    let refusal = || Authority::load(home.path()).unwrap_err().to_string();

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal().contains("chmod 600"));
    fs::copy(other.path().join("ca-key.pem"), &key).unwrap();
    assert!(refusal().contains("does not belong"), "{}", refusal());
    fs::remove_file(&key).unwrap();
    assert!(refusal().contains("is missing"));

    let kit_dir = saved(&kit(&authority(), Role::Teacher, "t1"));
    fs::copy(kit_dir.path().join("cert.pem"), home.path().join("ca.pem")).unwrap();
    fs::copy(kit_dir.path().join("key.pem"), &key).unwrap();
    assert!(refusal().contains("not the certificate of a consortium's authority"), "{}", refusal());
}

#[test]
fn an_authority_issues_only_for_its_consortium_and_lifetime() {
    let (authority, now_ms) = (authority(), WallClock::now_ms());
    let foreign = Identity::new("other", Role::Teacher, "north", "t1").unwrap();
    assert!(authority.issue(&foreign, 30, now_ms).unwrap_err().to_string().contains("another consortium"));
    for days in [0, AUTHORITY_VALIDITY_DAYS + 1, u32::MAX] {
        let words = authority.issue(&party(Role::Teacher, "t1"), days, now_ms).unwrap_err().to_string();
        assert!(words.contains(&format!("{days} days")), "{words}");
    }
    assert!(Authority::create("Not A Label", now_ms).is_err());
}
