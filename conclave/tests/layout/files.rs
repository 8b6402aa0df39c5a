//! The text files of the project: sources, manifests, settings, scripts and pages; not what builds and runs leave behind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Package, WORKSPACE, root};

/// A text file of the project; `path` is relative to the repository, with forward slashes.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Lines that end in a binary: without comments, and without the test module at the foot.
    pub(crate) fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].trim_end().ends_with('{');
        let foot = lines.windows(2).position(opens_tests).unwrap_or(lines.len());
        let production = (1..).zip(lines).take(foot);
        production.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

pub(crate) fn rust_sources() -> Vec<File> {
    text_files().into_iter().filter(|file| is_a(file, "rs")).collect()
}

pub(crate) fn is_a(file: &File, extension: &str) -> bool {
    Path::new(&file.path).extension().is_some_and(|e| e == extension)
}

/// Sources, manifests, settings, scripts and pages of the project; not what builds and runs leave behind.
pub(crate) fn text_files() -> Vec<File> {
    let root = root();
    let mut folders: Vec<PathBuf> = WORKSPACE.members().map(Package::folder).collect();
    folders.extend(["docs", "experiments", "deploy", ".ci", ".cargo"].map(|name| root.join(name)));
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a folder of the project can be read").path();
            let built = path.file_name().is_some_and(|name| name == "target");
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.is_file() {
                paths.push(path);
            }
        }
    }
    let at_root = fs::read_dir(&root).expect("the repository can be read");
    paths.extend(at_root.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()));
    let relative =
        |path: &Path| path.strip_prefix(&root).ok().map(|p| p.to_string_lossy().replace('\\', "/"));
    let text = |path: &Path| is_text(path).then(|| fs::read_to_string(path).ok()).flatten();
    paths.iter().filter_map(|path| Some(File { path: relative(path)?, text: text(path)? })).collect()
}

/// By name: data files and lock files are not read.
fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    ["rs", "toml", "md", "proto", "yml", "yaml", "sh", "py", "html"].contains(&extension)
        || ["justfile", "run", "Dockerfile"].contains(&name)
}

/// Whether `line` names `place` as an absolute path, rather than as the tail of another path.
pub(crate) fn names_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || ".-_/*}".contains(c))
    })
}
