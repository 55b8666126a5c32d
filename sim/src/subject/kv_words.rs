//! What clients of the built-in machine ask and are answered, as people say it, in a line.
//! Knows nothing about who asks whom.

use bytes::Bytes;
use chil_core::kv::{
    Check, Cond, KvAnswer, KvCommand, KvQuery, KvReply, Stamp, Txn, Versioned, Write,
};

use super::Request;

/// A request.
pub(super) fn describe(request: &Request) -> String {
    match request {
        Request::Command(bytes) => KvCommand::decode(bytes)
            .map_or_else(|error| format!("malformed command: {error}"), command),
        Request::Query(bytes) => {
            KvQuery::decode(bytes).map_or_else(|error| format!("malformed query: {error}"), query)
        }
    }
}

/// What a request was answered.
pub(super) fn describe_reply(request: &Request, reply: &Bytes) -> String {
    let malformed = |error| format!("malformed reply: {error}");
    match request {
        Request::Command(_) => KvReply::decode(reply).map_or_else(malformed, replied),
        Request::Query(_) => KvAnswer::decode(reply).map_or_else(malformed, answered),
    }
}

fn command(command: KvCommand) -> String {
    match command {
        KvCommand::Put { key, value, cond } => {
            format!("put {} = {}{}", text(&key), shown(&value), only_if(&cond))
        }
        KvCommand::Delete { key, cond } => format!("delete {}{}", text(&key), only_if(&cond)),
        KvCommand::Txn(Txn {
            checks,
            then,
            otherwise,
        }) => {
            let check = |c: &Check| format!("{} {}", text(&c.key), condition(&c.cond));
            let checks: Vec<String> = checks.iter().map(check).collect();
            let (checks, then) = (checks.join(" and "), writes(&then));
            format!("if {checks}: {then}; else {}", writes(&otherwise))
        }
    }
}

fn writes(all: &[Write]) -> String {
    let write = |write: &Write| match write {
        Write::Put { key, value } => format!("put {} = {}", text(key), shown(value)),
        Write::Delete { key } => format!("delete {}", text(key)),
    };
    if all.is_empty() {
        return "nothing".to_owned();
    }
    all.iter().map(write).collect::<Vec<_>>().join(", ")
}

fn only_if(cond: &Cond) -> String {
    match cond {
        Cond::Any => String::new(),
        Cond::Absent
        | Cond::Exists
        | Cond::VersionEq(_)
        | Cond::CreatedEq(_)
        | Cond::ValueEq(_) => format!(" if it {}", condition(cond)),
    }
}

fn condition(cond: &Cond) -> String {
    match cond {
        Cond::Any => "is anything".to_owned(),
        Cond::Absent => "is absent".to_owned(),
        Cond::Exists => "exists".to_owned(),
        Cond::VersionEq(version) => format!("has version {version}"),
        Cond::CreatedEq(created) => format!("is there since {created}"),
        Cond::ValueEq(value) => format!("is {}", shown(value)),
    }
}

fn query(query: KvQuery) -> String {
    match query {
        KvQuery::Get { key } => format!("get {}", text(&key)),
        KvQuery::Count => "count".to_owned(),
        KvQuery::Scan {
            prefix,
            after,
            limit,
        } => {
            let after = after.map_or_else(String::new, |key| format!(" behind {}", text(&key)));
            format!("scan {}*{after}, at most {limit}", text(&prefix))
        }
    }
}

fn replied(reply: KvReply) -> String {
    match reply {
        KvReply::Written {
            applied: true,
            version,
            previous,
        } => format!("written as version {version}, over {}", before(previous)),
        KvReply::Written {
            applied: false,
            previous,
            ..
        } => format!("not written: it was {}", before(previous)),
        KvReply::Decided {
            held,
            version,
            previous,
        } => {
            let branch = if held { "checks held" } else { "checks failed" };
            let previous: Vec<String> = previous.into_iter().map(before).collect();
            format!("{branch}, version {version}, over {}", previous.join(", "))
        }
        KvReply::Malformed => "malformed".to_owned(),
    }
}

fn before(previous: Option<Stamp>) -> String {
    previous.map_or_else(
        || "nothing".to_owned(),
        |stamp| format!("version {}", stamp.version),
    )
}

fn answered(answer: KvAnswer) -> String {
    let found = |v: &Versioned| format!("{} of version {}", shown(&v.value), v.version);
    match answer {
        KvAnswer::Value(None) => "nothing".to_owned(),
        KvAnswer::Value(Some(value)) => found(&value),
        KvAnswer::Count(count) => format!("{count} keys"),
        KvAnswer::Page { items, more } => {
            let item =
                |(key, value): &(Bytes, Versioned)| format!("{} = {}", text(key), found(value));
            let items: Vec<String> = items.iter().map(item).collect();
            let more = if more { ", and more" } else { "" };
            format!("[{}]{more}", items.join(", "))
        }
        KvAnswer::Malformed => "malformed".to_owned(),
    }
}

/// Values are numbers, each written once, with dots behind them: their bytes would fill the line.
fn shown(value: &Bytes) -> String {
    if let Some((number, rest)) = value.split_first_chunk::<8>()
        && rest.iter().all(|byte| *byte == b'.')
    {
        let number = u64::from_le_bytes(*number);
        return match rest.len() {
            0 => format!("#{number}"),
            _ => format!("#{number} ({} bytes)", value.len()),
        };
    }
    format!("\"{}\"", text(value))
}

fn text(bytes: &Bytes) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_said_in_few_words() {
        let key = Bytes::from_static(b"k0");
        let value = |number: u64, more: usize| {
            let mut value = number.to_le_bytes().to_vec();
            value.resize(8 + more, b'.');
            Bytes::from(value)
        };
        let said = |command: KvCommand| describe(&Request::Command(command.encode()));
        let put = KvCommand::put(key.clone(), value(7, 30));
        assert_eq!(said(put), "put k0 = #7 (38 bytes)");
        let put = KvCommand::put(key.clone(), Bytes::from_static(b"a\n"));
        assert_eq!(said(put), "put k0 = \"a\\n\"");
        let cond = Cond::VersionEq(5);
        let delete = KvCommand::Delete {
            key: key.clone(),
            cond,
        };
        assert_eq!(said(delete), "delete k0 if it has version 5");
        let txn = KvCommand::Txn(Txn {
            checks: vec![Check {
                key: key.clone(),
                cond: Cond::Absent,
            }],
            then: vec![Write::Put {
                key: key.clone(),
                value: value(8, 0),
            }],
            otherwise: Vec::new(),
        });
        assert_eq!(said(txn), "if k0 is absent: put k0 = #8; else nothing");
        let get = Request::Query(KvQuery::Get { key }.encode());
        assert_eq!(describe(&get), "get k0");
        let found = KvAnswer::Value(Some(Versioned {
            value: value(8, 0),
            version: 12,
            created: 3,
        }));
        assert_eq!(describe_reply(&get, &found.encode()), "#8 of version 12");
        assert_eq!(
            describe(&Request::Command(Bytes::from_static(&[255])))
                .split(':')
                .next(),
            Some("malformed command")
        );
    }
}
