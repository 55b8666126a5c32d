//! Executes decided commands in order, in slices, and answers those who wait for them.
//! Knows nothing about how commands were decided, nor about tasks and channels but the reply's.
//!
//! It runs inside the node's loop: a command of the key-value machine takes about 1 us, chain
//! check and all, while handing it to another task on the same thread and back takes 3.6 us, and
//! waking another thread 68 us. So that a backlog never delays heartbeats, a slice ends after
//! [`SLICE`], whatever is left; a single command that takes longer than that still does.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use chil_core::{Applied, Applier, Ballot, Entry, Outcome, Slot, Span, StateMachine};
use tokio::sync::oneshot;

use crate::error::{NodeError, ProposeError, ReadError, Rejection};
use crate::handle::{Answer, Executed};
use crate::ports::Clock;

/// What a proposer is told.
pub(crate) type ProposeResult = Result<Executed, ProposeError>;
/// What a reader is told.
pub(crate) type ReadResult = Result<Answer, ReadError>;

/// Where the outcome of a proposal goes. Dropped unanswered, the other side sees an unknown one.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To one caller.
    Once(oneshot::Sender<ProposeResult>),
    /// Into a pipelined stream, which has kept room for it.
    Stream {
        /// The client's name for the request.
        id: u64,
        /// Where its answer goes.
        room: tokio::sync::mpsc::OwnedPermit<(u64, ProposeResult)>,
    },
}

impl ReplyTo {
    /// Tells the outcome; whether anybody still listens is of no concern.
    pub(crate) fn send(self, result: ProposeResult) {
        match self {
            Self::Once(to) => drop(to.send(result)),
            Self::Stream { id, room } => drop(room.send((id, result))),
        }
    }
}

/// A query and who wants its answer.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) query: Bytes,
    pub(crate) reply: oneshot::Sender<ReadResult>,
}

struct Waiter {
    slot: Slot,
    origin: Ballot,
    reply: ReplyTo,
}

/// The state machine with what is decided but not executed, and who waits for it.
///
/// `applied <= decided`; waiters are in slot order, all behind `applied`.
pub(crate) struct Apply<S> {
    applier: Applier<S>,
    backlog: VecDeque<Entry>,
    decided: Slot,
    waiters: VecDeque<Waiter>,
    reads: BTreeMap<Slot, Vec<Read>>,
}

impl<S: StateMachine> Apply<S> {
    pub(crate) fn new(machine: S) -> Self {
        Self {
            applier: Applier::new(machine),
            backlog: VecDeque::new(),
            decided: Slot::ZERO,
            waiters: VecDeque::new(),
            reads: BTreeMap::new(),
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

    /// Answers `read` once `index` is executed: now, if it is.
    pub(crate) fn read(&mut self, index: Slot, read: Read) {
        if index <= self.applied() {
            self.answer(read);
        } else {
            self.reads.entry(index).or_default().push(read);
        }
    }

    /// Answers `read` from the state as it is.
    pub(crate) fn answer(&self, read: Read) {
        let machine = self.applier.machine();
        let answer = catch_unwind(AssertUnwindSafe(|| machine.query(&read.query)))
            .map(|answer| Answer {
                answer,
                applied: self.applied(),
            })
            .map_err(|panic| {
                let panic = panic_text(panic.as_ref());
                tracing::error!(%panic, "the state machine panicked on a query");
                ReadError::Failed(panic)
            });
        drop(read.reply.send(answer));
    }

    /// Executes what is decided, for about [`SLICE`]; says up to which slot if it got further.
    pub(crate) fn run(&mut self, clock: &impl Clock) -> Result<Option<Slot>, NodeError> {
        if self.backlog.is_empty() {
            return Ok(None);
        }
        let end = clock.now() + SLICE;
        while let Some(entry) = self.backlog.pop_front() {
            let applier = &mut self.applier;
            let applied = catch_unwind(AssertUnwindSafe(|| applier.apply(&entry)));
            let applied = applied.map_err(|panic| NodeError::StateMachine {
                slot: entry.slot(),
                panic: panic_text(panic.as_ref()),
            })?;
            self.resolve(applied);
            if end <= clock.now() {
                break;
            }
        }
        while let Some(first) = self.reads.first_entry()
            && *first.key() <= self.applier.applied()
        {
            for read in first.remove() {
                self.answer(read);
            }
        }
        Ok(Some(self.applied()))
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

    /// Whether something is decided but not executed.
    pub(crate) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.reads.is_empty()
    }

    /// The last slot executed.
    pub(crate) const fn applied(&self) -> Slot {
        self.applier.applied()
    }

    /// Digest of the state after it.
    pub(crate) fn digest(&self) -> u128 {
        self.applier.digest()
    }

    /// The node ends: nobody will learn the outcome of what was placed.
    pub(crate) fn give_up(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.reply.send(Err(ProposeError::Unknown));
        }
        for read in std::mem::take(&mut self.reads).into_values().flatten() {
            drop(read.reply.send(Err(ReadError::Stopped)));
        }
    }
}

/// What the proposer of an executed entry is told.
fn told(outcome: Outcome) -> ProposeResult {
    match outcome {
        Outcome::Executed { slot, reply } => Ok(Executed { slot, reply }),
        // The session is called what its slot is.
        Outcome::Registered { client } => Ok(Executed {
            slot: Slot::new(client.get()),
            reply: Bytes::new(),
        }),
        Outcome::SessionExpired => Err(ProposeError::SessionExpired),
        Outcome::StaleSeq => Err(ProposeError::StaleSeq),
        Outcome::BeyondWindow => Err(ProposeError::Rejected(Rejection::BeyondWindow)),
        Outcome::Reused => Err(ProposeError::Rejected(Rejection::Reused)),
    }
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use chil_core::{Chain, Command, EntryKind, Epoch, FrozenState, NodeId, canonical};
    use tokio::sync::oneshot::Receiver;

    use super::*;
    use crate::clock::SystemClock;

    /// Replies to each command with the number of commands so far.
    struct Counter(u64);

    impl StateMachine for Counter {
        fn apply(&mut self, _slot: Slot, _command: &Bytes) -> Bytes {
            self.0 += 1;
            Bytes::from(self.0.to_string())
        }

        fn query(&self, _query: &Bytes) -> Bytes {
            Bytes::from(self.0.to_string())
        }

        fn digest(&self) -> u128 {
            self.0.into()
        }

        fn freeze(&self) -> Box<dyn FrozenState> {
            Box::new(Count(self.0))
        }

        fn restore(&mut self, from: &mut dyn io::Read) -> io::Result<()> {
            self.0 = canonical::read_u64(from)?;
            canonical::read_end(from)
        }
    }

    struct Count(u64);

    impl FrozenState for Count {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            canonical::write_u64(out, self.0)
        }
    }

    fn ballot(n: u64) -> Ballot {
        Ballot::new(Epoch::FIRST, n, NodeId::new(1))
    }

    /// A log of one entry for each origin.
    fn log(origins: &[u64]) -> Vec<Entry> {
        let mut chain = Chain::EMPTY;
        let entry = |(i, origin): (usize, &u64)| {
            let kind = EntryKind::Command(Command::sessionless(Bytes::new()));
            let entry = Entry::new(chain, Slot::new(i as u64 + 1), ballot(*origin), kind);
            chain = entry.chain();
            entry
        };
        origins.iter().enumerate().map(entry).collect()
    }

    fn place(
        apply: &mut Apply<Counter>,
        n: u64,
        first: u64,
        count: usize,
    ) -> Vec<Receiver<ProposeResult>> {
        let (replies, outcomes): (Vec<_>, Vec<_>) = (0..count).map(|_| oneshot::channel()).unzip();
        let replies = replies.into_iter().map(ReplyTo::Once);
        apply.placed(ballot(n), Slot::new(first), replies);
        outcomes
    }

    fn query(apply: &mut Apply<Counter>, index: u64) -> Receiver<ReadResult> {
        let (reply, answer) = oneshot::channel();
        let query = Bytes::new();
        apply.read(Slot::new(index), Read { query, reply });
        answer
    }

    #[test]
    fn each_proposer_learns_the_outcome_of_its_own_slot() {
        let mut apply = Apply::new(Counter(0));
        let mut outcomes = place(&mut apply, 3, 2, 2);
        // Slot 1 is somebody else's; slot 3 was taken by a later leader's command.
        apply.decided(log(&[1, 3, 4]));
        assert_eq!(apply.run(&SystemClock).unwrap(), Some(Slot::new(3)));
        assert_eq!(
            outcomes[0].try_recv().unwrap(),
            Ok(Executed {
                slot: Slot::new(2),
                reply: Bytes::from_static(b"2")
            })
        );
        let hint = None;
        assert_eq!(
            outcomes[1].try_recv().unwrap(),
            Err(ProposeError::NotLeader { hint })
        );
        assert!(apply.is_idle() && !apply.is_behind());
    }

    #[test]
    fn a_deposed_leader_knows_the_outcome_only_of_what_is_decided() {
        let mut apply = Apply::new(Counter(0));
        let mut outcomes = place(&mut apply, 3, 1, 3);
        apply.decided(log(&[3]));
        apply.deposed(ballot(3));
        for outcome in &mut outcomes[1..] {
            assert_eq!(outcome.try_recv().unwrap(), Err(ProposeError::Unknown));
        }
        apply.run(&SystemClock).unwrap();
        assert!(outcomes[0].try_recv().unwrap().is_ok());
        // The slots may be proposed again, in a later ballot.
        let mut again = place(&mut apply, 5, 2, 1);
        apply.decided(log(&[3, 5]).split_off(1));
        apply.run(&SystemClock).unwrap();
        assert!(again[0].try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_read_waits_until_its_index_is_executed() {
        let mut apply = Apply::new(Counter(0));
        let mut later = query(&mut apply, 2);
        assert!(later.try_recv().is_err());
        apply.decided(log(&[1, 1, 1]));
        apply.run(&SystemClock).unwrap();
        let answer = later.try_recv().unwrap().unwrap();
        assert_eq!(
            (answer.answer, answer.applied),
            (Bytes::from_static(b"3"), Slot::new(3))
        );
        let mut now = query(&mut apply, 3);
        assert!(now.try_recv().unwrap().is_ok());
    }
}
