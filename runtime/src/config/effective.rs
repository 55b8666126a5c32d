//! What is in force when all layers are laid over each other, setting by setting, and where each
//! value comes from. Knows nothing about whether the values make sense.

use super::error::Origin;
use super::field::{Fallback, Known, fields};
use super::secret::REDACTED;
use super::value::Raw;
use super::{Layers, Peer};

/// What a setting is at the moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Somebody set it, to this.
    Set(Raw),
    /// Nobody set it: it is this, as one would write it.
    Default(&'static str),
    /// Nobody set it: what it is then, in words.
    Words(&'static str),
    /// Nobody set it, and there is no node without it.
    Missing,
}

/// One setting, and where its value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Which one.
    pub known: &'static Known,
    /// Its value.
    pub value: Value,
    /// Who said so.
    pub origin: Origin,
}

impl Layers {
    /// Every setting as it is with what has been added so far, in the order of the table. Nothing
    /// is checked. Secrets are in it, but what prints it does not show them.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let effective = |known: &'static Known| {
            let (value, origin) = match self.get(known.field) {
                Some((raw, origin)) => (Value::Set(raw.clone()), origin.clone()),
                None => (unset(known), Origin::Default),
            };
            Effective {
                known,
                value,
                origin,
            }
        };
        fields().map(effective).collect()
    }
}

fn unset(known: &Known) -> Value {
    match known.fallback() {
        Fallback::Required => Value::Missing,
        Fallback::Value(text) => Value::Default(text),
        Fallback::Words(words) => Value::Words(words),
    }
}

impl Effective {
    /// The settings as a file that says the same, with where they come from if `origins`. What
    /// nobody set and what must not be shown stands in comments.
    #[must_use]
    pub fn yaml(settings: &[Self], origins: bool) -> String {
        let mut root = Section::default();
        for setting in settings {
            let mut path: Vec<&str> = setting.known.key.split('.').collect();
            let name = path.pop().unwrap_or_default();
            let section = path.into_iter().fold(&mut root, Section::below);
            section.entries.push(Entry::Setting(name, setting));
        }
        let mut text = String::new();
        root.write(0, origins, &mut text);
        text
    }

    /// Its value on one line, as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            Value::Set(Raw::Peers(peers)) => {
                let peers: Vec<String> = peers.iter().map(flow).collect();
                format!("[{}]", peers.join(", "))
            }
            Value::Set(raw) => scalar(raw),
            Value::Default(text) => (*text).to_owned(),
            Value::Words(words) => format!("({words})"),
            Value::Missing => "(must be set)".to_owned(),
        }
    }

    /// Whether a file can say it.
    fn is_said(&self) -> bool {
        match &self.value {
            Value::Set(raw) => !raw.is_secret(),
            Value::Default(_) => true,
            Value::Words(_) | Value::Missing => false,
        }
    }
}

/// A section of the file, in the order in which its parts come first.
#[derive(Default)]
struct Section<'a> {
    entries: Vec<Entry<'a>>,
}

enum Entry<'a> {
    Setting(&'a str, &'a Effective),
    Section(&'a str, Section<'a>),
}

impl<'a> Section<'a> {
    fn below(&mut self, name: &'a str) -> &mut Self {
        let is_it = |entry: &Entry<'_>| matches!(entry, Entry::Section(n, _) if *n == name);
        let at = self.entries.iter().position(is_it).unwrap_or_else(|| {
            self.entries.push(Entry::Section(name, Section::default()));
            self.entries.len() - 1
        });
        match &mut self.entries[at] {
            Entry::Section(_, section) => section,
            Entry::Setting(..) => unreachable!("only sections were looked for"),
        }
    }

    fn write(&self, depth: usize, origins: bool, text: &mut String) {
        let indent = "  ".repeat(depth);
        for entry in &self.entries {
            match entry {
                Entry::Section(name, section) => {
                    text.push_str(&format!("{indent}{name}:\n"));
                    section.write(depth + 1, origins, text);
                }
                Entry::Setting(name, setting) => {
                    let mark = if setting.is_said() { "" } else { "# " };
                    let origin = if origins {
                        format!("  # {}", setting.origin)
                    } else {
                        String::new()
                    };
                    let value = setting.text();
                    text.push_str(&format!("{indent}{mark}{name}: {value}{origin}\n"));
                }
            }
        }
    }
}

fn flow(peer: &Peer) -> String {
    let mut parts = vec![format!("address: {}", quoted(&peer.address))];
    parts.extend(
        peer.name
            .as_ref()
            .map(|name| format!("name: {}", quoted(name))),
    );
    if peer.weight != 1 {
        parts.push(format!("weight: {}", peer.weight));
    }
    format!("{{{}}}", parts.join(", "))
}

fn scalar(raw: &Raw) -> String {
    match raw {
        secret if secret.is_secret() => REDACTED.to_owned(),
        Raw::Text(text) => plain(text).map_or_else(|| quoted(text), ToOwned::to_owned),
        Raw::Integer(number) => number.to_string(),
        Raw::Float(number) => number.to_string(),
        Raw::Bool(value) => value.to_string(),
        Raw::Secret(_) => REDACTED.to_owned(),
        Raw::Peers(peers) => peers.iter().map(flow).collect(),
    }
}

/// The text, if YAML takes it for itself without quotes. What looks like another kind of value is
/// left without them as well, if it is one here: `true`, `7`.
fn plain(text: &str) -> Option<&str> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    let rest = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-:".contains(c));
    // `1.10` would become a fraction and lose its last digit; `null` and the like would vanish.
    let is_number = text.parse::<f64>().is_ok() && text.parse::<i128>().is_err();
    let is_word = ["null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    (begins && rest && !text.ends_with(':') && !is_number && !is_word).then_some(text)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
