//! A scenario: everything that a simulation can be told, in one TOML file, with flags over it.
//!
//! What is left out has a default; some defaults follow from the data (`plan.rs`). Unknown keys are refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use conclave_learning::TeacherSpec;
use conclave_learning::datasets::KNOWN;
use conclave_learning::dealing::Dealing;
use conclave_learning::student::StudentSpec;
use conclave_privacy::quantity::{Delta, Epsilon};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use conclave_service::config::{self, Loaded, Origin};
use conclave_student::query_selection::Selection;
use serde::{Deserialize, Serialize};

use super::report::Setting;
use crate::cli::Fault;
use crate::cli::simulate::{DatasetName, MechanismName, Overrides};
use crate::simulate::attacked::suite::Suite;

/// The keys of a scenario file; those with a flag have its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// `optdigits`, `mnist`, or the path of a CSV file that is dealt 80/10/10 to silos, pool and test rows.
    pub dataset: DatasetName,
    /// The label column of a CSV file; the last when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The column of a CSV file that says whose row it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In place of one data set: one CSV file for each role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// How many organisations take part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisations: Option<u32>,
    /// How many teachers in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teachers: Option<u32>,
    /// How records are dealt to organisations.
    pub partition: Dealing,
    /// How records turn into votes.
    pub scheme: VotingScheme,
    /// Whom the noise protects.
    pub unit: PrivacyUnit,
    /// How neighbouring data sets differ.
    pub adjacency: Adjacency,
    /// What is drawn per query.
    pub mechanism: MechanismName,
    /// Laplace scale b on each count, in votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Standard deviation of the noise on each count, in votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Votes that the largest count must reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Standard deviation of the noise of the threshold test, in votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma1: Option<f64>,
    /// The cap, at `delta`.
    pub epsilon: Epsilon,
    /// The probability with which the guarantee may fail.
    pub delta: Delta,
    /// How many queries to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<u32>,
    /// How the queries are chosen.
    pub selection: Selection,
    /// Seeds everything, the noise too; fresh when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// A new directory for what the simulation leaves; a free name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// Which attacks are carried out on it; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attacks: Option<Suite>,
    /// Whether every organisation runs in an operating-system process of its own.
    pub processes: bool,
    /// Whether the student is compared with a model of all records without privacy, and with other budgets.
    pub baseline: bool,
    /// How each teacher learns.
    pub teacher: TeacherSpec,
    /// How the student learns.
    pub student: StudentSpec,
}

/// CSV files with the same columns, one for each role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What the organisations hold; it also says which classes there are.
    pub private: PathBuf,
    /// The public pool.
    pub pool: PathBuf,
    /// Rows that measure the student.
    pub test: PathBuf,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            dataset: DatasetName::Known(&KNOWN[0]),
            label: None,
            subject: None,
            files: None,
            organisations: None,
            teachers: None,
            partition: Dealing::Iid,
            scheme: VotingScheme::Ensemble,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            mechanism: MechanismName::GnMax,
            scale: None,
            sigma: None,
            threshold: None,
            sigma1: None,
            epsilon: Epsilon::new(3.0).expect("3 is a finite number above 0"),
            delta: Delta::new(1e-5).expect("1e-5 lies between 0 and 1"),
            queries: None,
            selection: Selection::Centres,
            seed: None,
            out: None,
            attacks: None,
            processes: false,
            baseline: true,
            teacher: TeacherSpec::default(),
            student: StudentSpec::default(),
        }
    }
}

impl Scenario {
    /// The scenario of `file`, if one is given, with `overrides` over it.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Loaded<Self>, Fault> {
        let nothing = std::iter::empty::<(OsString, OsString)>();
        let loaded = config::load_from::<Self>(file, NO_VARIABLES, nothing, flags(overrides)?)?;
        let Self { organisations, teachers, queries, .. } = loaded.value;
        for (key, count) in [("organisations", organisations), ("teachers", teachers), ("queries", queries)] {
            if count == Some(0) {
                return Err(invalid(key, &0, "give a whole number from 1"));
            }
        }
        let scenario = &loaded.value;
        for (key, votes) in [
            ("scale", scenario.scale),
            ("sigma", scenario.sigma),
            ("threshold", scenario.threshold),
            ("sigma1", scenario.sigma1),
        ] {
            if votes.is_some_and(|votes| !(votes.is_finite() && votes > 0.0)) {
                let value = votes.unwrap_or_default();
                return Err(invalid(key, &value, "give a finite number of votes above 0"));
            }
        }
        Ok(loaded)
    }

    /// As a scenario file.
    pub fn to_toml(&self) -> Result<String, Fault> {
        toml::to_string(self).map_err(|error| invalid("scenario", "", &format!("cannot be written: {error}")))
    }
}

/// The settings in effect, with their origins, for the report.
pub fn settings(loaded: &Loaded<Scenario>) -> Result<Vec<Setting>, Fault> {
    let origin = |origin| match origin {
        Origin::Flag => "flag",
        Origin::File { .. } => "scenario",
        Origin::Environment { .. } | Origin::Default => "default",
    };
    let settings = loaded.settings()?.into_iter().map(|setting| Setting {
        name: setting.key,
        value: plain(&setting.value),
        origin: origin(setting.origin).to_owned(),
    });
    Ok(settings.collect())
}

/// A value as people write it: text without quotes, and no digits that a 32-bit float does not have.
fn plain(value: &str) -> String {
    let text = value.trim_matches('"');
    match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "only where nothing is lost")]
        Ok(wide) if text.len() > 10 && f64::from(wide as f32).to_bits() == wide.to_bits() => {
            (wide as f32).to_string()
        }
        _ => text.to_owned(),
    }
}

/// The flags that were given, as the keys of a scenario.
pub fn flags(overrides: &Overrides) -> Result<toml::Table, Fault> {
    let Overrides {
        dataset,
        label,
        organisations,
        teachers,
        partition,
        scheme,
        mechanism,
        scale,
        sigma,
        threshold,
        sigma1,
        epsilon,
        delta,
        queries,
        seed,
        out,
        attacks,
        processes,
        no_baseline,
    } = overrides;
    let seed = seed.map(|seed| {
        i64::try_from(seed)
            .map_err(|_| invalid("seed", &seed, "give a whole number up to 9223372036854775807"))
    });
    let mut table = toml::Table::new();
    let mut put = |key: &str, value: Option<toml::Value>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), value);
        }
    };
    let text = |text: String| toml::Value::String(text);
    put("dataset", dataset.as_ref().map(|name| text(name.to_string())));
    put("label", label.clone().map(text));
    put("organisations", organisations.map(Into::into));
    put("teachers", teachers.map(Into::into));
    put("partition", partition.as_ref().map(|partition| text(partition.to_string())));
    put("scheme", scheme.map(|scheme| text(scheme.name().to_owned())));
    put("mechanism", mechanism.map(|mechanism| text(mechanism.to_string())));
    put("scale", scale.map(Into::into));
    put("sigma", sigma.map(Into::into));
    put("threshold", threshold.map(Into::into));
    put("sigma1", sigma1.map(Into::into));
    put("epsilon", epsilon.map(|epsilon| epsilon.get().into()));
    put("delta", delta.map(|delta| delta.get().into()));
    put("queries", queries.map(Into::into));
    put("seed", seed.transpose()?.map(Into::into));
    put("attacks", attacks.map(|Suite::Quick| text("quick".to_owned())));
    put("processes", processes.then_some(true.into()));
    put("baseline", no_baseline.then_some(false.into()));
    put("out", out.as_ref().map(|out| text(out.display().to_string())));
    Ok(table)
}

/// A key of a scenario that cannot be used.
pub fn invalid(key: &str, value: &(impl ToString + ?Sized), fix: &str) -> Fault {
    Fault::input("invalid-value", key, value.to_string(), "cannot be used", fix)
}

/// A scenario is a file and flags; nothing of it comes from the environment, so that it can be repeated.
const NO_VARIABLES: &str = "CONCLAVE_SIMULATE";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: &Overrides) -> Result<Loaded<Scenario>, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, text).unwrap();
        Scenario::load(Some(&path), overrides)
    }

    #[test]
    fn a_written_scenario_reads_as_itself() {
        let scenario = Scenario {
            organisations: Some(3),
            mechanism: MechanismName::ConfidentGnMax,
            threshold: Some(60.0),
            partition: Dealing::By { column: "label".to_owned() },
            seed: Some(7),
            unit: PrivacyUnit::Organisation { teachers_max: 4 },
            ..Scenario::default()
        };
        let read = read(&scenario.to_toml().unwrap(), &Overrides::default()).unwrap();
        assert_eq!(read.value, scenario);
        let default = super::Scenario::load(None, &Overrides::default()).unwrap().value;
        assert_eq!(default, Scenario::default());
    }

    #[test]
    fn flags_win_over_the_file_and_the_report_says_where_a_setting_came_from() {
        let overrides = Overrides { organisations: Some(4), seed: Some(9), ..Overrides::default() };
        let loaded = read("organisations = 3\nepsilon = 2.0\n", &overrides).unwrap();
        assert_eq!((loaded.value.organisations, loaded.value.epsilon.get()), (Some(4), 2.0));
        let origin = |name: &str| {
            let found = settings(&loaded).unwrap().into_iter().find(|setting| setting.name == name);
            found.map(|setting| setting.origin)
        };
        assert_eq!(origin("organisations").as_deref(), Some("flag"));
        assert_eq!(origin("epsilon").as_deref(), Some("scenario"));
        assert_eq!(origin("delta").as_deref(), Some("default"));
    }

    #[test]
    fn settings_are_shown_as_people_write_them() {
        for (value, shown) in [
            ("\"optdigits\"", "optdigits"),
            ("0.30000001192092896", "0.3"),
            ("0.00001", "0.00001"),
            ("7", "7"),
        ] {
            assert_eq!(plain(value), shown);
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_key() {
        for (text, told) in [
            ("organisation = 3", "organisation"),
            ("organisations = 0", "organisations"),
            ("queries = 0", "queries"),
            ("sigma = -1.0", "sigma"),
            ("sigma = nan", "sigma"),
            ("epsilon = 0.0", "epsilon"),
            ("delta = 1.5", "delta"),
            ("mechanism = \"gnmaxx\"", "gnmaxx"),
            ("dataset = \"nowhere.csv\"", "nowhere.csv"),
            ("partition = \"dirichlet:0\"", "dirichlet:0"),
        ] {
            let fault = read(text, &Overrides::default()).unwrap_err();
            assert!(fault.to_string().contains(told), "{text}: {fault}");
            assert_eq!(fault.exit, crate::cli::Exit::BadInput, "{text}");
        }
        let overrides = Overrides { seed: Some(u64::MAX), ..Overrides::default() };
        assert!(Scenario::load(None, &overrides).unwrap_err().to_string().contains("seed"));
    }
}
