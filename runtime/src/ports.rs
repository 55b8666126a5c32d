//! What the node loop needs from the world: a store, snapshot files, a network, a clock.
//! Knows no implementation: files and tonic are production's, the simulator brings its own.
//!
//! All futures are `Send`, so that a node runs on any tokio runtime, of one thread or of many.

use std::future::Future;

use bytes::Bytes;
use chil_core::{Lane, Lsn, Persist, Span, StateMachine, Time};

use crate::storage::{SnapshotDone, SnapshotJob, StorageError};

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

/// Writes, reads and restores snapshots, off the loop's thread and apart from the log: what serves
/// a peer that catches up must not queue in front of what decides.
pub trait SnapshotStorage<S: StateMachine>: Send + 'static {
    /// Queues a job. Never waits: the core bounds how much it asks for.
    fn submit(&mut self, job: SnapshotJob<S>);

    /// The next job that is done. Cancel-safe. Jobs of one transfer are done in the order in which
    /// they were submitted; a snapshot that is being taken lets them pass.
    ///
    /// What goes wrong in a job is part of what is returned, and stops only what needs the job. An
    /// error here is final: the node must stop, since no job will be done any more.
    fn completed(&mut self) -> impl Future<Output = Result<SnapshotDone<S>, StorageError>> + Send;

    /// Gives up the job under way where that takes long, closes the files and gives the directory
    /// free. What was queued is not done: none of it was promised to anybody.
    fn close(self) -> impl Future<Output = ()> + Send;
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

    /// Opens a one-way connection to `target` for `lane`. Fails rather than waits for ever, and
    /// where somebody else answers than the node that `target` names, if that can be told.
    fn connect(
        &self,
        target: &Target,
        lane: Lane,
    ) -> impl Future<Output = Result<Self::Outgoing, NetError>> + Send;

    /// The next connection that somebody opened to this node. Cancel-safe. Every connection is
    /// given out once, to whichever clone asks; an error means that no more will come.
    fn accept(&self) -> impl Future<Output = Result<Self::Incoming, NetError>> + Send;

    /// Resolves when there is news of where `address` leads, so that it is worth trying again at
    /// once. Cancel-safe. A network that never learns such news never resolves.
    fn moved(&self, _address: &str) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Nobody is interested in `address` any more.
    fn forget(&self, _address: &str) {}
}

/// Whom a connection is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where, as members and settings say it (`host:port`).
    pub address: String,
    /// The name of the node that has to answer there, if it is known.
    pub name: Option<String>,
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

    /// Where the other end is, for people.
    fn from(&self) -> &str;

    /// The name of the node at the other end, if it has proven it: then no other's messages may
    /// come from there.
    fn sender(&self) -> Option<&str>;
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
