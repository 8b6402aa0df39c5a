//! Who the role is and where it listens: kit, certificate and its days, address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use conclave_service::admin::AdminConfig;
use conclave_service::clock::WallClock;
use conclave_service::{Kit, Role, ServiceError, health};

use super::Preflight;
use crate::cli::Fault;

/// Loads the kit as the role would, and tells how long its certificates last. `None` in plain text, or after a problem.
pub fn kit(flight: &mut Preflight, role: Role, folder: Option<&Path>, plaintext: bool) -> Option<Kit> {
    let (folder, now_ms) = match (folder, plaintext) {
        (Some(folder), false) => (folder, WallClock::now_ms()),
        (None, true) => {
            let words = "plain text on loopback, without identities: for trials on one machine only";
            flight.warn("kit", "plaintext_loopback", true, words, "give a kit before others take part");
            return None;
        }
        (folder, _) => {
            let value = if folder.is_some() { "beside plaintext_loopback" } else { "absent" };
            let fix = "give either a kit (mutual TLS) or plaintext_loopback, not both";
            flight.problem("kit", Fault::input("invalid-setting", "kit", value, "cannot be used", fix));
            return None;
        }
    };
    let kit = match Kit::load(folder, now_ms) {
        Ok(kit) => kit,
        Err(error) => {
            flight.problem("kit", error.into());
            return None;
        }
    };
    let (identity, shown) = (kit.identity(), folder.display().to_string());
    if identity.role() != role {
        let problem = format!("it is that of {identity}");
        let fix = format!("give the kit of a {role}");
        flight.problem("kit", Fault::input("wrong-kit", "kit", shown, problem, fix));
        return None;
    }
    flight.good(
        "kit",
        "kit",
        &shown,
        format!("{identity}; its key is for its owner alone, and the authority signed it"),
    );
    days(
        flight,
        "certificate",
        kit.days_left(now_ms),
        "have it issued again with `conclave provision --authority`",
    );
    match kit.authority_days_left(now_ms) {
        Some(left) => {
            days(flight, "authority", left, "plan a new authority: every kit has to be issued anew");
        }
        None => flight.unchecked("authority", "ca.pem", "its dates cannot be read"),
    }
    Some(kit)
}

fn days(flight: &mut Preflight, what: &'static str, left: i64, fix: &str) {
    let words = if left < 0 { format!("expired {} days ago", -left) } else { format!("{left} days left") };
    if left < DAYS_LEFT_WARNED {
        flight.warn(what, "days left", left, words, fix);
    } else {
        flight.good(what, "days left", left, words);
    }
}

/// Whether the role itself listens on `address` already: whoever does shows the same kit.
pub async fn answers(address: SocketAddr, kit: Option<&Path>) -> bool {
    taken(address).is_some_and(|fault| is_in_use(&fault)) && health::look(address, kit).await.is_ok()
}

/// Whether the role could listen on `address`, the setting `field`.
pub async fn listen(flight: &mut Preflight, field: &'static str, address: SocketAddr, kit: Option<&Path>) {
    let Some(source) = hindrance(flight, field, address) else { return };
    let in_use = is_in_use(&source);
    let mut fault = Fault::from(ServiceError::listening(field, address, source));
    if in_use && health::look(address, kit).await.is_ok() {
        let (who, fix) = if kit.is_some() {
            (
                "a process with this kit listens there, on other files",
                "stop it, or give the settings that it runs with",
            )
        } else {
            (
                "a process without a kit listens there, which may be this role itself",
                "nothing, if it is; otherwise stop it, or choose another port",
            )
        };
        fault.message = format!("{field} {address}: {who}");
        fix.clone_into(&mut fault.fix);
    }
    flight.problem("listen", fault);
}

/// Whether the figures could be shown where the settings say, if anywhere.
pub fn admin(flight: &mut Preflight, config: AdminConfig) {
    const FIELD: &str = "admin.listen";
    // An address that is not allowed is told with the settings.
    let (Some(address), None) = (config.listen, config.fault()) else { return };
    if let Some(source) = hindrance(flight, FIELD, address) {
        flight.problem("listen", ServiceError::listening(FIELD, address, source).into());
    }
}

/// Tells that `address` is free, or taken by the role itself; else returns why nobody else can listen there.
fn hindrance(flight: &mut Preflight, field: &'static str, address: SocketAddr) -> Option<io::Error> {
    match taken(address) {
        None if flight.running => {
            let words = "nobody listens there, though the role runs: it was started with other settings";
            flight.warn("listen", field, address, words, "restart it, if these are meant");
        }
        None => flight.good("listen", field, address, "free, and this user may listen there"),
        Some(source) if flight.running && is_in_use(&source) => {
            flight.runs("listen", field, address, "taken, as it is while the role runs");
        }
        Some(source) => return Some(source),
    }
    None
}

/// Why nobody else can listen on `address` now.
fn taken(address: SocketAddr) -> Option<io::Error> {
    TcpListener::bind(address).err()
}

fn is_in_use(fault: &io::Error) -> bool {
    fault.kind() == io::ErrorKind::AddrInUse
}

/// Below this many days somebody should have new certificates made.
const DAYS_LEFT_WARNED: i64 = 30;
