//! `conclave provision`: an authority for a consortium, and one kit per party.
//!
//! ```text
//! OUT/authority/   ca.pem  ca-key.pem   stays with whoever runs the consortium
//! OUT/ROLE-ORGANISATION-NAME/   ca.pem  cert.pem  key.pem   goes to that party, and to nobody else
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use conclave_service::authority::{Authority, DEFAULT_VALIDITY_DAYS};
use conclave_service::clock::WallClock;
use conclave_service::{Identity, Role};
use serde::Serialize;

use super::{Console, Exit, Fault};

/// Make an authority for a consortium, and one kit (certificate and key) per party
///
/// A party proves who it is with its kit. Compare the printed fingerprint by telephone before using a kit.
#[derive(Debug, clap::Args)]
pub struct ProvisionArgs {
    /// The consortium's name, as it will stand in every certificate
    #[arg(long, value_name = "NAME", required_unless_present = "authority")]
    consortium: Option<String>,
    /// Where to put authority and kits: a new or empty directory, unless --authority names an authority
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A party that gets a kit; the role is aggregator, teacher, student, client or operator. May be given many times
    #[arg(long, value_name = "ROLE/ORGANISATION/NAME", required_unless_present = "silos")]
    party: Vec<String>,
    /// Shorthand for an aggregator, a student, a client and an operator of organisation `hub`, and one teacher node for each of N silos
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    silos: Option<u32>,
    /// Add parties under the authority in this directory instead of making one
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// For how many days the kits are valid
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_VALIDITY_DAYS)]
    days: u32,
}

#[derive(Debug, Serialize)]
struct Provisioned {
    consortium: String,
    fingerprint: String,
    authority: PathBuf,
    kits: Vec<IssuedKit>,
}

#[derive(Debug, Serialize)]
struct IssuedKit {
    identity: String,
    directory: PathBuf,
    days: u32,
}

/// Makes what is missing and says what goes to whom. Nothing is written before everything is checked.
pub fn run(args: &ProvisionArgs, console: &Console) -> Result<Exit, Fault> {
    let now_ms = WallClock::now_ms();
    let authority = match (&args.authority, &args.consortium) {
        (Some(dir), wanted) => existing(dir, wanted.as_deref())?,
        (None, wanted) => {
            refuse_non_empty(&args.out)?;
            Authority::create(wanted.as_deref().unwrap_or_default(), now_ms)?
        }
    };
    let mut kits = Vec::new();
    for identity in parties(args, authority.consortium())? {
        let directory = args.out.join(folder_of(&identity));
        refuse_non_empty(&directory)?;
        kits.push((authority.issue(&identity, args.days, now_ms)?, directory));
    }
    let authority_dir = args.authority.clone().unwrap_or_else(|| args.out.join("authority"));
    if args.authority.is_none() {
        authority.save(&authority_dir)?;
    }
    for (kit, directory) in &kits {
        kit.save(directory)?;
    }
    let issued = |(kit, directory): (conclave_service::Kit, PathBuf)| IssuedKit {
        identity: kit.identity().to_string(),
        directory,
        days: args.days,
    };
    let provisioned = Provisioned {
        consortium: authority.consortium().to_owned(),
        fingerprint: authority.fingerprint(),
        authority: authority_dir,
        kits: kits.into_iter().map(issued).collect(),
    };
    console.result(|| provisioned.to_text(), &provisioned)?;
    Ok(Exit::Done)
}

impl Provisioned {
    fn to_text(&self) -> String {
        let mut text = format!(
            "Consortium {}. Its authority is in {}: keep ca-key.pem where nobody else can read it.\n\n\
             Fingerprint of ca.pem; read it to every party over the telephone before they use a kit:\n  {}\n\n\
             Kits; each goes to its party and to nobody else:\n",
            self.consortium,
            self.authority.display(),
            self.fingerprint,
        );
        let width = self.kits.iter().map(|kit| kit.identity.len()).max().unwrap_or_default();
        for kit in &self.kits {
            let _ = writeln!(text, "  {:width$}  {}/", kit.identity, kit.directory.display());
        }
        let days = self.kits.first().map_or(0, |kit| kit.days);
        let _ = writeln!(
            text,
            "\nThey are valid for {days} days. To add a party later, use --authority {}.",
            self.authority.display()
        );
        text
    }
}

fn existing(dir: &Path, wanted: Option<&str>) -> Result<Authority, Fault> {
    let authority = Authority::load(dir)?;
    match wanted {
        Some(name) if name != authority.consortium() => Err(Fault::input(
            "wrong-consortium",
            "--consortium",
            name,
            format!("the authority in {} is that of {}", dir.display(), authority.consortium()),
            "leave --consortium out, or name another authority",
        )),
        _ => Ok(authority),
    }
}

fn parties(args: &ProvisionArgs, consortium: &str) -> Result<Vec<Identity>, Fault> {
    let mut identities = Vec::new();
    if let Some(silos) = args.silos {
        for role in [Role::Aggregator, Role::Student, Role::Client, Role::Operator] {
            identities.push(Identity::new(consortium, role, "hub", role.as_str())?);
        }
        for silo in 1..=silos {
            identities.push(Identity::new(consortium, Role::Teacher, &format!("silo-{silo}"), "node")?);
        }
    }
    for party in &args.party {
        let parts: Vec<&str> = party.split('/').collect();
        let [role, organisation, name] = parts[..] else {
            return Err(Fault::input(
                "invalid-party",
                "--party",
                party,
                "is not ROLE/ORGANISATION/NAME",
                "write for example teacher/north-hospital/node",
            ));
        };
        identities.push(Identity::new(consortium, role.parse()?, organisation, name)?);
    }
    let mut seen = BTreeSet::new();
    match identities.iter().find(|identity| !seen.insert(*identity)) {
        Some(twice) => Err(Fault::input(
            "repeated-party",
            "--party",
            twice.to_string(),
            "is named twice",
            "name each party once",
        )),
        None => Ok(identities),
    }
}

fn folder_of(identity: &Identity) -> String {
    // Names may contain hyphens, so two parties could share a folder's name; the second is then refused, not overwritten.
    format!("{}-{}-{}", identity.role(), identity.organisation(), identity.name())
}

fn refuse_non_empty(dir: &Path) -> Result<(), Fault> {
    let shown = dir.display().to_string();
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(false) => Err(Fault::input(
            "directory-not-empty",
            "--out",
            shown,
            "is not empty",
            "name a new directory, or add parties with --authority DIR",
        )),
        Err(error) => Err(Fault::input(
            "unusable-directory",
            "--out",
            shown,
            error,
            "name a directory that can be made",
        )),
    }
}
