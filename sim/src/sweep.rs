//! Many seeds: one after the other on each of several threads, and what they add up to.
//! Knows nothing about how results are shown.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use crate::check::Violation;
use crate::node::Names;
use crate::plan::Plan;
use crate::run::{Outcome, Watch, run};
use crate::signature::{ASSERTION, with_place};
use crate::stats::Stats;
use crate::subject::Subject;
use crate::swarm;

thread_local! {
    /// Where this thread's last caught panic came from; `None` outside of a guarded run.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Executes a plan, and makes a violation of a panic: an assertion that does not hold is one.
#[must_use]
pub fn guarded(subject: &Subject, plan: &Plan, watch: Watch) -> Outcome {
    let mut outcome = caught(|| run(subject, plan, watch)).unwrap_or_else(|violation| Outcome {
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
    PLACE.with_borrow_mut(|place| *place = Some(String::new()));
    let caught = catch_unwind(AssertUnwindSafe(what));
    let place = PLACE.with_borrow_mut(Option::take).unwrap_or_default();
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
    /// The first seed.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
    /// Threads.
    pub jobs: usize,
    /// See [`Watch::check_every`].
    pub check_every: u64,
    /// Whether to go on after a violation.
    pub keep_going: bool,
}

/// A seed that violated something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What it violated.
    pub violation: Violation,
    /// See [`Outcome::explained`].
    pub explained: Vec<String>,
    /// Whether a second run of it was the same, event by event.
    pub repeats: bool,
}

/// What a sweep found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The sums over all seeds that were run.
    pub stats: Stats,
    /// Seeds that violated something, by seed.
    pub failures: Vec<Failure>,
    /// Every seed below this one was run.
    pub done_to: u64,
}

/// Runs the seeds. `progress` is told every finished seed's counters, in the order in which they
/// finish, and all seeds below the given one are done; it returns whether to go on.
pub fn sweep(
    subject: &Subject,
    what: Sweep,
    mut progress: impl FnMut(&Stats, u64) -> bool,
) -> Report {
    let next = AtomicU64::new(what.from);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut report = Report {
        done_to: what.from,
        ..Report::default()
    };
    std::thread::scope(|scope| {
        for _ in 0..what.jobs.max(1) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= what.to || sender.send((seed, one(subject, seed, what))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut ahead = BTreeMap::new();
        for (seed, (stats, failure)) in receiver {
            report.stats.add(&stats);
            ahead.insert(seed, ());
            while ahead.remove(&report.done_to).is_some() {
                report.done_to += 1;
            }
            let failed = failure.is_some();
            report.failures.extend(failure);
            if !progress(&stats, report.done_to) || (failed && !what.keep_going) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    report.failures.sort_by_key(|failure| failure.seed);
    report
}

fn one(subject: &Subject, seed: u64, what: Sweep) -> (Stats, Option<Failure>) {
    let plan = swarm::plan(seed);
    let watch = || Watch {
        check_every: what.check_every,
        ..Watch::default()
    };
    let outcome = guarded(subject, &plan, watch());
    let failure = outcome.violation.as_ref().map(|violation| Failure {
        seed,
        violation: violation.clone(),
        explained: outcome.explained.clone(),
        repeats: guarded(subject, &plan, watch()) == outcome,
    });
    (outcome.stats, failure)
}
