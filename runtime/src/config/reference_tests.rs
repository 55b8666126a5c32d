//! The table of settings against what it speaks of: the documentation, and the settings that a node
//! really has. Each test goes through the table, so a new entry is judged without being named.

use chil_core::{Config, NodeId};

use super::field::Fallback;
use super::settings::ProtocolSettings;
use super::*;

const DOCUMENT: &str = "../docs/CONFIGURATION.md";
const BEGIN: &str = "<!-- The tables below are made from runtime/src/config/field: \
                     UPDATE_EXPECT=1 cargo test -p chil --lib config::reference -->\n";

/// One table a section, in the order in which sections come first.
fn tables() -> String {
    let mut sections: Vec<(&str, Vec<&Known>)> = Vec::new();
    for known in fields() {
        let section = known
            .key
            .rsplit_once('.')
            .map_or("", |(section, _)| section);
        match sections.iter_mut().find(|(name, _)| *name == section) {
            Some((_, list)) => list.push(known),
            None => sections.push((section, vec![known])),
        }
    }
    let mut text = BEGIN.to_owned();
    for (section, list) in sections {
        text.push_str(&format!(
            "\n## {section}\n\n| key | variable | what it says | by default |\n|---|---|---|---|\n"
        ));
        for known in list {
            let name = known.key.rsplit('.').next().unwrap();
            let fallback = match known.fallback() {
                Fallback::Required => "required".to_owned(),
                Fallback::Value(value) => format!("`{value}`"),
                Fallback::Words(words) => words.to_owned(),
            };
            let purpose = known.purpose();
            text.push_str(&format!(
                "| `{name}` | `{}` | {purpose} | {fallback} |\n",
                known.env
            ));
        }
    }
    text
}

#[test]
fn the_document_has_every_setting_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, found) = text
        .split_once(BEGIN)
        .expect("it says where the tables begin");
    let found = format!("{BEGIN}{found}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{}", tables())).unwrap();
        return;
    }
    assert!(
        found == tables(),
        "docs/CONFIGURATION.md is not what the table of settings says: run\n\
         UPDATE_EXPECT=1 cargo test -p chil --lib config::reference"
    );
}

#[test]
fn every_setting_says_what_holds_without_it() {
    for known in fields() {
        let last = known.help.rsplit("; ").next().unwrap();
        assert!(
            last == "required" || last.ends_with(" by default"),
            "{}: its help must end with '; required', '; VALUE by default' or '; none by default'",
            known.key
        );
    }
}

/// Enough to start a node, but for one setting.
fn without(field: Field) -> Layers {
    let mut layers = Layers::new()
        .set(Field::NodeId, "a")
        .set(Field::DataDir, "/data")
        .set(Field::Peers, "b=127.0.0.1:2,c=127.0.0.1:3")
        .set(Field::TlsEnabled, false)
        // Some settings mean nothing without it.
        .set(Field::ReadLease, "400ms");
    if [
        Field::TlsCert,
        Field::TlsKey,
        Field::TlsCa,
        Field::TlsDomain,
        Field::TlsReloadInterval,
    ]
    .contains(&field)
    {
        layers = layers
            .set(Field::TlsEnabled, true)
            .set(Field::TlsCert, "/a.crt")
            .set(Field::TlsKey, "/a.key")
            .set(Field::TlsCa, "/ca.crt");
    }
    layers.values.remove(&field);
    layers
}

/// Everything that a node would go by, or everything that keeps it from starting.
fn effect(layers: Layers) -> Result<String, Vec<String>> {
    let told = |error: SettingsError| error.problems.into_iter().map(|problem| problem.what);
    let mut settings = layers
        .finish()
        .map_err(|error| told(error).collect::<Vec<_>>())?;
    let mut config = Config::new(NodeId::from_name("a").unwrap(), 0, 0);
    settings.protocol.apply(&mut config);
    settings.protocol = ProtocolSettings::default();
    Ok(format!("{settings:?}\n{config:?}"))
}

#[test]
fn what_a_default_is_said_to_be_is_what_holds() {
    let mut compared = 0;
    for known in fields() {
        let Fallback::Value(value) = known.fallback() else {
            continue;
        };
        let said = effect(without(known.field).set(known.field, value));
        assert_eq!(
            said,
            effect(without(known.field)),
            "{} is {value} by default",
            known.key
        );
        compared += 1;
    }
    assert!(compared > 15, "only {compared}");
}

/// What `config show` prints is a file that says the same.
#[test]
fn what_is_shown_says_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    let list = vec![
        Peer::at("h:1").named("b \"c\"").weighing(3),
        Peer::at("[::1]:2"),
    ];
    let layers = Layers::new()
        .set(Field::NodeId, "1.10")
        .set(Field::DataDir, "a: b #c\\d\n\"e\"")
        .set(Field::AdvertiseAddress, "[::1]:7000")
        .set(Field::Insecure, true)
        .set(Field::Weight, 7)
        .set(Field::HeartbeatInterval, "250ms")
        .set(Field::Peers, list);
    let shown = Effective::yaml(&layers.effective(), true);
    std::fs::write(&path, &shown).unwrap();
    let again = Layers::new().file(&path).unwrap();
    for (before, after) in layers.effective().iter().zip(again.effective()) {
        match &before.value {
            Value::Set(raw) => assert_eq!(after.value, Value::Set(raw.clone()), "{shown}"),
            // What is a default says so itself now.
            _ => assert_eq!(after.text(), before.text(), "{shown}"),
        }
    }
    assert!(
        shown.contains("    heartbeat_interval: 250ms  # set in code\n"),
        "{shown}"
    );
    assert!(
        shown.contains("  bind_address: 127.0.0.1:7000  # default\n"),
        "{shown}"
    );
}

#[test]
fn no_text_shows_a_key() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    let inner = "MC4CAQ";
    for known in fields() {
        // Where it belongs, and everywhere else.
        let env = [(known.env.to_owned(), key.to_owned())];
        let layers = without(known.field).env(env).unwrap();
        let shown = Effective::yaml(&layers.effective(), true);
        let debug = format!("{layers:?} {:#?}", layers.effective());
        let outcome = layers.finish();
        let error = outcome
            .as_ref()
            .map_or_else(ToString::to_string, |_| String::new());
        for text in [shown, debug, error, format!("{outcome:?}")] {
            assert!(!text.contains(inner), "{}: {text}", known.key);
        }
        if known.field != Field::TlsKey {
            assert!(outcome.is_err(), "{} takes a private key", known.key);
        }
    }
}
