//! What every page of attacks keeps.

use conclave_attack_harness::attacks::repeated_query::{self, Heard};
use conclave_attack_harness::audit::{self, Audited, Source};
use conclave_attack_harness::law::ArgmaxLaw;
use conclave_attack_harness::meter::Spent;
use conclave_privacy::mechanism::{GnMax, Mechanism, Outcome};
use conclave_privacy::noise::{NoiseSource as _, SimulationNoise};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, Rho};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};

use super::*;

const TERMS: &str = "unit record, adjacency add-remove, δ = 1e-5";

fn a_hundredth() -> Rho {
    Rho::from_nats_up(0.01).unwrap()
}

/// Of a finding, with questions that were charged so much.
fn attacked(finding: Finding, rows: u64, charged: Rho) -> Attacked {
    let spent = Spent { rows, calls: rows, charged, ..Spent::default() };
    let cost = Cost::of(spent, 1.5, Delta::new(1e-5).unwrap(), FilterOrder::DEFAULT);
    let command = "conclave attack inference --seed 5".to_owned();
    Attacked { finding, cost, seed: Some(5), command, terms: TERMS.to_owned() }
}

/// Repeats of which so many were answered anew.
fn repeats(changed: u64, charged: Rho) -> Attacked {
    let labels = vec![40 - changed, changed, 0];
    let heard = [Heard { query: 0, labels, abstentions: 0, changed, charged }];
    let counts = [vec![60, 30, 10]];
    let known = Some((ArgmaxLaw::Gaussian(15.0), &counts[..]));
    attacked(repeated_query::finding(&heard, 40, known), 40, charged)
}

fn audit() -> Attacked {
    let mechanism: Mechanism = GnMax::new(NoiseScale::from_votes(10.0, Lattice::DEFAULT).unwrap()).into();
    let sensitivity =
        Sensitivity::of(PrivacyUnit::Record, Adjacency::AddRemove, VotingScheme::Ensemble).unwrap();
    let delta = Delta::new(1e-5).unwrap();
    let (order, mechanism, sensitivity) = (FilterOrder::DEFAULT, &mechanism, &sensitivity);
    let audited = Audited { mechanism, sensitivity, delta, order, teachers: 100, classes: 3 };
    let mut noise = SimulationNoise::new(3);
    let mut draws = 0;
    let mut run = |queries| {
        let draw = |counts: &_, _, _| -> conclave_attack_harness::Result<Outcome> {
            draws += 1;
            Ok(mechanism.release(counts, &mut noise.generator("audit", &[0; 32], draws)?).outcome)
        };
        audited.run(queries, 1_000, draw).unwrap()
    };
    attacked(audit::finding(&[run(1), run(40)], &audited, Source::Mechanism, TERMS), 0, Rho::ZERO)
}

fn pages() -> [String; 2] {
    let all = [repeats(0, Rho::ZERO), audit(), repeats(3, a_hundredth())];
    let target = vec![("Guarantee", format!("ε = 3 ({TERMS}): that of the cap")), ("Seed", "5".to_owned())];
    [section(&all), to_html("Attacks", &target, &all, true)]
}

#[test]
fn every_epsilon_stands_beside_its_unit_adjacency_and_delta() {
    for page in pages() {
        // Where a reader sees them together: what is said of one thing, a cell of the summary, a chart with its words.
        let told = |open: &str, close: &str| -> Vec<String> {
            page.split(open).skip(1).map(|part| part.split(close).next().unwrap().to_owned()).collect()
        };
        let mut blocks = told("<dd>", "</dd>");
        blocks.extend(told("<td data-name", "</td>"));
        blocks.extend(told("<figure", "</figure>"));
        let names_one = |block: &&String| {
            ["ε =", "ε lost", "ρ lost", "as ε (", "(ε;"].iter().any(|name| block.contains(name))
        };
        let figures: Vec<&String> = blocks.iter().filter(names_one).collect();
        assert!(figures.len() >= 8, "{}", figures.len());
        for block in figures {
            assert!(block.contains(TERMS), "{block}");
        }
    }
}

#[test]
fn the_page_says_what_was_attacked_how_what_was_not_tried_and_how_to_repeat_it() {
    let [section, page] = pages();
    assert!(page.contains("<dt>Guarantee</dt>") && page.contains("<dt>Seed</dt>"));
    for page in [&section, &page] {
        assert!(page.contains(concat!("Conclave ", env!("CARGO_PKG_VERSION"))));
        for name in ["Method", "Not tried", "Broken if", "Cost in privacy", "To repeat"] {
            assert_eq!(page.matches(&format!("<dt>{name}</dt>")).count(), 3, "{name}");
        }
        assert_eq!(page.matches("<dd>conclave attack inference --seed 5</dd>").count(), 3);
        assert!(page.contains("1 of 3 attacks broke a promise; 2 kept to theirs; 0 are held against none."));
        assert!(page.contains("PROMISE BROKEN") && page.contains("not contradicted"));
        assert!(!page.contains("charged nothing (ε = 0)"));
    }
}

#[test]
fn every_chart_says_what_it_was_counted_from_and_whether_its_line_is_a_floor_or_a_ceiling() {
    let [section, _] = pages();
    for figure in section.split("<figure").skip(1) {
        let caption = figure.split("<figcaption>").nth(1).unwrap().split("</figcaption>").next().unwrap();
        assert!(caption.len() > 20, "{figure}");
        assert_eq!(figure.contains("class=\"bound\""), caption.contains("The broken line is a"), "{caption}");
        assert!(figure.contains("<th class=\"n\">n</th>"), "{figure}");
    }
}

#[test]
fn what_was_charged_for_questions_is_told_with_its_terms() {
    let charged = repeats(3, a_hundredth());
    let told = privacy(&charged);
    assert!(charged.cost.epsilon > 0.0 && told.contains("was charged ρ =") && told.contains(TERMS), "{told}");
    assert_eq!(
        privacy(&repeats(0, Rho::ZERO)),
        "What the attacker asked cost no ε: every repeat was served from the store."
    );
}

#[test]
fn answers_that_change_without_a_charge_are_never_told_as_free() {
    let free = repeats(3, Rho::ZERO);
    let told = privacy(&free);
    assert!(told.contains("charged nothing") && told.contains("3 of 39 repeats"), "{told}");
    for page in [section(std::slice::from_ref(&free)), to_html("Attacks", &Vec::new(), &[free], true)] {
        assert!(page.contains("PROMISE BROKEN"));
        assert!(!page.contains("cost no ε") && !page.contains("served from the store"), "{page}");
    }
}
