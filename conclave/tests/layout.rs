//! Holds the drawing of `docs/architecture.md`, the manifests and the sources together.
//!
//! The layout carries promises: the aggregator cannot train, the student cannot spend, the maths cannot reach a
//! network. A promise that lives in prose is broken by one line in a manifest, so each of them is a test here. What
//! counts is what a build resolves (`cargo metadata`), not what a manifest seems to say. Dev-dependencies never reach
//! a binary, so they may name any of our crates but the door; every rule on edges is about normal and build
//! dependencies.

#[path = "layout/files.rs"]
mod files;
#[path = "layout/workspace.rs"]
mod workspace;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use files::{is_a, names_path, rust_sources, text_files};
use workspace::{WORKSPACE, root};

/// The door: composition, the one crate that may use every other.
const DOOR: &str = "conclave";
/// Crates that may switch on seeded release noise: both only ever make what is marked `simulated`.
const MAY_SIMULATE: [&str; 2] = ["conclave", "conclave-attack-harness"];
/// What a crate without runtime and network must not reach, however indirectly.
const RUNTIME_AND_NETWORK: [&str; 9] =
    ["tokio", "tonic", "hyper", "h2", "rustls", "mio", "socket2", "async-std", "smol"];
/// A longer file says why at its top, in these words.
const LINES_MAX: usize = 600;
const LONGER_BECAUSE: &str = "Longer than 600 lines because";
const WEAKENED: &str = "conclave_weakened";

// ---- Edges between crates ----

#[test]
fn the_drawing_shows_exactly_the_edges_that_the_manifests_have() {
    let drawn = drawn_edges();
    let declared = WORKSPACE.declared_edges();
    let undrawn: Vec<_> = declared.difference(&drawn).collect();
    let unused: Vec<_> = drawn.difference(&declared).collect();
    assert!(
        undrawn.is_empty() && unused.is_empty(),
        "docs/architecture.md and the manifests disagree.\n  in a manifest, not drawn: {undrawn:?}\n  drawn, in no manifest: {unused:?}\n\
         An edge that is not drawn is not allowed; draw it only with a reason, in the same change."
    );
}

#[test]
fn the_aggregator_cannot_train_or_open_a_shard() {
    assert_never_reaches("conclave-aggregator", &["conclave-learning", "conclave-teacher-node"]);
}

#[test]
fn the_student_has_no_code_with_which_to_spend_budget() {
    assert_never_reaches("conclave-student", &["conclave-privacy", "conclave-ledger", "conclave-trust"]);
}

#[test]
fn no_node_contains_the_attacks() {
    for node in ["conclave-teacher-node", "conclave-aggregator", "conclave-student"] {
        assert_never_reaches(node, &["conclave-attack-harness"]);
    }
}

#[test]
fn privacy_and_learning_have_no_runtime_and_no_network() {
    for package in ["conclave-privacy", "conclave-learning"] {
        assert_never_reaches(package, &RUNTIME_AND_NETWORK);
    }
}

#[test]
fn no_crate_depends_on_the_door() {
    for member in WORKSPACE.members() {
        let found = member.dependencies().any(|dependency| dependency.name() == DOOR);
        assert!(!found, "{}: nothing may depend on `{DOOR}`, not even its tests", member.name());
    }
}

fn assert_never_reaches(package: &str, forbidden: &[&str]) {
    for target in forbidden {
        let path = WORKSPACE.path(package, target).map(|names| names.join(" -> "));
        assert_eq!(path, None, "{package} must not reach {target}");
    }
}

// ---- Seeded noise and weakened builds ----

#[test]
fn only_the_door_can_switch_on_seeded_release_noise() {
    for member in WORKSPACE.members() {
        let name = member.name();
        let defaults = member.feature("default");
        assert!(
            !defaults.iter().any(|f| f == "simulation"),
            "{name}: `simulation` must not be a default feature"
        );
        if MAY_SIMULATE.contains(&name) {
            continue;
        }
        for dependency in
            member.dependencies().filter(|d| d.name() == "conclave-privacy" && d.reaches_a_binary())
        {
            assert!(
                !dependency.features().any(|f| f == "simulation"),
                "{name}: drop the feature `simulation` of conclave-privacy; only {MAY_SIMULATE:?} may have it"
            );
        }
        for (feature, enables) in member.features() {
            let forwards = enables.iter().any(|e| e.ends_with("/simulation"));
            assert!(!forwards, "{name}: the feature `{feature}` passes `simulation` on");
        }
    }
}

#[test]
fn seeded_release_noise_is_named_by_no_service() {
    let services = ["aggregator", "teacher-node", "student", "ledger", "service", "trust"];
    let in_the_door =
        |path: &str| path.starts_with("conclave/src/") && !path.starts_with("conclave/src/simulate");
    for source in rust_sources().iter().filter(|s| {
        (services.iter().any(|folder| s.path.starts_with(&format!("{folder}/"))) || in_the_door(&s.path))
            && !s.is_test()
    }) {
        for (number, line) in source.production_lines() {
            assert!(
                !line.contains("SimulationNoise"),
                "{}:{number}: names SimulationNoise; only conclave/src/simulate and tests may",
                source.path
            );
        }
    }
}

#[test]
fn nobody_in_a_cluster_may_see_the_votes() {
    // The privacy crate hands its own secrets on as secrets; a researcher's command is for who holds votes of their own.
    let may = |path: &str| path.starts_with("privacy/") || path.starts_with("conclave/src/cli/budget/");
    for source in rust_sources().iter().filter(|source| !source.is_test() && !may(&source.path)) {
        for (number, line) in source.production_lines() {
            let names = line.contains("who_may_see_the_votes");
            assert!(!names, "{}:{number}: opens secret costs; only `conclave budget` may", source.path);
        }
    }
}

#[test]
fn no_manifest_or_build_setting_can_weaken_a_build() {
    let root = root();
    for settings in [".cargo/config.toml", ".cargo/config"] {
        let text = fs::read_to_string(root.join(settings)).unwrap_or_default();
        assert!(!text.contains(WEAKENED), "{settings}: sets {WEAKENED}");
    }
    for member in WORKSPACE.members() {
        let folder = member.folder();
        for settings in ["Cargo.toml", ".cargo/config.toml", "build.rs"] {
            let text = fs::read_to_string(folder.join(settings)).unwrap_or_default();
            assert!(!text.contains(WEAKENED), "{}: {settings} names {WEAKENED}", member.name());
        }
    }
    for source in rust_sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.production_lines().filter(|(_, line)| line.contains(WEAKENED)) {
            assert!(line.contains("cfg"), "{}:{number}: names {WEAKENED} outside a cfg", source.path);
        }
    }
    // The workspace's manifest may only declare that the name exists, so that a misspelt one is a warning.
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace has a manifest");
    for line in manifest.lines().filter(|line| line.contains(WEAKENED) && !line.starts_with('#')) {
        assert!(line.contains("check-cfg"), "Cargo.toml: `{line}` does more than declare {WEAKENED}");
    }
}

#[test]
fn a_normal_build_is_not_weakened() {
    let weakened = [cfg!(conclave_weakened = "selectable")];
    assert_eq!(weakened, [false], "unset RUSTFLAGS: this build has switchable weaknesses");
}

// ---- Manifests and files ----

#[test]
fn every_crate_inherits_the_lints_and_is_not_published() {
    for member in WORKSPACE.members() {
        let text = fs::read_to_string(member.folder().join("Cargo.toml")).expect("cargo has just read it");
        let manifest: toml::Table = text.parse().expect("cargo has just parsed it");
        let inherits = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{}: add `[lints] workspace = true`", member.name());
        let publishable = &member.0["publish"];
        assert_eq!(
            publishable,
            &Value::Array(Vec::new()),
            "{}: add `publish.workspace = true`",
            member.name()
        );
    }
}

#[test]
fn every_crate_opens_by_saying_what_it_is_for() {
    for member in WORKSPACE.members() {
        for root in member.crate_roots() {
            let text = fs::read_to_string(&root).expect("a crate root that cargo lists exists");
            assert!(
                text.starts_with("//! "),
                "{}: open with `//!` and the promise of the crate",
                root.display()
            );
        }
    }
}

#[test]
fn no_source_file_outgrows_a_reader_without_saying_why() {
    for source in rust_sources() {
        let lines = source.text.lines().count();
        let reason =
            source.text.lines().take_while(|l| l.starts_with("//!")).any(|l| l.contains(LONGER_BECAUSE));
        assert!(
            lines <= LINES_MAX || reason,
            "{}: {lines} lines; split it at a concept, or say at its top `{LONGER_BECAUSE} ...`",
            source.path
        );
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    let placeholders = [concat!("todo", "!("), concat!("unimpl", "emented!(")];
    for source in rust_sources() {
        for placeholder in placeholders {
            assert!(!source.text.contains(placeholder), "{}: still has {placeholder}...)", source.path);
        }
    }
}

#[test]
fn every_room_is_named_after_a_concept() {
    let nameless = ["util", "utils", "helper", "helpers", "common", "misc"];
    for source in rust_sources() {
        let path = Path::new(&source.path);
        let stem = if path.ends_with("mod.rs") { path.parent() } else { Some(path) };
        let stem = stem.and_then(Path::file_stem).and_then(|s| s.to_str()).unwrap_or_default();
        assert!(!nameless.contains(&stem), "{}: name the concept that it holds", source.path);
    }
}

#[test]
fn the_project_names_no_place_outside_itself() {
    let root = root();
    let homes: Vec<String> = ["home", "Users", "root"].iter().map(|name| format!("/{name}/")).collect();
    let places = [homes, vec![root.display().to_string()]].concat();
    for file in text_files() {
        // How deep the file lies: more `../` than that leaves the repository.
        let depth = file.path.matches('/').count();
        for (number, line) in (1..).zip(file.text.lines()) {
            let at = format!("{}:{number}", file.path);
            // The one script that may look beside the checkout: for optional test data.
            let leaves = file.path != ".ci/run" && line.contains(&"../".repeat(depth + 1));
            assert!(!leaves, "{at}: the path leaves the repository");
            for place in &places {
                assert!(!names_path(line, place), "{at}: names a place of one machine, {place}");
            }
        }
    }
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    for page in text_files().iter().filter(|file| is_a(file, "md")) {
        let folder = root().join(&page.path);
        let folder = folder.parent().expect("a page lies in a folder");
        for target in page.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let elsewhere = target.is_empty() || target.contains("://");
            assert!(
                elsewhere || folder.join(target).exists(),
                "{}: the link to {target} is broken",
                page.path
            );
        }
    }
}

#[test]
fn every_test_that_the_threat_model_cites_exists() {
    let sources = rust_sources();
    let text = fs::read_to_string(root().join("docs/threat-model.md")).expect("docs/threat-model.md exists");
    let table = text.split("| attack | defence | shown by |").nth(1).expect("the threat model lists attacks");
    let last_cells = table.trim_start().lines().take_while(|row| row.starts_with('|')).filter_map(last_cell);
    let cited: Vec<&str> = last_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(!cited.is_empty(), "docs/threat-model.md cites no test");
    for claim in cited {
        let definition = format!("fn {claim}(");
        let exists = sources.iter().any(|source| source.text.contains(&definition));
        assert!(exists, "docs/threat-model.md cites `{claim}`, but no test has this name");
    }
}

fn last_cell(row: &str) -> Option<&str> {
    row.trim_end().trim_end_matches('|').rsplit('|').next()
}

// ---- The drawing ----

/// Edges of the first mermaid graph of `docs/architecture.md`, as package names.
///
/// One line per crate: `from --> to & to`. Edges of the door are left out of the drawing.
fn drawn_edges() -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md exists");
    let graph = text.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next());
    let graph = graph.expect("docs/architecture.md draws the crates in a mermaid block");
    let package = |node: &str| format!("conclave-{}", node.trim());
    let mut edges = BTreeSet::new();
    for (from, targets) in graph.lines().filter_map(|line| line.split_once("-->")) {
        if from.trim() != DOOR {
            edges.extend(targets.split('&').map(|to| (package(from), package(to))));
        }
    }
    assert!(!edges.is_empty(), "the drawing has no edges: is it still written as `from --> to & to`?");
    edges
}
