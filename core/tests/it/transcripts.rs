//! Stories of a few replicas as text: commands, and below each what came of it, recorded.
//! A story that comes out differently fails; `UPDATE_EXPECT=1` records it anew.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 1 1 1` | starts a freshly formed cluster with these weights; always the first |
//! | `leased 300ms 1 1 1` | the same, with leases of that length and perfect clocks |
//! | `campaign n1` | gives a node reason to ask for promises |
//! | `propose n1 a b` | proposes to put `a` under `a`, then `b` under `b`, in one batch |
//! | `read n1` | asks for a linearizable read; `read n1 lease` and `read n2 follower` do it otherwise |
//! | `transfer n1 n2` | has n1 hand its leadership over |
//! | `explain n1` | what stands in the way, as the node says |
//! | `persist n1` | the node's disk syncs; without a name everybody's does |
//! | `deliver n1 n2 Accept` | what is on the wire from n1 to n2 of this kind arrives |
//! | `drop n1 n2 Accept` | the same is lost instead |
//! | `settle` | messages arrive and disks sync until nothing moves; no time passes |
//! | `elapse 300ms` | time passes, everything works |
//! | `cut n1 n2` | nothing gets from n1 to n2 any more; `heal` mends all links |
//! | `crash n1` | the node is gone with everything unsynced; `start n1` brings it back |
//! | `show` | where every node stands |
//!
//! `deliver` and `drop` take any number of their words: without them they mean everything. Lines
//! beginning with `#` are for readers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chil_core::{Envelope, Lease, ReadVia, Span};

use crate::rig::{Rig, id, is_heartbeat};

#[test]
fn stories_come_out_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = fs::read_dir(&dir).expect("the transcripts are beside the tests");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "only {} transcripts", paths.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut differing = Vec::new();
    for path in paths {
        let recorded = fs::read_to_string(&path).expect("readable");
        let name = path.display();
        let played = play(&recorded).unwrap_or_else(|error| panic!("{name}: {error}"));
        if played == recorded {
            continue;
        }
        if update {
            fs::write(&path, played).expect("writable");
        } else {
            differing.push(format!("{name}:\n{}", first_difference(&recorded, &played)));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nUPDATE_EXPECT=1 records anew what came out; review it as a diff",
        differing.join("\n")
    );
}

/// The story with what comes out below each command.
fn play(story: &str) -> Result<String, String> {
    let mut rig = None;
    let mut out = String::new();
    for (number, line) in (1..).zip(story.lines()) {
        if line.starts_with('#') || line.is_empty() {
            writeln!(out, "{line}").map_err(|e| e.to_string())?;
        } else if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").map_err(|e| e.to_string())?;
            let words: Vec<&str> = command.split_whitespace().collect();
            let came = take(&mut rig, &words).map_err(|e| format!("line {number}: {e}"))?;
            out.push_str(&came);
        }
    }
    Ok(out)
}

/// Executes one command. Returns what came of it, one indented line each.
fn take(rig: &mut Option<Rig>, words: &[&str]) -> Result<String, String> {
    if let ["cluster", weights @ ..] = words {
        let weights: Result<Vec<u32>, _> = weights.iter().map(|w| w.parse()).collect();
        *rig = Some(Rig::weighted(&weights.map_err(|e| e.to_string())?));
        return Ok(String::new());
    }
    if let ["leased", span, weights @ ..] = words {
        let weights: Result<Vec<u32>, _> = weights.iter().map(|w| w.parse()).collect();
        let lease = Lease {
            duration_us: parse_span(span)?.micros(),
            drift_ppm: 0,
        };
        let weights = weights.map_err(|e| e.to_string())?;
        *rig = Some(Rig::leased(&weights, Some(lease), |_| {}));
        return Ok(String::new());
    }
    let rig = rig.as_mut().ok_or("the first command is `cluster`")?;
    match words {
        ["campaign", node] => {
            // Heartbeats of a round that nobody answers are no part of the story.
            rig.campaign(parse_node(node)?);
        }
        ["propose", node, texts @ ..] => rig.propose_all(parse_node(node)?, texts),
        ["read", node, via @ ..] => {
            let via = match via {
                [] => ReadVia::Leader,
                ["lease"] => ReadVia::Lease,
                ["follower"] => ReadVia::Follower,
                _ => return Err("a read is via a lease or a follower".to_owned()),
            };
            rig.read_via(parse_node(node)?, via);
        }
        ["transfer", from, to] => {
            rig.transfer(parse_node(from)?, Some(id(parse_node(to)?)));
        }
        ["explain", node] => {
            let explanation = rig.replica(parse_node(node)?).explain();
            return Ok(indented(explanation.to_string().lines()));
        }
        ["persist"] => {
            for number in rig.numbers() {
                rig.persist(number);
            }
        }
        ["persist", node] => {
            rig.persist(parse_node(node)?);
        }
        ["deliver", which @ ..] => {
            let which = selection(which)?;
            rig.deliver(which);
        }
        ["drop", which @ ..] => {
            let which = selection(which)?;
            rig.wire.retain(|envelope| !which(envelope));
        }
        ["settle"] => rig.settle(),
        ["elapse", span] => {
            rig.run(parse_span(span)?);
            // What heartbeats and probes did every round would hide what matters.
            rig.trace.retain(|line| !is_routine(line));
        }
        ["cut", from, to] => rig.cut(parse_node(from)?, parse_node(to)?),
        ["heal"] => rig.heal(),
        ["crash", node] => rig.crash(parse_node(node)?, 0),
        ["start", node] => rig.start(parse_node(node)?),
        ["show"] => return Ok(indented(rig.show().lines())),
        _ => return Err(format!("unknown command: {}", words.join(" "))),
    }
    let trace = std::mem::take(&mut rig.trace);
    Ok(indented(trace.iter().map(String::as_str)))
}

fn indented<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("  {line}\n")).collect()
}

fn is_routine(line: &str) -> bool {
    let is_probe = line.contains("Accept ") && line.contains("+0 commit");
    let is_answer = line.contains("Accepted ");
    let is_late = line.contains("ignores HeartbeatReply");
    is_probe || is_answer || is_late
}

fn parse_span(word: &str) -> Result<Span, String> {
    let millis = word.strip_suffix("ms").and_then(|n| n.parse().ok());
    let millis = millis.ok_or_else(|| format!("a span is like 300ms, not {word}"))?;
    Ok(Span::from_millis(millis))
}

fn parse_node(word: &str) -> Result<usize, String> {
    let number = word.strip_prefix('n').and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("a node is like n1, not {word}"))
}

/// From whom, to whom, and of which kind; all are optional. Heartbeats are never selected.
fn selection(words: &[&str]) -> Result<impl Fn(&Envelope) -> bool + use<>, String> {
    let mut words = words.iter().peekable();
    let mut node = || -> Result<Option<usize>, String> {
        match words.next_if(|word| word.starts_with('n')) {
            Some(word) => parse_node(word).map(Some),
            None => Ok(None),
        }
    };
    let (from, to) = (node()?, node()?);
    let kind = words.next().map(|word| (*word).to_owned());
    Ok(move |envelope: &Envelope| {
        !is_heartbeat(&envelope.body)
            && from.is_none_or(|from| envelope.from == id(from))
            && to.is_none_or(|to| envelope.to == id(to))
            && kind
                .as_ref()
                .is_none_or(|kind| envelope.body.name() == kind)
    })
}

fn first_difference(recorded: &str, played: &str) -> String {
    let mut lines = (1..).zip(recorded.lines().zip(played.lines()));
    match lines.find(|(_, (recorded, played))| recorded != played) {
        Some((number, (recorded, played))) => {
            format!("  line {number}, recorded: {recorded}\n  line {number}, now:      {played}")
        }
        None => "  one is longer than the other".to_owned(),
    }
}
