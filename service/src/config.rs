//! Settings: file < environment < flag; what is unknown is refused with a suggestion, and every value knows its origin.
//!
//! A setting `quorum.teachers_min` of the aggregator is `teachers_min` under `[quorum]` in the TOML file,
//! `CONCLAVE_AGGREGATOR__QUORUM__TEACHERS_MIN` in the environment, and whatever flag its command offers. The known keys
//! are those of the type that is loaded: nothing is listed twice. (`#[serde(flatten)]` hides its keys from this check;
//! do not use it in settings.)

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

mod layers;
mod read;
#[cfg(test)]
mod tests;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A command-line flag.
    Flag,
    /// Nobody gave it: the program's default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("flag"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Settings that were read, with the origin of each.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// What was read. Not yet checked for meaning: that is its owner's task, with [`Loaded::fault`].
    pub value: T,
    origins: BTreeMap<String, Origin>,
}

impl<T> Loaded<T> {
    /// Where the setting `key` (`quorum.teachers_min`) came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// A setting that was read but makes no sense, to be collected into a [`ConfigError::Faults`].
    pub fn fault(&self, key: &str, value: impl fmt::Display, fix: impl Into<String>) -> Fault {
        Fault {
            key: key.to_owned(),
            value: Some(masked(key, value.to_string())),
            problem: "cannot be accepted".to_owned(),
            fix: fix.into(),
            origin: self.origin(key),
        }
    }
}

impl<T: Serialize> Loaded<T> {
    /// Every setting in effect, defaults included, secrets masked: what `config check` prints.
    pub fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let table = toml::Table::try_from(&self.value).map_err(|error| {
            let fix = "keep numbers within 64-bit signed range".to_owned();
            let problem = format!("cannot be shown: {error}");
            ConfigError::Faults(vec![Fault {
                key: String::new(),
                value: None,
                problem,
                fix,
                origin: Origin::Default,
            }])
        })?;
        let mut settings = Vec::new();
        self.collect(String::new(), &toml::Value::Table(table), &mut settings);
        Ok(settings)
    }

    fn collect(&self, key: String, value: &toml::Value, settings: &mut Vec<Setting>) {
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    self.collect(layers::joined(&key, name), value, settings);
                }
            }
            toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
                for (index, value) in list.iter().enumerate() {
                    self.collect(format!("{key}[{index}]"), value, settings);
                }
            }
            _ => {
                let (value, origin) = (masked(&key, value.to_string()), self.origin(&key));
                settings.push(Setting { key, value, origin });
            }
        }
    }
}

/// One setting in effect; `Display` gives `key = value  # origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its full key.
    pub key: String,
    /// Its value as TOML; `"***"` for a secret.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.key, self.value, self.origin)
    }
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The settings file itself.
    #[error("settings file {}: {problem}; {fix}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: &'static str,
    },
    /// Settings in it, in the environment or in flags: all unknown keys at once, and the first malformed value.
    #[error("{}", listed(.0))]
    Faults(Vec<Fault>),
}

/// One setting that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its full key.
    pub key: String,
    /// Its value, masked if it is a secret; none if it is missing.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting {}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if self.origin != Origin::Default {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, " {}; {}", self.problem, self.fix)
    }
}

/// Reads settings of type `T`: from `file` if given, then from variables that start with `env_prefix` and `__`
/// (`CONCLAVE_AGGREGATOR`), then from `flags`, the later winning key by key.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    env_prefix: &str,
    flags: toml::Table,
) -> Result<Loaded<T>, ConfigError> {
    load_from(file, env_prefix, std::env::vars_os(), flags)
}

/// [`load`] with the environment as an argument.
pub fn load_from<T: DeserializeOwned>(
    file: Option<&Path>,
    env_prefix: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: toml::Table,
) -> Result<Loaded<T>, ConfigError> {
    let mut root = layers::Node::empty();
    if let Some(path) = file {
        root.overlay(layers::from_file(path)?);
    }
    root.overlay(layers::from_environment(env_prefix, environment)?);
    root.overlay(layers::from_flags(flags));
    let value = read::read(&root).map_err(ConfigError::Faults)?;
    Ok(Loaded { value, origins: root.origins() })
}

fn listed(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// Values of keys that sound secret are never shown.
fn masked(key: &str, value: String) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let secret = SECRET_WORDS.iter().any(|word| last.split(['_', '-', '[']).any(|part| part == *word));
    // A path to a secret is not the secret, and operators need to see it.
    let is_path = ["_file", "_path", "_dir"].iter().any(|ending| last.ends_with(ending));
    if secret && !is_path { MASK.to_owned() } else { value }
}

const SECRET_WORDS: [&str; 6] = ["secret", "password", "passphrase", "token", "key", "salt"];
const MASK: &str = "\"***\"";
