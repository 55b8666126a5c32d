//! `chil get`: reads one value, as fresh as it is wanted.
//! Knows nothing about which node answers.

use chil::Slot;
use chil::client::{Consistency, ReadOptions};
use clap::ValueEnum;
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, hex, table, text_or_length};

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    /// Sees every write that was acknowledged before: the leader asks the others first.
    Linearizable,
    /// The same without asking, where the cluster was formed with leases.
    Lease,
    /// As linearizable, but any node answers, after asking its leader.
    Follower,
    /// What the asked node has, however old.
    Stale,
}

impl From<Level> for Consistency {
    fn from(level: Level) -> Self {
        match level {
            Level::Linearizable => Self::Linearizable,
            Level::Lease => Self::Lease,
            Level::Follower => Self::Follower,
            Level::Stale => Self::Stale,
        }
    }
}

/// How fresh what is read must be.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Freshness {
    /// What it must have seen of the writes of others.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Linearizable)]
    consistency: Level,
    /// It must have seen this slot: with the slot of a write, it sees that write, whatever the
    /// consistency and whichever node answers.
    #[arg(long, value_name = "SLOT", default_value_t = 0)]
    min_slot: u64,
}

impl Freshness {
    pub(super) fn options(&self) -> ReadOptions {
        ReadOptions {
            consistency: self.consistency.into(),
            min_slot: Slot::new(self.min_slot),
        }
    }
}

/// Read a value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with code 1 when nothing is stored under the key.

Examples:
  chil get -p 127.0.0.1:7001 greeting
  chil get -p 127.0.0.1:7001 RUSTSEC-2016-0002 --json
  chil get -p 127.0.0.1:7002 --consistency stale --min-slot 1172 greeting")]
pub(crate) struct Arguments {
    /// What it is stored under.
    key: String,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    target: Target,
}

/// One value and its version.
#[derive(Debug, Serialize)]
struct Found {
    key: String,
    version: u64,
    /// The value where it is text.
    value: Option<String>,
    /// The value in hexadecimal where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

/// Runs `chil get`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let client = arguments.target.client()?;
    let key = arguments.key;
    let Some(found) = client
        .get_with(key.clone(), arguments.freshness.options())
        .await?
    else {
        return Err(anyhow::anyhow!("nothing is stored under '{key}'").into());
    };
    let text = std::str::from_utf8(&found.value).ok().map(str::to_owned);
    let shown = text_or_length(&found.value);
    let found = Found {
        key,
        version: found.version,
        value_hex: text.is_none().then(|| hex(&found.value)),
        value: text,
    };
    format.print(&found, |found| {
        let row = vec![found.key.clone(), found.version.to_string(), shown];
        table(&["KEY", "VERSION", "VALUE"], &[row])
    })?;
    Ok(Exit::Ok)
}
