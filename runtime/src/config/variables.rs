//! The layer of the environment: variables, and files that variables name.
//! Knows the names of the settings, but nothing about what their values must be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Origin, Problem, SettingsError};
use super::field::{Field, Known, fields, nearest};
use super::value::Raw;

/// What the variables of this program begin with.
const PREFIX: &str = "CONSENSUS_";
/// What the name of a variable ends with that names a file with the value.
const FILE: &str = "_FILE";
/// A value is not longer than this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the settings among `variables`. An empty variable counts as not set.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<(Field, Raw, Origin)>, SettingsError> {
    let ours = |(name, _): &(String, String)| name.starts_with(PREFIX) && !is_foreign(name);
    let variables: BTreeMap<String, String> = variables.into_iter().filter(ours).collect();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in &variables {
        match one(name, value, &variables) {
            Ok(Some(setting)) => found.push(setting),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(SettingsError { problems })
    }
}

/// What one variable says; nothing if it is empty.
fn one(
    name: &str,
    value: &str,
    all: &BTreeMap<String, String>,
) -> Result<Option<(Field, Raw, Origin)>, Problem> {
    if let Some(known) = fields().find(|known| known.env == name) {
        let set = (known.field, Raw::from(value), Origin::Env(known.env.into()));
        return Ok((!value.is_empty()).then_some(set));
    }
    let Some(known) = named_by(name) else {
        return Err(Problem {
            what: unknown(name),
            key: name.to_owned(),
            origin: Origin::Default,
        });
    };
    if value.is_empty() {
        return Ok(None);
    }
    if all.get(known.env).is_some_and(|direct| !direct.is_empty()) {
        return Err(Problem {
            key: known.key.to_owned(),
            origin: Origin::Env(name.to_owned().into()),
            what: format!("{} says it, too: set one of the two", known.env),
        });
    }
    if known.names_file() {
        // The setting itself is the name of a file: it is read anew when its content changes.
        let origin = Origin::Env(name.to_owned().into());
        return Ok(Some((known.field, Raw::from(value), origin)));
    }
    let origin = Origin::EnvFile {
        path: PathBuf::from(value),
        variable: name.to_owned(),
    };
    match content(Path::new(value)) {
        Ok(text) => Ok(Some((known.field, Raw::Text(text), origin))),
        Err(what) => Err(Problem {
            key: known.key.to_owned(),
            origin,
            what,
        }),
    }
}

/// The setting whose value stands in the file that the variable `name` names.
fn named_by(name: &str) -> Option<&'static Known> {
    let direct = name.strip_suffix(FILE)?;
    fields().find(|known| known.env == direct)
}

fn unknown(name: &str) -> String {
    let near = match name.strip_suffix(FILE) {
        Some(direct) => meant(direct).map(|near| format!("{near}{FILE}")),
        None => meant(name).map(ToOwned::to_owned),
    };
    match near {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => "unknown variable".to_owned(),
    }
}

/// The variable that is nearest to `name`, or else one that it is the beginning of.
fn meant(name: &str) -> Option<&'static str> {
    let rest = |env: &'static str| env.strip_prefix(PREFIX).unwrap_or(env);
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let words = || fields().map(|known| rest(known.env));
    let longer = || words().find(|word| !name.is_empty() && word.starts_with(name));
    let word = nearest(name, words()).or_else(longer)?;
    let known = fields().find(|known| rest(known.env) == word)?;
    Some(known.env)
}

/// The one line of a file.
fn content(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot read it: {error}");
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{length} bytes are too many for one value"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let line = text.trim_end_matches(['\r', '\n']);
    match line.lines().count() {
        0 => Err("is empty".to_owned()),
        1 => Ok(line.to_owned()),
        lines => Err(format!(
            "has {lines} lines: it must hold the value and nothing else"
        )),
    }
}

/// Variables with the prefix that are not for the node: the file's name, which the command line
/// reads, and what Kubernetes injects into every pod for a service called "consensus"
/// (`CONSENSUS_SERVICE_HOST`, `CONSENSUS_PORT_7000_TCP_ADDR` and the like).
fn is_foreign(name: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    rest == "CONFIG"
        || rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest
            .strip_prefix("PORT_")
            .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Vec<(Field, Raw, Origin)>, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        read(pairs.iter().map(owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_may_hold_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("name");
        std::fs::write(&path, "node-7\r\n").unwrap();
        let path = path.to_str().unwrap();
        let found = settings(&[
            ("CONSENSUS_NODE_ID_FILE", path),
            ("CONSENSUS_WEIGHT_FILE", ""),
        ]);
        let found = found.unwrap();
        let (field, raw, origin) = &found[0];
        assert_eq!(
            (found.len(), *field, raw),
            (1, Field::NodeId, &Raw::from("node-7"))
        );
        let said = format!("from the file {path}, named by CONSENSUS_NODE_ID_FILE");
        assert_eq!(origin.to_string(), said);
    }

    #[test]
    fn a_file_that_holds_no_value_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        for (text, what) in [
            ("", "is empty"),
            ("\n\n", "is empty"),
            (
                "a\nb\n",
                "has 2 lines: it must hold the value and nothing else",
            ),
        ] {
            let path = dir.path().join("value");
            std::fs::write(&path, text).unwrap();
            let path = path.to_str().unwrap();
            let message = settings(&[("CONSENSUS_NODE_ID_FILE", path)]).unwrap_err();
            let place = format!("the file {path}, named by CONSENSUS_NODE_ID_FILE");
            assert_eq!(message, format!("consensus.node_id from {place}: {what}"));
        }
        let message = settings(&[("CONSENSUS_NODE_ID_FILE", "/nowhere/name")]).unwrap_err();
        assert!(
            message.starts_with(
                "consensus.node_id from the file /nowhere/name, named by CONSENSUS_NODE_ID_FILE: \
                 cannot read it: "
            ),
            "{message}"
        );
    }

    #[test]
    fn two_words_on_one_setting_are_refused() {
        let both = [
            ("CONSENSUS_DATA_DIR", "/data"),
            ("CONSENSUS_DATA_DIR_FILE", "/run/data"),
        ];
        assert_eq!(
            settings(&both).unwrap_err(),
            "consensus.data_dir from CONSENSUS_DATA_DIR_FILE: CONSENSUS_DATA_DIR says it, too: \
             set one of the two"
        );
    }

    #[test]
    fn a_setting_that_is_a_file_is_named_by_either_variable() {
        for name in ["CONSENSUS_TLS_KEY", "CONSENSUS_TLS_KEY_FILE"] {
            // Nobody reads it here: it need not be there.
            let found = settings(&[(name, "/nowhere/node.key")]).unwrap();
            let origin = Origin::Env(name.into());
            assert_eq!(
                found,
                [(Field::TlsKey, Raw::from("/nowhere/node.key"), origin)]
            );
        }
    }

    #[test]
    fn no_setting_is_mistaken_for_the_file_of_another() {
        let is_of_another = |known: &&Known| named_by(known.env).is_some();
        assert_eq!(
            fields().filter(is_of_another).map(|known| known.env).next(),
            None
        );
    }

    #[test]
    fn an_unknown_variable_is_named_with_a_suggestion() {
        assert_eq!(
            settings(&[("CONSENSUS_PEER", "a:1"), ("CONSENSUS_ZZZZZZZZZZZ", "1")]).unwrap_err(),
            "CONSENSUS_PEER: unknown variable; did you mean CONSENSUS_PEERS?\n\
             CONSENSUS_ZZZZZZZZZZZ: unknown variable"
        );
        assert_eq!(
            settings(&[("CONSENSUS_PEER_FILE", "/run/peers")]).unwrap_err(),
            "CONSENSUS_PEER_FILE: unknown variable; did you mean CONSENSUS_PEERS_FILE?"
        );
    }

    #[test]
    fn foreign_and_empty_variables_are_left_alone() {
        let found = settings(&[
            ("PATH", "/bin"),
            ("CONSENSUS_CONFIG", "node.yaml"),
            ("CONSENSUS_PORT", "tcp://10.0.0.1:7000"),
            ("CONSENSUS_PORT_7000_TCP_ADDR", "10.0.0.1"),
            ("CONSENSUS_SERVICE_HOST", "10.0.0.1"),
            ("CONSENSUS_SERVICE_PORT_GRPC", "7000"),
            ("CONSENSUS_NODE_ID", ""),
        ]);
        assert_eq!(found, Ok(Vec::new()));
    }
}
