//! `conclave budget`: what votes cost, before and after they are cast. Offline: nothing is charged anywhere.

mod account;
mod plan;
mod report;
mod votes;

use clap::Subcommand;
use conclave_privacy::data_dependent::NoisyVote;
use conclave_privacy::quantity::Scale;

use super::simulate::MechanismName;
use super::values::positive;
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
    match args.action {
        Action::Account(args) => account::run(&args, console),
        Action::Plan(args) => plan::run(&args, console),
    }
}

/// A mechanism and its noise.
#[derive(Debug, clap::Args)]
struct NoiseFlags {
    /// What is drawn per query: lnmax, gnmax, confident-gnmax
    #[arg(long, value_name = "MECHANISM")]
    mechanism: MechanismName,
    /// Laplace scale b on each count, in votes (lnmax)
    #[arg(long, value_name = "B", value_parser = positive("scale"), allow_hyphen_values = true)]
    scale: Option<f64>,
    /// Standard deviation of the noise on each count, in votes (gnmax, confident-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma"), allow_hyphen_values = true)]
    sigma: Option<f64>,
    /// Votes that the largest count must reach, noise included (confident-gnmax)
    #[arg(long, value_name = "T", value_parser = positive("threshold"), allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// Standard deviation of the noise of the threshold test, in votes (confident-gnmax)
    #[arg(long, value_name = "S", value_parser = positive("sigma1"), allow_hyphen_values = true)]
    sigma1: Option<f64>,
}

impl NoiseFlags {
    /// The mechanism; refuses noise that is missing, and noise that it does not have.
    fn mechanism(&self) -> Result<NoisyVote, Fault> {
        let name = self.mechanism;
        let given = [
            ("--scale", self.scale),
            ("--sigma", self.sigma),
            ("--threshold", self.threshold),
            ("--sigma1", self.sigma1),
        ];
        let needed: &[&str] = match name {
            MechanismName::LnMax => &["--scale"],
            MechanismName::GnMax => &["--sigma"],
            MechanismName::ConfidentGnMax => &["--sigma", "--threshold", "--sigma1"],
        };
        let needs = || format!("{} takes {}", name.as_str(), needed.join(", "));
        for (flag, value) in given {
            match (needed.contains(&flag), value) {
                (true, None) => return Err(Fault::input("missing-flag", flag, "", "is missing", needs())),
                (false, Some(value)) => {
                    let value = value.to_string();
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
            MechanismName::LnMax => NoisyVote::LnMax { scale: scale(self.scale)? },
            MechanismName::GnMax => NoisyVote::GnMax { sigma: scale(self.sigma)? },
            MechanismName::ConfidentGnMax => NoisyVote::ConfidentGnMax {
                threshold: self.threshold.unwrap_or_default(),
                sigma1: scale(self.sigma1)?,
                sigma2: scale(self.sigma)?,
            },
        })
    }
}
