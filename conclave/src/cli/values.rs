//! Values of flags that several commands take, each refused with what is wrong and what to give instead.

use conclave_privacy::quantity::{Delta, Epsilon};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};

use super::Fault;

pub(super) fn epsilon(text: &str) -> Result<Epsilon, Fault> {
    Epsilon::new(number("epsilon", text)?).map_err(|_| {
        Fault::input("invalid-value", "epsilon", text, "out of range", "give a number above 0, such as 3")
    })
}

pub(super) fn delta(text: &str) -> Result<Delta, Fault> {
    Delta::new(number("delta", text)?).map_err(|_| {
        Fault::input(
            "invalid-value",
            "delta",
            text,
            "out of range",
            "give a probability between 0 and 1, such as 1e-5",
        )
    })
}

pub(super) fn positive(field: &'static str) -> impl Fn(&str) -> Result<f64, Fault> + Clone {
    move |text| match number(field, text)? {
        votes if votes.is_finite() && votes > 0.0 => Ok(votes),
        _ => Err(Fault::input(
            "invalid-value",
            field,
            text,
            "out of range",
            "give a finite number of votes above 0",
        )),
    }
}

pub(super) fn at_least_one(field: &'static str) -> impl Fn(&str) -> Result<u32, Fault> + Clone {
    move |text| {
        text.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
            Fault::input(
                "invalid-value",
                field,
                text,
                "not a count",
                format!("give a whole number from 1 to {}", u32::MAX),
            )
        })
    }
}

pub(super) fn unit(text: &str) -> Result<PrivacyUnit, Fault> {
    let bound = |count: &str| count.parse().ok().filter(|count| *count > 0);
    let parsed = match text.split_once(':') {
        None if text == "record" => Some(PrivacyUnit::Record),
        Some(("subject", silos)) => {
            bound(silos).map(|max_silos_per_subject| PrivacyUnit::Subject { max_silos_per_subject })
        }
        Some(("organisation", teachers)) => {
            bound(teachers).map(|teachers_max| PrivacyUnit::Organisation { teachers_max })
        }
        _ => None,
    };
    parsed.ok_or_else(|| {
        Fault::input("invalid-value", "unit", text, "unknown", "write record, subject:2 or organisation:25")
    })
}

pub(super) fn adjacency(text: &str) -> Result<Adjacency, Fault> {
    let known = [Adjacency::AddRemove, Adjacency::Replace];
    known.into_iter().find(|adjacency| adjacency.name() == text).ok_or_else(|| {
        Fault::input("invalid-value", "adjacency", text, "unknown", "write add-remove or replace")
    })
}

pub(super) fn number(field: &'static str, text: &str) -> Result<f64, Fault> {
    text.parse()
        .map_err(|_| Fault::input("invalid-value", field, text, "not a number", "give a decimal number"))
}

pub(super) fn unknown(field: &'static str, text: &str, known: &[&str]) -> Fault {
    Fault::input("invalid-value", field, text, "unknown", format!("use one of {}", known.join(", ")))
}
