//! The summary of a campaign for people, as text.
//! Knows nothing about how it was run.

use std::fmt::Write as _;

use super::merge::Merged;
use super::tally::{Extreme, Group};
use super::words::{contradictions, mean_rounds, per_second, replay_command, share};
use crate::plan::{Ailment, FaultKind};
use crate::stats::Stats;

/// The rows of the summary.
struct Rows(String);

impl Rows {
    fn row(&mut self, name: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<18} {value}");
    }
}

/// The summary. Everything but the times is the same for the same seeds, however they were spread.
#[must_use]
pub fn text(merged: &Merged) -> String {
    let stats = &merged.tally.stats;
    let mut rows = Rows(String::new());
    rows.row("seeds", &seeds(merged));
    rows.row("events", &{
        let (events, seconds) = (stats.events, merged.seconds);
        let rate = per_second(events, seconds);
        format!("{events} in {seconds:.1} s: {rate:.0} events/s")
    });
    rows.row("simulated time", &simulated(stats, merged.seconds));
    rows.row("slots decided", &stats.slots.to_string());
    features(stats, &mut rows);
    rows.row(
        "messages",
        &format!("{} sent, {} lost", stats.messages, stats.lost),
    );
    rows.row(
        "ballots",
        &format!("{} begun, {} led", stats.ballots, stats.leaders),
    );
    rows.row("restarts", &stats.restarts.to_string());
    rows.row("histories", &searched(stats));
    rows.row("healed after", &healed(stats));
    rows.row("run twice", &format!("{} seeds", stats.run_twice));
    rows.row("faults", &stats.faults_total().to_string());
    for (name, count) in FaultKind::NAMES.iter().zip(stats.faults) {
        rows.row("", &format!("{count:>9} {name}"));
    }
    rows.row("cores alone", &{
        let left = Ailment::NAMES.iter().zip(stats.left);
        let left: Vec<String> = left.map(|(name, n)| format!("{n} {name}")).collect();
        format!("{} runs; others: {}", stats.cores, left.join(", "))
    });
    rows.row("overloaded", &format!("{} runs", stats.overloads));
    rows.row("left out", &format!("{} messages", stats.left_out));
    rows.row("turned away", &format!("{} requests", stats.turned_away));
    rows.row("memory used", "at most, of its limit");
    for (name, used) in Stats::MEMORY.iter().zip(stats.memory) {
        rows.row("", &format!("{:>9} {name}", share(used)));
    }
    extremes(merged, &mut rows);
    let missed = stats.coverage.missed();
    if !missed.is_empty() && stats.seeds > 0 {
        rows.row("never reached", &few(&missed));
    }
    let mut out = rows.0;
    for contradiction in contradictions(merged) {
        let _ = writeln!(out, "IMPOSSIBLE AND REACHED {contradiction}");
    }
    for gap in &merged.gaps {
        let _ = writeln!(out, "NOT RUN {gap}");
    }
    for group in merged.tally.groups() {
        failures(&group, merged, &mut out);
    }
    if merged.is_clean() {
        out.push_str("nothing was violated");
    }
    out
}

/// Names while they fit into a line, else how many there are.
fn few(names: &[String]) -> String {
    if names.len() <= 3 {
        return names.join(", ");
    }
    format!("{} states and events", names.len())
}

fn seeds(merged: &Merged) -> String {
    let (done, header) = (merged.tally.stats.seeds, &merged.header);
    let of = if header.shard.of > 1 || header.shard.from > 0 || merged.missing > 0 {
        format!(" of {}", header.shard)
    } else {
        String::new()
    };
    let short = if header.short { ", cut short" } else { "" };
    format!("{done}{of}{short}")
}

/// How many histories of clients were searched for an order, apart from the order of the log.
fn searched(stats: &Stats) -> String {
    format!(
        "{} have an order; of {} it is unknown, the search was too long",
        stats.histories, stats.histories_unknown
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: three digits are enough"
)]
fn simulated(stats: &Stats, seconds: f64) -> String {
    let hours = stats.simulated_ms as f64 / 3_600_000.0;
    let ratio = per_second(stats.simulated_ms, seconds) / 1_000.0;
    format!("{hours:.1} h, {ratio:.0} times real time")
}

fn healed(stats: &Stats) -> String {
    let mean = mean_rounds(stats);
    format!(
        "{mean:.1} rounds on average, {} at most, which is {} of what is allowed at most",
        stats.heal_rounds_max,
        share(stats.heal_share_max)
    )
}

/// What clients and operators did, and what was done for them.
fn features(stats: &Stats, rows: &mut Rows) {
    rows.row(
        "operations",
        &format!(
            "{} writes, {} reads, {} of unknown outcome",
            stats.writes, stats.reads, stats.unknown
        ),
    );
    rows.row("", &{
        let (lease, follower, stale) = (stats.lease_reads, stats.follower_reads, stats.stale_reads);
        let ended = stats.leases_ended;
        format!(
            "reads: {lease} from leases ({ended} leases ended first), {follower} through \
             followers, {stale} stale"
        )
    });
    rows.row(
        "sessions",
        &format!(
            "{} opened, {} attempts, {} repeated and not executed again, {} expired",
            stats.sessions, stats.attempts, stats.repeated, stats.expired
        ),
    );
    rows.row(
        "snapshots",
        &format!(
            "{} taken, {} received, {} installed, {} transfers found interrupted",
            stats.snapshots_taken,
            stats.snapshots_received,
            stats.snapshots_installed,
            stats.transfers_resumed
        ),
    );
    rows.row("transfers", &{
        let ends = Stats::TRANSFERS.iter().zip(stats.transfers);
        let ends: Vec<String> = ends.map(|(name, n)| format!("{n} {name}")).collect();
        let (asked, begun) = (stats.transfers_asked, stats.handovers);
        format!("{asked} asked for, {begun} begun: {}", ends.join(", "))
    });
}

/// The seeds worth a look: a line a kind.
fn extremes(merged: &Merged, rows: &mut Rows) {
    let tops = &merged.tally.tops;
    let line = |extremes: &[Extreme], value: &dyn Fn(u64) -> String| {
        let three = extremes.iter().take(3);
        let three: Vec<String> = three
            .map(|extreme| format!("{} ({})", extreme.seed, value(extreme.value)))
            .collect();
        three.join(", ")
    };
    let plain = |value: u64| value.to_string();
    rows.row("most events", &line(&tops.events, &plain));
    rows.row("slowest to heal", &line(&tops.healing, &share));
    rows.row("most unknown", &line(&tops.unknown, &plain));
    rows.row("most ballots", &line(&tops.ballots, &plain));
}

fn failures(group: &Group<'_>, merged: &Merged, out: &mut String) {
    let Some(first) = group.failures.first() else {
        return;
    };
    let seeds: Vec<String> = group.failures.iter().map(|f| f.seed.to_string()).collect();
    let more = group.count - group.failures.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let (count, signature) = (group.count, &group.signature);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\nVIOLATED {count} times: {signature}");
    let _ = writeln!(out, "seeds {}{more}", seeds.join(", "));
    let _ = writeln!(out, "seed {}: {}", first.seed, first.sentence());
    if !first.repeats && first.ended {
        out.push_str(
            "A second run of it was different: the simulator is not deterministic here.\n",
        );
    }
    let _ = writeln!(out, "See it: {}", replay_command(merged, &first.token));
    for line in &first.explained {
        let _ = writeln!(out, "  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::testing::{failed, header, part};

    #[test]
    fn a_clean_campaign_says_so() {
        let merged = Merged::alone(&part(header(0, 20, 0, 1), 20));
        let text = text(&merged);
        assert!(text.starts_with("seeds              20\n"), "{text}");
        assert!(text.ends_with("\nnothing was violated"), "{text}");
        assert!(text.contains("20190 in 2.0 s: 10095 events/s"), "{text}");
        assert!(
            text.contains("most events        19 (1019), 18 (1018), 17 (1017)"),
            "{text}"
        );
        assert!(!text.contains("NOT RUN"), "{text}");
    }

    #[test]
    fn failures_and_gaps_are_shown() {
        let mut part = part(header(0, 40, 1, 2), 5);
        for seed in [1, 3, 5] {
            let what = format!("chose two values for slot {seed}");
            part.tally.failures.push(failed(seed, "agreement", &what));
        }
        let text = text(&Merged::alone(&part));
        assert!(
            text.starts_with("seeds              5 of seeds 0..40, shard 1/2\n"),
            "{text}"
        );
        for line in [
            "NOT RUN seeds 0..40, shard 1/2: ended before seed 11, 15 left\n",
            "seeds 1, 3, 5\n",
            "seed 1: agreement: chose two values for slot 1\n",
            "See it: cargo chaos replay 1\n",
            "  n0: seed 1 stands in the way\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("nothing was violated"), "{text}");
    }

    #[test]
    fn a_second_run_is_spoken_of_where_there_was_one() {
        let shown = |ended| {
            let mut part = part(header(0, 40, 0, 1), 5);
            let mut failed = failed(3, "assertion", "x");
            (failed.repeats, failed.ended) = (false, ended);
            part.tally.failures.push(failed);
            text(&Merged::alone(&part))
        };
        assert!(shown(true).contains("A second run of it was different"));
        assert!(!shown(false).contains("A second run"));
    }
}
