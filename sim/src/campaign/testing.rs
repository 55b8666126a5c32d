//! Results made by hand, for the tests of summaries.
//! Knows nothing about runs.

use super::results::{Header, Part};
use super::shard::Shard;
use super::tally::Failed;

pub(crate) fn header(from: u64, to: u64, index: u64, of: u64) -> Header {
    Header {
        version: "1.2.3".to_owned(),
        code: "0123456789abcdef".to_owned(),
        shard: Shard {
            from,
            to,
            index,
            of,
        },
        short: false,
        check_every: 1,
        twice_every: 64,
    }
}

pub(crate) fn failed(seed: u64, check: &str, what: &str) -> Failed {
    Failed {
        seed,
        token: seed.to_string(),
        check: check.to_owned(),
        node: None,
        what: what.to_owned(),
        signature: check.to_owned(),
        explained: vec![format!("n0: seed {seed} stands in the way")],
        repeats: true,
        ended: true,
    }
}

/// A part with so many seeds done.
pub(crate) fn part(header: Header, done: u64) -> Part {
    let mut part = Part::new(header);
    part.done = done;
    part.seconds = 2.0;
    part.tally.stats.seeds = done;
    for position in 0..done {
        let seed = part.header.shard.seed(position).expect("it has so many");
        let stats = crate::stats::Stats {
            events: 1_000 + seed,
            ..crate::stats::Stats::default()
        };
        part.tally.tops.note(seed, &stats);
        part.tally.stats.events += stats.events;
    }
    part
}

/// Whether a text is well-formed XML, as far as ours goes: no comments, no CDATA, no DTD.
pub(crate) fn well_formed(xml: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .ok_or("head")?;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        plain(text)?;
        let end = tag.find('>').ok_or("a tag without an end")?;
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            let opened = open.pop().ok_or_else(|| format!("{name} was not open"))?;
            if opened != name {
                return Err(format!("{opened} ends as {name}"));
            }
            continue;
        }
        let (name, mut attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        while !attributes.is_empty() {
            let (_, value) = attributes.split_once("=\"").ok_or("an attribute")?;
            let (value, others) = value.split_once('"').ok_or("an open quote")?;
            plain(value)?;
            attributes = others.trim_start();
        }
        open.push(name);
    }
    if open.is_empty() && rest.trim().is_empty() {
        Ok(())
    } else {
        Err(format!("{open:?} stay open, then {rest}"))
    }
}

fn plain(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let entity = text[at + 1..].split(';').next().unwrap_or_default();
        if !["amp", "lt", "gt", "quot", "apos"].contains(&entity) {
            return Err(format!("&{entity}"));
        }
    }
    let bad = |c: char| c == '>' || (c.is_control() && !['\n', '\t', '\r'].contains(&c));
    match text.find(bad) {
        Some(at) => Err(format!("in text: {:?}", &text[at..])),
        None => Ok(()),
    }
}
