//! `chil put` and `chil delete`: one write, with or without a condition.
//! Knows nothing about which node decides it.

use chil::client::{Client, Committed};
use chil::kv::Cond;
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, table};

/// Write a value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The write takes effect once, however often it has to be sent. A condition is looked at when the write is
executed: between that and the write nothing comes. If it does not hold, nothing is changed, and the
command ends with code 5.

Examples:
  chil put -p 127.0.0.1:7001 greeting hello
  chil put -p 127.0.0.1:7001 lock me --if-absent
  chil put -p 127.0.0.1:7001 counter 8 --if-value 7 --json")]
pub(crate) struct Put {
    /// What to store it under.
    key: String,
    /// What to store.
    value: String,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    target: Target,
}

/// Remove a value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Removing what is not there succeeds. A condition that does not hold ends the command with code 5; nothing
is changed then.

Examples:
  chil delete -p 127.0.0.1:7001 greeting
  chil delete -p 127.0.0.1:7001 lock --if-value me")]
pub(crate) struct Delete {
    /// What it is stored under.
    key: String,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    target: Target,
}

/// What must hold of the key.
#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Condition {
    /// Only if nothing is stored there.
    #[arg(long)]
    if_absent: bool,
    /// Only if something is stored there.
    #[arg(long)]
    if_exists: bool,
    /// Only if it was written by this slot: nobody has written since.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Only if this value is stored there.
    #[arg(long, value_name = "VALUE")]
    if_value: Option<String>,
}

impl Condition {
    fn cond(self) -> Cond {
        match self {
            Self {
                if_absent: true, ..
            } => Cond::Absent,
            Self {
                if_exists: true, ..
            } => Cond::Exists,
            Self {
                if_version: Some(version),
                ..
            } => Cond::VersionEq(version),
            Self {
                if_value: Some(value),
                ..
            } => Cond::ValueEq(value.into()),
            Self { .. } => Cond::Any,
        }
    }
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Written {
    key: String,
    slot: u64,
    applied: bool,
    /// The key's version from now on; absent where nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The key's version before.
    previous: Option<u64>,
}

/// Runs `chil put`.
pub(crate) async fn put(arguments: Put, format: Format) -> Result<Exit, Failure> {
    let client: Client = arguments.target.client()?;
    let (key, cond) = (arguments.key, arguments.condition.cond());
    let committed = client.put_if(key.clone(), arguments.value, cond).await?;
    let version = committed.applied.then_some(committed.version);
    tell(key, version, &committed, format)
}

/// Runs `chil delete`.
pub(crate) async fn delete(arguments: Delete, format: Format) -> Result<Exit, Failure> {
    let client = arguments.target.client()?;
    let (key, cond) = (arguments.key, arguments.condition.cond());
    let committed = client.delete_if(key.clone(), cond).await?;
    tell(key, None, &committed, format)
}

fn tell(
    key: String,
    version: Option<u64>,
    committed: &Committed,
    format: Format,
) -> Result<Exit, Failure> {
    let written = Written {
        key,
        slot: committed.slot.get(),
        applied: committed.applied,
        version,
        previous: committed.previous,
    };
    if written.applied || format == Format::Json {
        format.print(&written, shown)?;
    }
    if written.applied {
        return Ok(Exit::Ok);
    }
    let key = &written.key;
    let found = written.previous.map_or_else(
        || "nothing is stored there".to_owned(),
        |version| format!("it has version {version}"),
    );
    let error = anyhow::anyhow!("the condition on '{key}' did not hold: {found}; nothing changed");
    Err(Failure::new(Exit::Condition, error))
}

fn shown(written: &Written) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = vec![
        written.key.clone(),
        written.slot.to_string(),
        number(written.version),
        number(written.previous),
    ];
    table(&["KEY", "SLOT", "VERSION", "PREVIOUS"], &[row])
}

#[cfg(test)]
mod tests {
    use chil::Slot;
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        condition: Condition,
    }

    fn cond(arguments: &[&str]) -> Option<Cond> {
        let line = std::iter::once(&"line").chain(arguments);
        Some(Line::try_parse_from(line).ok()?.condition.cond())
    }

    #[test]
    fn a_write_has_one_condition_or_none() {
        assert_eq!(cond(&[]), Some(Cond::Any));
        assert_eq!(cond(&["--if-absent"]), Some(Cond::Absent));
        assert_eq!(cond(&["--if-exists"]), Some(Cond::Exists));
        assert_eq!(cond(&["--if-version", "7"]), Some(Cond::VersionEq(7)));
        assert_eq!(
            cond(&["--if-value", ""]),
            Some(Cond::ValueEq(Default::default()))
        );
        assert_eq!(cond(&["--if-absent", "--if-version", "7"]), None);
    }

    #[test]
    fn a_condition_that_does_not_hold_has_an_exit_code_of_its_own() {
        let committed = |applied| Committed {
            slot: Slot::new(9),
            applied,
            version: 9,
            previous: Some(7),
        };
        let told = |applied| tell("a".into(), None, &committed(applied), Format::Table);
        assert_eq!(told(true).unwrap(), Exit::Ok);
        let failure = told(false).unwrap_err();
        assert_eq!(failure.exit(), Exit::Condition);
        assert!(
            failure.to_string().contains("it has version 7"),
            "{failure}"
        );
    }
}
