//! From a plan that fails to a small one that fails in the same way: a story that a person reads.
//! Knows nothing about how much time there is: whoever calls says when it is enough.
//!
//! Delta debugging (Zeller and Hildebrandt 2002), from the coarse to the fine (Misherghi and Su,
//! "HDD", 2006): what a run draws is written down first, then whatever can be left out is.

mod clients;
mod cost;
mod ddmin;
mod faults;
mod lists;
mod nodes;
mod payloads;
mod search;
mod settings;
mod times;

use std::time::Duration;

pub use cost::{Cost, Counts};

use crate::check::Violation;
use crate::check::only::Only;
use crate::patience::{one_within, timed};
use crate::plan::Plan;
use crate::run::Watch;
use crate::signature::Signature;
use crate::subject::Subject;
use crate::sweep::guarded;
use search::{Search, Stopped};

/// The work of making a plan smaller.
#[derive(Clone, Debug)]
pub struct Shrink {
    subject: Subject,
    plan: Plan,
    jobs: usize,
    /// A candidate is waited for at least so long.
    patience: Duration,
    /// What counts.
    only: Only,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The smallest plan so far.
    pub best: &'a Plan,
    /// What it violates.
    pub violation: &'a Violation,
    /// What the plan cost in the beginning.
    pub before: Cost,
    /// What it costs now.
    pub now: Cost,
    /// Plans that were executed.
    pub tried: u64,
    /// What is being tried.
    pub doing: &'static str,
    /// Whether the plan is smaller than the last time.
    pub is_better: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// What it violates.
    pub violation: Violation,
    /// What the plan consisted of in the beginning, everything drawn included.
    pub before: Counts,
    /// What it consists of now.
    pub after: Counts,
    /// Plans that were executed.
    pub tried: u64,
    /// Those of them that were given up because they did not end.
    pub given_up: u64,
    /// Whether nothing more was found to leave out; else it was stopped before.
    pub is_done: bool,
}

/// Other seeds that are tried when a candidate does not fail, from one fixed point to the next:
/// leaving something out may shift a race, which other latencies shift back.
const EFFORTS: [u64; 3] = [0, 3, 12];

/// A candidate is waited for at least so long, and longer where the plan itself takes long: one that
/// fails late takes more than one that fails early, but none of them should take minutes.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many times as long as the plan itself takes.
const PATIENCE_TIMES: u32 = 10;

type Pass = fn(&mut Search<'_>) -> Result<(), Stopped>;

/// What is tried, in this order, until nothing helps any more.
const PASSES: [(&str, Pass); 13] = [
    ("whole lists", lists::clear),
    ("settings", settings::simplify),
    ("faults", |s| lists::reduce(s, lists::List::Faults)),
    ("accidents", |s| lists::reduce(s, lists::List::Accidents)),
    ("requests", |s| lists::reduce(s, lists::List::Requests)),
    ("answers", |s| lists::reduce(s, lists::List::Answers)),
    ("the end of faults", lists::endings),
    ("peculiarities", lists::peculiarities),
    ("nodes", nodes::remove),
    ("clients", clients::merge),
    ("links", faults::simplify),
    ("times", times::reduce),
    ("payloads", payloads::simplify),
];

impl Shrink {
    /// Prepares to make this plan smaller.
    #[must_use]
    pub fn new(subject: &Subject, plan: &Plan) -> Self {
        Self {
            subject: subject.clone(),
            plan: plan.clone(),
            jobs: 1,
            patience: PATIENCE,
            only: Only::ALL,
        }
    }

    /// Only what these checks find counts, also where another one would come before.
    #[must_use]
    pub const fn only(mut self, only: Only) -> Self {
        self.only = only;
        self
    }

    /// Executes so many plans at the same time. That changes nothing in the result.
    #[must_use]
    pub const fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = if jobs == 0 { 1 } else { jobs };
        self
    }

    /// Leaves out what can be left out; `None` if the plan does not fail at all. `keep_going` is
    /// asked after every few executions, once a second while they take long, and each time when the
    /// plan became smaller. A candidate that does not end is left behind on its thread.
    ///
    /// The best plan can be shrunk again later: that goes on where it was.
    pub fn run(&self, mut keep_going: impl FnMut(&Progress<'_>) -> bool) -> Option<Shrunk> {
        let (plan, violation, ended_us, patience) = self.written_down()?;
        let before = Counts::of(&plan);
        let mut search = Search::new(
            &self.subject,
            self.jobs,
            patience,
            (plan, violation, ended_us),
            &mut keep_going,
        );
        search.only = self.only;
        let is_done = exhaust(&mut search).is_ok();
        let (tried, given_up) = (search.tried, search.given_up);
        let (plan, violation) = search.into_best();
        Some(Shrunk {
            after: Counts::of(&plan),
            plan,
            violation,
            before,
            tried,
            given_up,
            is_done,
        })
    }

    /// The plan with everything that it draws written into it, what it violates, and when; and how
    /// long others like it are waited for.
    fn written_down(&self) -> Option<(Plan, Violation, u64, Duration)> {
        let only = self.only;
        let watch = Watch {
            script: true,
            ..Watch::counting(only)
        };
        let (drawn, took) = timed(|| guarded(&self.subject, &self.plan, watch));
        let patience = self.patience.max(took * PATIENCE_TIMES);
        let violation = drawn.violation?;
        let mut plan = self.plan.clone();
        if plan.script.is_none() {
            plan.script = Some(drawn.script.unwrap_or_default());
            let (subject, written) = (self.subject.clone(), plan.clone());
            let again = one_within(patience, move || {
                guarded(&subject, &written, Watch::counting(only))
            });
            let is_same = again
                .and_then(|again| again.violation)
                .is_some_and(|again| Signature::of(&again) == Signature::of(&violation));
            if !is_same {
                // Something in it is not deterministic: what was drawn may not be what mattered.
                plan.script = None;
            }
        }
        let ended_us = search::micros(&drawn.stats);
        Some((plan, violation, ended_us, patience))
    }
}

/// Goes through all passes until none of them helps.
fn exhaust(search: &mut Search<'_>) -> Result<(), Stopped> {
    for others in EFFORTS {
        search.others = others;
        loop {
            let before = search.cost();
            for (name, pass) in PASSES {
                search.doing = "what comes too late";
                times::trim(search)?;
                search.doing = name;
                pass(search)?;
            }
            if search.cost() == before {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use chil_core::kv::KeyValue;

    use super::*;

    #[test]
    fn candidates_that_never_end_are_given_up_and_many_of_them_end_it() {
        let hangs = Arc::new(AtomicBool::new(false));
        let stuck = Arc::clone(&hangs);
        let subject = Subject::new(move || -> KeyValue {
            while stuck.load(Ordering::Relaxed) {
                std::thread::park();
            }
            panic!("whatever is asked of it")
        });
        let shrink = Shrink {
            patience: Duration::from_millis(1_500),
            ..Shrink::new(&subject, &crate::swarm::short(3)).jobs(2)
        };
        let shrunk = shrink.run(|progress| {
            // What comes after the first smaller plan never ends.
            hangs.fetch_or(progress.is_better, Ordering::Relaxed);
            true
        });
        let shrunk = shrunk.unwrap();
        assert_ne!(shrunk.after, shrunk.before, "something was left out");
        assert!((4..6).contains(&shrunk.given_up), "{}", shrunk.given_up);
        assert!(!shrunk.is_done);
    }
}
