//! The YAML layer: from a file to raw values with their lines.
//! Knows the names of the settings, but nothing about what their values must be.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::error::{Origin, Problem, SettingsError};
use super::field::{Field, fields, nearest};
use super::peer::Peer;
use super::value::Raw;

/// A file larger than this is no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the settings of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<(Field, Raw, Origin)>, SettingsError> {
    let whole = |what: String| Problem {
        key: String::new(),
        origin: Origin::File {
            path: path.to_owned(),
            line: 0,
        },
        what,
    };
    let length = std::fs::metadata(path)
        .map_err(|error| whole(format!("cannot read the configuration: {error}")))?
        .len();
    if length > FILE_BYTES_MAX {
        let what = format!("{length} bytes are too many for a configuration");
        return Err(whole(what).into());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| whole(format!("cannot read the configuration: {error}")))?;
    parse(&text, path)
}

/// Reads the settings of `text`, which came from `path`.
fn parse(text: &str, path: &Path) -> Result<Vec<(Field, Raw, Origin)>, SettingsError> {
    let mut reader = Reader {
        path,
        found: Vec::new(),
        problems: Vec::new(),
    };
    let root: Spanned<Tree> = serde_saphyr::from_str(text).map_err(|error| Problem {
        key: String::new(),
        origin: reader.origin(error.location().map_or(0, |location| location.line())),
        what: no_yaml(&error.without_snippet().to_string()),
    })?;
    match &root.value {
        Tree::Null => {}
        Tree::Map(entries) => reader.section("", entries),
        Tree::Raw(_) | Tree::List(_) => {
            reader.refuse(
                "",
                1,
                "must begin with 'consensus:' and the settings below it".into(),
            );
        }
    }
    if reader.problems.is_empty() {
        Ok(reader.found)
    } else {
        Err(SettingsError {
            problems: reader.problems,
        })
    }
}

/// What has been found so far.
struct Reader<'a> {
    path: &'a Path,
    found: Vec<(Field, Raw, Origin)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, line: u64) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn refuse(&mut self, key: &str, line: u64, what: String) {
        self.problems.push(Problem {
            key: key.to_owned(),
            origin: self.origin(line),
            what,
        });
    }

    /// Reads the entries below `prefix` (empty, or ending with a dot).
    fn section(&mut self, prefix: &str, entries: &[(Spanned<String>, Spanned<Tree>)]) {
        for (name, tree) in entries {
            let line = name.referenced.line();
            let key = format!("{prefix}{}", name.value);
            let below = format!("{key}.");
            if let Some(known) = fields().find(|known| known.key == key) {
                self.setting(known.field, line, tree);
            } else if fields().any(|known| known.key.starts_with(&below)) {
                match &tree.value {
                    Tree::Map(entries) => self.section(&below, entries),
                    Tree::Null => {}
                    Tree::Raw(_) | Tree::List(_) => {
                        self.refuse(&key, line, "is a section: its settings go below it".into());
                    }
                }
            } else {
                self.refuse(&key, line, unknown(prefix, &name.value));
            }
        }
    }

    fn setting(&mut self, field: Field, line: u64, tree: &Spanned<Tree>) {
        let raw = match &tree.value {
            Tree::Raw(raw) => raw.clone(),
            Tree::List(items) if field == Field::Peers => match self.peers(items) {
                Some(peers) => Raw::Peers(peers),
                None => return,
            },
            Tree::Null => {
                let what = "has no value: give it one or remove the line";
                return self.refuse(field.key(), line, what.into());
            }
            Tree::List(_) | Tree::Map(_) => {
                let what = "must be one value, not a list or a section";
                return self.refuse(field.key(), line, what.into());
            }
        };
        self.found.push((field, raw, self.origin(line)));
    }

    fn peers(&mut self, items: &[Spanned<Tree>]) -> Option<Vec<Peer>> {
        let mut peers = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let key = format!("{}[{i}]", Field::Peers.key());
            let line = item.referenced.line();
            let peer = match &item.value {
                Tree::Raw(raw) => raw
                    .text()
                    .and_then(|text| Peer::listed(&text).map_err(|error| error.to_string())),
                Tree::Map(entries) => self.peer(&key, entries),
                Tree::Null | Tree::List(_) => Err(PEER_FORMS.to_owned()),
            };
            match peer {
                Ok(peer) => peers.push(peer),
                Err(what) => self.refuse(&key, line, what),
            }
        }
        (peers.len() == items.len()).then_some(peers)
    }

    /// One peer as a map.
    fn peer(
        &self,
        key: &str,
        entries: &[(Spanned<String>, Spanned<Tree>)],
    ) -> Result<Peer, String> {
        let (mut address, mut name, mut weight) = (None, None, 1);
        for (part, tree) in entries {
            let Tree::Raw(raw) = &tree.value else {
                return Err(format!("{} must be one value", part.value));
            };
            match part.value.as_str() {
                "address" => address = Some(raw.text()?),
                "name" => name = Some(raw.text()?),
                "weight" => {
                    weight = raw
                        .integer(0, super::WEIGHT_MAX)
                        .map_err(|what| format!("weight {what}"))?;
                }
                other => {
                    return Err(format!(
                        "unknown key '{key}.{other}' in line {}{}",
                        part.referenced.line(),
                        suggestion(nearest(other, ["address", "name", "weight"])),
                    ));
                }
            }
        }
        let address = address.ok_or_else(|| format!("has no address: {PEER_FORMS}"))?;
        let mut peer = Peer::listed(&address).map_err(|error| error.to_string())?;
        if peer.name.is_some() && name.is_some() && peer.name != name {
            return Err("has two names: write the name once".to_owned());
        }
        peer.name = name.or(peer.name);
        peer.weight = weight;
        Ok(peer)
    }
}

/// What the parser says, but for the place, which stands before it, and for advice to programmers.
fn no_yaml(error: &str) -> String {
    let what = error.split(" at line ").next().unwrap_or(error);
    match what.strip_prefix("duplicate mapping key: ") {
        Some(key) => {
            let key = key.split(", ").next().unwrap_or(key);
            format!("'{key}' stands in this section twice: remove one of them")
        }
        None => format!("is no YAML: {what}"),
    }
}

const PEER_FORMS: &str =
    "write an address (host:port), name=address, or {address: host:port, name: .., weight: ..}";

/// What to say about the key `name` below `prefix`.
fn unknown(prefix: &str, name: &str) -> String {
    // First among its neighbours, then the same name in another section.
    let siblings = fields().filter_map(|known| {
        let rest = known.key.strip_prefix(prefix)?;
        rest.split('.').next()
    });
    let near = nearest(name, siblings).map(|sibling| format!("{prefix}{sibling}"));
    let elsewhere = || {
        let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
        let name = nearest(name, fields().map(|known| last(known.key)))?;
        let known = fields().find(|known| last(known.key) == name)?;
        Some(known.key.to_owned())
    };
    format!(
        "unknown key{}",
        suggestion(near.or_else(elsewhere).as_deref())
    )
}

fn suggestion(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

/// Any YAML, with the lines of keys and values.
enum Tree {
    Null,
    Raw(Raw),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a section")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Integer(value)))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Tree, E> {
        i128::try_from(value)
            .map(|value| Tree::Raw(Raw::Integer(value)))
            .map_err(|_| E::custom(format!("{value} is too large a number")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Raw(Raw::Text(value.to_owned())))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(Field, Raw, Origin)>, SettingsError> {
        parse(text, Path::new("node.yaml"))
    }

    fn line(line: u64) -> Origin {
        Origin::File {
            path: "node.yaml".into(),
            line,
        }
    }

    fn refused(text: &str) -> String {
        parsed(text).unwrap_err().to_string()
    }

    #[test]
    fn values_come_with_their_lines() {
        let found = parsed(
            "consensus:\n  node_id: node-1\n\n  weight: 2\n  fault_tolerance:\n    \
             heartbeat_interval: 1s\n",
        )
        .unwrap();
        assert_eq!(
            found,
            [
                (Field::NodeId, Raw::from("node-1"), line(2)),
                (Field::Weight, Raw::Integer(2), line(4)),
                (Field::HeartbeatInterval, Raw::from("1s"), line(6)),
            ]
        );
    }

    #[test]
    fn peers_are_texts_or_maps() {
        let found = parsed(
            "consensus:\n  peers:\n    - b:1\n    - c=h:2\n    \
             - {address: 'd:3', name: d, weight: 0}\n",
        )
        .unwrap();
        let expected = vec![
            Peer::at("b:1"),
            Peer::at("h:2").named("c"),
            Peer::at("d:3").named("d").weighing(0),
        ];
        assert_eq!(found, [(Field::Peers, Raw::Peers(expected), line(2))]);
    }

    #[test]
    fn a_bad_peer_is_named_with_its_line() {
        let text =
            "consensus:\n  peers:\n    - b:1\n    - c:0\n    - {adress: 'h:1'}\n    - {name: x}\n";
        let message = refused(text);
        assert!(
            message.contains("consensus.peers[1] in node.yaml line 4: 'c:0' has no usable port")
        );
        assert!(message.contains("consensus.peers[2].adress"), "{message}");
        assert!(message.contains("did you mean 'address'?"), "{message}");
        assert!(message.contains("consensus.peers[3] in node.yaml line 6: has no address"));
    }

    #[test]
    fn an_unknown_key_is_named_with_place_and_suggestion() {
        assert_eq!(
            refused("consensus:\n  node_id: a\n  peer: [b:1]\n"),
            "consensus.peer in node.yaml line 3: unknown key; did you mean 'consensus.peers'?"
        );
        assert_eq!(
            refused("consensus:\n  heartbeat_interval: 1s\n"),
            "consensus.heartbeat_interval in node.yaml line 2: unknown key; did you mean \
             'consensus.fault_tolerance.heartbeat_interval'?"
        );
        assert_eq!(
            refused("colour: red\n"),
            "colour in node.yaml line 1: unknown key"
        );
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let message = refused("consensus:\n  nodeid: a\n  weigth: 1\n  protocol: fast\n");
        assert_eq!(message.lines().count(), 3, "{message}");
        assert!(message.contains("consensus.protocol in node.yaml line 4: is a section"));
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        assert!(refused("consensus:\n  node_id: [a\n").starts_with("node.yaml line "));
        assert!(refused("consensus:\n  weight: 1\n  weight: 2\n").contains("line 3"));
        assert!(refused("- a\n").contains("must begin with 'consensus:'"));
        assert!(refused("consensus:\n  node_id:\n").contains("has no value"));
        assert_eq!(parsed("").unwrap(), []);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/node.yaml"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nowhere/node.yaml: cannot read"),
            "{error}"
        );
    }
}
