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
    /// List the data sets inside this program
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

/// A data set inside the program.
#[derive(Serialize)]
struct BuiltIn {
    name: &'static str,
    what: &'static str,
    rows: &'static str,
    source: &'static str,
    licence: &'static str,
}

const BUILT_IN: [BuiltIn; 1] = [BuiltIn {
    name: "optdigits",
    what: "handwritten digits, 8×8 grey values from 0 to 16, 10 classes",
    rows: "3823 private (30 writers); 900 pool and 897 test (13 other writers, dealt by seed)",
    source: "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI 1998, doi 10.24432/C50P49",
    licence: "CC BY 4.0",
}];

fn list(console: &Console) -> Result<Exit, Fault> {
    let words = || {
        let mut text = String::new();
        for BuiltIn { name, what, rows, source, licence } in &BUILT_IN {
            let _ = writeln!(
                text,
                "{name}\n  what     {what}\n  rows     {rows}\n  source   {source}\n  licence  {licence}"
            );
        }
        text + "\nAny CSV file can be used by its path: conclave simulate --dataset FILE.csv --label COLUMN\n"
    };
    console.result(words, &serde_json::json!({ "datasets": BUILT_IN }))?;
    Ok(Exit::Done)
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
}

#[derive(Serialize)]
struct ClassRows {
    name: String,
    rows: usize,
}

fn describe(source: &Source, console: &Console) -> Result<Exit, Fault> {
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
    };
    console.result(|| described.to_text(), &described)?;
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
    let rows = pool.spec()?.load()?.without_labels();
    let features = FeatureSpec::for_schema(rows.schema());
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
