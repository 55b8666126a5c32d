//! `chil scan`: prints all keys with a prefix, with their values.
//! Knows nothing about pages: the client library asks for one after the other.

use bytes::Bytes;
use chil::kv::{KvQuery, Versioned};
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::get::Freshness;
use super::output::{Format, hex, table, text_or_length};

/// Read all values whose keys begin with a prefix.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys come in their order. What is written while the scan runs may be seen or not; what was acknowledged
before it began is seen.

Examples:
  chil scan -p 127.0.0.1:7001 RUSTSEC-2016 --limit 10
  chil scan -p 127.0.0.1:7001 '' --json")]
pub(crate) struct Arguments {
    /// What the keys begin with; '' for all of them.
    prefix: String,
    /// Stop after so many keys.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    target: Target,
}

/// One key and its value.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    /// The key where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key in hexadecimal where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    version: u64,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
    #[serde(skip)]
    cells: [String; 2],
}

impl Row {
    fn new(key: &Bytes, found: &Versioned) -> Self {
        let text = |bytes: &Bytes| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let hex_if = |text: &Option<String>, bytes: &Bytes| text.is_none().then(|| hex(bytes));
        let (key_text, value_text) = (text(key), text(&found.value));
        Self {
            key_hex: hex_if(&key_text, key),
            key: key_text,
            version: found.version,
            created: found.created,
            value_hex: hex_if(&value_text, &found.value),
            value: value_text,
            cells: [text_or_length(key), text_or_length(&found.value)],
        }
    }
}

/// Runs `chil scan`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let client = arguments.target.client()?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let page_keys = left.min(KvQuery::SCAN_KEYS_MAX);
    let mut scan = client.scan(arguments.prefix, page_keys, arguments.freshness.options());
    let mut rows = Vec::new();
    while left > 0
        && let Some(page) = scan.next_page().await?
    {
        for (key, found) in page
            .items
            .iter()
            .take(usize::try_from(left).unwrap_or(usize::MAX))
        {
            rows.push(Row::new(key, found));
            left -= 1;
        }
    }
    format.print(&rows, |rows| shown(rows))?;
    Ok(Exit::Ok)
}

fn shown(rows: &[Row]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let [key, value] = row.cells.clone();
            vec![key, row.version.to_string(), value]
        })
        .collect();
    table(&["KEY", "VERSION", "VALUE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_text_and_bytes_as_bytes() {
        let found = Versioned {
            value: Bytes::from_static(b"\xff"),
            version: 7,
            created: 3,
        };
        let row = Row::new(&Bytes::from_static(b"a"), &found);
        assert_eq!(
            serde_json::to_value(&row).unwrap(),
            serde_json::json!({"key": "a", "version": 7, "created": 3, "value_hex": "ff"})
        );
        let text = shown(&[row]);
        assert!(text.contains("a    7        (1 bytes"), "{text}");
    }
}
