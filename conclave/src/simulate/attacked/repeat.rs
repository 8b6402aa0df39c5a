//! The command that repeats an attack: the one of its part, on the same scenario.

use std::path::Path;

use super::suite::Part;
use crate::cli::simulate::Overrides;
use crate::simulate::{command, quoted};

/// How to repeat any part of what was attacked, from a shell.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// Writes down the scenario that flags made, where flags made one.
    first: String,
    /// The scenario, after a space; empty for the default one.
    scenario: String,
    seed: u64,
    /// Flags of the target, where it runs elsewhere.
    target: String,
    /// Flags that only the whole report takes.
    report: String,
}

impl Repeat {
    /// Of attacks on this scenario as it stands.
    pub fn of_scenario(scenario: Option<&Path>, seed: u64) -> Self {
        let scenario = scenario.map(|path| format!(" {}", shown(path))).unwrap_or_default();
        Self { first: String::new(), scenario, seed, target: String::new(), report: String::new() }
    }

    /// Of attacks on a simulation that these flags changed. The attacks take a scenario and no flags, so it is written down first.
    pub fn of_simulation(scenario: Option<&Path>, overrides: &Overrides, seed: u64) -> Self {
        let attacked = Overrides {
            seed: None,
            out: None,
            attacks: None,
            processes: false,
            no_baseline: false,
            ..overrides.clone()
        };
        if attacked == Overrides::default() {
            return Self::of_scenario(scenario, seed);
        }
        let first = command(scenario, &attacked, seed) + " --print-scenario > scenario.toml && ";
        Self { first, ..Self::of_scenario(Some(Path::new("scenario.toml")), seed) }
    }

    /// The same, on a student that runs where these flags say; `published` is its file, where the attacker has it.
    #[must_use]
    pub fn on_a_student(self, flags: &[(&str, String)], published: Option<&Path>) -> Self {
        let flag = |(name, value): &(&str, String)| match value.as_str() {
            "" => format!(" {name}"),
            value => format!(" {name} {}", quoted(value)),
        };
        let report = published.map(|path| format!(" --published {}", shown(path))).unwrap_or_default();
        Self { target: flags.iter().map(flag).collect(), report, ..self }
    }

    /// The command for this part.
    pub fn command(&self, part: Part) -> String {
        let Self { first, scenario, seed, target, .. } = self;
        let report = if part == Part::All { self.report.as_str() } else { "" };
        format!("{first}conclave attack {}{scenario} --seed {seed}{target}{report}", part.name())
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_repeated_by_its_own_command_on_the_same_scenario() {
        let plain = Overrides { seed: Some(5), attacks: None, ..Overrides::default() };
        let command = |overrides: &Overrides, part| Repeat::of_simulation(None, overrides, 5).command(part);
        assert_eq!(command(&plain, Part::Extraction), "conclave attack extraction --seed 5");
        assert_eq!(command(&plain, Part::Inference), "conclave attack inference --seed 5");
        assert_eq!(command(&plain, Part::All), "conclave attack report --seed 5");
        let changed = Overrides { queries: Some(20), ..plain };
        assert_eq!(
            command(&changed, Part::Poisoning),
            "conclave simulate --queries 20 --seed 5 --print-scenario > scenario.toml && conclave attack poisoning scenario.toml --seed 5"
        );
        let file = Repeat::of_scenario(Some(Path::new("my digits.toml")), 7);
        assert_eq!(file.command(Part::Extraction), "conclave attack extraction 'my digits.toml' --seed 7");
        let flags = [("--server", "hub:7".to_owned()), ("--plaintext", String::new())];
        let elsewhere = file.on_a_student(&flags, Some(Path::new("student.model")));
        assert_eq!(
            elsewhere.command(Part::Extraction),
            "conclave attack extraction 'my digits.toml' --seed 7 --server hub:7 --plaintext"
        );
        assert!(elsewhere.command(Part::All).ends_with(" --plaintext --published student.model"));
    }
}
