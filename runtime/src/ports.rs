//! What the node loop needs from the world: a store, a place for snapshots, a network, a clock.
//! Knows no implementation: files and tonic are production's, the simulator brings its own.
//!
//! All futures are `Send`, so that a node runs on any tokio runtime, of one thread or of many.

use std::fmt;
use std::future::Future;
use std::io::Read;

use bytes::Bytes;
use chil_core::{FrozenSnapshot, Lane, Lsn, NodeId, Persist, SnapshotId, Span, Time};

use crate::storage::StorageError;

/// Makes records durable in order, off the loop's thread.
pub trait Storage: Send + 'static {
    /// Queues a persist. Never waits: the core bounds how much it has in flight.
    fn submit(&mut self, persist: Persist);

    /// The next completion: everything up to this LSN is durable. Cancel-safe.
    ///
    /// An error is final: the node must stop, since what is on disk is not known any more.
    fn completed(&mut self) -> impl Future<Output = Result<Lsn, StorageError>> + Send;

    /// Finishes what was submitted, closes the files and gives the directory free. Dropping the
    /// storage instead closes it, too, but says not when.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Keeps snapshots beside the log, off the loop's thread. Jobs are done in order.
pub trait Snapshots: Send + 'static {
    /// Queues a job. Never waits: the core bounds how much of a transfer is under way, and the
    /// loop takes one snapshot at a time.
    fn submit(&mut self, job: SnapshotJob);

    /// The next job that is done, of those that have an answer. Cancel-safe.
    fn completed(&mut self) -> impl Future<Output = SnapshotDone> + Send;

    /// Finishes the job under way, drops the others and closes the files.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Something to be done with snapshots.
pub enum SnapshotJob {
    /// Write the state, and make it durable under its own name.
    Take(FrozenSnapshot),
    /// Read a part of a snapshot for a peer.
    Read {
        /// The peer.
        to: NodeId,
        /// Of which snapshot.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Write a part of a snapshot that is on its way.
    Write {
        /// Of which snapshot.
        id: SnapshotId,
        /// Where it belongs.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All parts are there: compare the digest, and make it durable under its own name.
    Finish {
        /// Of which snapshot.
        id: SnapshotId,
    },
    /// Let a snapshot be read. Has no answer: the reader has its own ways.
    Restore {
        /// Which one.
        id: SnapshotId,
        /// Who reads it, on the port's thread.
        reader: SnapshotReader,
    },
    /// The metadata that names this one is durable: what is older is not needed any more. Has no
    /// answer.
    Forget {
        /// What is kept, with what a transfer may still be reading.
        keep: SnapshotId,
    },
}

/// Reads a snapshot, or learns why it cannot be opened.
pub type SnapshotReader = Box<dyn FnOnce(Result<&mut dyn Read, StorageError>) + Send>;

/// What became of a job. An error is not final: the snapshot that it is about is not there, or
/// not whole, and what is durable besides is as it was.
#[derive(Debug)]
pub enum SnapshotDone {
    /// The state is durable under this name.
    Taken(Result<SnapshotId, StorageError>),
    /// The part that was to be read; `None` when the snapshot is not kept any more.
    Read {
        /// The peer that it is for.
        to: NodeId,
        /// Of which snapshot.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// The bytes.
        bytes: Result<Option<Bytes>, StorageError>,
    },
    /// The part was written.
    Written {
        /// Of which snapshot.
        id: SnapshotId,
        /// Where it was to go.
        offset: u64,
        /// Bytes from the beginning that are there now.
        have: Result<u64, StorageError>,
    },
    /// Whether the bytes are the snapshot, and durable. If not, they were thrown away.
    Finished {
        /// Of which snapshot.
        id: SnapshotId,
        /// Whether they are.
        sound: Result<bool, StorageError>,
    },
}

impl fmt::Debug for SnapshotJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(frozen) => write!(f, "take {}", frozen.header().slot),
            Self::Read {
                to,
                id,
                offset,
                len,
            } => write!(f, "read {offset}+{len} of {id} for {to}"),
            Self::Write { id, offset, bytes } => {
                write!(f, "write {offset}+{} of {id}", bytes.len())
            }
            Self::Finish { id } => write!(f, "finish {id}"),
            Self::Restore { id, .. } => write!(f, "restore {id}"),
            Self::Forget { keep } => write!(f, "forget all before {keep}"),
        }
    }
}

/// Reads time; runs through suspension where the system can tell.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Now, since an arbitrary start of this process.
    fn now(&self) -> Time;

    /// Resolves when `now() >= at`.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send;

    /// Resolves after `span`.
    fn sleep(&self, span: Span) -> impl Future<Output = ()> + Send {
        self.sleep_until(self.now() + span)
    }
}

/// Framed byte connections: what reconnecting, back-off and lanes are built on.
pub trait Network: Clone + Send + Sync + 'static {
    /// The connecting end.
    type Outgoing: SendFrames;
    /// The accepting end.
    type Incoming: ReceiveFrames;

    /// Opens a one-way connection to `addr` for `lane`. Fails rather than waits for ever.
    fn connect(
        &self,
        addr: &str,
        lane: Lane,
    ) -> impl Future<Output = Result<Self::Outgoing, NetError>> + Send;

    /// The next connection that somebody opened to this node. Cancel-safe. Every connection is
    /// given out once, to whichever clone asks; an error means that no more will come.
    fn accept(&self) -> impl Future<Output = Result<Self::Incoming, NetError>> + Send;
}

/// The sending end of a connection.
pub trait SendFrames: Send + 'static {
    /// Hands over one frame; waits while the connection is congested. Cancel-safe: a frame is
    /// taken whole or not at all. An error means that the connection is gone.
    fn send(&mut self, frame: Bytes) -> impl Future<Output = Result<(), NetError>> + Send;

    /// Resolves once the connection is gone, so that an idle link notices it, too. Cancel-safe.
    fn closed(&mut self) -> impl Future<Output = NetError> + Send;
}

/// The receiving end of a connection.
pub trait ReceiveFrames: Send + 'static {
    /// The next frame; `None` when the sender closed the connection. Cancel-safe.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Bytes>, NetError>> + Send;
}

/// Why a connection cannot be used. The peer will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{addr}: {reason}")]
pub struct NetError {
    /// The other side.
    pub addr: String,
    /// What happened.
    pub reason: String,
}
