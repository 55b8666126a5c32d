//! `chil-sim --seeds`: a sweep with a progress bar, a summary, and a file to resume from.
//! Knows nothing about how a run goes.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::{Format, SweepArgs, VIOLATED, say};
use crate::plan::FaultKind;
use crate::stats::Stats;
use crate::subject::Subject;
use crate::sweep::{Failure, Report, Sweep, sweep};

/// Where a long sweep stands. Everything below `next` is done and counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    from: u64,
    to: u64,
    next: u64,
    seconds: f64,
    stats: Stats,
}

/// Runs the sweep that was asked for.
pub(super) fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let (from, to) = args.seeds;
    let mut saved = match &args.resume {
        Some(path) => load(path, from, to)?,
        None => fresh(from, to),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let what = Sweep {
        from: saved.next,
        to,
        jobs: args.jobs.unwrap_or(cores),
        check_every: args.check_every,
        keep_going: args.keep_going,
    };
    let bar = progress(args, from, to, saved.next)?;
    let began = Instant::now();
    let mut report = Report::default();
    // With a file to resume from, in pieces: what is written down is always whole.
    let piece = if args.resume.is_some() { 2_000 } else { to };
    while saved.next < to && report.failures.is_empty() {
        let part = Sweep {
            from: saved.next,
            to: to.min(saved.next.saturating_add(piece)),
            ..what
        };
        let done = sweep(&Subject::key_value(), part, |_, _| {
            bar.inc(1);
            true
        });
        saved.stats.add(&done.stats);
        saved.next = done.done_to;
        report.failures.extend(done.failures);
        if let Some(path) = &args.resume
            && report.failures.is_empty()
        {
            let seconds = saved.seconds + began.elapsed().as_secs_f64();
            save(
                path,
                &Saved {
                    seconds,
                    ..saved.clone()
                },
            )?;
        }
        if args.keep_going && args.resume.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
    saved.seconds += began.elapsed().as_secs_f64();
    report.stats = saved.stats;
    match args.output {
        Format::Text => say(&text(&report, saved.seconds))?,
        Format::Json => say(&json(&report, saved.seconds)?)?,
    }
    Ok(if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(VIOLATED)
    })
}

fn fresh(from: u64, to: u64) -> Saved {
    Saved {
        from,
        to,
        next: from,
        seconds: 0.0,
        stats: Stats::default(),
    }
}

fn load(path: &Path, from: u64, to: u64) -> anyhow::Result<Saved> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(fresh(from, to)),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let saved: Saved = serde_json::from_str(&text)
        .with_context(|| format!("{shown} is not the progress of a sweep: remove it"))?;
    anyhow::ensure!(
        (saved.from, saved.to) == (from, to),
        "{shown} is the progress of the seeds {}..{}, not {from}..{to}: name another file",
        saved.from,
        saved.to
    );
    Ok(saved)
}

fn save(path: &Path, saved: &Saved) -> anyhow::Result<()> {
    let aside = path.with_extension("part");
    std::fs::write(&aside, serde_json::to_string(saved)?)
        .and_then(|()| std::fs::rename(&aside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn progress(args: &SweepArgs, from: u64, to: u64, next: u64) -> anyhow::Result<ProgressBar> {
    let wanted = args.output == Format::Text && std::io::stderr().is_terminal();
    let target = if wanted {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(to - from), target);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left",
    )?);
    bar.set_position(next - from);
    Ok(bar)
}

/// The command that shows a failing seed again.
fn replay_command(failure: &Failure) -> String {
    format!("cargo chaos replay {}", failure.seed)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rates for people: three digits are enough"
)]
fn text(report: &Report, seconds: f64) -> String {
    let stats = &report.stats;
    let mut out = String::new();
    let rate = stats.events as f64 / seconds.max(0.001);
    let hours = stats.simulated_ms as f64 / 3_600_000.0;
    let ratio = stats.simulated_ms as f64 / 1_000.0 / seconds.max(0.001);
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<18} {value}");
    };
    row("seeds", stats.seeds.to_string());
    row(
        "events",
        format!("{} in {seconds:.1} s: {rate:.0} events/s", stats.events),
    );
    row(
        "simulated time",
        format!("{hours:.1} h, {ratio:.0} times real time"),
    );
    row("slots decided", stats.slots.to_string());
    features(stats, &mut row);
    row(
        "messages",
        format!("{} sent, {} lost", stats.messages, stats.lost),
    );
    row(
        "ballots",
        format!("{} begun, {} led", stats.ballots, stats.leaders),
    );
    row("restarts", stats.restarts.to_string());
    row("healed after", {
        let mean = stats.heal_rounds_sum as f64 / (stats.seeds as f64).max(1.0);
        format!(
            "{mean:.1} rounds on average, {} at most",
            stats.heal_rounds_max
        )
    });
    row("faults", stats.faults_total().to_string());
    for (name, count) in FaultKind::NAMES.iter().zip(stats.faults) {
        row("", format!("{count:>9} {name}"));
    }
    for failure in &report.failures {
        let again = if failure.repeats {
            ""
        } else {
            "\nA second run of it was different: the simulator is not deterministic here."
        };
        let (seed, what) = (failure.seed, &failure.violation);
        let command = replay_command(failure);
        let _ = writeln!(
            out,
            "\nVIOLATED in seed {seed}: {what}{again}\nSee it: {command}"
        );
        for line in &failure.explained {
            let _ = writeln!(out, "  {line}");
        }
    }
    if report.failures.is_empty() {
        let _ = write!(out, "nothing was violated");
    }
    out
}

/// What clients and operators did, and what was done for them.
fn features(stats: &Stats, row: &mut impl FnMut(&str, String)) {
    row(
        "operations",
        format!(
            "{} writes, {} reads, {} of unknown outcome",
            stats.writes, stats.reads, stats.unknown
        ),
    );
    row("", {
        let (lease, follower, stale) = (stats.lease_reads, stats.follower_reads, stats.stale_reads);
        let ended = stats.leases_ended;
        format!(
            "reads: {lease} from leases ({ended} leases ended first), {follower} through \
             followers, {stale} stale"
        )
    });
    row(
        "sessions",
        format!(
            "{} opened, {} attempts, {} repeated and not executed again, {} expired",
            stats.sessions, stats.attempts, stats.repeated, stats.expired
        ),
    );
    row(
        "snapshots",
        format!(
            "{} taken, {} received, {} installed, {} transfers found interrupted",
            stats.snapshots_taken,
            stats.snapshots_received,
            stats.snapshots_installed,
            stats.transfers_resumed
        ),
    );
    row("transfers", {
        let ends = Stats::TRANSFERS.iter().zip(stats.transfers);
        let ends: Vec<String> = ends.map(|(name, n)| format!("{n} {name}")).collect();
        let (asked, begun) = (stats.transfers_asked, stats.handovers);
        format!("{asked} asked for, {begun} begun: {}", ends.join(", "))
    });
}

fn json(report: &Report, seconds: f64) -> anyhow::Result<String> {
    let failures: Vec<serde_json::Value> = report
        .failures
        .iter()
        .map(|failure| {
            serde_json::json!({
                "seed": failure.seed,
                "check": failure.violation.check,
                "node": failure.violation.node,
                "what": failure.violation.what,
                "explained": failure.explained,
                "repeats": failure.repeats,
                "replay": replay_command(failure),
            })
        })
        .collect();
    let whole = serde_json::json!({
        "stats": report.stats,
        "fault_kinds": FaultKind::NAMES,
        "seconds": seconds,
        "failures": failures,
    });
    Ok(serde_json::to_string_pretty(&whole)?)
}
