//! What waits to be sent on one lane of a link, between the node's loop and a connection's task.
//! Knows nothing about what is left out when there is no room: the outbox decides that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chil_proto::Frame;
use tokio::sync::Notify;

use crate::delivery::{Bounds, Counts, DropReason, Outbox};

/// A queue whose one end never waits.
#[derive(Debug)]
pub(super) struct Queue {
    outbox: Mutex<Outbox<Frame>>,
    filled: Notify,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            outbox: Mutex::new(Outbox::new(bounds)),
            filled: Notify::new(),
        }
    }

    /// Adds a frame; others make room for it.
    pub(super) fn push(&self, frame: Frame) {
        self.lock().push(frame);
        self.filled.notify_one();
    }

    /// Takes the oldest frame.
    pub(super) fn pop(&self) -> Option<Frame> {
        self.lock().pop()
    }

    /// Resolves when something may have been added. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Drops everything: what is said by the time that it could be sent would be old.
    pub(super) fn clear(&self, why: DropReason) {
        self.lock().clear(why);
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    fn lock(&self) -> MutexGuard<'_, Outbox<Frame>> {
        // Every change leaves the queue whole, so a panic elsewhere does not spoil it.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
