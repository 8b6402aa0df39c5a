//! What a command says: its result on stdout, everything else on stderr.
//!
//! With `--format json` stdout carries exactly one JSON object (JSON lines where a command says so). A reader that went
//! away is no failure: what was asked for has been done, so the rest is left unsaid.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::fault::{Exit, Fault};

/// How results and failures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Words for people.
    #[default]
    Text,
    /// One JSON object on stdout.
    Json,
}

/// The two streams of a command.
#[derive(Debug)]
pub struct Console {
    format: Format,
    reader_left: Cell<bool>,
}

impl Console {
    /// A console that writes in `format`.
    pub const fn new(format: Format) -> Self {
        Self { format, reader_left: Cell::new(false) }
    }

    /// How results are written.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether stderr is a terminal, so that lines may be redrawn there.
    pub fn redraws(&self) -> bool {
        self.format == Format::Text && io::stderr().is_terminal()
    }

    /// Writes the result: `text` for people, `json` as one line for scripts.
    pub fn result(&self, text: impl FnOnce() -> String, json: &impl Serialize) -> Result<(), Fault> {
        match self.format {
            Format::Text => self.write(text().as_bytes()),
            Format::Json => self.write(&json_line(json)),
        }
    }

    /// Writes bytes to stdout as they are.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Fault> {
        if self.reader_left.get() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_left.set(true);
                Ok(())
            }
            Err(error) => Err(Fault::new(
                Exit::Other,
                "unwritable-output",
                "standard output",
                "",
                error,
                "write to another place",
            )),
            Ok(()) => Ok(()),
        }
    }

    /// One line on stderr, for people only.
    pub fn note(&self, line: &str) {
        if self.format == Format::Text {
            say(line);
        }
    }

    /// The last words of a command that failed, once: on stderr as text, on stdout as JSON.
    pub fn fail(&self, fault: &Fault) {
        #[derive(Serialize)]
        struct Failed<'a> {
            error: &'a Fault,
        }
        match self.format {
            Format::Text => say(&format!("conclave: {fault}")),
            Format::Json => {
                if let Err(unwritable) = self.write(&json_line(&Failed { error: fault })) {
                    say(&format!("conclave: {unwritable}"));
                }
            }
        }
    }
}

/// One line on stderr; a stderr that is gone is nobody's concern.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line =
        serde_json::to_vec(value).expect("our results have text keys and finite or null numbers only");
    line.push(b'\n');
    line
}
