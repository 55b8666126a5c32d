//! How much a replica holds of what its limits bound, as plain data for tests and simulations.
//! Knows nothing about what the limits are.

use crate::types::Slot;

use super::{Replica, Role};

/// How much one replica holds. Bytes are those of entries, payload and overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Entries that a leader is ahead of what is decided, once it has proposed any itself: what it
    /// adopted counts like what it proposes. 0 for all others.
    pub proposed_entries: u64,
    /// Bytes of these.
    pub proposed_bytes: u64,
    /// Bytes behind what is executed, for a leader that has proposed any; 0 for all others.
    pub unexecuted_bytes: u64,
    /// Bytes handed out for execution, and not executed.
    pub delivered_bytes: u64,
    /// Reads that wait for the next probe, or the next question.
    pub reads_queued: u64,
    /// Reads that wait for the answers to what is under way.
    pub reads_asked: u64,
    /// Messages that wait for the disk.
    pub messages_held: u64,
    /// What was not polled yet: messages, effects, records.
    pub unpolled: u64,
    /// Bytes of the log that a durable snapshot stands for.
    pub log_spared_bytes: u64,
    /// Parts of a snapshot that came before those in front of them.
    pub parts_early: u64,
    /// Parts of snapshots that are being read for the one peer with most of them.
    pub parts_read: u64,
}

impl Replica {
    /// How much this replica holds of what its limits bound. Between drains, when
    /// [`crate::Output::Wait`] was polled last, each of it is within them.
    #[must_use]
    pub fn holding(&self) -> Holding {
        let (queued, asked) = self.reader.counts();
        // What a snapshot stands for that is being installed is not handed out, log or no log.
        let snap = self.snapshot_slot();
        let mut holding = Holding {
            delivered_bytes: self.log.cost(self.applied.max(snap), self.delivered),
            reads_queued: queued,
            reads_asked: asked,
            log_spared_bytes: self.log.cost(self.log.base(), snap.max(self.log.base())),
            messages_held: self.outbox.held(),
            unpolled: self.outbox.unpolled(),
            parts_early: self.incoming.as_ref().map_or(0, super::Incoming::early),
            parts_read: u64::from(self.serving.iter().copied().max().unwrap_or(0)),
            ..Holding::default()
        };
        if let Some(last) = self.last_proposed() {
            holding.proposed_entries = last.distance(self.commit);
            holding.proposed_bytes = self.log.cost(self.commit, last);
            holding.unexecuted_bytes = self.log.cost(self.applied, last);
        }
        holding
    }

    /// The end of the log of a leader whose last entry is its own.
    fn last_proposed(&self) -> Option<Slot> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let last = self.log.last();
        let entry = self.log.get(last)?;
        (entry.origin() == leading.ballot).then_some(last)
    }
}
