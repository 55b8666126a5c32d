//! Hunting a mutant: build it, run seeds until a check fires, count how many that took.
//! Knows nothing about what the checks look for.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::Mutant;
use super::workspace::Copy;

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
        self.seeds.iter().any(Option::is_some)
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

/// Builds `mutant` in `copy` and runs up to `budget` seeds of each range on `jobs` threads.
///
/// # Errors
/// If it cannot be planted, built or run: that is trouble, not survival.
pub fn hunt(
    mutant: &Mutant,
    origin: &Path,
    copy: &Copy,
    budget: u64,
    jobs: usize,
) -> anyhow::Result<Catch> {
    let began = Instant::now();
    copy.refresh(&mutant.apply(origin)?)?;
    let binary = copy.build().with_context(|| mutant.id.clone())?;
    let mut catch = Catch {
        id: mutant.id.clone(),
        seeds: Vec::new(),
        checks: Vec::new(),
        what: String::new(),
        seed: None,
        seconds: 0.0,
        build_seconds: began.elapsed().as_secs_f64(),
        of: 0,
    };
    let began = Instant::now();
    for range in 0..RANGES {
        let from = range * RANGE_APART;
        let Some(failed) = sweep(&binary, from, from + budget, jobs)? else {
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
    catch.seconds = began.elapsed().as_secs_f64();
    Ok(catch)
}

/// Runs seeds until one violates something.
fn sweep(binary: &Path, from: u64, to: u64, jobs: usize) -> anyhow::Result<Option<Failed>> {
    let output = Command::new(binary)
        .args(["--seeds", &format!("{from}..{to}"), "-o", "json"])
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
    }
}
