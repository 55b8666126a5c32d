//! Everything that can happen to a replica, as data.
//! Knows nothing about where it comes from: a socket, a disk thread, or a simulated world.

use crate::command::Command;
use crate::message::Envelope;
use crate::types::{Lsn, Slot, Token};

/// One event. Each is handled in one step by `Replica::handle(now, input)`.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived. Its identity fields are not believed, but compared.
    Received(Box<Envelope>),
    /// A local client wants this command decided. Answered by `Placed` or `Refused`.
    Propose {
        /// Handed back in the answer.
        token: Token,
        /// The command.
        command: Command,
    },
    /// A local client wants to read what is decided now. Answered by `ReadReady` or `Refused`.
    Read {
        /// Handed back in the answer.
        token: Token,
    },
    /// Everything up to this `Persist` is on disk.
    Persisted {
        /// The latest `Persist` that is durable together with all before it.
        lsn: Lsn,
    },
    /// The state machine has executed everything up to this slot.
    Applied {
        /// The last slot executed.
        slot: Slot,
    },
    /// The deadline of the last `Wait` has passed. Harmless when it comes early or twice.
    Wake,
}
