//! A command between its caller and the stream that carries it.
//! Knows nothing about streams: only whether the command can have reached a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::client::ClientError;
use crate::handle::Executed;

/// One command on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) payload: Bytes,
    pub(super) progress: Arc<Progress>,
    pub(super) reply: oneshot::Sender<Result<Executed, ClientError>>,
}

/// Whether a command can have reached a node: shared with its caller, who may lose patience.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) const QUEUED: u8 = 0;
    pub(super) const SENT: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Goes on from `from` to `to`; false if the caller has left meanwhile.
    pub(super) fn step(&self, from: u8, to: u8) -> bool {
        let step = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        step.is_ok()
    }

    /// The caller leaves; whether the command is surely on no node, and will not get there.
    pub(super) fn give_up(&self) -> bool {
        self.step(Self::QUEUED, Self::GIVEN_UP)
    }
}
