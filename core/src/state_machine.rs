//! What executes decided commands: the [`StateMachine`] trait, and the frozen state behind a snapshot.
//! Knows nothing about how commands were decided, who waits for their replies, or about sessions.

use std::io::{Read, Result, Write};

use bytes::Bytes;

use crate::types::Slot;

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

    /// The state as it is now, to be written elsewhere while this machine goes on.
    ///
    /// Called between two commands, in the loop that also sends heartbeats: it has to be quick
    /// however large the state is. A map whose copies share their content does it, or a handle to
    /// a store that copies on write; a small state may simply be cloned.
    fn freeze(&self) -> Box<dyn FrozenState>;

    /// Replaces the whole state by the one that [`FrozenState::write_to`] wrote, and reads it to
    /// its end.
    ///
    /// # Errors
    /// As `from` does, and if the bytes are no state of this machine (never a panic: they may
    /// come from a damaged disk). The machine may then be in any state and is not used again.
    fn restore(&mut self, from: &mut dyn Read) -> Result<()>;
}

impl<S: StateMachine + ?Sized> StateMachine for Box<S> {
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes {
        (**self).apply(slot, command)
    }

    fn query(&self, query: &Bytes) -> Bytes {
        (**self).query(query)
    }

    fn digest(&self) -> u128 {
        (**self).digest()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        (**self).freeze()
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        (**self).restore(from)
    }
}

/// A state machine's state at one slot.
pub trait FrozenState: Send {
    /// Writes the state: equal states give equal bytes, on every node and whatever commands led
    /// to them. [`canonical`](crate::canonical) helps.
    ///
    /// # Errors
    /// As `out` does.
    fn write_to(&self, out: &mut dyn Write) -> Result<()>;
}
