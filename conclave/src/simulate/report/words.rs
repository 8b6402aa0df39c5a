//! The sentences of report and summary: who is protected, against whom, what it costs, what it buys.
//!
//! Every ε is said together with its unit, adjacency and δ. Costs are rounded up.

use super::data::{Privacy, ReportData, Shortfall};

/// What each plain sentence answers, and the answer.
pub(in crate::simulate) fn plainly(data: &ReportData) -> [(&'static str, String); 5] {
    let [who, against, guarantee, spent] = promised(&data.privacy, data.organisations);
    [who, against, guarantee, spent, ("What it buys", buys(data))]
}

/// The part of it that holds for every campaign, simulated or not.
pub(super) fn promised(privacy: &Privacy, organisations: u32) -> [(&'static str, String); 4] {
    [
        ("Who is protected", who(privacy, organisations)),
        ("Against whom", against_whom()),
        ("Guarantee", guarantee(privacy)),
        ("Spent", spent(privacy)),
    ]
}

/// The warning that stands above everything that a simulation makes.
pub(in crate::simulate) const NOTICE: &str = "The noise of this run comes from a seed, so anybody who knows the seed can \
     remove it: nothing here is private. Figures about privacy tell what the same campaign guarantees on a cluster.";

/// ε with everything without which it means nothing.
pub(in crate::simulate) fn epsilon_in_full(epsilon: f64, privacy: &Privacy) -> String {
    epsilon_under(epsilon, &terms(privacy))
}

/// ε with its terms.
pub(in crate::simulate) fn epsilon_under(epsilon: f64, terms: &str) -> String {
    format!("ε = {} ({terms})", up(epsilon))
}

/// Unit, adjacency and δ.
pub(in crate::simulate) fn terms(privacy: &Privacy) -> String {
    terms_of(&privacy.unit, &privacy.adjacency, privacy.delta)
}

/// The same, from the single words.
pub(in crate::simulate) fn terms_of(unit: &str, adjacency: &str, delta: f64) -> String {
    format!("unit {unit}, adjacency {adjacency}, δ = {delta:e}")
}

/// Why the campaign stopped early.
pub(in crate::simulate) fn stopped(shortfall: &Shortfall, privacy: &Privacy) -> String {
    format!(
        "The budget of {} refused the next batch: ρ {:.6} was asked, {:.6} of {:.6} was left. {} queries were not asked; what \
         was released before stands.",
        shortfall.wall, shortfall.rho_asked, shortfall.rho_left, privacy.rho_cap, shortfall.queries_unasked
    )
}

/// A cost for people: three decimals, rounded up.
pub fn up(value: f64) -> String {
    // The slack keeps 1.1 from becoming 1.101; it is far below the third decimal.
    // Adding zero turns the negative zero of a zero cost into zero.
    let rounded = (value * 1e3 - 1e-6).ceil() / 1e3 + 0.0;
    format!("{rounded}")
}

/// A share in per cent, one decimal.
pub(in crate::simulate) fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn who(privacy: &Privacy, organisations: u32) -> String {
    format!("{}, whichever of the {organisations} organisations holds it", privacy.protects)
}

fn against_whom() -> String {
    "anybody who sees the released labels, the student or both, whatever else they know; not against the aggregator, which \
     sees votes"
        .to_owned()
}

fn guarantee(privacy: &Privacy) -> String {
    let odds = privacy.epsilon.exp();
    let factor = if odds < 1e6 { format!("{odds:.1}") } else { format!("{odds:.0e}") };
    format!(
        "{}: the odds of any conclusion move by a factor of at most {factor}, except with probability δ; it is that of the cap",
        epsilon_in_full(privacy.epsilon, privacy)
    )
}

fn spent(privacy: &Privacy) -> String {
    format!(
        "{}: a figure after the fact (ex post), about the steps that ran",
        epsilon_in_full(privacy.epsilon_spent, privacy)
    )
}

fn buys(data: &ReportData) -> String {
    let student = &data.student;
    let Some(accuracy) = student.test_accuracy else {
        return "no label was released, so there is no student".to_owned();
    };
    let mut words =
        format!("a student that is right on {} of {} unseen rows", per_cent(accuracy), student.test_size);
    let others = [
        (student.nonprivate_accuracy, "with all private records and no privacy"),
        (student.public_alone_accuracy, "with the public pool alone"),
    ];
    for (share, how) in others.into_iter().filter_map(|(accuracy, how)| Some((accuracy?, how))) {
        words += "; ";
        words += &per_cent(share);
        words.push(' ');
        words += how;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_rounded_up_and_round_figures_stay() {
        assert_eq!(up(3.0), "3");
        assert_eq!(up(1.1), "1.1");
        assert_eq!(up(2.99901), "3");
        assert_eq!(up(0.000_01), "0.001");
        assert_eq!(up(0.0), "0");
    }
}
