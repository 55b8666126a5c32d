//! What the judges see of snapshots: which a node keeps, and which become its state.
//! Knows nothing about the log behind them.

use chil_core::SnapshotId;

use super::{Judge, Verdict, apply_in_order, on};

impl Judge {
    /// A snapshot is on a node's disk under its own name: taken there, or received.
    pub(crate) fn keeps(&mut self, node: usize, id: SnapshotId) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        on("snapshot_is_chosen", node, self.snapshots.check(&id))?;
        self.ghost.nodes[node].snapshots.insert(id);
        Ok(())
    }

    /// A node's disk holds these snapshots now, and no others.
    pub(crate) fn holds(&mut self, node: usize, ids: impl IntoIterator<Item = SnapshotId>) {
        self.ghost.nodes[node].snapshots = ids.into_iter().collect();
    }

    /// A replica wants the snapshot `id` to be the state, and goes on behind it.
    pub(crate) fn replaces(&mut self, node: usize, id: &SnapshotId) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let state = &mut self.ghost.nodes[node];
        let found = apply_in_order::check_install(state.applied, id.slot);
        on("apply_in_order", node, found)?;
        (state.decided, state.replaced) = (id.slot, id.slot);
        on("snapshot_is_chosen", node, self.snapshots.check(id))
    }

    /// A node's state becomes that of the snapshot `id`, and has this digest then: in the middle
    /// of a life, or at its beginning.
    pub(crate) fn installs(&mut self, node: usize, id: &SnapshotId, digest: u128) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let state = &mut self.ghost.nodes[node];
        let found = apply_in_order::check_install(state.applied, id.slot);
        on("apply_in_order", node, found)?;
        state.decided = state.decided.max(id.slot);
        state.applied = id.slot;
        on("snapshot_is_chosen", node, self.snapshots.check(id))?;
        on(
            "state_determinism",
            node,
            self.digests.check(id.slot, digest),
        )
    }
}
