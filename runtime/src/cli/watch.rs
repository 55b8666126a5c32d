//! `chil watch`: prints what is decided, slot by slot, for as long as it is let.
//! Knows nothing about which node tells it.

use std::io::Write;

use chil::Slot;
use chil::client::{Decided, Decision, WatchError};
use chil::kv::{Cond, KvCommand};
use serde::Serialize;

use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, hex, text_or_length};

/// Print what is decided.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line for each slot, in order, until Ctrl-C or --limit; with --json one JSON object a line. It
goes on through the loss of nodes and changes of leaders without leaving a slot out. A command that a
client sent twice may stand in two slots: it took effect in the first.

Ends with code 7 when the log is not there any more from --from on; the message says from where it is.

Examples:
  chil watch -p 127.0.0.1:7001,127.0.0.1:7002
  chil watch -p 127.0.0.1:7001 --from 1 --limit 100 --json")]
pub(crate) struct Arguments {
    /// The first slot; without it, what is decided from now on.
    #[arg(long, value_name = "SLOT", default_value_t = 0)]
    from: u64,
    /// Stop after so many slots.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    target: Target,
}

/// One slot, for programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    slot: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Whether it depends on a condition; whether that held is not in the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    conditional: bool,
    /// The command as it stands in the log, where key and value do not say it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

/// Runs `chil watch`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let client = arguments.target.client()?;
    let mut watch = client.watch(Slot::new(arguments.from));
    let mut left = arguments.limit;
    while left != Some(0) {
        let decision = tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(Exit::Ok);
            }
            decision = watch.next() => decision?,
        };
        let line = Line::new(&decision);
        let text = match format {
            Format::Json => serde_json::to_string(&line).map_err(anyhow::Error::new)?,
            Format::Table => line.shown(),
        };
        if !print(&text)? {
            return Ok(Exit::Ok);
        }
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Ok)
}

/// Writes one line at once; false when nobody reads any more, which is how a pipe is ended.
fn print(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Line {
    fn new(decision: &Decision) -> Self {
        let mut line = Self {
            slot: decision.slot.get(),
            kind: "session",
            session: None,
            seq: None,
            key: None,
            value: None,
            conditional: false,
            payload_hex: None,
        };
        let (client, seq, payload) = match &decision.what {
            Decided::Registration { .. } => {
                line.session = Some(line.slot);
                return line;
            }
            Decided::Command {
                client,
                seq,
                payload,
            } => (client, seq, payload),
        };
        if client.get() > 0 {
            line.session = Some(client.get());
            line.seq = Some(*seq);
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let (kind, cond, key, value) = match KvCommand::decode(payload) {
            Ok(KvCommand::Put { key, value, cond }) => ("put", cond, text(&key), text(&value)),
            Ok(KvCommand::Delete { key, cond }) => {
                ("delete", cond, text(&key), Some(String::new()))
            }
            Ok(KvCommand::Txn(_)) => ("txn", Cond::Any, None, None),
            Err(_) => ("command", Cond::Any, None, None),
        };
        line.kind = kind;
        line.conditional = cond != Cond::Any;
        if key.is_none() || value.is_none() {
            line.payload_hex = Some(hex(payload));
        }
        line.key = key;
        line.value = value.filter(|_| kind == "put");
        line
    }

    /// The same, for people.
    fn shown(&self) -> String {
        let mut text = format!("{:>10}  {:8}", self.slot, self.kind);
        for part in [&self.key, &self.value].into_iter().flatten() {
            text.push_str("  ");
            text.push_str(&text_or_length(part.as_bytes()));
        }
        if let Some(payload) = &self.payload_hex {
            text.push_str(&format!("  {} bytes", payload.len() / 2));
        }
        if self.conditional {
            text.push_str("  (if its condition held)");
        }
        text.trim_end().to_owned()
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Compacted { .. } => Self::new(Exit::Compacted, error),
            WatchError::Client(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chil::client::ClientId;

    use super::*;

    fn command(client: u64, payload: Bytes) -> Decision {
        let client = ClientId::new(client);
        Decision {
            slot: Slot::new(7),
            what: Decided::Command {
                client,
                seq: u64::from(client.get() > 0),
                payload,
            },
        }
    }

    fn json(decision: &Decision) -> serde_json::Value {
        serde_json::to_value(Line::new(decision)).unwrap()
    }

    #[test]
    fn a_line_says_what_was_decided() {
        let put = KvCommand::put("a".into(), "x y".into());
        let put = command(3, put.encode());
        assert_eq!(Line::new(&put).shown(), "         7  put       a  x y");
        assert_eq!(
            json(&put),
            serde_json::json!({"slot": 7, "kind": "put", "session": 3, "seq": 1, "key": "a",
                               "value": "x y"})
        );
        let delete = command(0, KvCommand::delete("a".into()).encode());
        assert_eq!(
            json(&delete),
            serde_json::json!({"slot": 7, "kind": "delete", "key": "a"})
        );
        let conditional = KvCommand::Put {
            key: "a".into(),
            value: "x".into(),
            cond: Cond::Absent,
        };
        let conditional = command(0, conditional.encode());
        assert_eq!(
            Line::new(&conditional).shown(),
            "         7  put       a  x  (if its condition held)"
        );
        assert_eq!(json(&conditional)["conditional"], true);
        let session = Decision {
            slot: Slot::new(9),
            what: Decided::Registration { nonce: 1 },
        };
        assert_eq!(Line::new(&session).shown(), "         9  session");
    }

    #[test]
    fn what_is_no_text_is_shown_as_bytes() {
        let foreign = command(0, Bytes::from_static(b"\xff\x00"));
        assert_eq!(Line::new(&foreign).shown(), "         7  command   2 bytes");
        assert_eq!(
            json(&foreign),
            serde_json::json!({"slot": 7, "kind": "command", "payload_hex": "ff00"})
        );
        let put = KvCommand::put("a".into(), Bytes::from_static(b"\xff"));
        let put = json(&command(0, put.encode()));
        assert_eq!(put["key"], "a");
        assert!(put["payload_hex"].is_string() && put["value"].is_null());
    }
}
