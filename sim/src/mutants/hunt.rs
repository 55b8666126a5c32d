//! Hunting a mutant: build it, run seeds until a check fires, count how many that took.
//! Knows nothing about what the checks look for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::catch::Catch;
use super::child::{self, Ended};
use super::workspace::Copy;
use super::{Mutant, Quick};
use crate::signature::ASSERTION;

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

/// The check of a mutant that ends itself, or does not end at all in a plan or the scenarios. Of
/// seeds that do not end it says so itself.
const BROKEN: &str = ASSERTION;

/// What came of seeds.
enum Tried {
    Printed(Printed),
    /// It broke, which it does each time: what happened.
    Broken(String),
}

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
    /// How long a mutant may take for one range of seeds, one plan, or the scenarios. A plan or
    /// scenario that takes longer hangs; seeds may just be many.
    pub limit: Duration,
}

impl Effort {
    /// What results depend on, for telling stale ones. The number of threads is not: whatever
    /// that is, the first seed that fails is the same.
    #[must_use]
    pub fn name(&self) -> String {
        let limit = self.limit.as_secs();
        format!("{} {} {:?} {limit}", self.seeds, self.briefly, self.checks)
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
        let mut command = Command::new(binary);
        command.args(["replay", "--plan"]).arg(&plan);
        command.args(only(&effort.checks));
        let by = format!("plan {name}");
        let found = match child::run(&mut command, effort.limit)? {
            Ended::Exit {
                code,
                stdout,
                stderr,
            } => violated(code, &stdout, &stderr)?.map(|check| (check, by.clone())),
            Ended::Broken(how) | Ended::Hung(how) => {
                Some((BROKEN.to_owned(), format!("{by}: the mutant {how}")))
            }
        };
        if let Some((check, what)) = found {
            return Ok(Some((by, Failed::new(check, what))));
        }
    }
    if !effort.checks.is_empty() {
        // Scenarios are judged by limits of their own, not by checks.
        return Ok(None);
    }
    let mut command = Command::new(binary);
    command.args(["scenarios", "--seeds", SCENARIO_SEEDS]);
    command.args(["--jobs", &effort.jobs.to_string()]);
    let (code, stdout) = match child::run(&mut command, effort.limit)? {
        Ended::Exit { code, stdout, .. } => (code, stdout),
        Ended::Broken(how) | Ended::Hung(how) => {
            let what = format!("in the scenarios the mutant {how}");
            let failed = Failed::new(BROKEN.to_owned(), what);
            return Ok(Some(("scenarios".to_owned(), failed)));
        }
    };
    match code {
        0 => Ok(None),
        42 => {
            let text = String::from_utf8_lossy(&stdout);
            let wrong = text.lines().find_map(|line| line.strip_prefix("WRONG "));
            let what = wrong.unwrap_or("a scenario failed").to_owned();
            let by = what.split(' ').next().unwrap_or_default();
            let failed = Failed::new("scenarios".to_owned(), what.clone());
            Ok(Some((format!("scenario {by}"), failed)))
        }
        code => bail!("the mutant ended with {code} in the scenarios"),
    }
}

/// Where the plans are that an ordinary test runs, from the workspace's root.
const PLANS: &str = "sim/tests/plans";
/// As many seeds of each scenario as `cargo chaos scenarios` takes, and its test where it is
/// optimised.
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
fn violated(code: i32, stdout: &[u8], stderr: &str) -> anyhow::Result<Option<String>> {
    match code {
        0 => Ok(None),
        42 => {
            let text = String::from_utf8_lossy(stdout);
            let words = text.lines().rev().find_map(|line| {
                let (_, found) = line.split_once("VIOLATED ")?;
                found.split_once(':').map(|(check, _)| check.to_owned())
            });
            Ok(Some(words.unwrap_or_default()))
        }
        code => bail!("the mutant ended with {code}: {stderr}"),
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
    /// cannot happen, that is a kill, too: only the planted bug makes it possible. So it is if the
    /// mutant breaks.
    fn sweep(&self) -> anyhow::Result<Option<Failed>> {
        let failed = |seeds: u64, check: &str, what: String| Failed {
            seed: self.from + seeds - 1,
            ..Failed::new(check.to_owned(), what)
        };
        let printed = match self.run(self.effort.seeds)? {
            Tried::Printed(printed) => printed,
            Tried::Broken(how) => {
                let seeds = self.until(|tried| matches!(tried, Tried::Broken(_)))?;
                // Threads are ahead of each other: what fails before may not have been told.
                return Ok(match self.before(seeds)? {
                    None => Some(failed(seeds, BROKEN, how)),
                    found => found,
                });
            }
        };
        if let Some(failed) = printed.failures.into_iter().next() {
            return Ok(Some(failed));
        }
        let Some(reached) = printed.impossible_and_reached.into_iter().next() else {
            return Ok(None);
        };
        let seeds = self.until(|tried| match tried {
            Tried::Printed(printed) => !printed.impossible_and_reached.is_empty(),
            Tried::Broken(_) => true,
        })?;
        Ok(Some(failed(seeds, COVERAGE, reached)))
    }

    /// What fails in the seeds before the last of so many.
    fn before(&self, seeds: u64) -> anyhow::Result<Option<Failed>> {
        if seeds <= 1 {
            return Ok(None);
        }
        Ok(match self.run(seeds - 1)? {
            Tried::Printed(printed) => printed.failures.into_iter().next(),
            Tried::Broken(_) => None,
        })
    }

    /// After how many seeds something shows, which it does after all of them, and goes on doing
    /// with more of them.
    fn until(&self, shows: impl Fn(&Tried) -> bool) -> anyhow::Result<u64> {
        let (mut without, mut with) = (0, self.effort.seeds);
        while with - without > 1 {
            let seeds = without.midpoint(with);
            if shows(&self.run(seeds)?) {
                with = seeds;
            } else {
                without = seeds;
            }
        }
        Ok(with)
    }

    /// Runs the first of the seeds.
    fn run(&self, seeds: u64) -> anyhow::Result<Tried> {
        let (from, to) = (self.from, self.from + seeds);
        let mut command = Command::new(self.binary);
        command.args(["run", "--json", "--seeds", &format!("{from}..{to}")]);
        command.args(["--jobs", &self.effort.jobs.to_string()]);
        command.args(only(self.checks));
        let words = |how: &str| format!("in the seeds {from}..{to} the mutant {how}");
        let (code, stdout, stderr) = match child::run(&mut command, self.effort.limit)? {
            Ended::Exit {
                code,
                stdout,
                stderr,
            } => (code, stdout, stderr),
            Ended::Broken(how) => return Ok(Tried::Broken(words(&how))),
            // That is no kill: it gives up each seed that hangs by itself, and those that do not
            // may be many.
            Ended::Hung(how) => bail!("{}: raise --limit, or lower --seeds", words(&how)),
        };
        let printed: Option<Printed> = serde_json::from_slice(&stdout).ok();
        match (code, printed) {
            (0 | 42, Some(printed)) => Ok(Tried::Printed(printed)),
            // That is what the summary ends with when something impossible was reached.
            (1, Some(printed)) if !printed.impossible_and_reached.is_empty() => {
                Ok(Tried::Printed(printed))
            }
            _ => bail!("the mutant ended with {code} in the seeds {from}..{to}: {stderr}"),
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
