//! The three sources of settings as trees of one kind, each leaf with its origin, laid over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Fault, Origin};

/// A value or section with its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// From the environment: its type is decided by whoever reads it.
    Text(String),
    /// A TOML string, number, boolean or date.
    Scalar(toml::Value),
    List(Vec<Node>),
    Section(BTreeMap<String, Node>),
}

impl Node {
    pub(super) fn empty() -> Self {
        Self { content: Content::Section(BTreeMap::new()), origin: Origin::Default }
    }

    /// Lays `over` on top: sections merge key by key, anything else is replaced.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.content, over.content) {
            (Content::Section(below), Content::Section(above)) => {
                for (name, node) in above {
                    match below.get_mut(&name) {
                        Some(existing) => existing.overlay(node),
                        None => {
                            below.insert(name, node);
                        }
                    }
                }
            }
            (below, above) => {
                *below = above;
                self.origin = over.origin;
            }
        }
    }

    /// The origin of every leaf, by full key.
    pub(super) fn origins(&self) -> BTreeMap<String, Origin> {
        let mut origins = BTreeMap::new();
        self.collect_origins(String::new(), &mut origins);
        origins
    }

    fn collect_origins(&self, key: String, origins: &mut BTreeMap<String, Origin>) {
        match &self.content {
            Content::Section(entries) => {
                for (name, node) in entries {
                    node.collect_origins(joined(&key, name), origins);
                }
            }
            Content::List(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    node.collect_origins(format!("{key}[{index}]"), origins);
                }
                origins.insert(key, self.origin.clone());
            }
            Content::Text(_) | Content::Scalar(_) => {
                origins.insert(key, self.origin.clone());
            }
        }
    }

    /// A leaf as it was written, for messages.
    pub(super) fn shown(&self) -> Option<String> {
        match &self.content {
            Content::Text(text) => Some(format!("{text:?}")),
            Content::Scalar(value) => Some(value.to_string()),
            Content::List(_) | Content::Section(_) => None,
        }
    }
}

/// `section.key`, or `key` at the top.
pub(super) fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

pub(super) fn from_file(path: &Path) -> Result<Node, ConfigError> {
    let refuse = |problem: String, fix| Err(ConfigError::File { path: path.to_path_buf(), problem, fix });
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => refuse("is missing".to_owned(), "check the path"),
                io::ErrorKind::InvalidData => refuse("is not text".to_owned(), "it must be a TOML file"),
                _ => refuse(format!("cannot be read: {error}"), "make it readable for this user"),
            };
        }
    };
    let table = match DeTable::parse(&text) {
        Ok(table) => table,
        Err(error) => {
            return refuse(error.to_string().trim_end().to_owned(), "correct the TOML syntax there");
        }
    };
    let reader = FileReader { path, text: &text };
    Ok(reader.section(table.get_ref(), reader.origin(0)))
}

struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl FileReader<'_> {
    fn section(&self, table: &DeTable<'_>, origin: Origin) -> Node {
        let entries = table.iter().map(|(key, value)| {
            let origin = self.origin(key.span().start);
            (key.get_ref().to_string(), self.node(value.get_ref(), origin))
        });
        Node { content: Content::Section(entries.collect()), origin }
    }

    fn node(&self, value: &DeValue<'_>, origin: Origin) -> Node {
        let scalar = match value {
            DeValue::Table(table) => return self.section(table, origin),
            DeValue::Array(list) => {
                let nodes = list.iter().map(|item| self.node(item.get_ref(), self.origin(item.span().start)));
                return Node { content: Content::List(nodes.collect()), origin };
            }
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
            DeValue::Datetime(date) => toml::Value::Datetime(*date),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => toml::Value::Integer(number),
                // Beyond 64 bits: kept as written, so that the message of whoever reads it can show it.
                Err(_) => return Node { content: Content::Text(number.to_string()), origin },
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => toml::Value::Float(number),
                Err(_) => return Node { content: Content::Text(number.to_string()), origin },
            },
        };
        Node { content: Content::Scalar(scalar), origin }
    }

    fn origin(&self, byte: usize) -> Origin {
        let line = self.text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1;
        Origin::File { path: self.path.to_path_buf(), line }
    }
}

pub(super) fn from_environment(
    prefix: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Node, ConfigError> {
    let mut root = Node::empty();
    let mut faults = Vec::new();
    // Sorted, so that messages do not depend on the order in which the system lists its variables.
    let ours: BTreeMap<String, OsString> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(SEPARATOR)))
        .collect();
    for (variable, value) in ours {
        let key = variable[prefix.len() + SEPARATOR.len()..].to_lowercase();
        let origin = Origin::Environment { variable };
        let parts: Vec<&str> = key.split(SEPARATOR).collect();
        let refuse = |problem: &str, fix: &str| Fault {
            key: parts.join("."),
            value: None,
            problem: problem.to_owned(),
            fix: fix.to_owned(),
            origin: origin.clone(),
        };
        let Ok(text) = value.into_string() else {
            faults.push(refuse("is not UTF-8 text", "set it to text"));
            continue;
        };
        if parts.iter().any(|part| part.is_empty()) {
            faults.push(refuse("has an empty part", "write PREFIX__SECTION__KEY"));
            continue;
        }
        let leaf = Node { content: Content::Text(text), origin: origin.clone() };
        let nested = parts.iter().rev().fold(leaf, |node, part| Node {
            content: Content::Section(BTreeMap::from([((*part).to_owned(), node)])),
            origin: origin.clone(),
        });
        root.overlay(nested);
    }
    if faults.is_empty() { Ok(root) } else { Err(ConfigError::Faults(faults)) }
}

pub(super) fn from_flags(flags: toml::Table) -> Node {
    fn node(value: toml::Value) -> Node {
        let content = match value {
            toml::Value::Table(table) => {
                Content::Section(table.into_iter().map(|(key, value)| (key, node(value))).collect())
            }
            toml::Value::Array(list) => Content::List(list.into_iter().map(node).collect()),
            scalar => Content::Scalar(scalar),
        };
        Node { content, origin: Origin::Flag }
    }
    node(toml::Value::Table(flags))
}

/// A list written in a variable: `["a", "b"]`.
pub(super) fn list_in_text(text: &str, origin: &Origin) -> Option<Vec<Node>> {
    let mut table: toml::Table = format!("list = {text}").parse().ok()?;
    let toml::Value::Array(list) = table.remove("list")? else { return None };
    let Content::Section(mut wrapped) =
        from_flags(toml::Table::from_iter([("list".to_owned(), list.into())])).content
    else {
        return None;
    };
    match wrapped.remove("list")?.content {
        Content::List(nodes) => {
            Some(nodes.into_iter().map(|node| Node { origin: origin.clone(), ..node }).collect())
        }
        _ => None,
    }
}

/// A number, a truth value or a text in quotes, written in a variable.
pub(super) fn scalar_in_text(text: &str) -> Option<toml::Value> {
    let mut table: toml::Table = format!("value = {text}").parse().ok()?;
    // Text with line breaks could define more than the one key.
    if table.len() == 1 { table.remove("value") } else { None }
}

/// Between the parts of a variable's name; a single underscore belongs to a key.
const SEPARATOR: &str = "__";
