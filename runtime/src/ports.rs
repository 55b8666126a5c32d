//! What the node loop needs from the world: a store, a network, a clock.
//! Knows no implementation: files and tonic are production's, the simulator brings its own.

use std::future::Future;

use bytes::Bytes;
use chil_core::{Lane, Lsn, Persist, Span, Time};

use crate::storage::StorageError;

/// Makes records durable in order, off the loop's thread.
pub trait Storage: 'static {
    /// Queues a persist. Never waits: the core bounds how much it has in flight.
    fn submit(&mut self, persist: Persist);

    /// The next completion: everything up to this LSN is durable. Cancel-safe.
    ///
    /// An error is final: the node must stop, since what is on disk is not known any more.
    fn completed(&mut self) -> impl Future<Output = Result<Lsn, StorageError>>;
}

/// Reads time; runs through suspension where the system can tell.
pub trait Clock: Clone + 'static {
    /// Now, since an arbitrary start of this process.
    fn now(&self) -> Time;

    /// Resolves when `now() >= at`.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()>;

    /// Resolves after `span`.
    fn sleep(&self, span: Span) -> impl Future<Output = ()> {
        self.sleep_until(self.now() + span)
    }
}

/// Framed byte connections: what reconnecting, back-off and lanes are built on.
pub trait Network: Clone + 'static {
    /// The connecting end.
    type Outgoing: SendFrames;
    /// The accepting end.
    type Incoming: ReceiveFrames;

    /// Opens a one-way connection to `addr` for `lane`. Fails rather than waits for ever.
    fn connect(
        &self,
        addr: &str,
        lane: Lane,
    ) -> impl Future<Output = Result<Self::Outgoing, NetError>>;

    /// The next connection that somebody opened to this node. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = Result<Self::Incoming, NetError>>;
}

/// The sending end of a connection.
pub trait SendFrames {
    /// Hands over one frame; waits while the connection is congested. Cancel-safe: a frame is
    /// taken whole or not at all. An error means that the connection is gone.
    fn send(&mut self, frame: Bytes) -> impl Future<Output = Result<(), NetError>>;
}

/// The receiving end of a connection.
pub trait ReceiveFrames {
    /// The next frame; `None` when the sender closed the connection. Cancel-safe.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Bytes>, NetError>>;
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
