//! Executes what is decided, in order, and tells everybody who waits for it.
//! Knows nothing about how a command came to be decided.
//!
//! It runs in the node's loop, not in a task of its own: handing a command to another task on
//! the same thread costs more than executing it (see ARCHITECTURE.md "Threads and lanes"). So
//! that a long catch-up does not keep the loop from its heartbeats, a slice ends after
//! [`SLICE`], whatever is left; a single command that takes longer than that still does.
//!
//! While a snapshot is being installed the state machine is away, on the thread that reads the
//! snapshot: what is decided meanwhile queues up, and reads wait.

mod reads;
mod reply;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chil_core::{
    Applied, Applier, Ballot, Entry, FrozenSnapshot, Membership, Slot, SnapshotId, Span,
    StateMachine, Time,
};

use crate::clock::duration;
use crate::error::{NodeError, ProposeError, ReadError};
use crate::handle::Answer;
use crate::ports::Clock;
use reads::Reads;
use reply::told;
pub(crate) use reply::{Counts, ProposeResult, Read, ReadResult, ReplyTo, StreamAnswer};

struct Waiter {
    slot: Slot,
    origin: Ballot,
    reply: ReplyTo,
}

/// The state machine with what is decided but not executed, and who waits for it.
///
/// `applied <= decided`; waiters are in slot order, all behind `applied`.
pub(crate) struct Apply<S> {
    /// Away while a snapshot is being installed.
    applier: Option<Applier<S>>,
    /// The last slot executed.
    applied: Slot,
    backlog: VecDeque<Entry>,
    decided: Slot,
    waiters: VecDeque<Waiter>,
    reads: Reads,
    /// Reads that can be answered, and have to wait for a later slice.
    due: VecDeque<Due>,
    /// How long reads were answered since the last slice began.
    answering: Span,
    fresh_at: Option<Time>,
}

/// A read that can be answered, and until when it may be if it rests on a lease.
type Due = (Read, Option<Time>);

/// What a slice of execution led to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The last slot executed.
    pub(crate) applied: Slot,
    /// The state at a snapshot point that was passed.
    pub(crate) frozen: Option<FrozenSnapshot>,
    /// Reads whose lease ended before they were answered.
    pub(crate) again: Vec<Read>,
}

impl<S: StateMachine> Apply<S> {
    pub(crate) fn new(applier: Applier<S>) -> Self {
        let applied = applier.applied();
        Self {
            applier: Some(applier),
            applied,
            backlog: VecDeque::new(),
            decided: applied,
            waiters: VecDeque::new(),
            reads: Reads::default(),
            due: VecDeque::new(),
            answering: Span::ZERO,
            fresh_at: None,
        }
    }

    /// Takes over the next decided entries.
    pub(crate) fn decided(&mut self, entries: Vec<Entry>) {
        if let Some(last) = entries.last() {
            self.decided = last.slot();
        }
        self.backlog.extend(entries);
    }

    /// Remembers who waits for the slots from `first` on.
    pub(crate) fn placed(
        &mut self,
        origin: Ballot,
        first: Slot,
        replies: impl IntoIterator<Item = ReplyTo>,
    ) {
        let mut slot = first;
        for reply in replies {
            assert!(
                self.waiters.back().is_none_or(|back| back.slot < slot),
                "slot {slot} is placed behind a later one"
            );
            self.waiters.push_back(Waiter {
                slot,
                origin,
                reply,
            });
            slot = slot.next();
        }
    }

    /// Gives up on what `ballot` placed and nobody decided so far: it may still be decided.
    pub(crate) fn deposed(&mut self, ballot: Ballot) {
        while let Some(last) = self.waiters.pop_back() {
            // A decided slot is executed shortly, and its waiter then learns the outcome.
            if last.slot <= self.decided || last.origin != ballot {
                self.waiters.push_back(last);
                break;
            }
            last.reply.send(Err(ProposeError::Unknown));
        }
    }

    /// Answers `read` once `index` and what it wants to see itself are executed: now, if they
    /// are, unless reads have been answered for a [`SLICE`] already. Hands it back if it rests on a lease that ended at `until`, before the answer was
    /// there.
    pub(crate) fn read(
        &mut self,
        clock: &impl Clock,
        index: Slot,
        read: Read,
        until: Option<Time>,
    ) -> Option<Read> {
        let needed = index.max(read.min_slot);
        match &self.applier {
            Some(_) if needed <= self.applied && !self.may_answer() => {
                self.due.push_back((read, until));
                None
            }
            Some(applier) if needed <= self.applied => {
                let began = clock.now();
                let again = answer(applier, self.fresh_at, clock, read, until);
                self.answering = self.answering + clock.now().since(began);
                again
            }
            Some(_) | None => {
                self.reads.wait(clock.now(), needed, read, until);
                None
            }
        }
    }

    /// Whether reads may be answered now: neither do they take more than their slice, nor does one
    /// overtake another.
    fn may_answer(&self) -> bool {
        self.due.is_empty() && self.answering < SLICE
    }

    /// Executes what is decided, and answers reads, each for about [`SLICE`]; `None` if there is
    /// nothing. At the first snapshot point it freezes the state, if `wants_snapshot`.
    pub(crate) fn run(
        &mut self,
        clock: &impl Clock,
        membership: &Membership,
        wants_snapshot: bool,
    ) -> Result<Option<Ran>, NodeError> {
        self.answering = Span::ZERO;
        if !self.is_behind() {
            return Ok(None);
        }
        let Some(mut applier) = self.applier.take() else {
            return Ok(None);
        };
        let end = clock.now() + SLICE;
        let mut frozen = None;
        while let Some(entry) = self.backlog.pop_front() {
            let executed = catch_unwind(AssertUnwindSafe(|| {
                let applied = applier.apply(&entry);
                if applier.snapshot_due() && wants_snapshot && frozen.is_none() {
                    frozen = Some(applier.freeze(membership));
                }
                applied
            }));
            let applied = executed.map_err(|panic| NodeError::StateMachine {
                slot: entry.slot(),
                panic: panic_text(panic.as_ref()),
            })?;
            self.resolve(applied);
            if end <= clock.now() {
                break;
            }
        }
        let again = self.back(clock, applier);
        Ok(Some(Ran {
            applied: self.applied,
            frozen,
            again,
        }))
    }

    /// The state machine is here again, and may have got further: answers who waited for that.
    fn back(&mut self, clock: &impl Clock, applier: Applier<S>) -> Vec<Read> {
        self.applied = applier.applied();
        let ready = self.reads.ready(self.applied).into_iter();
        self.due.extend(ready.map(|w| (w.read, w.until)));
        let (begin, mut again) = (clock.now(), Vec::new());
        while self.answering < SLICE
            && let Some((read, until)) = self.due.pop_front()
        {
            again.extend(answer(&applier, self.fresh_at, clock, read, until));
            self.answering = clock.now().since(begin);
        }
        self.applier = Some(applier);
        again
    }

    fn resolve(&mut self, applied: Applied) {
        let slot = applied.slot;
        if self.waiters.front().is_none_or(|w| slot < w.slot) {
            return;
        }
        let waiter = self.waiters.pop_front().expect("looked at above");
        assert_eq!(waiter.slot, slot, "a waiter's slot was executed unnoticed");
        waiter.reply.send(if waiter.origin == applied.origin {
            told(applied.outcome)
        } else {
            // Another leader's command took the slot: this one can never be decided there.
            Err(ProposeError::NotLeader { hint: None })
        });
    }

    /// A snapshot replaces the state: drops what is in it, and gives the state machine away, to
    /// whoever reads the snapshot. `None` if it is away already.
    pub(crate) fn leave(&mut self, id: &SnapshotId) -> Option<Applier<S>> {
        let contained = self.backlog.partition_point(|e| e.slot() <= id.slot);
        self.backlog.drain(..contained);
        self.decided = self.decided.max(id.slot);
        // Whatever stands in these slots, nobody will learn the outcome here.
        let contained = self.waiters.partition_point(|w| w.slot <= id.slot);
        for waiter in self.waiters.drain(..contained) {
            waiter.reply.send(Err(ProposeError::Unknown));
        }
        self.applier.take()
    }

    /// The state machine comes back with the state of a snapshot. Returns reads whose lease ended
    /// meanwhile.
    pub(crate) fn come_back(&mut self, clock: &impl Clock, applier: Applier<S>) -> Vec<Read> {
        self.back(clock, applier)
    }

    /// The state as it is now; `None` while the state machine is away.
    pub(crate) fn freeze(&self, membership: &Membership) -> Result<Option<FrozenSnapshot>, String> {
        let freeze = |applier: &Applier<S>| {
            catch_unwind(AssertUnwindSafe(|| applier.freeze(membership)))
                .map_err(|panic| panic_text(panic.as_ref()))
        };
        self.applier.as_ref().map(freeze).transpose()
    }

    /// The state was last known to be everything decided at `at`.
    pub(crate) const fn fresh(&mut self, at: Option<Time>) {
        self.fresh_at = at;
    }

    /// Tells the reads whose time is over.
    pub(crate) fn expire(&mut self, now: Time) {
        self.reads.expire(now, self.applied);
    }

    /// When [`Apply::expire`] has something to do, at the earliest.
    pub(crate) const fn next_deadline(&self) -> Option<Time> {
        self.reads.next_deadline()
    }

    /// Whether something is decided but not executed, or a read not answered, and can be now.
    pub(crate) fn is_behind(&self) -> bool {
        (!self.backlog.is_empty() || !self.due.is_empty()) && self.applier.is_some()
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.reads.is_empty() && self.due.is_empty()
    }

    /// The last slot executed.
    pub(crate) const fn applied(&self) -> Slot {
        self.applied
    }

    /// Digest of the state after it; `None` while the state machine is away.
    pub(crate) fn digest(&self) -> Option<u128> {
        self.applier.as_ref().map(Applier::digest)
    }

    /// How many sessions are open; `None` while the state machine is away.
    pub(crate) fn sessions(&self) -> Option<u64> {
        self.applier.as_ref().map(Applier::sessions)
    }

    /// The node ends: nobody will learn the outcome of what was placed.
    pub(crate) fn give_up(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.reply.send(Err(ProposeError::Unknown));
        }
        self.reads.give_up();
        for (read, _) in self.due.drain(..) {
            read.send(Err(ReadError::Stopped));
        }
    }
}

/// Answers `read` from the state as it is. The clock is looked at after the state was: had the
/// process been stopped in between, somebody else may have decided more since the lease ended.
/// Then the read comes back.
fn answer<S: StateMachine>(
    applier: &Applier<S>,
    fresh_at: Option<Time>,
    clock: &impl Clock,
    read: Read,
    until: Option<Time>,
) -> Option<Read> {
    let machine = applier.machine();
    let answer = catch_unwind(AssertUnwindSafe(|| machine.query(&read.query)))
        .map(|answer| Answer {
            answer,
            applied: applier.applied(),
            age: fresh_at
                .filter(|_| read.stale)
                .map(|at| duration(clock.now().since(at))),
        })
        .map_err(|panic| {
            let panic = panic_text(panic.as_ref());
            tracing::error!(%panic, "the state machine panicked on a query");
            ReadError::Failed(panic)
        });
    if until.is_some_and(|until| until <= clock.now()) {
        return Some(read);
    }
    read.send(answer);
    None
}

/// What a panic said, where it said anything.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// How long one slice of execution may keep the loop from its other events.
const SLICE: Span = Span::from_millis(2);
