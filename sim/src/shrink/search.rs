//! The smallest plan so far, and the trial of candidates against it, several at a time.
//! Knows nothing about where candidates come from.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize as _;
use xxhash_rust::xxh3::xxh3_64;

use super::ddmin::ddmin;
use super::{Cost, Progress};
use crate::check::Violation;
use crate::check::only::Only;
use crate::patience::within;
use crate::plan::{Plan, Script};
use crate::run::Watch;
use crate::signature::Signature;
use crate::stats::Stats;
use crate::subject::Subject;
use crate::sweep::{guarded, guarded_until_healing};

/// So many candidates that never end are enough: the threads that they are left behind on may be in
/// the way of all others.
const GIVEN_UP_MAX: u64 = 4;

/// The caller has had enough, or too many candidates never ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// Asks the caller whether to go on.
type KeepGoing<'a> = &'a mut dyn FnMut(&Progress<'_>) -> bool;

/// Where the search stands.
pub(super) struct Search<'a> {
    pub(super) subject: &'a Subject,
    pub(super) jobs: usize,
    /// Other seeds that are tried with a candidate.
    pub(super) others: u64,
    /// What is being tried, for people.
    pub(super) doing: &'static str,
    /// Plans that were executed.
    pub(super) tried: u64,
    /// Those of them that had not ended when nobody waited for them any more.
    pub(super) given_up: u64,
    /// How long a candidate is waited for.
    patience: Duration,
    /// What counts.
    pub(super) only: Only,
    signature: Signature,
    best: Plan,
    violation: Violation,
    ended_us: u64,
    before: Cost,
    cost: Cost,
    /// What was tried in vain.
    seen: BTreeSet<u64>,
    keep_going: KeepGoing<'a>,
}

impl<'a> Search<'a> {
    /// Begins with a plan, what it violates, and when; candidates are waited for so long.
    pub(super) fn new(
        subject: &'a Subject,
        jobs: usize,
        patience: Duration,
        (best, violation, ended_us): (Plan, Violation, u64),
        keep_going: KeepGoing<'a>,
    ) -> Self {
        let cost = Cost::of(&best);
        Self {
            subject,
            jobs,
            others: 0,
            doing: "",
            tried: 0,
            given_up: 0,
            patience,
            only: Only::ALL,
            signature: Signature::of(&violation),
            best,
            violation,
            ended_us,
            before: cost,
            cost,
            seen: BTreeSet::new(),
            keep_going,
        }
    }

    /// The smallest plan so far.
    pub(super) const fn best(&self) -> &Plan {
        &self.best
    }

    /// What it costs.
    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }

    /// When its violation is over, in simulated microseconds.
    pub(super) const fn ended_us(&self) -> u64 {
        self.ended_us
    }

    pub(super) fn into_best(self) -> (Plan, Violation) {
        (self.best, self.violation)
    }

    /// What the smallest plan has written down.
    pub(super) fn script(&self) -> Script {
        self.best.script.clone().unwrap_or_default()
    }

    /// Tries one candidate, and whether it is the smallest plan now.
    pub(super) fn accepts(&mut self, candidate: Plan) -> Result<bool, Stopped> {
        Ok(self.first(vec![candidate])?.is_some())
    }

    /// Tries candidates in their order. The first that fails in the same way and is smaller becomes
    /// the best; which one that is does not depend on how many are tried at the same time.
    pub(super) fn first(&mut self, candidates: Vec<Plan>) -> Result<Option<usize>, Stopped> {
        let mut attempts = Vec::new();
        for (index, candidate) in candidates.into_iter().enumerate() {
            if candidate.check().is_err() || Cost::of(&candidate) >= self.cost {
                continue;
            }
            let others = usize::try_from(self.others).unwrap_or(0);
            let seeds = (0..).filter(|seed| *seed != candidate.seed).take(others);
            let with = |seed| Plan {
                seed,
                ..candidate.clone()
            };
            let variants: Vec<Plan> = seeds.map(with).collect();
            attempts.push((index, candidate));
            attempts.extend(variants.into_iter().map(|plan| (index, plan)));
        }
        attempts.retain(|(_, plan)| !self.seen.contains(&name(plan)));
        for window in attempts.chunks(self.jobs.max(1)) {
            if let Some((index, found)) = self.execute(window)? {
                self.take(found);
                self.report(true)?;
                return Ok(Some(index));
            }
            self.report(false)?;
        }
        Ok(None)
    }

    /// Executes plans side by side, and returns the first of them that fails in the same way.
    fn execute(&mut self, window: &[(usize, Plan)]) -> Result<Option<(usize, Found)>, Stopped> {
        // What was violated among the faults is looked for there.
        let whole = self.ended_us > self.best.heal_at_us;
        let works = window.iter().map(|(_, plan)| {
            let (subject, signature) = (self.subject.clone(), self.signature.clone());
            let (plan, only) = (plan.clone(), self.only);
            move || trial(&subject, &signature, plan, only, whole)
        });
        let (works, mut asked) = (works.collect(), Ok(()));
        let results = within(self.patience, works, || {
            asked = self.report(false);
            asked.is_ok()
        });
        asked?;
        self.tried += window.len() as u64;
        // A guarded run does not panic; if the simulator itself did, it is no candidate either.
        self.given_up += results.iter().filter(|result| result.is_none()).count() as u64;
        for ((index, plan), result) in window.iter().zip(results) {
            match result.flatten() {
                Some(found) => return Ok(Some((*index, found))),
                None => drop(self.seen.insert(name(plan))),
            }
        }
        if self.given_up < GIVEN_UP_MAX {
            Ok(None)
        } else {
            Err(Stopped)
        }
    }

    fn take(&mut self, found: Found) {
        self.cost = Cost::of(&found.plan);
        self.best = found.plan;
        self.violation = found.violation;
        self.ended_us = found.ended_us;
    }

    fn report(&mut self, is_better: bool) -> Result<(), Stopped> {
        let goes_on = (self.keep_going)(&Progress {
            best: &self.best,
            violation: &self.violation,
            before: self.before,
            now: self.cost,
            tried: self.tried,
            doing: self.doing,
            is_better,
        });
        if goes_on { Ok(()) } else { Err(Stopped) }
    }

    /// Leaves out as many of `items` as can be; `put` makes a plan that has only these.
    pub(super) fn reduce<T: Clone>(
        &mut self,
        items: &[T],
        put: impl Fn(&Plan, &[T]) -> Plan,
    ) -> Result<Vec<T>, Stopped> {
        self.reduce_in_two_ways(items, |best, part| [put(best, part), best.clone()])
    }

    /// Leaves out as many of `items` as can be; `put` makes two plans that have only these, of
    /// which either may fail.
    pub(super) fn reduce_in_two_ways<T: Clone>(
        &mut self,
        items: &[T],
        put: impl Fn(&Plan, &[T]) -> [Plan; 2],
    ) -> Result<Vec<T>, Stopped> {
        let width = self.jobs;
        let (kept, ended) = ddmin(items, width, |parts| {
            let candidates = parts.iter().flat_map(|part| put(&self.best, part));
            let candidates = candidates.collect();
            Ok(self.first(candidates)?.map(|found| found / 2))
        });
        ended.map(|()| kept)
    }
}

/// A candidate that fails in the same way.
struct Found {
    plan: Plan,
    violation: Violation,
    ended_us: u64,
}

/// Executes a candidate: to its end only if `whole`, since healing and audit take longer than all
/// the rest of a small plan.
fn trial(
    subject: &Subject,
    signature: &Signature,
    plan: Plan,
    only: Only,
    whole: bool,
) -> Option<Found> {
    let watch = Watch::counting(only);
    let outcome = if whole {
        guarded(subject, &plan, watch)
    } else {
        guarded_until_healing(subject, &plan, watch)
    };
    let violation = outcome.violation?;
    (Signature::of(&violation) == *signature).then(|| Found {
        plan,
        violation,
        ended_us: micros(&outcome.stats),
    })
}

/// When a run was over, rounded up, in simulated microseconds.
pub(super) const fn micros(stats: &Stats) -> u64 {
    (stats.simulated_ms + 1) * 1_000
}

/// Tells plans apart.
fn name(plan: &Plan) -> u64 {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    plan.serialize(&mut json)
        .expect("numbers, strings and lists are always JSON");
    xxh3_64(&text)
}
