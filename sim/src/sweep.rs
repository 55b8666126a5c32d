//! Many seeds: one after the other on each of several threads, and what they add up to.
//! Knows nothing about how results are shown.

mod crew;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

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
use crew::{Crew, Word};

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
pub(crate) fn guarded_until_healing(subject: &Subject, plan: &Plan, watch: Watch) -> Outcome {
    guarded_by(subject, plan, watch, World::live_until_healing)
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

impl Sweep {
    /// All of these seeds, as short runs that are looked at by all checks at every event, and none
    /// of which is run twice that violates nothing.
    #[must_use]
    pub const fn short(shard: Shard, jobs: usize) -> Self {
        Self {
            shard,
            done: 0,
            jobs,
            short: true,
            check_every: 1,
            twice_every: 0,
            only: Only::ALL,
        }
    }
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
    /// Whether it came to an end; else it was given up, and nothing more is known.
    pub ended: bool,
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

/// So many threads are enough for any machine; each has its own memory.
pub const JOBS_MAX: usize = 1_024;

/// What whoever runs seeds is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// What came of the next seed of the shard.
    Ran(Box<Ran>),
    /// A seed violated something a while ago, and others before it are under way: it is counted
    /// when those are through.
    Ahead(Failure),
    /// A second passes, whether or not anything comes of a seed.
    Waits {
        /// Seeds that have been under way for too long to be ordinary; each is named once.
        slow: Vec<u64>,
    },
}

/// How long seeds are waited for, in seconds.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Then it is told that they are slow.
    slow: u32,
    /// Then they count as never ending.
    hangs: u32,
}

/// Runs take milliseconds, or seconds of a slow build: one of minutes will not end.
const PATIENCE: Patience = Patience {
    slow: 30,
    hangs: 600,
};

/// Runs the seeds. `each` is told what came of them, in the order of the shard, and once a second
/// that it has to wait; it returns whether to go on. What was begun by then is finished, and told.
/// A seed that does not end is told as one that failed, and the others go on without it.
pub fn sweep(subject: &Subject, what: Sweep, each: impl FnMut(Told) -> bool) {
    sweep_with(subject, what, PATIENCE, each);
}

fn sweep_with(
    subject: &Subject,
    what: Sweep,
    patience: Patience,
    mut each: impl FnMut(Told) -> bool,
) {
    let (mut crew, words) = Crew::new(subject, what);
    crew.enlist();
    let mut ahead: BTreeMap<u64, Ran> = BTreeMap::new();
    let (mut due, mut announced) = (what.done, BTreeSet::new());
    while crew.works() {
        let mut told = Vec::new();
        match words.recv().expect("the crew has a sender itself") {
            Word::Begins(worker, work) => crew.begins(worker, work),
            Word::Ran(worker, ran) => ahead.extend(crew.ran(worker, *ran)),
            Word::Ends { worker, panicked } => {
                assert!(!panicked, "the simulator itself panicked: see above");
                crew.ended(worker);
            }
            Word::Second => {
                let slow = crew.waits(patience.slow);
                told.push(Told::Waits { slow });
                for (position, ran) in &ahead {
                    let failed = ran.failures.first().filter(|_| announced.insert(*position));
                    told.extend(failed.cloned().map(Told::Ahead));
                }
                ahead.extend(crew.gives_up(patience.hangs));
            }
        }
        while let Some(ran) = ahead.remove(&due) {
            due += 1;
            told.push(Told::Ran(Box::new(ran)));
        }
        for told in told {
            if !each(told) {
                crew.stops();
            }
        }
    }
}

fn one(subject: &Subject, seed: u64, what: Sweep) -> Ran {
    let drawn = swarm::drawn(seed, what.short);
    let mut plan = drawn.clone();
    subject.fit(&mut plan);
    let watch = || Watch {
        check_every: what.check_every,
        only: what.only,
        ..Watch::default()
    };
    let outcome = guarded(subject, &plan, watch());
    let sampled = what.twice_every > 0 && seed.is_multiple_of(what.twice_every);
    let again = (sampled || outcome.violation.is_some()).then(|| guarded(subject, &plan, watch()));
    judged(&drawn, outcome, again.as_ref())
}

/// Executes a plan twice, whatever comes of it: that something differs from run to run shows in no
/// single one.
pub(crate) fn twice(subject: &Subject, plan: &Plan) -> Ran {
    let first = guarded(subject, plan, Watch::default());
    let again = guarded(subject, plan, Watch::default());
    judged(plan, first, Some(&again))
}

/// What a run of a plan that was drawn so and, if there was one, its second run come to.
fn judged(drawn: &Plan, outcome: Outcome, again: Option<&Outcome>) -> Ran {
    let differs = again.and_then(|again| differs(&outcome, again));
    let differs = differs.map(|(violation, how)| Failure {
        token: Token::of(drawn),
        violation,
        explained: vec![how],
        repeats: false,
        ended: true,
    });
    let violated = outcome.violation.map(|violation| Failure {
        token: Token::of(drawn),
        violation,
        explained: outcome.explained,
        repeats: differs.is_none(),
        ended: true,
    });
    let mut stats = outcome.stats;
    stats.run_twice = u64::from(again.is_some());
    Ran {
        seed: drawn.seed,
        stats,
        failures: violated.into_iter().chain(differs).collect(),
    }
}

/// What is violated if two runs of the same plan are not the same, and in what they differ.
pub(crate) fn differs(first: &Outcome, second: &Outcome) -> Option<(Violation, String)> {
    let violation = || Violation {
        check: "determinism",
        node: None,
        what: "a second run of the same plan was another run".to_owned(),
    };
    (first != second).then(|| (violation(), difference(first, second)))
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use chil_core::kv::KeyValue;

    use super::*;
    use crate::subject::{Draw, Request};

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
            done: 2,
            ..Sweep::short(shard, 3)
        };
        let mut seeds = Vec::new();
        sweep(&Subject::key_value(), what, |told| {
            if let Told::Ran(ran) = told {
                seeds.push(ran.seed);
            }
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

    #[test]
    fn a_seed_that_never_ends_is_named_and_given_up_and_others_go_on() {
        let stuck = Arc::new(AtomicBool::new(false));
        let request = move |draw: &mut Draw<'_>| {
            // Whichever seed asks first never asks again.
            if !stuck.swap(true, Ordering::Relaxed) {
                loop {
                    std::thread::park();
                }
            }
            Request::Query(draw.word().to_le_bytes().to_vec().into())
        };
        let subject = Subject::new(KeyValue::default).with_workload(move || request.clone());
        let what = Sweep::short(Shard::whole(0, 12), 2);
        let patience = Patience { slow: 1, hangs: 2 };
        let (mut seeds, mut named, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        sweep_with(&subject, what, patience, |told| {
            match told {
                Told::Waits { slow } => named.extend(slow),
                Told::Ahead(failure) => panic!("{failure:?}"),
                Told::Ran(ran) => {
                    seeds.push(ran.seed);
                    failures.extend(ran.failures);
                    assert_eq!(ran.stats.seeds, 1);
                }
            }
            true
        });
        assert_eq!(seeds, (0..12).collect::<Vec<u64>>());
        assert_eq!(failures.len(), 1);
        let failure = &failures[0];
        // Others may be slow as well, on a machine that has much to do.
        assert!(named.contains(&failure.token.seed), "{named:?}");
        assert_eq!((failure.violation.check, failure.ended), (ASSERTION, false));
        assert!(
            failure
                .violation
                .what
                .contains("had not ended after 2 seconds")
        );
        assert_eq!(failure.token.plan(true).1, None);
    }

    /// A seed that never ends costs minutes, and whoever waits may have no more than that.
    #[test]
    fn what_fails_behind_a_seed_that_does_not_end_is_told_meanwhile() {
        let stuck = Arc::new(AtomicBool::new(false));
        let request = move |_: &mut Draw<'_>| -> Request {
            if stuck.swap(true, Ordering::Relaxed) {
                panic!("nothing to ask for");
            }
            loop {
                std::thread::park();
            }
        };
        let subject = Subject::new(KeyValue::default).with_workload(move || request.clone());
        let what = Sweep::short(Shard::whole(0, u64::MAX), 2);
        let patience = Patience { slow: 9, hangs: 3 };
        let (mut early, mut hung) = (Vec::new(), None);
        sweep_with(&subject, what, patience, |told| match told {
            Told::Ahead(failure) => {
                assert!(failure.ended && hung.is_none(), "{failure:?}");
                early.push(failure.token.seed);
                false
            }
            Told::Ran(ran) => {
                let gone = ran.failures.iter().any(|failure| !failure.ended);
                hung = hung.or_else(|| gone.then_some(ran.seed));
                true
            }
            Told::Waits { .. } => true,
        });
        let hung = hung.expect("it was given up");
        assert!(!early.is_empty() && early.iter().all(|seed| *seed > hung));
    }
}
