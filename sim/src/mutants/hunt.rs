//! Hunting a mutant: build it, run seeds until a check fires, count how many that took.
//! Knows nothing about what the checks look for.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::workspace::Copy;
use super::{Mutant, Quick};

/// How many ranges of seeds a kill is measured in.
const RANGES: u64 = 5;
/// Distance between the ranges' first seeds.
const RANGE_APART: u64 = 10_000_000;

/// What came of a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catch {
    /// The mutant.
    pub id: String,
    /// Seeds until a check fired, in each range; `None` where it survived the budget.
    pub seeds: Vec<Option<u64>>,
    /// The plan or scenario that found it, where no seed did.
    #[serde(default)]
    pub directed: Option<String>,
    /// The checks that fired, by range.
    pub checks: Vec<String>,
    /// What the first violation said.
    pub what: String,
    /// The first seed that violated something.
    pub seed: Option<u64>,
    /// How long the seeds took to run.
    pub seconds: f64,
    /// How long the build took.
    pub build_seconds: f64,
    /// Digest of the mutant and of the sources: with another one this result is stale.
    pub of: u64,
}

impl Catch {
    /// Whether a check fired.
    #[must_use]
    pub fn killed(&self) -> bool {
        self.seeds.iter().any(Option::is_some) || self.directed.is_some()
    }

    /// The median over the ranges; `None` when that is above the budget.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let mut seeds: Vec<u64> = self.seeds.iter().map(|s| s.unwrap_or(u64::MAX)).collect();
        seeds.sort_unstable();
        let median = seeds.get(seeds.len() / 2).copied();
        median.filter(|seeds| *seeds < u64::MAX)
    }
}

/// What a sweep printed as JSON, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Printed {
    failures: Vec<Failed>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    seed: u64,
    check: String,
    what: String,
}

impl Failed {
    /// Outside of all seeds.
    const fn new(check: String, what: String) -> Self {
        Self {
            seed: 0,
            check,
            what,
        }
    }
}

/// How much a hunt may cost.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seeds to try in each range.
    pub seeds: u64,
    /// Threads that run them.
    pub jobs: usize,
    /// Whether the first kill is enough, and one that a plan finds needs no seeds.
    pub briefly: bool,
}

/// Builds `mutant` in `copy` and hunts it.
///
/// # Errors
/// If it cannot be planted, built or run: that is trouble, not survival.
pub fn hunt(mutant: &Mutant, origin: &Path, copy: &Copy, effort: Effort) -> anyhow::Result<Catch> {
    let began = Instant::now();
    copy.refresh(&mutant.apply(origin)?)?;
    let binary = copy.build().with_context(|| mutant.id.clone())?;
    let mut catch = Catch {
        id: mutant.id.clone(),
        seeds: Vec::new(),
        directed: None,
        checks: Vec::new(),
        what: String::new(),
        seed: None,
        seconds: 0.0,
        build_seconds: began.elapsed().as_secs_f64(),
        of: 0,
    };
    let began = Instant::now();
    let by_plan = effort.briefly && mutant.quick == Some(Quick::Plan);
    for range in 0..if by_plan { 0 } else { RANGES } {
        if effort.briefly && catch.killed() {
            break;
        }
        let from = range * RANGE_APART;
        let Some(failed) = sweep(&binary, from, from + effort.seeds, effort.jobs)? else {
            catch.seeds.push(None);
            continue;
        };
        catch.seeds.push(Some(failed.seed - from + 1));
        if catch.seed.is_none() {
            catch.seed = Some(failed.seed);
            catch.what = failed.what;
        }
        if !catch.checks.contains(&failed.check) {
            catch.checks.push(failed.check);
        }
    }
    if !catch.killed()
        && let Some((by, failed)) = directed(&binary, origin, effort.jobs)?
    {
        catch.directed = Some(by);
        catch.what = failed.what;
        catch.checks.push(failed.check);
    }
    catch.seconds = began.elapsed().as_secs_f64();
    Ok(catch)
}

/// Tries what the ordinary tests hold beside seeds: the plans that were made for hard bugs, and the
/// scenarios.
fn directed(binary: &Path, origin: &Path, jobs: usize) -> anyhow::Result<Option<(String, Failed)>> {
    for plan in plans(&origin.join(PLANS))? {
        let name = plan.file_stem().unwrap_or_default().to_string_lossy();
        let output = Command::new(binary)
            .args(["replay", "--plan"])
            .arg(&plan)
            .output()
            .context("cannot run the mutant")?;
        if let Some(check) = violated(&output)? {
            let by = format!("plan {name}");
            return Ok(Some((by.clone(), Failed::new(check, by))));
        }
    }
    let output = Command::new(binary)
        .args(["scenarios", "--seeds", SCENARIO_SEEDS])
        .args(["--jobs", &jobs.to_string()])
        .output()
        .context("cannot run the mutant")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(42) => {
            let wrong = text.lines().find_map(|line| line.strip_prefix("WRONG "));
            let what = wrong.unwrap_or("a scenario failed").to_owned();
            let by = what.split(' ').next().unwrap_or_default();
            let failed = Failed::new("scenarios".to_owned(), what.clone());
            Ok(Some((format!("scenario {by}"), failed)))
        }
        code => bail!("the mutant ended with {code:?} in the scenarios"),
    }
}

/// Where the plans are that an ordinary test runs, from the workspace's root.
const PLANS: &str = "sim/tests/plans";
/// As many seeds of each scenario as the ordinary test takes.
const SCENARIO_SEEDS: &str = "24";

fn plans(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut plans = Vec::new();
    for file in std::fs::read_dir(dir)? {
        plans.push(file?.path());
    }
    plans.sort();
    Ok(plans)
}

/// The check that a replay's last words name, if anything was violated.
fn violated(output: &Output) -> anyhow::Result<Option<String>> {
    match output.status.code() {
        Some(0) => Ok(None),
        Some(42) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let words = text.lines().rev().find_map(|line| {
                let (_, found) = line.split_once("VIOLATED ")?;
                found.split_once(':').map(|(check, _)| check.to_owned())
            });
            Ok(Some(words.unwrap_or_default()))
        }
        code => bail!(
            "the mutant ended with {code:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Runs seeds until one violates something.
fn sweep(binary: &Path, from: u64, to: u64, jobs: usize) -> anyhow::Result<Option<Failed>> {
    let output = Command::new(binary)
        .args(["run", "--json", "--seeds", &format!("{from}..{to}")])
        .args(["--jobs", &jobs.to_string()])
        .output()
        .context("cannot run the mutant")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(42) => {
            let printed: Printed = serde_json::from_str(&text)
                .with_context(|| format!("the mutant printed no result: {text}"))?;
            Ok(printed.failures.into_iter().next())
        }
        code => bail!(
            "the mutant ended with {code:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_counts_the_ranges_that_a_mutant_survived() {
        let catch = |seeds: &[Option<u64>]| Catch {
            id: String::new(),
            seeds: seeds.to_vec(),
            directed: None,
            checks: Vec::new(),
            what: String::new(),
            seed: None,
            seconds: 0.0,
            build_seconds: 0.0,
            of: 0,
        };
        let often = catch(&[Some(3), None, Some(1), Some(9), None]);
        assert_eq!((often.killed(), often.median()), (true, Some(9)));
        let rarely = catch(&[None, None, Some(1), None, None]);
        assert_eq!((rarely.killed(), rarely.median()), (true, None));
        assert!(!catch(&[None; 5]).killed());
        let by_plan = Catch {
            directed: Some("plan x".to_owned()),
            ..catch(&[None; 5])
        };
        assert_eq!((by_plan.killed(), by_plan.median()), (true, None));
    }
}
