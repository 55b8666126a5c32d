//! What executes decided commands: the [`StateMachine`] trait and the loop that feeds it in order.
//! Knows nothing about how commands were decided, nor who waits for their replies.

use bytes::Bytes;

use crate::command::{Chain, Entry, EntryKind};
use crate::types::{Ballot, Slot};

/// A deterministic machine: the same commands in the same order give the same replies and state
/// on every node. No clock, no randomness, no iteration over hash maps in `apply`.
pub trait StateMachine: Send + 'static {
    /// Executes the command of `slot` and returns the reply for its client.
    ///
    /// Must not fail: a command that makes no sense to the machine gets a reply that says so.
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes;

    /// Answers a question about the state without changing it.
    fn query(&self, query: &Bytes) -> Bytes;

    /// A digest of the whole state: equal states give equal digests on every node.
    fn digest(&self) -> u128;
}

/// Executes decided entries one after the other, each exactly once per process life.
#[derive(Clone, Debug)]
pub struct Applier<S> {
    machine: S,
    applied: Slot,
    chain: Chain,
}

/// What executing one entry yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The slot executed.
    pub slot: Slot,
    /// The ballot that first proposed it: together with the slot, whose command it was.
    pub origin: Ballot,
    /// The state machine's reply.
    pub reply: Bytes,
}

impl<S: StateMachine> Applier<S> {
    /// An applier for a machine that has executed nothing yet.
    #[must_use]
    pub const fn new(machine: S) -> Self {
        Self {
            machine,
            applied: Slot::ZERO,
            chain: Chain::EMPTY,
        }
    }

    /// Executes `entry`.
    ///
    /// # Panics
    /// If it is not the entry behind the last one executed: executing anything else would let
    /// this node's state differ from the others' for ever.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        assert!(
            entry.follows(self.applied, self.chain),
            "entry {entry} does not follow slot {} with chain {}",
            self.applied,
            self.chain
        );
        let reply = match entry.kind() {
            EntryKind::Command(command) => self.machine.apply(entry.slot(), &command.payload),
            EntryKind::Register { .. } => Bytes::new(),
        };
        self.applied = entry.slot();
        self.chain = entry.chain();
        Applied {
            slot: entry.slot(),
            origin: entry.origin(),
            reply,
        }
    }

    /// The last slot executed.
    #[must_use]
    pub const fn applied(&self) -> Slot {
        self.applied
    }

    /// Chain of the log at the last slot executed.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The machine, for queries.
    #[must_use]
    pub const fn machine(&self) -> &S {
        &self.machine
    }

    /// Digest of the state after the last slot executed.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.machine.digest()
    }
}
