//! What is decided, slot after slot, for whoever wants to follow the log: [`Watch`].
//! Knows nothing about what commands mean, nor how they were decided.

use std::collections::VecDeque;

use bytes::Bytes;
use chil_core::{ClientId, Entry, EntryKind, Slot};

use crate::request::Requests;

/// What one slot of the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands.
    pub slot: Slot,
    /// What it is.
    pub what: Decided,
}

/// What can be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A command. One that its client sent twice may stand in two slots: only in the first of
    /// them is it executed.
    Command {
        /// The session; [`ClientId::NONE`] without one.
        client: ClientId,
        /// Its number in the session; 0 without one.
        seq: u64,
        /// The command itself.
        payload: Bytes,
    },
    /// Opens the session whose id is the slot, unless the nonce had opened one before.
    Registration {
        /// Drawn by the client.
        nonce: u128,
    },
}

impl From<&Entry> for Decision {
    fn from(entry: &Entry) -> Self {
        let what = match entry.kind() {
            EntryKind::Command(command) => Decided::Command {
                client: command.client,
                seq: command.seq,
                payload: command.payload.clone(),
            },
            EntryKind::Register { nonce } => Decided::Registration { nonce: *nonce },
        };
        Self {
            slot: entry.slot(),
            what,
        }
    }
}

/// Why there is no next decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The slots that are due were trimmed on this node: what was in them is in its state.
    #[error("the log begins with slot {first} here: what was before is in the state only")]
    Compacted {
        /// The first slot that is still there.
        first: Slot,
    },
    /// Too many watch already: try again after a pause.
    #[error("overloaded: too many watch already")]
    Overloaded,
    /// The node does not belong to a cluster yet.
    #[error("the node does not belong to a cluster yet")]
    Forming,
    /// The node is shutting down or has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Follows the log of one node, as far as that node has executed it: each slot once and in order.
///
/// It asks for more when it is asked for more, so a slow reader costs the node nothing: it waits,
/// and when what it has not read yet is trimmed meanwhile, it is told
/// [`WatchError::Compacted`].
#[derive(Debug)]
pub struct Watch {
    requests: Requests,
    next: Slot,
    batch: VecDeque<Entry>,
}

impl Watch {
    pub(crate) const fn new(requests: Requests, from: Slot) -> Self {
        Self {
            requests,
            next: from,
            batch: VecDeque::new(),
        }
    }

    /// The next decision; waits until there is one. Cancel-safe.
    ///
    /// # Errors
    /// See [`WatchError`]. Asked again, it tries the same slot again.
    pub async fn next(&mut self) -> Result<Decision, WatchError> {
        if self.batch.is_empty() {
            self.batch = self.requests.decisions(self.next).await?.into();
        }
        // The loop answers with one entry at least.
        let entry = self.batch.pop_front().ok_or(WatchError::Stopped)?;
        self.next = entry.slot().next();
        Ok(Decision::from(&entry))
    }

    /// The slot of the next decision.
    #[must_use]
    pub const fn position(&self) -> Slot {
        self.next
    }
}
