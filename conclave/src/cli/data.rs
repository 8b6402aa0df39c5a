//! `conclave data`: what is there to learn from, and the public manifest of a pool.
//!
//! It prints figures about the files that it is given. Run on private rows, what it prints is private too.

mod deal;
mod source;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use conclave_learning::datasets::{DATA_DIR, KNOWN, Known, KnownFile, Presence};
use conclave_learning::features::{FeatureSpace, FeatureSpec};
use conclave_proto::ids::FeaturesDigest;
use conclave_student::query_selection;
use serde::Serialize;

use super::{Console, Exit, Fault};
use source::Source;

/// List and describe data sets, write the manifest of a public pool, deal rows for a trial
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the data sets that are known by name: licence, source, digests, and whether they are here
    List,
    /// Tell rows, shape and classes of a data set; on private rows, the output is private
    Describe(Source),
    /// Write the manifest of a public pool: the names of its examples, for the aggregator
    Manifest {
        #[command(flatten)]
        pool: Source,
        /// A new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Split a data set into pool, test rows and one CSV file per organisation, to try a cluster with
    Partition(deal::DealArgs),
}

/// Runs one of the actions.
pub fn run(args: DataArgs, console: &Console) -> Result<Exit, Fault> {
    match args.action {
        Action::List => list(console),
        Action::Describe(source) => describe(&source, console),
        Action::Manifest { pool, out } => manifest(&pool, &out, console),
        Action::Partition(deal) => deal::run(&deal, console),
    }
}

/// The folder of larger data sets, if there is one: each in a folder of its own name.
pub(crate) fn data_dir() -> Option<PathBuf> {
    std::env::var_os(DATA_DIR).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// A data set that is known by name, and whether it can be used here.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    known: Known,
    here: Presence,
}

fn list(console: &Console) -> Result<Exit, Fault> {
    let folder = data_dir();
    let listed = KNOWN.map(|known| Listed { known, here: known.presence(folder.as_deref()) });
    let words = || {
        let mut text = String::new();
        for Listed { known, here } in &listed {
            let here = match here {
                Presence::BuiltIn => "yes, inside this program".to_owned(),
                Presence::Present => format!("yes, in the folder that {DATA_DIR} names"),
                Presence::Absent { fix } => format!("no; {fix}"),
            };
            let Known { name, what, rows, .. } = known;
            let _ = writeln!(
                text,
                "{name}\n  what     {what}\n  rows     {rows}\n{}  here     {here}",
                origin(known)
            );
        }
        text + "\nAny CSV file can be used by its path: conclave simulate --dataset FILE.csv --label COLUMN\n"
    };
    console.result(words, &serde_json::json!({ "datasets": listed }))?;
    Ok(Exit::Done)
}

/// Whose a data set is, under which licence, and which bytes it is.
fn origin(known: &Known) -> String {
    let mut text = format!("  source   {}\n  licence  {}\n", known.source, known.licence);
    for KnownFile { name, sha256 } in known.files {
        let _ = writeln!(text, "  SHA-256  {sha256}  {name}");
    }
    text
}

#[derive(Serialize)]
struct Described {
    name: String,
    rows: usize,
    shape: Vec<u32>,
    features: usize,
    classes: Vec<ClassRows>,
    subjects: Option<usize>,
    schema_digest: String,
    #[serde(flatten)]
    known: Option<Origin>,
}

#[derive(Serialize)]
struct ClassRows {
    name: String,
    rows: usize,
}

#[derive(Serialize)]
struct Origin {
    source: &'static str,
    licence: &'static str,
    files: &'static [KnownFile],
}

fn describe(source: &Source, console: &Console) -> Result<Exit, Fault> {
    let known = source.known();
    let data = source.spec()?.load()?;
    let schema = data.schema();
    let mut classes: Vec<ClassRows> =
        schema.class_names().iter().map(|name| ClassRows { name: name.clone(), rows: 0 }).collect();
    for label in data.labels().into_iter().flatten() {
        classes[label.index()].rows += 1;
    }
    let distinct = |names: &[String]| names.iter().collect::<std::collections::BTreeSet<_>>().len();
    let described = Described {
        name: schema.name().to_owned(),
        rows: data.rows(),
        shape: schema.shape().to_vec(),
        features: schema.width(),
        classes,
        subjects: data.subjects().map(distinct),
        schema_digest: FeaturesDigest::new(schema.digest()).to_string(),
        known: known.map(|&Known { source, licence, files, .. }| Origin { source, licence, files }),
    };
    console.result(|| described.to_text() + &known.map(origin).unwrap_or_default(), &described)?;
    Ok(Exit::Done)
}

impl Described {
    fn to_text(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(u32::to_string).collect();
        let mut text = format!(
            "{}\n  rows      {}\n  shape     {} ({} features)\n",
            self.name,
            self.rows,
            shape.join("×"),
            self.features
        );
        if let Some(subjects) = self.subjects {
            let _ = writeln!(text, "  subjects  {subjects}");
        }
        let _ = writeln!(text, "  schema    {}\n  classes   {}", self.schema_digest, self.classes.len());
        for class in &self.classes {
            let _ = writeln!(text, "    {:<20} {} rows", class.name, class.rows);
        }
        text
    }
}

fn manifest(pool: &Source, out: &Path, console: &Console) -> Result<Exit, Fault> {
    let spec = pool.spec()?;
    let rows = spec.load()?.without_labels();
    let features = spec.features(rows.schema());
    let space = FeatureSpace::fit(&features, &rows)?;
    let manifest = query_selection::manifest(&rows, &space).map_err(|error| {
        Fault::from_words(Exit::BadInput, "unusable-pool", "pool", "", &error.to_string())
    })?;
    write_new(out, manifest.to_text().as_bytes())?;
    let written = Written {
        queries: manifest.queries().len(),
        classes: manifest.class_names().to_vec(),
        pool: manifest.digest().to_string(),
        features_digest: manifest.features().to_string(),
        features,
        out: out.to_owned(),
    };
    console.result(|| written.to_text(), &written)?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Written {
    queries: usize,
    classes: Vec<String>,
    pool: String,
    features_digest: String,
    features: FeatureSpec,
    out: PathBuf,
}

impl Written {
    fn to_text(&self) -> String {
        let keys = toml::to_string(&self.features).unwrap_or_default();
        let inline: Vec<&str> = keys.lines().collect();
        format!(
            "{} examples, {} classes, written to {}\n  pool      {}\n  features  {}\n\n\
             Every party's settings must name the same pool and, under [pool]:\n  features = {{ {} }}\n",
            self.queries,
            self.classes.len(),
            self.out.display(),
            self.pool,
            self.features_digest,
            inline.join(", "),
        )
    }
}

/// Writes a file that did not exist before.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    File::create_new(path).and_then(|mut file| file.write_all(bytes)).map_err(|error| {
        let shown = path.display().to_string();
        Fault::input("unwritable-file", "--out", shown, error, "name a new file in a writable directory")
    })
}
