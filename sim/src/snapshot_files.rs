//! The snapshot files of a node without a disk: whole ones, which are durable, and one on its way.
//! Knows nothing about when they are written; with files it is the storage code that keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::snapshot::verify;
use chil_core::{FrozenSnapshot, PartialSnapshot, SnapshotId};

use crate::dice::Dice;
use crate::plan::CrashMode;

/// How many of the newest snapshots stay whatever the metadata names.
const NEWEST: usize = 2;

/// What a directory would hold of snapshots.
#[derive(Debug, Default)]
pub(crate) struct SnapshotFiles {
    kept: BTreeMap<SnapshotId, Bytes>,
    partial: Option<(SnapshotId, Vec<u8>)>,
}

impl SnapshotFiles {
    /// Writes a frozen state under its own name.
    pub(crate) fn take(&mut self, frozen: &FrozenSnapshot) -> Result<SnapshotId, String> {
        let mut bytes = Vec::new();
        let id = frozen.write_to(&mut bytes).map_err(|e| e.to_string())?;
        self.kept.insert(id, Bytes::from(bytes));
        Ok(id)
    }

    /// A part of a snapshot, if that is kept.
    pub(crate) fn read(&self, id: &SnapshotId, offset: u64, len: u64) -> Option<Bytes> {
        let bytes = self.kept.get(id)?;
        let from = usize::try_from(offset).ok()?.min(bytes.len());
        let to = usize::try_from(offset + len).ok()?.min(bytes.len());
        Some(bytes.slice(from..to))
    }

    /// Writes a part of the snapshot on its way; says how much of that is there.
    pub(crate) fn write(&mut self, id: &SnapshotId, offset: u64, bytes: &[u8]) -> u64 {
        let fresh = self.partial.take_if(|(there, _)| there == id);
        let (_, mut content) = fresh.unwrap_or((*id, Vec::new()));
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset <= content.len() {
            content.truncate(offset);
            content.extend_from_slice(bytes);
        }
        let have = content.len() as u64;
        self.partial = Some((*id, content));
        have
    }

    /// Keeps the snapshot on its way if it is what it should be, else throws it away.
    pub(crate) fn finish(&mut self, id: &SnapshotId) -> bool {
        let Some((there, bytes)) = self.partial.take() else {
            return false;
        };
        let sound = verify(&mut bytes.as_slice()).is_ok_and(|(_, found)| found == *id);
        if there == *id && sound {
            self.kept.insert(*id, Bytes::from(bytes));
        }
        there == *id && sound
    }

    /// All bytes of a snapshot.
    pub(crate) fn open(&self, id: &SnapshotId) -> Option<&Bytes> {
        self.kept.get(id)
    }

    /// Removes what is older than `keep`, but for the newest two: what is newer may be named by
    /// metadata that is on its way to the disk.
    pub(crate) fn forget(&mut self, keep: &SnapshotId) {
        let newest: Vec<SnapshotId> = self.kept.keys().rev().take(NEWEST).copied().collect();
        self.kept.retain(|id, _| id >= keep || newest.contains(id));
    }

    /// Which snapshots are kept.
    pub(crate) fn list(&self) -> impl Iterator<Item = SnapshotId> + '_ {
        self.kept.keys().copied()
    }

    /// What is on its way is not synced: after a power failure its end may be gone.
    pub(crate) fn crash(&mut self, mode: CrashMode, dice: &mut Dice) {
        if mode == CrashMode::Power
            && let Some((_, bytes)) = &mut self.partial
        {
            bytes.truncate(dice.index(bytes.len() + 1));
        }
    }

    /// What a crash has left of a transfer.
    pub(crate) fn partial(&self) -> Option<PartialSnapshot> {
        let (id, bytes) = self.partial.as_ref()?;
        let have = bytes.len() as u64;
        (have > 0).then_some(PartialSnapshot { id: *id, have })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Concern;
    use chil_core::kv::KeyValue;
    use chil_core::{Applier, DiskId, Epoch, Member, Membership, NodeId, SessionLimits};

    fn frozen() -> FrozenSnapshot {
        let member = Member {
            name: "n0".to_owned(),
            disk: DiskId::new(1),
            addr: String::new(),
            weight: 1,
        };
        let id = NodeId::from_name(&member.name).unwrap();
        let membership = Membership {
            epoch: Epoch::FIRST,
            members: BTreeMap::from([(id, member)]),
            protocol: 1,
            lease: None,
            sessions: SessionLimits::default(),
        };
        Applier::new(KeyValue::default()).freeze(&membership)
    }

    #[test]
    fn parts_make_up_a_snapshot_in_any_number_and_after_a_crash() {
        let mut from = SnapshotFiles::default();
        let id = from.take(&frozen()).unwrap();
        let mut to = SnapshotFiles::default();
        let mut have = 0;
        for step in 0.. {
            let part = from.read(&id, have, 7).unwrap();
            if part.is_empty() {
                break;
            }
            have = to.write(&id, have, &part);
            if step == 3 {
                to.crash(CrashMode::Power, &mut Dice::new(1, Concern::Disk));
                have = to.partial().map_or(0, |partial| partial.have);
            }
        }
        assert_eq!(to.partial(), Some(PartialSnapshot { id, have: id.bytes }));
        assert!(to.finish(&id));
        assert_eq!(to.open(&id), from.open(&id));
        assert_eq!(to.partial(), None);
    }

    #[test]
    fn what_is_not_the_snapshot_is_thrown_away() {
        let mut files = SnapshotFiles::default();
        let id = files.take(&frozen()).unwrap();
        files.kept.clear();
        files.write(&id, 0, b"something else");
        assert!(!files.finish(&id));
        assert!(files.open(&id).is_none() && files.partial().is_none());
    }
}
