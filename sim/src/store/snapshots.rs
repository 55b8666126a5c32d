//! A node's snapshot files in the world: the real storage code on its simulated disk, or a model.
//! Knows nothing about the log beside them.

use bytes::Bytes;
use chil::storage::{Snapshots, StorageError};
use chil_core::StateMachine;
use chil_core::{Applier, FrozenSnapshot, SnapshotId};

use super::{Files, NodeStore, StoreFailure};
use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::snapshots::Job;

/// A crash in the middle of work on a snapshot lets at most so many operations of it succeed.
const OPERATIONS_PER_JOB: u64 = 10;

impl NodeStore {
    /// Writes a frozen state under its own name, durably.
    pub(crate) fn take(&mut self, frozen: &FrozenSnapshot) -> Result<SnapshotId, StoreFailure> {
        let Some(files) = &mut self.files else {
            return self.snapshots.take(frozen).map_err(StoreFailure::Wrong);
        };
        let id = files.on_snapshots(|snapshots| snapshots.take(frozen))?;
        files.written.insert(id);
        Ok(id)
    }

    /// A part of a snapshot, if that is kept.
    pub(crate) fn read_part(
        &mut self,
        id: &SnapshotId,
        offset: u64,
        len: u64,
    ) -> Result<Option<Bytes>, StoreFailure> {
        match &mut self.files {
            Some(files) => files.on_snapshots(|snapshots| snapshots.read(id, offset, len)),
            None => Ok(self.snapshots.read(id, offset, len)),
        }
    }

    /// Writes a part of a snapshot that is on its way; says how much of it is there.
    pub(crate) fn write_part(
        &mut self,
        id: &SnapshotId,
        offset: u64,
        bytes: &Bytes,
    ) -> Result<u64, StoreFailure> {
        match &mut self.files {
            Some(files) => files.on_snapshots(|snapshots| snapshots.write(id, offset, bytes)),
            None => Ok(self.snapshots.write(id, offset, bytes)),
        }
    }

    /// Keeps what came in parts, durably, if it is what it should be.
    pub(crate) fn finish_parts(&mut self, id: &SnapshotId) -> Result<bool, StoreFailure> {
        let Some(files) = &mut self.files else {
            return Ok(self.snapshots.finish(id));
        };
        let sound = files.on_snapshots(|snapshots| snapshots.finish(id))?;
        if sound {
            files.written.insert(*id);
        }
        Ok(sound)
    }

    /// Removes snapshots that nobody needs any more; says which are left.
    pub(crate) fn forget(&mut self, keep: &SnapshotId) -> Result<Vec<SnapshotId>, StoreFailure> {
        let Some(files) = &mut self.files else {
            self.snapshots.forget(keep);
            return Ok(self.snapshots.list().collect());
        };
        files.on_snapshots(|snapshots| snapshots.forget(keep))?;
        let mut left = Vec::new();
        for id in files.written.clone() {
            if files
                .on_snapshots(|snapshots| snapshots.read(&id, 0, 0))?
                .is_some()
            {
                left.push(id);
            }
        }
        files.written = left.iter().copied().collect();
        Ok(left)
    }

    /// Gives a state machine the state of a snapshot.
    pub(crate) fn restore(
        &mut self,
        id: &SnapshotId,
        applier: &mut Applier<Box<dyn StateMachine>>,
    ) -> Result<(), StoreFailure> {
        if let Some(files) = &mut self.files {
            files.on_snapshots(|snapshots| snapshots.restore(id, applier))?;
            return Ok(());
        }
        let Some(bytes) = self.snapshots.open(id) else {
            return Err(StoreFailure::Wrong("its file is not there".to_owned()));
        };
        let restored = applier.restore(id, &mut &**bytes);
        restored
            .map(|_| ())
            .map_err(|error| StoreFailure::Wrong(error.to_string()))
    }

    /// The power fails in the middle of this work.
    pub(crate) fn interrupt(&mut self, job: &Job, dice: &mut Dice) {
        let Some(files) = self.files.as_ref().filter(|f| !f.disk.has_failed()) else {
            return;
        };
        files.disk.fail_after(dice.below(OPERATIONS_PER_JOB));
        // Whether it fails or has nothing left to do: what is on the disk is what counts.
        match job {
            Job::Take(frozen) => drop(self.take(frozen)),
            Job::Write { id, offset, bytes } => drop(self.write_part(id, *offset, bytes)),
            Job::Finish(id) => drop(self.finish_parts(id)),
            Job::Forget(id) => drop(self.forget(id)),
            Job::Read { .. } | Job::Install(_) => {}
        }
    }
}

impl Files {
    fn on_snapshots<T>(
        &mut self,
        act: impl FnOnce(&mut Snapshots<SimDisk>) -> Result<T, StorageError>,
    ) -> Result<T, StoreFailure> {
        let snapshots = self
            .snapshots
            .as_mut()
            .expect("a running node has its snapshot files");
        act(snapshots).map_err(|error| self.explain(&error))
    }
}
