//! A scenario over many seeds: medians, the worst, and what is too much.
//! Knows nothing about how one seed is measured.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::Scenario;
use super::measure::{Measured, QUIET_ROUNDS, measure};
use crate::check::only::Only;
use crate::run::Watch;
use crate::sweep::caught;

/// A scenario in one cluster, over all seeds. Lengths are in thousandths of a heartbeat round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The scenario.
    pub scenario: &'static str,
    /// The weights of the cluster, in no order.
    pub weights: Vec<u32>,
    /// Seeds that were measured.
    pub seeds: u64,
    /// Median and maximum of [`Measured::recovery`].
    pub recovery_median: u64,
    /// See `recovery_median`.
    pub recovery_max: u64,
    /// Median and maximum of [`Measured::pause`].
    pub pause_median: u64,
    /// See `pause_median`.
    pub pause_max: u64,
    /// Sum of [`Measured::churn`].
    pub churn: u64,
    /// The least of [`Measured::decided`].
    pub decided_min: u64,
    /// What is wrong with it, with the seed that shows it.
    pub wrong: Vec<String>,
}

/// All rows of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// One for each scenario and cluster.
    pub rows: Vec<Row>,
}

/// What is fast enough, in thousandths of a round.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the median of the pauses.
    pub pause: u64,
    /// For the median of the recoveries.
    pub median: u64,
    /// For every seed.
    pub max: u64,
}

/// Seeds that are tried for each that can be laid out, at most.
const TRIES: u64 = 20;

/// Measures these scenarios in all their clusters, over so many seeds each.
#[must_use]
pub fn table(scenarios: &[&'static Scenario], seeds: u64, jobs: usize) -> Table {
    let all: Vec<(&'static Scenario, &'static [u32])> = scenarios
        .iter()
        .flat_map(|scenario| {
            scenario
                .clusters
                .iter()
                .map(|weights| (*scenario, *weights))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(vec![Row::default(); all.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, weights)) = all.get(at) else {
                        break;
                    };
                    let row = row(scenario, weights, seeds);
                    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(place) = rows.get_mut(at) {
                        *place = row;
                    }
                }
            });
        }
    });
    Table {
        rows: rows.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

fn row(scenario: &'static Scenario, weights: &[u32], seeds: u64) -> Row {
    let mut row = Row {
        scenario: scenario.name,
        weights: weights.to_vec(),
        decided_min: u64::MAX,
        ..Row::default()
    };
    let (mut recoveries, mut pauses) = (Vec::new(), Vec::new());
    for seed in 0..seeds * TRIES {
        if row.seeds == seeds {
            break;
        }
        let watch = Watch {
            script: false,
            check_every: 50,
            sink: None,
            judged: true,
            only: Only::ALL,
        };
        let found = caught(|| measure(scenario, weights, seed, watch)).and_then(|found| found);
        match found {
            Ok(None) => continue,
            Ok(Some(measured)) => {
                row.add(&measured, seed, scenario.limits);
                recoveries.extend(measured.recovery);
                pauses.push(measured.pause);
            }
            Err(violation) => row.wrong.push(format!("seed {seed}: {violation}")),
        }
        row.seeds += 1;
    }
    (row.recovery_median, row.recovery_max) = middle_and_most(recoveries);
    (row.pause_median, row.pause_max) = middle_and_most(pauses);
    let limits = scenario.limits;
    for (what, median, limit) in [
        ("recovery", row.recovery_median, limits.median),
        ("pause", row.pause_median, limits.pause),
    ] {
        if median > limit && seeds >= MEDIAN_OF {
            let (median, limit) = (rounds(median), rounds(limit));
            row.wrong.push(format!(
                "the {what} takes {median} rounds in the median, more than {limit}"
            ));
        }
    }
    if row.seeds < seeds {
        row.wrong
            .push(format!("only {} seeds could be laid out", row.seeds));
    }
    row
}

impl Row {
    fn add(&mut self, measured: &Measured, seed: u64, limits: Limits) {
        self.churn += measured.churn;
        self.decided_min = self.decided_min.min(measured.decided);
        match measured.recovery {
            None => self.wrong.push(format!("seed {seed}: it does not recover")),
            Some(length) if length > limits.max || measured.pause > limits.max => {
                self.wrong.push(format!(
                    "seed {seed}: it recovers after {} rounds, with a pause of {}: the limit is {}",
                    rounds(length),
                    rounds(measured.pause),
                    rounds(limits.max)
                ));
            }
            Some(_) => {}
        }
        if measured.churn > 0 {
            let many = measured.churn;
            self.wrong
                .push(format!("seed {seed}: {many} ballots begin without need"));
        }
        if measured.recovery.is_some() && measured.decided < DECIDED_MIN {
            let few = measured.decided;
            self.wrong.push(format!(
                "seed {seed}: only {few} commands are decided afterwards"
            ));
        }
    }
}

/// Commands that must be decided in the hundred rounds after a recovery: all but a few of four a
/// round.
const DECIDED_MIN: u64 = QUIET_ROUNDS * 4 * 9 / 10;

/// The middle of fewer seeds than these says nothing, and is not judged.
pub const MEDIAN_OF: u64 = 8;

fn middle_and_most(mut lengths: Vec<u64>) -> (u64, u64) {
    lengths.sort_unstable();
    let middle = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    (middle, lengths.last().copied().unwrap_or(0))
}

/// Thousandths of a round, as people read them.
fn rounds(thousandths: u64) -> String {
    format!("{}.{:02}", thousandths / 1_000, thousandths % 1_000 / 10)
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:<24} {:<14} {:>5} {:>16} {:>16} {:>6} {:>8}",
            "", "", "", "recovery", "pause", "", "decided"
        );
        let _ = writeln!(
            out,
            "{:<24} {:<14} {:>5} {:>8} {:>7} {:>8} {:>7} {:>6} {:>8}",
            "scenario", "weights", "seeds", "median", "max", "median", "max", "churn", "at least"
        );
        for row in &self.rows {
            let weights: Vec<String> = row.weights.iter().map(u32::to_string).collect();
            let _ = writeln!(
                out,
                "{:<24} {:<14} {:>5} {:>8} {:>7} {:>8} {:>7} {:>6} {:>8}",
                row.scenario,
                weights.join(","),
                row.seeds,
                rounds(row.recovery_median),
                rounds(row.recovery_max),
                rounds(row.pause_median),
                rounds(row.pause_max),
                row.churn,
                row.decided_min
            );
        }
        for row in &self.rows {
            for wrong in &row.wrong {
                let _ = writeln!(out, "WRONG {} {:?}: {wrong}", row.scenario, row.weights);
            }
        }
        f.write_str(&out)
    }
}
