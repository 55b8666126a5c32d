//! A recording as a log for ShiViz, with vector clocks made of what was sent and received.
//! Knows nothing about what the messages mean.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::event::{Event, Recording, What};
use super::words::{Words, time};

/// How ShiViz finds an event in the lines that follow: the event, then its host and clock.
const PARSER: &str = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})";

/// A count of events for each host, itself included, in the order of hosts.
type Clock = BTreeMap<usize, u64>;

/// The log: its first line is the parser for ShiViz, its second (empty: there is one execution)
/// what separates executions, and then two lines an event.
///
/// Heartbeats and wake-ups are left out, because ShiViz is made for thousands of events, not for
/// tens of thousands; so is what was lost or missed, because it orders nothing.
#[must_use]
pub fn shiviz(recording: &Recording) -> String {
    let words = Words::new(recording);
    let hosts = hosts(recording);
    let world = recording.nodes.len();
    let mut clocks: BTreeMap<usize, Clock> = BTreeMap::new();
    let mut sent: BTreeMap<u64, Clock> = BTreeMap::new();
    let mut out = format!("{PARSER}\n\n");
    for (index, event) in recording.events.iter().enumerate() {
        if is_left_out(&words, event) {
            continue;
        }
        let host = event.node.unwrap_or(world);
        let clock = clocks.entry(host).or_default();
        *clock.entry(host).or_default() += 1;
        match &event.what {
            What::Receive { id, .. } => merge(clock, sent.get(id)),
            What::Send { id, .. } => {
                sent.insert(*id, clock.clone());
            }
            _ => {}
        }
        let (at, what) = (time(event.at), words.line(index, event));
        let _ = writeln!(out, "{at} {what}");
        let name = hosts.get(host).map_or("?", String::as_str);
        let _ = writeln!(out, "{name} {}", written(clock, &hosts));
    }
    out
}

fn is_left_out(words: &Words<'_>, event: &Event) -> bool {
    matches!(event.what, What::Wake | What::Miss { .. }) || words.is_heartbeat(event)
}

/// Takes what the other clock knows and this one does not.
fn merge(clock: &mut Clock, other: Option<&Clock>) {
    for (host, count) in other.into_iter().flatten() {
        let known = clock.entry(*host).or_default();
        *known = (*known).max(*count);
    }
}

/// The names of the nodes and of the world, without blanks, which end a host, and without two
/// that are equal.
fn hosts(recording: &Recording) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for name in recording.nodes.iter().map(String::as_str).chain(["world"]) {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
        let mut host = name.replace(|c| !is_plain(c), "_");
        while host.is_empty() || hosts.contains(&host) {
            host.push('_');
        }
        hosts.push(host);
    }
    hosts
}

/// The clock as JSON. The names in it need no escaping: [`hosts`] left nothing to escape.
fn written(clock: &Clock, hosts: &[String]) -> String {
    let entries = clock.iter().filter_map(|(host, count)| {
        let name = hosts.get(*host)?;
        Some(format!("\"{name}\":{count}"))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::inert;
    use crate::report::record::record;
    use crate::report::{browser, fixture};
    use crate::subject::Subject;
    use crate::swarm;

    /// The events of a log: text, host, clock.
    fn parsed(log: &str) -> Vec<(String, String, BTreeMap<String, u64>)> {
        let lines: Vec<&str> = log.lines().skip(2).collect();
        let event = |pair: &[&str]| {
            let (host, clock) = pair[1].split_once(' ').expect("a host and a clock");
            let clock = serde_json::from_str(clock).expect("a clock is JSON");
            (pair[0].to_owned(), host.to_owned(), clock)
        };
        lines.chunks(2).map(event).collect()
    }

    #[test]
    fn clocks_follow_messages() {
        let log = shiviz(&fixture::ping_pong());
        let expected = r#"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})

0.000001 -> n1   Ping
n0 {"n0":1}
0.000002 -> n2   Ping
n0 {"n0":2}
0.000003 note: waits
n2 {"n2":1}
0.000004 <- n0   Ping
n1 {"n0":1, "n1":1}
0.000005 -> n0   Pong
n1 {"n0":1, "n1":2}
0.000006 <- n0   Ping
n2 {"n0":2, "n2":2}
0.000007 <- n1   Pong
n0 {"n0":3, "n1":2}
"#;
        assert_eq!(log, expected);
    }

    /// Recordings by hand and of real runs, with crashes and starts among them.
    fn recordings() -> Vec<Recording> {
        let real = (0..6).map(|seed| record(&Subject::key_value(), &swarm::short(seed), 1).1);
        let mut all: Vec<Recording> = real.collect();
        all.extend([fixture::small(), fixture::hostile(), fixture::ping_pong()]);
        all
    }

    #[test]
    fn clocks_are_what_shiviz_asks_for() {
        for recording in recordings() {
            let events = parsed(&shiviz(&recording));
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for (_, host, clock) in &events {
                let count = counts.entry(host).or_default();
                *count += 1;
                assert_eq!(clock.get(host), Some(&*count), "by one an event");
            }
            assert!(counts.len() > 1, "{counts:?}");
            for (text, _, clock) in &events {
                for (host, time) in clock {
                    let count = counts.get(host.as_str()).expect("the host has events");
                    assert!((1..=*count).contains(time), "{host}:{time} in {text}");
                }
            }
        }
    }

    #[test]
    fn its_own_expression_finds_every_event() {
        let logs: Vec<String> = recordings().iter().map(shiviz).collect();
        let json = serde_json::to_string(&logs).expect("text is JSON");
        let page = format!(
            "<!doctype html><body><script id=\"logs\" type=\"application/json\">{}</script>\
             <script>{}</script></body>",
            inert(&json),
            include_str!("shiviz/reader.js")
        );
        let Some(results) = browser::finding(&page) else {
            return;
        };
        assert_eq!(results.as_array().map(Vec::len), Some(logs.len()));
        for (result, log) in results.as_array().into_iter().flatten().zip(&logs) {
            let events = parsed(log);
            assert_eq!(result["complaints"], serde_json::json!([]), "{result:#}");
            assert_eq!(result["delimiter"], "", "there is one execution");
            assert_eq!(result["events"], events.len());
            assert_eq!(result["isSamePasted"], true);
            for (name, event) in [("first", events.first()), ("last", events.last())] {
                let (text, host, clock) = event.expect("there are events");
                let expected = serde_json::json!({ "event": text, "host": host, "clock": clock });
                assert_eq!(result[name], expected);
            }
        }
    }

    #[test]
    fn names_of_hosts_have_no_blanks_and_differ() {
        let mut recording = fixture::small();
        recording.nodes = vec!["a b".to_owned(), "a\"b".to_owned(), "world".to_owned()];
        assert_eq!(hosts(&recording), ["a_b", "a_b_", "world", "world_"]);
    }
}
