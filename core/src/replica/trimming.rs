//! How much of the log a node keeps once a snapshot stands for its beginning.
//! Knows nothing about how snapshots are made, nor what a store does to get its room back.

use crate::output::Notice;
use crate::snapshot::{SnapshotId, SnapshotMark};
use crate::types::Slot;

use super::progress::Stage;
use super::{Replica, Role};

/// For so many times `resend_after` a leader keeps the log for a peer that fetches a snapshot
/// and was not heard of.
const PIN_PATIENCE: u64 = 8;

impl Replica {
    /// The snapshot that stands for the beginning of the log.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotId> {
        self.meta.snap.map(|snap| snap.id)
    }

    /// The slot of the snapshot that stands for the beginning of the log.
    pub(super) fn snapshot_slot(&self) -> Slot {
        self.meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot)
    }

    /// The driver made a snapshot of this node's own state durable.
    pub(super) fn on_snapshot_taken(&mut self, id: SnapshotId) {
        if id.slot <= self.snapshot_slot() {
            // One that was fetched overtook it.
            return;
        }
        assert!(
            id.slot <= self.applied,
            "{id} of a state that is executed up to {}",
            self.applied
        );
        let chain = self.log.chain_at(id.slot);
        assert!(
            chain == Some(id.chain),
            "{id} is of another log: its chain is {}, not {chain:?}",
            id.chain
        );
        self.meta.snap = Some(SnapshotMark {
            id,
            decided_in: self.commit_in,
        });
        self.touch_meta();
        self.trim();
    }

    /// Drops what neither this node nor, as far as the budgets go, anybody else needs any more.
    /// Only what a durable snapshot stands for is ever dropped.
    pub(super) fn trim(&mut self) {
        let to = self.trim_target();
        let base = self.log.base();
        // Not entry by entry: each time costs a record.
        let worth = to == self.snapshot_slot()
            || self.log.cost(base, to) >= self.config.log_tail_bytes.max(1) / 4;
        if to <= base || !worth {
            return;
        }
        let head = self.head();
        self.outbox.trimmed(to, &self.log, head);
        self.log.trim(to);
        self.outbox.notice(Notice::Trimmed { to });
        assert!(self.log.base() <= self.snapshot_slot(), "trimmed too far");
    }

    fn trim_target(&self) -> Slot {
        let (snap, commit) = (self.snapshot_slot(), self.commit);
        let tail = self.log.start_within(commit, self.config.log_tail_bytes);
        let to = snap.min(tail);
        let Role::Leading(_) = &self.role else {
            return to;
        };
        let needed = self.others().map(|peer| self.needed_by(peer)).min();
        let kept = self
            .log
            .start_within(commit, self.config.log_keep_bytes_max);
        needed.map_or(to, |needed| to.min(needed.max(kept)))
    }

    /// The slot behind which a peer will want entries of this leader; the end of what may be
    /// trimmed where it wants none, or nobody knows.
    fn needed_by(&self, peer: usize) -> Slot {
        let nothing = self.snapshot_slot();
        let Role::Leading(leading) = &self.role else {
            return nothing;
        };
        let progress = leading.progress(peer);
        let patience = self.config.resend_after.times(PIN_PATIENCE);
        if let Some((slot, at)) = progress.pinned
            && self.now.since(at) <= patience
        {
            // Behind the snapshot that it fetches it goes on with entries.
            return slot;
        }
        if !self.peer(peer).is_up(self.now, &self.config) {
            return nothing;
        }
        match progress.stage {
            Stage::Synced => leading.matched(peer),
            Stage::Behind(position) => position.commit,
            Stage::Unpromised => self.peer(peer).commit,
        }
    }
}
