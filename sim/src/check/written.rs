//! What a node hands to its disk, before any of it is durable.
//! Knows nothing about disks: they may lose all of it.

use chil_core::{Meta, Record};

use super::ghost::Ghost;
use super::{Judge, Verdict, Violation, bounds, decided_stays, on, snapshot_is_chosen};

impl Judge {
    /// A node hands records to its disk, all at once.
    pub(crate) fn written(&mut self, node: usize, records: &[Record]) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let mut records = records.iter().peekable();
        let mut installs = false;
        while let Some(record) = records.next() {
            installs |= self.written_one(node, record)?;
            // What lies behind the snapshot may be decided by now, and stands in a record behind.
            installs &= records.peek().is_some() && !matches!(record, Record::Log(_));
            if !installs {
                let found = decided_stays::check(&self.ghost, &self.ghost.nodes[node]);
                on("decided_stays", node, found)?;
            }
        }
        Ok(())
    }

    /// Says whether a snapshot is installed by it.
    fn written_one(&mut self, node: usize, record: &Record) -> Result<bool, Violation> {
        match record {
            Record::Log(change) => {
                let state = &mut self.ghost.nodes[node];
                let found = bounds::check_change(&state.written, state.written_base, change);
                on("bounds", node, found)?;
                let _ = state.written.change(change);
                state.written_acc = change.acc;
            }
            Record::Meta(meta) => return self.written_meta(node, meta),
            Record::Trim(to) => {
                let state = &mut self.ghost.nodes[node];
                let found = snapshot_is_chosen::check_trim(state, *to);
                on("snapshot_is_chosen", node, found)?;
                state.written_base = state.written_base.max(*to);
            }
        }
        Ok(false)
    }

    /// A node wants its metadata to be `meta`; a later snapshot than before is installed by that.
    fn written_meta(&mut self, node: usize, meta: &Meta) -> Result<bool, Violation> {
        let Some(snap) = meta.snap else {
            return Ok(false);
        };
        let state = &self.ghost.nodes[node];
        if snap.id.slot <= state.written_snap {
            return Ok(false);
        }
        let found = snapshot_is_chosen::check_named(&self.ghost, state, &snap.id);
        on("snapshot_is_chosen", node, found)?;
        let Ghost { nodes, chosen, .. } = &mut self.ghost;
        let state = &mut nodes[node];
        state.written_snap = snap.id.slot;
        if !state.written.agrees(chosen, snap.id.slot) {
            state.written_base = snap.id.slot;
        }
        let _ = state.written.install(chosen, snap.id.slot);
        Ok(true)
    }
}
