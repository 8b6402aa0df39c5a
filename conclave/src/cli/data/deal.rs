//! `conclave data partition`: one data set to the files of a trial cluster.
//!
//! ```text
//! OUT/pool/NAME.csv   OUT/test/NAME.csv   OUT/organisation-1/NAME.csv   OUT/organisation-2/NAME.csv   …
//! ```
//!
//! All files have the same name because a table's schema is called after its file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use conclave_learning::datasets::write_csv;
use conclave_learning::dealing::Dealing;
use serde::Serialize;

use super::source::Source;
use super::write_new;
use crate::cli::simulate::partition;
use crate::cli::{Console, Exit, Fault};

/// What to deal to whom.
#[derive(Debug, clap::Args)]
pub(super) struct DealArgs {
    #[command(flatten)]
    source: Source,
    /// How many organisations
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    organisations: u32,
    /// How rows are dealt: iid, dirichlet:ALPHA, by:COLUMN, or sizes:A,B,...
    #[arg(long, value_name = "PARTITION", value_parser = partition, default_value = "iid")]
    partition: Dealing,
    /// Seeds the split and the dealing
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// A new directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Part {
    role: String,
    rows: usize,
    path: PathBuf,
}

pub(super) fn run(args: &DealArgs, console: &Console) -> Result<Exit, Fault> {
    let splits = args.source.spec()?.splits(args.seed)?;
    let shape = splits.pool.schema().shape().to_vec();
    let shards = args.partition.deal(&splits.private, args.organisations, args.seed)?;
    let mut datasets = vec![("pool".to_owned(), splits.pool), ("test".to_owned(), splits.test)];
    datasets.extend((1..).zip(shards).map(|(number, shard)| (format!("organisation-{number}"), shard)));
    let mut parts = Vec::new();
    for (role, data) in datasets {
        let path = args.out.join(&role).join(format!("{}.csv", data.schema().name()));
        make_parent(&path)?;
        let mut table = Vec::new();
        write_csv(&data, &mut table).expect("memory takes all that is written");
        write_new(&path, &table)?;
        parts.push(Part { role, rows: data.rows(), path });
    }
    let words = || {
        let mut text = String::new();
        for Part { role, rows, path } in &parts {
            let _ = writeln!(text, "{role:<18} {rows:>8} rows  {}", path.display());
        }
        if shape.len() > 1 {
            let _ = writeln!(
                text,
                "\nRows have the shape {shape:?}. To keep it, say shape = {shape:?} in all settings that read them, and --shape {} to `conclave data manifest`; all or none.",
                shape.iter().map(u32::to_string).collect::<Vec<_>>().join("x")
            );
        }
        text
    };
    console.result(words, &serde_json::json!({ "parts": parts, "shape": shape }))?;
    Ok(Exit::Done)
}

fn make_parent(path: &Path) -> Result<(), Fault> {
    let parent = path.parent().expect("the path ends in a role and a file name");
    fs::create_dir_all(parent).map_err(|error| {
        let shown = parent.display().to_string();
        Fault::input("unusable-directory", "--out", shown, error, "name a directory that can be made")
    })
}
