//! `conclave budget`: what votes cost, before and after they are cast. Offline: nothing is charged anywhere.

mod account;
mod groups;
mod plan;
mod report;
mod votes;

use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use conclave_privacy::analysis::Selection;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::quantity::Scale;

use super::values::{positive, unknown};
use super::{Console, Exit, Fault};

/// Price votes under every accountant, offline
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true)]
pub struct BudgetArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Account(account::AccountArgs),
    Plan(plan::PlanArgs),
}

/// Runs one of the actions.
pub fn run(args: BudgetArgs, console: &Console) -> Result<Exit, Fault> {
    let done = match args.action {
        Action::Account(args) => account::run(&args, console),
        Action::Plan(args) => plan::run(&args, console),
    };
    done.map_err(by_flag)
}

/// The library names a quantity; whoever typed it knows the flag.
fn by_flag(fault: Fault) -> Fault {
    let flags = ["sigma", "sigma1", "scale", "threshold", "at", "teachers", "classes", "queries"];
    if !flags.contains(&fault.field.as_str()) {
        return fault;
    }
    let field = format!("--{}", fault.field);
    let message = match fault.message.strip_prefix(&format!("{} ", fault.field)) {
        Some(rest) => format!("{field} {rest}"),
        None => fault.message,
    };
    Fault { field, message, ..fault }
}

/// A mechanism that votes can be priced under: those of campaigns, and those that only the library draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VoteMechanism {
    LnMax,
    GnMax,
    ConfidentGnMax,
    InteractiveGnMax,
    Exponential,
    PermuteAndFlip,
}

/// A mechanism with its noise.
enum Priced {
    /// Noise on counts, whose costs may depend on them.
    Noisy(NoisyVote),
    /// Pure selection, whose costs never do.
    Selection(Selection),
}

/// A mechanism and its noise.
#[derive(Debug, clap::Args)]
struct NoiseFlags {
    /// What is drawn per query: lnmax, gnmax, confident-gnmax, interactive-gnmax, exponential, permute-and-flip
    #[arg(long, value_name = "MECHANISM")]
    mechanism: VoteMechanism,
    /// Laplace scale b on each count, in votes (lnmax); the scale of the exponents (exponential, permute-and-flip)
    #[arg(long, value_name = "B", value_parser = positive("scale"), allow_hyphen_values = true)]
    scale: Option<f64>,
    /// Standard deviation of the noise on each count, in votes (gnmax, confident-gnmax, interactive-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma"), allow_hyphen_values = true)]
    sigma: Option<f64>,
    /// Votes that the largest count must reach, noise included; for interactive-gnmax after what the student predicts is subtracted
    #[arg(long, value_name = "T", value_parser = positive("threshold"), allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// Standard deviation of the noise of the threshold test, in votes (confident-gnmax, interactive-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma1"), allow_hyphen_values = true)]
    sigma1: Option<f64>,
    /// What the student predicts, as public as itself: a probability per class, a row per query (interactive-gnmax)
    #[arg(long, value_name = "FILE.csv")]
    student_predictions: Option<PathBuf>,
}

impl VoteMechanism {
    const ALL: [Self; 6] = [
        Self::LnMax,
        Self::GnMax,
        Self::ConfidentGnMax,
        Self::InteractiveGnMax,
        Self::Exponential,
        Self::PermuteAndFlip,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::LnMax => "lnmax",
            Self::GnMax => "gnmax",
            Self::ConfidentGnMax => "confident-gnmax",
            Self::InteractiveGnMax => "interactive-gnmax",
            Self::Exponential => "exponential",
            Self::PermuteAndFlip => "permute-and-flip",
        }
    }

    /// The flags that it takes, all of them.
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::LnMax | Self::Exponential | Self::PermuteAndFlip => &["--scale"],
            Self::GnMax => &["--sigma"],
            Self::ConfidentGnMax => &["--sigma", "--threshold", "--sigma1"],
            Self::InteractiveGnMax => &["--sigma", "--threshold", "--sigma1", "--student-predictions"],
        }
    }
}

impl FromStr for VoteMechanism {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|mechanism| mechanism.as_str() == text);
        found.ok_or_else(|| unknown("mechanism", text, &Self::ALL.map(Self::as_str)))
    }
}

impl NoiseFlags {
    /// The mechanism; refuses noise that is missing, and noise that it does not have.
    fn priced(&self) -> Result<Priced, Fault> {
        let name = self.mechanism;
        let text = |value: Option<f64>| value.map(|value| value.to_string());
        let predictions = self.student_predictions.as_ref().map(|path| path.display().to_string());
        let given = [
            ("--scale", text(self.scale)),
            ("--sigma", text(self.sigma)),
            ("--threshold", text(self.threshold)),
            ("--sigma1", text(self.sigma1)),
            ("--student-predictions", predictions),
        ];
        let needs = || format!("{} takes {}", name.as_str(), name.flags().join(", "));
        for (flag, value) in given {
            match (name.flags().contains(&flag), value) {
                (true, None) => return Err(Fault::input("missing-flag", flag, "", "is missing", needs())),
                (false, Some(value)) => {
                    return Err(Fault::input(
                        "superfluous-flag",
                        flag,
                        value,
                        "has no meaning here",
                        needs(),
                    ));
                }
                _ => {}
            }
        }
        let scale = |value: Option<f64>| Scale::new(value.unwrap_or_default());
        Ok(match name {
            VoteMechanism::LnMax => Priced::Noisy(NoisyVote::LnMax { scale: scale(self.scale)? }),
            VoteMechanism::GnMax => Priced::Noisy(NoisyVote::GnMax { sigma: scale(self.sigma)? }),
            VoteMechanism::ConfidentGnMax | VoteMechanism::InteractiveGnMax => {
                Priced::Noisy(NoisyVote::ConfidentGnMax {
                    threshold: self.threshold.unwrap_or_default(),
                    sigma1: scale(self.sigma1)?,
                    sigma2: scale(self.sigma)?,
                })
            }
            VoteMechanism::Exponential => {
                Priced::Selection(Selection::Exponential { scale: scale(self.scale)? })
            }
            VoteMechanism::PermuteAndFlip => {
                Priced::Selection(Selection::PermuteAndFlip { scale: scale(self.scale)? })
            }
        })
    }
}
