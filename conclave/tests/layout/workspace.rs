//! The workspace as cargo resolves it: what counts is what a build takes in, not what a manifest seems to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::DOOR;

pub(crate) static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::load);

/// The workspace as `cargo metadata` tells it, for this machine's target.
pub(crate) struct Workspace {
    packages: BTreeMap<String, Package>,
    member_ids: Vec<String>,
    /// Normal dependencies as resolved: package id to package ids.
    reaches: BTreeMap<String, Vec<String>>,
}

pub(crate) struct Package(pub(crate) Value);

pub(crate) struct Dependency<'a>(&'a Value);

impl Workspace {
    pub(crate) fn load() -> Self {
        let metadata =
            cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", &host()]);
        let metadata: Value = serde_json::from_slice(&metadata).expect("cargo prints JSON");
        let packages = array(&metadata["packages"]).map(|p| (string(&p["id"]), Package(p.clone()))).collect();
        let reaches = array(&metadata["resolve"]["nodes"]).map(|node| {
            let normal = array(&node["deps"]).filter(|d| array(&d["dep_kinds"]).any(|k| k["kind"].is_null()));
            (string(&node["id"]), normal.map(|d| string(&d["pkg"])).collect())
        });
        let reaches = reaches.collect();
        let member_ids = array(&metadata["workspace_members"]).map(string).collect();
        Self { packages, member_ids, reaches }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.member_ids.iter().map(|id| &self.packages[id])
    }

    /// Edges between our crates, the door's left out.
    pub(crate) fn declared_edges(&self) -> BTreeSet<(String, String)> {
        let ours: BTreeSet<&str> = self.members().map(Package::name).collect();
        let mut edges = BTreeSet::new();
        for member in self.members().filter(|m| m.name() != DOOR) {
            for dependency in
                member.dependencies().filter(|d| d.reaches_a_binary() && ours.contains(d.name()))
            {
                edges.insert((member.name().to_owned(), dependency.name().to_owned()));
            }
        }
        edges
    }

    /// A chain of normal dependencies from `package` to one called `target`, if there is one.
    pub(crate) fn path(&self, package: &str, target: &str) -> Option<Vec<&str>> {
        let start = self.member_ids.iter().find(|id| self.packages[*id].name() == package);
        let start = start.unwrap_or_else(|| panic!("{package} is a member of the workspace"));
        let mut waiting = vec![vec![start]];
        let mut seen = BTreeSet::from([start]);
        while let Some(path) = waiting.pop() {
            let last = path[path.len() - 1];
            if self.packages[last].name() == target {
                return Some(path.iter().map(|id| self.packages[*id].name()).collect());
            }
            for next in self.reaches[last].iter().filter(|next| seen.insert(next)) {
                waiting.push(path.iter().copied().chain([next]).collect());
            }
        }
        None
    }
}

impl Package {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().expect("a package has a name")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        let manifest = PathBuf::from(string(&self.0["manifest_path"]));
        manifest.parent().expect("a manifest lies in a folder").to_owned()
    }

    pub(crate) fn dependencies(&self) -> impl Iterator<Item = Dependency<'_>> {
        array(&self.0["dependencies"]).map(Dependency)
    }

    pub(crate) fn features(&self) -> impl Iterator<Item = (&String, Vec<String>)> {
        let features = self.0["features"].as_object().expect("features are a table");
        features.iter().map(|(name, enables)| (name, array(enables).map(string).collect()))
    }

    pub(crate) fn feature(&self, name: &str) -> Vec<String> {
        self.features().find(|(feature, _)| *feature == name).map(|(_, enables)| enables).unwrap_or_default()
    }

    /// `lib.rs` and `main.rs`: roots of what is shipped.
    pub(crate) fn crate_roots(&self) -> Vec<PathBuf> {
        let shipped = |t: &&Value| array(&t["kind"]).any(|kind| kind == "lib" || kind == "bin");
        array(&self.0["targets"]).filter(shipped).map(|t| PathBuf::from(string(&t["src_path"]))).collect()
    }
}

impl<'a> Dependency<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.0["name"].as_str().expect("a dependency has a name")
    }

    pub(crate) fn reaches_a_binary(&self) -> bool {
        self.0["kind"] != "dev"
    }

    pub(crate) fn features(&self) -> impl Iterator<Item = String> {
        array(&self.0["features"]).map(string)
    }
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The target of this machine: packages for other ones need not be on disk.
fn host() -> String {
    let version = String::from_utf8(cargo(&["-vV"])).expect("cargo prints text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("cargo names its host").to_owned()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("cargo prints a string, not {value}")).to_owned()
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate lies in the repository's root").to_owned()
}
