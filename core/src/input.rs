//! Everything that can happen to a replica, as data.
//! Knows nothing about where it comes from: a socket, a disk thread, or a simulated world.

use bytes::Bytes;

use crate::command::Command;
use crate::message::Envelope;
use crate::snapshot::SnapshotId;
use crate::types::{Lsn, NodeId, Slot, Token};

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
    /// A local client wants a session. Answered as `Propose` is; the session's id is the slot.
    Register {
        /// Handed back in the answer.
        token: Token,
        /// The same for every attempt to open this one session.
        nonce: u128,
    },
    /// A local client wants to read what is decided now. Answered by `ReadReady` or `Refused`.
    Read {
        /// Handed back in the answer.
        token: Token,
        /// What proves that nothing later was acknowledged before.
        via: ReadVia,
    },
    /// Somebody wants this leader to hand its leadership over. Answered by `TransferEnded`.
    Transfer {
        /// Handed back in the answer.
        token: Token,
        /// To this member; to whoever suits best when there is none.
        to: Option<NodeId>,
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
    /// A snapshot of the state machine is durable under its own name: the log up to its slot is
    /// not needed any more for a restart.
    SnapshotTaken {
        /// Which one.
        id: SnapshotId,
    },
    /// The answer to `ReadChunk`.
    ChunkRead {
        /// The peer that the bytes are for.
        to: NodeId,
        /// The snapshot that they are of.
        id: SnapshotId,
        /// Where in it they begin.
        offset: u64,
        /// The bytes; `None` if the snapshot is not kept any more.
        bytes: Option<Bytes>,
    },
    /// The answer to `WriteChunk`: the snapshot's file has everything up to here, not necessarily
    /// durable.
    ChunkWritten {
        /// The snapshot that is on its way.
        id: SnapshotId,
        /// Bytes from its beginning that are there.
        have: u64,
    },
    /// The answer to `FinishSnapshot`.
    SnapshotReceived {
        /// The snapshot that was on its way.
        id: SnapshotId,
        /// Whether its bytes have its digest, and it is now durable under its own name. If they
        /// have not, they were thrown away.
        sound: bool,
    },
    /// The deadline of the last `Wait` has passed. Harmless when it comes early or twice.
    Wake,
}

/// What a linearizable read rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadVia {
    /// A probe of this leader that a quorum answers (read-index). Refused by followers.
    Leader,
    /// This leader's lease, without a round trip; a probe where it has none. Refused by followers.
    Lease,
    /// A read-index that this follower asks its leader for; a leader probes for itself.
    Follower,
}
