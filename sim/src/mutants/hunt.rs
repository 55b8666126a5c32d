//! Hunting a mutant: build it, run seeds until a check fires, count how many that took.
//! Knows nothing about what the checks look for.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::catch::Catch;
use super::workspace::Copy;
use super::{Mutant, Quick};

/// How many ranges of seeds a kill is measured in.
const RANGES: u64 = 5;
/// Distance between the ranges' first seeds.
const RANGE_APART: u64 = 10_000_000;

/// What a sweep printed as JSON, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Printed {
    failures: Vec<Failed>,
    #[serde(default)]
    impossible_and_reached: Vec<String>,
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

/// The check that fires when a run reaches what `sim/src/impossible.rs` says no right code can.
const COVERAGE: &str = "coverage";

/// How much a hunt may cost, and what it may find.
#[derive(Clone, Debug, Default)]
pub struct Effort {
    /// Seeds to try in each range.
    pub seeds: u64,
    /// Threads that run them.
    pub jobs: usize,
    /// Whether the first kill is enough, and one that a plan finds needs no seeds.
    pub briefly: bool,
    /// The checks that count; all, if none are named.
    pub checks: Vec<String>,
}

impl Effort {
    /// What results depend on, for telling stale ones. The number of threads is not: whatever
    /// that is, the first seed that fails is the same.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {} {:?}", self.seeds, self.briefly, self.checks)
    }
}

/// Builds `mutant` in `copy` and hunts it.
///
/// # Errors
/// If it cannot be planted, built or run: that is trouble, not survival. It says which mutant.
pub fn hunt(mutant: &Mutant, origin: &Path, copy: &Copy, effort: &Effort) -> anyhow::Result<Catch> {
    let hunted = || {
        let began = Instant::now();
        copy.refresh(&mutant.apply(origin)?)?;
        let binary = copy.build()?;
        let build_seconds = began.elapsed().as_secs_f64();
        let catch = hunt_built(mutant, &origin.join(PLANS), &binary, effort)?;
        anyhow::Ok(Catch {
            build_seconds,
            ..catch
        })
    };
    hunted().with_context(|| mutant.id.clone())
}

/// Hunts a mutant that is built already.
fn hunt_built(
    mutant: &Mutant,
    plans: &Path,
    binary: &Path,
    effort: &Effort,
) -> anyhow::Result<Catch> {
    let mut catch = Catch {
        id: mutant.id.clone(),
        ..Catch::default()
    };
    let began = Instant::now();
    let by_plan = effort.briefly && mutant.quick == Some(Quick::Plan);
    for range in 0..if by_plan { 0 } else { RANGES } {
        if effort.briefly && catch.killed() {
            break;
        }
        let from = range * RANGE_APART;
        let range = Range {
            binary,
            from,
            checks: &effort.checks,
            effort,
        };
        let Some(failed) = range.sweep()? else {
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
        && let Some((by, failed)) = directed(binary, plans, effort)?
    {
        catch.directed = Some(by);
        catch.what = failed.what;
        catch.checks.push(failed.check);
    }
    // The turn of a day has a minute: what checks find alone is for those who ask for more.
    let alone = mutant.alone.iter().filter(|_| !effort.briefly);
    for check in alone {
        let found = alone_finds(binary, check, effort)?;
        catch.alone.insert(check.clone(), found);
    }
    catch.seconds = began.elapsed().as_secs_f64();
    Ok(catch)
}

/// Seeds until a check finds something when no other counts.
fn alone_finds(binary: &Path, check: &String, effort: &Effort) -> anyhow::Result<Option<u64>> {
    let mut from = 0;
    while from < effort.seeds {
        let range = Range {
            binary,
            from,
            checks: std::slice::from_ref(check),
            effort: &Effort {
                seeds: effort.seeds - from,
                ..effort.clone()
            },
        };
        match range.sweep()? {
            Some(failed) if failed.check == *check => return Ok(Some(failed.seed + 1)),
            // An assertion ends a run all the same, and is not what is looked for.
            Some(failed) if failed.check != COVERAGE => from = failed.seed + 1,
            _ => break,
        }
    }
    Ok(None)
}

/// Tries what the ordinary tests hold beside seeds: the plans that were made for hard bugs, and the
/// scenarios.
fn directed(
    binary: &Path,
    dir: &Path,
    effort: &Effort,
) -> anyhow::Result<Option<(String, Failed)>> {
    for plan in plans(dir)? {
        let name = plan.file_stem().unwrap_or_default().to_string_lossy();
        let output = Command::new(binary)
            .args(["replay", "--plan"])
            .arg(&plan)
            .args(only(&effort.checks))
            .output()
            .context("cannot run the mutant")?;
        if let Some(check) = violated(&output)? {
            let by = format!("plan {name}");
            return Ok(Some((by.clone(), Failed::new(check, by))));
        }
    }
    if !effort.checks.is_empty() {
        // Scenarios are judged by limits of their own, not by checks.
        return Ok(None);
    }
    let output = Command::new(binary)
        .args(["scenarios", "--seeds", SCENARIO_SEEDS])
        .args(["--jobs", &effort.jobs.to_string()])
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

/// The arguments that let only these checks count.
fn only(checks: &[String]) -> Vec<String> {
    if checks.is_empty() {
        return Vec::new();
    }
    vec!["--checks".to_owned(), checks.join(",")]
}

/// Seeds to run.
#[derive(Clone, Copy)]
struct Range<'a> {
    binary: &'a Path,
    from: u64,
    checks: &'a [String],
    effort: &'a Effort,
}

impl Range<'_> {
    /// Runs seeds until one violates something. If none does, but they reach what the sources say
    /// cannot happen, that is a kill, too: only the planted bug makes it possible.
    fn sweep(&self) -> anyhow::Result<Option<Failed>> {
        let printed = self.run(self.effort.seeds)?;
        if let Some(failed) = printed.failures.into_iter().next() {
            return Ok(Some(failed));
        }
        let Some(reached) = printed.impossible_and_reached.into_iter().next() else {
            return Ok(None);
        };
        Ok(Some(Failed {
            seed: self.from + self.until_reached()? - 1,
            ..Failed::new(COVERAGE.to_owned(), reached)
        }))
    }

    /// After how many seeds something impossible is reached, which it is after all of them. What
    /// is reached is only told of many seeds together, but stays reached with more of them.
    fn until_reached(&self) -> anyhow::Result<u64> {
        let (mut without, mut with) = (0, self.effort.seeds);
        while with - without > 1 {
            let seeds = without.midpoint(with);
            if self.run(seeds)?.impossible_and_reached.is_empty() {
                without = seeds;
            } else {
                with = seeds;
            }
        }
        Ok(with)
    }

    /// Runs the first of the seeds.
    fn run(&self, seeds: u64) -> anyhow::Result<Printed> {
        let (from, to) = (self.from, self.from + seeds);
        let output = Command::new(self.binary)
            .args(["run", "--json", "--seeds", &format!("{from}..{to}")])
            .args(["--jobs", &self.effort.jobs.to_string()])
            .args(only(self.checks))
            .output()
            .context("cannot run the mutant")?;
        let printed: Option<Printed> = serde_json::from_slice(&output.stdout).ok();
        let code = output.status.code();
        match (code, printed) {
            (Some(0 | 42), Some(printed)) => Ok(printed),
            // That is what the summary ends with when something impossible was reached.
            (Some(1), Some(printed)) if !printed.impossible_and_reached.is_empty() => Ok(printed),
            _ => bail!(
                "the mutant ended with {code:?} in the seeds {from}..{to}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
