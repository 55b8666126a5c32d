//! `chil txn`: several writes at once, from a JSON document that says under which conditions.
//! Knows nothing about how they are executed.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use chil::kv::{Check, Cond, Txn, Write};
use serde::{Deserialize, Serialize};

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, list};

/// Write several values at once, under conditions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE holds one JSON object. If all of 'checks' hold when it is executed, all of 'then' is written, else all
of 'else', in one slot: nobody sees some of it only. Each list may be left out. A check names a 'key' and
one of 'absent': true, 'exists': true, 'version': N, 'created': N, 'value': TEXT.

  {\"checks\": [{\"key\": \"from\", \"value\": \"10\"}, {\"key\": \"to\", \"version\": 7}],
   \"then\": [{\"put\": {\"key\": \"from\", \"value\": \"9\"}}, {\"delete\": {\"key\": \"to\"}}],
   \"else\": [{\"put\": {\"key\": \"failed\", \"value\": \"yes\"}}]}

Ends with code 5 when the checks did not hold.

Examples:
  chil txn -p 127.0.0.1:7001 transfer.json
  echo '{\"then\": [{\"put\": {\"key\": \"a\", \"value\": \"1\"}}]}' | chil txn -p 127.0.0.1:7001 - --json")]
pub(crate) struct Arguments {
    /// The document; '-' reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// The document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    checks: Vec<CheckText>,
    #[serde(default)]
    then: Vec<WriteText>,
    #[serde(default, rename = "else")]
    otherwise: Vec<WriteText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckText {
    key: String,
    absent: Option<bool>,
    exists: Option<bool>,
    version: Option<u64>,
    created: Option<u64>,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WriteText {
    Put { key: String, value: String },
    Delete { key: String },
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Executed {
    slot: u64,
    /// Whether all checks held.
    held: bool,
    /// For each write that was made, the version that its key had before.
    previous: Vec<Option<u64>>,
}

/// Runs `chil txn`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let name = arguments.file.display().to_string();
    let text = read(&arguments.file).with_context(|| format!("cannot read {name}"))?;
    let txn = parse(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    let client = arguments.target.client()?;
    let outcome = client.txn(txn).await?;
    let previous = outcome.previous.iter();
    let executed = Executed {
        slot: outcome.slot.get(),
        held: outcome.held,
        previous: previous.map(|stamp| stamp.map(|s| s.version)).collect(),
    };
    format.print(&executed, shown)?;
    Ok(if executed.held {
        Exit::Ok
    } else {
        Exit::Condition
    })
}

fn read(file: &PathBuf) -> std::io::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

fn parse(text: &str) -> Result<Txn, String> {
    let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let checks = document.checks.into_iter().map(check);
    let writes = |texts: Vec<WriteText>| texts.into_iter().map(Write::from).collect();
    Ok(Txn {
        checks: checks.collect::<Result<_, _>>()?,
        then: writes(document.then),
        otherwise: writes(document.otherwise),
    })
}

fn check(text: CheckText) -> Result<Check, String> {
    let conds = [
        text.absent
            .map(|absent| if absent { Cond::Absent } else { Cond::Exists }),
        text.exists
            .map(|exists| if exists { Cond::Exists } else { Cond::Absent }),
        text.version.map(Cond::VersionEq),
        text.created.map(Cond::CreatedEq),
        text.value.map(|value| Cond::ValueEq(value.into())),
    ];
    let mut conds = conds.into_iter().flatten();
    match (conds.next(), conds.next()) {
        (Some(cond), None) => Ok(Check {
            key: text.key.into(),
            cond,
        }),
        (None, _) | (Some(_), Some(_)) => Err(format!(
            "the check of '{}' needs exactly one of absent, exists, version, created, value",
            text.key
        )),
    }
}

impl From<WriteText> for Write {
    fn from(text: WriteText) -> Self {
        match text {
            WriteText::Put { key, value } => Self::Put {
                key: key.into(),
                value: value.into(),
            },
            WriteText::Delete { key } => Self::Delete { key: key.into() },
        }
    }
}

fn shown(executed: &Executed) -> String {
    let branch = if executed.held { "then" } else { "else" };
    list(&[
        ("slot".to_owned(), executed.slot.to_string()),
        ("checks held".to_owned(), executed.held.to_string()),
        (
            "written".to_owned(),
            format!("'{branch}': {}", executed.previous.len()),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_a_transaction() {
        let text = r#"{"checks": [{"key": "a", "absent": true}, {"key": "b", "value": "x"},
                                  {"key": "c", "created": 3}],
                       "then": [{"put": {"key": "a", "value": "1"}}],
                       "else": [{"delete": {"key": "b"}}]}"#;
        let check = |key: &'static str, cond| Check {
            key: key.into(),
            cond,
        };
        let expected = Txn {
            checks: vec![
                check("a", Cond::Absent),
                check("b", Cond::ValueEq("x".into())),
                check("c", Cond::CreatedEq(3)),
            ],
            then: vec![Write::Put {
                key: "a".into(),
                value: "1".into(),
            }],
            otherwise: vec![Write::Delete { key: "b".into() }],
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse("{}"), Ok(Txn::default()));
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_reason() {
        for (text, part) in [
            ("", "EOF"),
            (r#"{"thn": []}"#, "unknown field `thn`"),
            (r#"{"checks": [{"key": "a"}]}"#, "'a' needs exactly one of"),
            (
                r#"{"checks": [{"key": "a", "absent": true, "version": 1}]}"#,
                "'a' needs exactly one of",
            ),
            (
                r#"{"then": [{"put": {"key": "a"}}]}"#,
                "missing field `value`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
