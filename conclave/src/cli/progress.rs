//! How far a long command has come: bars on a terminal, one line per step elsewhere, nothing with `--format json`.
//!
//! All of it goes to stderr. What is shown is public: steps, queries asked and answered; never a vote or a count.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{Console, Format};

/// Where steps are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Redrawn bars on a terminal.
    Bars,
    /// One line when a step starts.
    Lines,
    /// Nowhere.
    Silent,
}

/// One step under way; it ends when dropped.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
}

impl Progress {
    /// What suits this console.
    pub fn on(console: &Console) -> Self {
        match console.format() {
            Format::Json => Self::Silent,
            Format::Text if console.redraws() => Self::Bars,
            Format::Text => Self::Lines,
        }
    }

    /// Starts a step of unknown length.
    pub fn step(self, what: &str) -> Step {
        self.start(what, None)
    }

    /// Starts a step of `total` parts.
    pub fn counted(self, what: &str, total: u64) -> Step {
        self.start(what, Some(total))
    }

    fn start(self, what: &str, total: Option<u64>) -> Step {
        if self == Self::Lines {
            // A stderr that is gone is nobody's concern.
            let _ = writeln!(std::io::stderr().lock(), "{what}");
        }
        if self != Self::Bars {
            return Step { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = if total.is_some() { COUNTED } else { OPEN };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates below are well-formed"));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(REDRAW);
        Step { bar }
    }
}

impl Step {
    /// So many more parts are done.
    pub fn advance(&self, parts: u64) {
        self.bar.inc(parts);
    }

    /// So many parts are done in all.
    pub fn reached(&self, parts: u64) {
        self.bar.set_position(parts);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish();
    }
}

const COUNTED: &str = "{msg:<42} {bar:30} {pos}/{len} {elapsed}";
const OPEN: &str = "{msg:<42} {spinner} {elapsed}";
const REDRAW: Duration = Duration::from_millis(100);
