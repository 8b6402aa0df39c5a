//! From a tree of settings to a typed value, noticing on the way what the type does not know.
//!
//! serde hands the names of a struct's fields to the deserialiser: that is the list of known keys, so no second list
//! can go stale, and every message has its full key, value and origin.

use std::cell::RefCell;
use std::collections::btree_map;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::layers::{Content, Node, joined, list_in_text, scalar_in_text};
use super::{Fault, Origin, masked};

/// All unknown keys at once and the first value that does not fit, or the settings.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Vec<Fault>> {
    let unknown = RefCell::new(Vec::new());
    let result = T::deserialize(Reader { node: root, key: String::new(), unknown: &unknown });
    let mut faults = unknown.into_inner();
    match result {
        Ok(value) if faults.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(refused) => faults.push(*refused.0),
    }
    Err(faults)
}

/// A value that does not fit its type.
#[derive(Debug)]
struct Refused(Box<Fault>);

impl Refused {
    fn new(problem: String, fix: String) -> Self {
        Self(Box::new(Fault { key: String::new(), value: None, problem, fix, origin: Origin::Default }))
    }

    /// Adds where it happened, unless a deeper place is known already.
    fn at(mut self, key: &str, node: &Node) -> Self {
        let fault = &mut *self.0;
        if fault.origin == Origin::Default {
            fault.origin = node.origin.clone();
            fault.key = if fault.key.is_empty() { key.to_owned() } else { joined(key, &fault.key) };
            fault.value = node.shown().map(|value| masked(&fault.key, value));
        }
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::new(format!("cannot be accepted: {message}"), "correct it".to_owned())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new("has the wrong type".to_owned(), format!("give {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new("is out of range".to_owned(), format!("give {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        let mut refused = Self::new("is missing".to_owned(), "set it".to_owned());
        field.clone_into(&mut refused.0.key);
        refused
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::new("is not one of the choices".to_owned(), suggestion(given, known))
    }
}

/// One node, its full key, and where unknown keys are noted.
struct Reader<'a> {
    node: &'a Node,
    key: String,
    unknown: &'a RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    fn child(&self, node: &'a Node, key: String) -> Self {
        Self { node, key, unknown: self.unknown }
    }

    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.content {
            Content::Scalar(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Content::Scalar(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Content::Scalar(toml::Value::Boolean(flag)) => visitor.visit_bool(*flag),
            Content::Text(text) | Content::Scalar(toml::Value::String(text)) => visitor.visit_str(text),
            Content::Scalar(other) => visitor.visit_string(other.to_string()),
            Content::List(nodes) => visitor.visit_seq(Items { reader: self, nodes, index: 0 }),
            Content::Section(entries) => {
                visitor.visit_map(Entries { reader: self, rest: entries.iter(), known: None, value: None })
            }
        }
    }

    /// For whoever takes what comes, above all a choice that is told by one of its own fields: serde keeps its values
    /// aside before it knows their types. A variable has none, so it is read as TOML would be, except that a word needs
    /// no quotes.
    fn as_it_looks<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refused> {
        let Content::Text(text) = &self.node.content else { return self.any(visitor) };
        if let Some(nodes) = list_in_text(text, &self.node.origin) {
            return visitor.visit_seq(Items { reader: self, nodes: &nodes, index: 0 });
        }
        match scalar_in_text(text) {
            Some(toml::Value::Integer(number)) => visitor.visit_i64(number),
            Some(toml::Value::Float(number)) => visitor.visit_f64(number),
            Some(toml::Value::Boolean(flag)) => visitor.visit_bool(flag),
            Some(toml::Value::String(text)) => visitor.visit_str(&text),
            _ => visitor.visit_str(text),
        }
    }

    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refused> {
        let Content::Text(text) = &self.node.content else { return self.any(visitor) };
        if let Ok(number) = text.parse::<u64>() {
            visitor.visit_u64(number)
        } else if let Ok(number) = text.parse::<i64>() {
            visitor.visit_i64(number)
        } else if let Ok(number) = text.parse::<f64>() {
            visitor.visit_f64(number)
        } else {
            Err(Refused::new("is not a number".to_owned(), "give a number".to_owned()))
        }
    }

    fn flag<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.content {
            Content::Text(text) if text == "true" => visitor.visit_bool(true),
            Content::Text(text) if text == "false" => visitor.visit_bool(false),
            Content::Text(_) => {
                Err(Refused::new("is neither true nor false".to_owned(), "give true or false".to_owned()))
            }
            _ => self.any(visitor),
        }
    }

    fn list<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refused> {
        let Content::Text(text) = &self.node.content else { return self.any(visitor) };
        let Some(nodes) = list_in_text(text, &self.node.origin) else {
            return Err(Refused::new(
                "is not a list".to_owned(),
                "write it as in TOML: [\"a\", \"b\"]".to_owned(),
            ));
        };
        visitor.visit_seq(Items { reader: self, nodes: &nodes, index: 0 })
    }

    /// Notes every key of a section that the type has no field for.
    fn note_unknown(&self, known: &'static [&'static str]) {
        let Content::Section(entries) = &self.node.content else { return };
        for (name, node) in entries {
            if !known.contains(&name.as_str()) {
                let key = joined(&self.key, name);
                self.unknown.borrow_mut().push(Fault {
                    value: node.shown().map(|value| masked(&key, value)),
                    key,
                    problem: "is unknown".to_owned(),
                    fix: suggestion(name, known),
                    origin: node.origin.clone(),
                });
            }
        }
    }

    fn located<T>(&self, result: Result<T, Refused>) -> Result<T, Refused> {
        result.map_err(|refused| refused.at(&self.key, self.node))
    }
}

macro_rules! read_as {
    ($how:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            self.located(self.$how(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Refused;

    read_as!(as_it_looks: deserialize_any);
    read_as!(any: deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_map deserialize_identifier deserialize_ignored_any);
    read_as!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64);
    read_as!(flag: deserialize_bool);
    read_as!(list: deserialize_seq);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let (key, node) = (self.key.clone(), self.node);
        visitor.visit_newtype_struct(self).map_err(|refused| refused.at(&key, node))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.note_unknown(fields);
        let result = match &self.node.content {
            Content::Section(entries) => visitor.visit_map(Entries {
                reader: &self,
                rest: entries.iter(),
                known: Some(fields),
                value: None,
            }),
            Content::Text(_) | Content::Scalar(_) | Content::List(_) => {
                Err(Refused::new("is a value, not a section".to_owned(), suggestion("", fields)))
            }
        };
        self.located(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let result = match &self.node.content {
            Content::Text(text) | Content::Scalar(toml::Value::String(text)) => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            Content::Section(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant { reader: &self, rest: entries.iter() })
            }
            _ => Err(Refused::new("is not one of the choices".to_owned(), suggestion("", variants))),
        };
        self.located(result)
    }
}

struct Items<'a> {
    reader: &'a Reader<'a>,
    nodes: &'a [Node],
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        let Some(node) = self.nodes.get(self.index) else { return Ok(None) };
        let key = format!("{}[{}]", self.reader.key, self.index);
        self.index += 1;
        let reader = Reader { node, key: key.clone(), unknown: self.reader.unknown };
        seed.deserialize(reader).map(Some).map_err(|refused| refused.at(&key, node))
    }
}

struct Entries<'a> {
    reader: &'a Reader<'a>,
    rest: btree_map::Iter<'a, String, Node>,
    /// Unknown keys were noted already and are skipped here.
    known: Option<&'static [&'static str]>,
    value: Option<(&'a String, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        let known = self.known;
        self.value = self.rest.find(|(name, _)| known.is_none_or(|known| known.contains(&name.as_str())));
        let Some((name, _)) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Refused> = name.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let Some((name, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let key = joined(&self.reader.key, name);
        seed.deserialize(self.reader.child(node, key.clone())).map_err(|refused| refused.at(&key, node))
    }
}

/// `{ laplace = { scale = 20 } }`: the one key names the choice.
struct Variant<'a> {
    reader: &'a Reader<'a>,
    rest: btree_map::Iter<'a, String, Node>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Refused;
    type Variant = Reader<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Reader<'a>), Refused> {
        let Some((name, node)) = self.rest.next() else {
            return Err(de::Error::custom("a choice has no name"));
        };
        let choice: StrDeserializer<'_, Refused> = name.as_str().into_deserializer();
        let choice = seed.deserialize(choice)?;
        Ok((choice, self.reader.child(node, joined(&self.reader.key, name))))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        let refused =
            Refused::new("takes no settings of its own".to_owned(), "give its name alone".to_owned());
        Err(refused.at(&self.key, self.node))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_struct("", fields, visitor)
    }
}

/// The nearest known word, or all of them when none is near.
fn suggestion(given: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|word| (edits(given, word), *word)).min();
    match nearest {
        Some((edits, word)) if !given.is_empty() && edits <= (given.len() / 3).max(2) => {
            format!("did you mean {word}?")
        }
        Some(_) => format!("known are: {}", known.join(", ")),
        None => "remove it".to_owned(),
    }
}

/// Edits (insert, delete, replace) from one word to another: Levenshtein's distance; `-` and `_` count as one letter.
fn edits(from: &str, to: &str) -> usize {
    let letters = |word: &str| word.to_lowercase().replace('-', "_").chars().collect::<Vec<_>>();
    let (from, to) = (letters(from), letters(to));
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(*letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
