//! The tables of the page: extremes, what was exercised, what was reached.
//! Knows nothing about how runs count.

use std::fmt::Write as _;

use super::parts::{bars, cell, escaped, grouped, items};
use super::{Merged, replay_command, share};
use crate::campaign::tally::Extreme;
use crate::coverage::Coverage;
use crate::impossible::{arrival, change, reasons};
use crate::plan::{Ailment, FaultKind};
use crate::stats::Stats;

/// The seeds worth a look.
pub(super) fn extremes(merged: &Merged) -> String {
    let tops = &merged.tally.tops;
    let plain = |value: u64| grouped(value);
    let tables = [
        table("Most events (the slowest)", &tops.events, &plain, merged),
        table(
            "Most of the time for healing used",
            &tops.healing,
            &share,
            merged,
        ),
        table(
            "Most operations of unknown outcome",
            &tops.unknown,
            &plain,
            merged,
        ),
        table("Most ballots begun", &tops.ballots, &plain, merged),
    ]
    .concat();
    format!(
        "<h2>Slowest and nearest to failing</h2>\n\
         <p>Seeds that came close to a limit, or went through more than others.</p>\n\
         <div class=\"tops\">\n{tables}</div>\n"
    )
}

fn table(
    caption: &str,
    extremes: &[Extreme],
    value: &dyn Fn(u64) -> String,
    merged: &Merged,
) -> String {
    if extremes.is_empty() {
        return format!("<div><h3>{caption}</h3><p>none</p></div>\n");
    }
    let mut out = format!(
        "<div><h3>{caption}</h3><table><thead><tr>\
         <th class=\"number\"><button>value</button></th><th class=\"number\"><button>seed</button></th>\
         <th>see it</th></tr></thead><tbody>\n"
    );
    for extreme in extremes {
        let (seed, raw) = (extreme.seed, extreme.value);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<tr><td class=\"number\" data-value=\"{raw}\">{}</td>\
             <td class=\"number\" data-value=\"{seed}\">{seed}</td><td><code>{}</code></td></tr>",
            value(raw),
            escaped(&replay_command(merged, seed))
        );
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Faults that struck, checks that looked, and what clients and nodes did.
pub(super) fn exercised(merged: &Merged) -> String {
    let stats = &merged.tally.stats;
    let done = [
        ("writes", stats.writes),
        ("reads through the leader's quorum", quorum_reads(stats)),
        ("reads from leases", stats.lease_reads),
        ("reads through followers", stats.follower_reads),
        ("stale reads", stats.stale_reads),
        ("sessions opened", stats.sessions),
        ("attempts in sessions", stats.attempts),
        ("repeated, not executed again", stats.repeated),
        ("sessions expired", stats.expired),
        ("snapshots taken", stats.snapshots_taken),
        ("snapshots received", stats.snapshots_received),
        ("snapshots installed", stats.snapshots_installed),
        ("snapshot transfers resumed", stats.transfers_resumed),
        ("handovers begun", stats.handovers),
        ("runs under plain overload", stats.overloads),
        ("messages left out of queues", stats.left_out),
        ("requests turned away", stats.turned_away),
        ("cores that lived alone", stats.cores),
    ];
    let (names, counts): (Vec<&str>, Vec<u64>) = done.into_iter().unzip();
    let coverage = &stats.coverage;
    format!(
        "<h2>Exercised</h2>\n<p>Bars are on a logarithmic scale.</p>\n<div class=\"columns\">\n\
         <div>{}{}{}{}</div>\n<div>{}</div>\n</div>\n",
        bars("Faults that struck", "", &FaultKind::NAMES, &stats.faults),
        bars(
            "Nodes that a core did without",
            "",
            &Ailment::NAMES,
            &stats.left
        ),
        bars("What clients and nodes did", "", &names, &counts),
        bars(
            "Memory used at most, in thousandths of its limit",
            "",
            &Stats::MEMORY,
            &stats.memory
        ),
        bars(
            "Checks, by how often they looked",
            "check ",
            &Coverage::CHECKS,
            &coverage.checks.0
        )
    )
}

const fn quorum_reads(stats: &Stats) -> u64 {
    let others = stats.lease_reads + stats.follower_reads + stats.stale_reads;
    stats.reads.saturating_sub(others)
}

/// Which states and events of the protocol were reached.
pub(super) fn coverage(merged: &Merged) -> String {
    let coverage = &merged.tally.stats.coverage;
    format!(
        "<h2>Reached</h2>\n{}<div class=\"scroll\">{}</div>\n<div class=\"scroll\">{}</div>\n\
         <div class=\"columns\"><div>{}</div><div>{}</div></div>\n{}",
        missed(coverage),
        received(coverage),
        became(coverage),
        bars(
            "Outputs of replicas",
            "output ",
            &Coverage::OUTPUTS,
            &coverage.outputs.0
        ),
        bars(
            "Notices of replicas",
            "notice ",
            &Coverage::NOTICES,
            &coverage.notices.0
        ),
        impossible()
    )
}

/// What these seeds could have reached and did not.
fn missed(coverage: &Coverage) -> String {
    let missed = coverage.missed();
    if missed.is_empty() {
        return "<p>Everything that can be was reached.</p>\n".to_owned();
    }
    let items = items(&missed);
    format!(
        "<p class=\"warn\">{} can be reached, and these seeds did not. More seeds may; what never \
         is reached is never tested either: let the plans of <code>sim/src/swarm.rs</code> draw \
         it.</p>\n<ul class=\"missed\">{items}</ul>\n",
        missed.len()
    )
}

/// Why the rest is impossible.
fn impossible() -> String {
    let mut out = String::from(
        "<h3>What cannot be reached, and why</h3>\n<p>If it is all the same, this page begins with \
         that.</p>\n<dl class=\"reasons\">\n",
    );
    for (reason, cells) in reasons() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<dt>{}</dt><dd>{}</dd>",
            escaped(reason),
            escaped(&cells.join(", "))
        );
    }
    out.push_str("</dl>\n");
    out
}

fn heading(first: &str) -> String {
    let stages = Coverage::STAGES.map(|stage| format!("<th>{stage}</th>"));
    format!(
        "<thead><tr><th>{first}</th>{}</tr></thead>",
        stages.concat()
    )
}

fn received(coverage: &Coverage) -> String {
    let all = coverage.received.iter().flat_map(|row| row.0);
    let most = all.max().unwrap_or(0);
    let mut out = format!(
        "<h3>Messages that arrived, by what the receiver was then</h3>\
         <table class=\"matrix\">{}<tbody>\n",
        heading("")
    );
    for (message, row) in Coverage::MESSAGES.iter().zip(&coverage.received) {
        let cells = row.0.iter().zip(Coverage::STAGES);
        let cells = cells.map(|(count, stage)| cell(&arrival(message, stage), *count, most));
        let cells: String = cells.collect();
        let _ = writeln!(out, "<tr><th>{message}</th>{cells}</tr>");
    }
    out.push_str("</tbody></table>\n");
    out
}

fn became(coverage: &Coverage) -> String {
    let all = coverage.became.iter().flat_map(|row| row.0);
    let most = all.max().unwrap_or(0);
    let mut out = format!(
        "<h3>What nodes were (rows) and became (columns)</h3>\
         <table class=\"matrix\">{}<tbody>\n",
        heading("from")
    );
    for (from, (stage, row)) in Coverage::STAGES.iter().zip(&coverage.became).enumerate() {
        let cells = row.0.iter().enumerate().map(|(to, count)| {
            if from == to {
                "<td class=\"self\"></td>".to_owned()
            } else {
                cell(&change(stage, Coverage::STAGES[to]), *count, most)
            }
        });
        let cells: String = cells.collect();
        let _ = writeln!(out, "<tr><th>{stage}</th>{cells}</tr>");
    }
    out.push_str("</tbody></table>\n");
    out
}
