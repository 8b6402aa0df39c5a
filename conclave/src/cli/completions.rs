//! `conclave completions`: tab completion for a shell.

use clap_complete::Shell;
use serde::Serialize;

use super::{Console, Exit, Fault};

/// Print a script that completes conclave's commands and flags in a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script to stdout.
pub fn run(args: &CompletionsArgs, console: &Console) -> Result<Exit, Fault> {
    #[derive(Serialize)]
    struct Completions {
        shell: String,
        script: String,
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::grammar(), "conclave", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let completions = Completions { shell: args.shell.to_string(), script };
    console.result(|| completions.script.clone(), &completions)?;
    Ok(Exit::Done)
}
