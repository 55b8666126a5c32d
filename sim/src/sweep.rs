//! Many seeds: one after the other on each of several threads, and what they add up to.
//! Knows nothing about how results are shown.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use crate::campaign::Shard;
use crate::check::only::Only;
use crate::check::{Verdict, Violation};
use crate::node::Names;
use crate::plan::Plan;
use crate::run::{Outcome, Watch, run_by};
use crate::signature::{ASSERTION, with_place};
use crate::stats::Stats;
use crate::subject::Subject;
use crate::swarm;
use crate::token::Token;
use crate::world::World;

thread_local! {
    /// Where this thread's last caught panic came from; `None` outside of a guarded run.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Executes a plan, and makes a violation of a panic: an assertion that does not hold is one.
#[must_use]
pub fn guarded(subject: &Subject, plan: &Plan, watch: Watch) -> Outcome {
    guarded_by(subject, plan, watch, World::live)
}

/// Executes a plan like [`guarded`], but only until the faults end: nothing that comes later is
/// judged.
pub(crate) fn guarded_until_healing(subject: &Subject, plan: &Plan) -> Outcome {
    guarded_by(subject, plan, Watch::default(), World::live_until_healing)
}

fn guarded_by(
    subject: &Subject,
    plan: &Plan,
    watch: Watch,
    live: fn(&mut World) -> Verdict,
) -> Outcome {
    // Twice: what was drawn until a panic is kept, and building the world may panic as well.
    let live = |world: &mut World| caught(|| live(world)).unwrap_or_else(Err);
    let outcome = caught(|| run_by(subject, plan, watch, live));
    let mut outcome = outcome.unwrap_or_else(|violation| Outcome {
        hash: 0,
        stats: Stats {
            seeds: 1,
            ..Stats::default()
        },
        violation: Some(violation),
        ..Outcome::default()
    });
    if let Some(violation) = &mut outcome.violation {
        violation.what = Names::new(plan.nodes()).put_into(&violation.what);
    }
    outcome
}

/// Does something that runs code under test, and makes a violation of its panic.
pub(crate) fn caught<T>(what: impl FnOnce() -> T) -> Result<T, Violation> {
    quiet_panics();
    let around = PLACE.replace(Some(String::new()));
    let caught = catch_unwind(AssertUnwindSafe(what));
    let place = PLACE.replace(around).unwrap_or_default();
    caught.map_err(|panic| Violation {
        check: ASSERTION,
        node: None,
        what: with_place(&message(&*panic), &place),
    })
}

/// Keeps the panics of guarded runs off the screen; all others are shown as ever.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let guarded = PLACE.with_borrow_mut(|place| {
                if let Some(place) = place {
                    *place = info.location().map(ToString::to_string).unwrap_or_default();
                }
                place.is_some()
            });
            if !guarded {
                shown(info);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// Which seeds to run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Which seeds.
    pub shard: Shard,
    /// So many of them are done already: the first ones.
    pub done: u64,
    /// Threads.
    pub jobs: usize,
    /// Whether runs are cut short: see [`swarm::short`].
    pub short: bool,
    /// See [`Watch::check_every`].
    pub check_every: u64,
    /// Seeds that this divides are run twice although they violate nothing; 0 for none.
    pub twice_every: u64,
    /// See [`Watch::only`].
    pub only: Only,
}

/// A seed that violated something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed, and what it meant.
    pub token: Token,
    /// What it violated.
    pub violation: Violation,
    /// See [`Outcome::explained`].
    pub explained: Vec<String>,
    /// Whether a second run of it was the same, event by event.
    pub repeats: bool,
}

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The seed.
    pub seed: u64,
    /// Its run in numbers.
    pub stats: Stats,
    /// What it violated, and whether a second run of it was another one.
    pub failures: Vec<Failure>,
}

/// Runs the seeds. `each` is told what came of them, in the order of the shard, and returns
/// whether to go on; what was begun by then is finished, and told.
pub fn sweep(subject: &Subject, what: Sweep, mut each: impl FnMut(Ran) -> bool) {
    let next = AtomicU64::new(what.done);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..what.jobs.max(1) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = what.shard.seed(position) else {
                        break;
                    };
                    if sender.send((position, one(subject, seed, what))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut ahead = BTreeMap::new();
        let mut due = what.done;
        for (position, ran) in receiver {
            ahead.insert(position, ran);
            while let Some(ran) = ahead.remove(&due) {
                due += 1;
                if !each(ran) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}

fn one(subject: &Subject, seed: u64, what: Sweep) -> Ran {
    let mut plan = if what.short {
        swarm::short(seed)
    } else {
        swarm::plan(seed)
    };
    subject.fit(&mut plan);
    let watch = || Watch {
        check_every: what.check_every,
        only: what.only,
        ..Watch::default()
    };
    let outcome = guarded(subject, &plan, watch());
    let sampled = what.twice_every > 0 && seed.is_multiple_of(what.twice_every);
    let again = (sampled || outcome.violation.is_some()).then(|| guarded(subject, &plan, watch()));
    judged(&plan, outcome, again.as_ref())
}

/// What a run and, if there was one, its second run come to.
fn judged(plan: &Plan, outcome: Outcome, again: Option<&Outcome>) -> Ran {
    let differs = again
        .filter(|again| **again != outcome)
        .map(|again| Failure {
            token: Token::of(plan),
            violation: Violation {
                check: "determinism",
                node: None,
                what: "a second run of the same plan was another run".to_owned(),
            },
            explained: vec![difference(&outcome, again)],
            repeats: false,
        });
    let violated = outcome.violation.map(|violation| Failure {
        token: Token::of(plan),
        violation,
        explained: outcome.explained,
        repeats: differs.is_none(),
    });
    let mut stats = outcome.stats;
    stats.run_twice = u64::from(again.is_some());
    Ran {
        seed: plan.seed,
        stats,
        failures: violated.into_iter().chain(differs).collect(),
    }
}

fn difference(first: &Outcome, second: &Outcome) -> String {
    let run = |outcome: &Outcome| {
        let violated = outcome.violation.as_ref().map(ToString::to_string);
        format!(
            "{} events, trace hash {:016x}, {}",
            outcome.stats.events,
            outcome.hash,
            violated.unwrap_or_else(|| "nothing violated".to_owned())
        )
    };
    format!("first {}; then {}", run(first), run(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_second_run_is_a_failure() {
        let outcome = Outcome {
            hash: 7,
            ..Outcome::default()
        };
        let ran = judged(&swarm::plan(3), outcome.clone(), Some(&outcome));
        assert_eq!((ran.failures.len(), ran.stats.run_twice), (0, 1));
        let other = Outcome {
            hash: 8,
            ..Outcome::default()
        };
        let ran = judged(&swarm::plan(3), outcome.clone(), Some(&other));
        assert_eq!(ran.failures[0].violation.check, "determinism");
        let explained = &ran.failures[0].explained[0];
        assert!(explained.contains("0000000000000008"), "{explained}");
        let violated = Outcome {
            violation: Some(Violation {
                check: "bounds",
                node: None,
                what: String::new(),
            }),
            ..outcome
        };
        let ran = judged(&swarm::plan(3), violated.clone(), Some(&other));
        let checks: Vec<&str> = ran.failures.iter().map(|f| f.violation.check).collect();
        assert_eq!(checks, ["bounds", "determinism"]);
        assert!(!ran.failures[0].repeats);
        let ran = judged(&swarm::plan(3), violated.clone(), Some(&violated));
        assert!(ran.failures.len() == 1 && ran.failures[0].repeats);
    }

    #[test]
    fn what_is_told_is_in_order_and_without_holes() {
        let shard = Shard {
            from: 0,
            to: 6_000,
            index: 1,
            of: 3,
        };
        let what = Sweep {
            shard,
            done: 2,
            jobs: 3,
            short: true,
            check_every: 1,
            twice_every: 0,
            only: Only::ALL,
        };
        let mut seeds = Vec::new();
        sweep(&Subject::key_value(), what, |ran| {
            seeds.push(ran.seed);
            seeds.len() < 4
        });
        // What was begun when enough was told is finished: how much that is, is the threads' affair.
        assert!((4..1_000).contains(&seeds.len()), "{} seeds", seeds.len());
        let expected: Vec<u64> = (2..)
            .filter_map(|position| shard.seed(position))
            .take(seeds.len())
            .collect();
        assert_eq!(seeds, expected);
    }
}
