//! The board, the sample of Prometheus and the operator's table name exactly the figures that are served.

use std::collections::BTreeSet;

use conclave_service::metrics::Metric;
use serde_json::Value;

const BOARD: &str = include_str!("../../deploy/grafana/board.json");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// Every word of `text` that looks like the name of a figure.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("conclave_")).collect()
}

#[test]
fn every_query_of_the_board_asks_for_a_figure_that_is_served_and_every_figure_is_on_it() {
    let board: Value = serde_json::from_str(BOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(asked.iter().all(|expression| !names(expression).is_empty()), "{asked:?}");
    let asked: BTreeSet<&str> = asked.into_iter().flat_map(names).collect();
    let series: Vec<Vec<String>> = Metric::ALL.into_iter().map(Metric::series).collect();
    for name in &asked {
        assert!(series.iter().flatten().any(|served| served == name), "no role serves {name}");
    }
    for of_metric in &series {
        assert!(of_metric.iter().any(|name| asked.contains(name.as_str())), "no panel shows {of_metric:?}");
    }
}

#[test]
fn the_operators_table_names_every_figure_and_no_other() {
    let series: Vec<Vec<String>> = Metric::ALL.into_iter().map(Metric::series).collect();
    let told = names(OPERATIONS);
    for of_metric in &series {
        assert!(of_metric.iter().any(|name| told.contains(name.as_str())), "not told: {of_metric:?}");
    }
    for name in told {
        assert!(series.iter().flatten().any(|served| served == name), "no role serves {name}");
    }
}
