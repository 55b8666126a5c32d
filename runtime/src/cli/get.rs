//! `chil get`: reads one value as fresh as the last acknowledged write.
//! Knows nothing about which node answers.

use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, table, text_or_length};

/// Read a value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with code 1 when nothing is stored under the key.

Examples:
  chil get -p 127.0.0.1:7001 greeting
  chil get -p 127.0.0.1:7001 RUSTSEC-2016-0002 -o json")]
pub(crate) struct Arguments {
    /// What it is stored under.
    key: String,
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
    let client = arguments.target.client(false)?;
    let key = arguments.key;
    let Some(found) = client.get(key.clone()).await? else {
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

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
