//! The threads that run seeds, and who is at which: also of those from whom nothing is heard again.
//! Knows nothing about what comes of seeds, nor in which order that is told.
//!
//! Nobody can end a thread from outside. So the threads stand alone: one whose seed never ends is
//! left behind, another takes its place, and whoever waits for the seeds does not wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Failure, Ran, Sweep, one};
use crate::check::Violation;
use crate::signature::ASSERTION;
use crate::stats::Stats;
use crate::subject::Subject;
use crate::swarm;
use crate::token::Token;

/// What the threads say, and the one that counts the seconds.
pub(super) enum Word {
    /// A worker begins with a seed.
    Begins(u64, Work),
    /// What came of it.
    Ran(u64, Box<Ran>),
    /// A worker does nothing more.
    Ends {
        /// Which one.
        worker: u64,
        /// Whether that was an error of the simulator.
        panicked: bool,
    },
    /// A second has passed.
    Second,
}

/// A seed, by its place in the shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    position: u64,
    seed: u64,
}

/// The threads.
pub(super) struct Crew {
    subject: Subject,
    what: Sweep,
    queue: Arc<Queue>,
    sender: Sender<Word>,
    /// Workers so far.
    hired: u64,
    /// Those that may still run a seed, and the seconds that each has been at one.
    workers: BTreeMap<u64, Option<(Work, u32)>>,
}

/// What is next.
struct Queue {
    next: AtomicU64,
    stop: AtomicBool,
}

impl Crew {
    /// Nobody yet, but a clock.
    pub(super) fn new(subject: &Subject, what: Sweep) -> (Self, Receiver<Word>) {
        let (sender, words) = channel();
        let clock = sender.clone();
        thread::spawn(move || {
            while clock.send(Word::Second).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        });
        let crew = Self {
            subject: subject.clone(),
            what,
            queue: Arc::new(Queue {
                next: AtomicU64::new(what.done),
                stop: AtomicBool::new(false),
            }),
            sender,
            hired: 0,
            workers: BTreeMap::new(),
        };
        (crew, words)
    }

    /// Begins the work: on as many threads as are wanted, but no more than there are seeds.
    pub(super) fn enlist(&mut self) {
        let seeds = self.what.shard.len().saturating_sub(self.what.done);
        for _ in 0..(self.what.jobs.max(1) as u64).min(seeds) {
            self.hire();
        }
    }

    fn hire(&mut self) {
        let worker = self.hired;
        let (subject, what) = (self.subject.clone(), self.what);
        let (queue, sender) = (Arc::clone(&self.queue), self.sender.clone());
        let spawned = thread::Builder::new().spawn(move || {
            let desk = Desk { worker, sender };
            desk.works(&subject, what, &queue);
        });
        if spawned.is_ok() {
            self.hired += 1;
            self.workers.insert(worker, None);
        }
        // Fewer do it as well.
        assert!(self.works(), "no thread can be started to run seeds");
    }

    /// Whether anything may still come.
    pub(super) fn works(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Nobody begins another seed.
    pub(super) fn stops(&self) {
        self.queue.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn begins(&mut self, worker: u64, work: Work) {
        // Maybe one that had been given up.
        self.workers.insert(worker, Some((work, 0)));
    }

    /// A worker has run its seed, unless that was given up meanwhile.
    pub(super) fn ran(&mut self, worker: u64, ran: Ran) -> Option<(u64, Ran)> {
        let Some(at) = self.workers.get_mut(&worker) else {
            // It goes on with other seeds, which are to be waited for.
            self.workers.insert(worker, None);
            return None;
        };
        let (work, _) = at.take()?;
        Some((work.position, ran))
    }

    pub(super) fn ended(&mut self, worker: u64) {
        self.workers.remove(&worker);
    }

    /// A second passes: the seeds that have been under way for so many of them now.
    pub(super) fn waits(&mut self, slow: u32) -> Vec<u64> {
        let mut named = Vec::new();
        for (work, seconds) in self.workers.values_mut().flatten() {
            *seconds += 1;
            if *seconds == slow {
                named.push(work.seed);
            }
        }
        named
    }

    /// The seeds that have been under way for so long that they will not end, as failures. Others
    /// take the places of their workers.
    pub(super) fn gives_up(&mut self, hangs: u32) -> Vec<(u64, Ran)> {
        let all = self.workers.iter();
        let hung = all.filter_map(|(worker, at)| {
            let (work, seconds) = at.as_ref()?;
            (*seconds >= hangs).then_some((*worker, *work))
        });
        let hung: Vec<(u64, Work)> = hung.collect();
        for (worker, _) in &hung {
            if !self.queue.stop.load(Ordering::Relaxed) {
                self.hire();
            }
            self.workers.remove(worker);
        }
        let ran = |(_, work): (u64, Work)| (work.position, self.given_up(work.seed, hangs));
        hung.into_iter().map(ran).collect()
    }

    fn given_up(&self, seed: u64, hangs: u32) -> Ran {
        let violation = Violation {
            check: ASSERTION,
            node: None,
            what: format!("the run had not ended after {hangs} seconds, and was given up"),
        };
        Ran {
            seed,
            stats: Stats {
                seeds: 1,
                ..Stats::default()
            },
            failures: vec![Failure {
                token: Token::of(&swarm::drawn(seed, self.what.short)),
                violation,
                explained: Vec::new(),
                repeats: false,
                ended: false,
            }],
        }
    }
}

/// The place of one worker, who says so when leaving it.
struct Desk {
    worker: u64,
    sender: Sender<Word>,
}

impl Desk {
    fn works(&self, subject: &Subject, what: Sweep, queue: &Queue) {
        while !queue.stop.load(Ordering::Relaxed) {
            let position = queue.next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = what.shard.seed(position) else {
                break;
            };
            let begins = Word::Begins(self.worker, Work { position, seed });
            if self.sender.send(begins).is_err() {
                break;
            }
            let ran = Box::new(one(subject, seed, what));
            if self.sender.send(Word::Ran(self.worker, ran)).is_err() {
                break;
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // If nobody waits any more, nobody has to know.
        let _ = self.sender.send(Word::Ends {
            worker: self.worker,
            panicked: thread::panicking(),
        });
    }
}

#[cfg(test)]
mod tests {
    use chil_core::kv::KeyValue;

    use super::*;
    use crate::campaign::Shard;

    #[test]
    fn who_was_given_up_and_wakes_is_waited_for() {
        let what = Sweep::short(Shard::whole(0, 9), 1);
        let (mut crew, _words) = Crew::new(&Subject::new(KeyValue::default), what);
        let ran = crew.given_up(3, 600);
        assert_eq!(crew.ran(7, ran), None, "it was told already");
        assert!(crew.works(), "it goes on with another one");
        crew.ended(7);
        assert!(!crew.works());
    }
}
