//! What came of a mutant, and whether that is as its file says.
//! Knows nothing about how it was hunted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Mutant;

/// What came of a mutant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catch {
    /// The mutant.
    pub id: String,
    /// How it was hunted: see [`super::hunt::Effort::name`].
    #[serde(default)]
    pub effort: String,
    /// Seeds until a check fired, in each range; `None` where it survived the budget.
    pub seeds: Vec<Option<u64>>,
    /// The plan or scenario that found it, where no seed did.
    #[serde(default)]
    pub directed: Option<String>,
    /// The checks that fired, by range.
    pub checks: Vec<String>,
    /// Seeds until each of the checks fired that the mutant's file wants tried alone; `None` where
    /// that did not.
    #[serde(default)]
    pub alone: BTreeMap<String, Option<u64>>,
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

    /// The checks that fired although the mutant's file does not expect it.
    #[must_use]
    pub fn unexpected(&self, mutant: &Mutant) -> Vec<String> {
        let fired = self.checks.iter();
        let unexpected = fired.filter(|check| !mutant.expect.contains(check));
        unexpected.cloned().collect()
    }

    /// Whether all is as the mutant's file says: it was killed, or survived if it must, only
    /// expected checks fired, and each that must find it alone did.
    #[must_use]
    pub fn is_right(&self, mutant: &Mutant) -> bool {
        self.killed() != mutant.equivalent.is_some()
            && self.unexpected(mutant).is_empty()
            && self.alone.values().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_counts_the_ranges_that_a_mutant_survived() {
        let catch = |seeds: &[Option<u64>]| Catch {
            seeds: seeds.to_vec(),
            ..Catch::default()
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

    #[test]
    fn a_kill_by_a_check_that_nobody_expects_is_not_right() {
        let mutant = Mutant {
            expect: vec!["bounds".to_owned()],
            ..Mutant::named("X", None)
        };
        let caught = |checks: &[&str], alone: Option<u64>| Catch {
            seeds: vec![Some(3)],
            checks: checks.iter().map(|check| (*check).to_owned()).collect(),
            alone: BTreeMap::from([("agreement".to_owned(), alone)]),
            ..Catch::default()
        };
        assert!(caught(&["bounds"], Some(1)).is_right(&mutant));
        assert!(!caught(&["bounds"], None).is_right(&mutant), "not alone");
        let other = caught(&["bounds", "monotone"], Some(1));
        assert_eq!(other.unexpected(&mutant), ["monotone"]);
        assert!(!other.is_right(&mutant));
        assert!(!Catch::default().is_right(&mutant), "it survived");
    }
}
