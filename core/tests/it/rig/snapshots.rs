//! Snapshots of the rig's nodes: a kept copy of the state stands for the file, and a few made-up
//! bytes for what travels. Knows nothing about the format of real ones.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chil_core::kv::KeyValue;
use chil_core::{Applier, Input, Output, PartialSnapshot, Slot, SnapshotId};

use super::Rig;

/// Bytes of every snapshot here: a few parts of [`PART`] and one that is shorter.
const LEN: u64 = 22;

/// What to set `chunk_bytes_max` to, so that a snapshot takes several messages.
pub(crate) const PART: u64 = 4;

/// All snapshots that were ever made, and who keeps which.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    states: BTreeMap<SnapshotId, Applier<KeyValue>>,
    kept: BTreeMap<usize, BTreeSet<SnapshotId>>,
    partial: BTreeMap<usize, (SnapshotId, Vec<u8>)>,
    /// Nodes whose disk has no room for a part.
    pub(super) full: BTreeSet<usize>,
    /// Nodes that never get the bytes that were sent.
    rotten: BTreeSet<usize>,
    /// Nodes whose disk takes long for a whole snapshot, with what they will hear when it is done.
    slow: BTreeMap<usize, Vec<Input>>,
}

fn content(id: &SnapshotId) -> Vec<u8> {
    let seed = id.digest.to_le_bytes();
    let bytes = seed.iter().cycle().zip(0_u8..);
    let len = usize::try_from(id.bytes).expect("LEN");
    bytes.take(len).map(|(a, b)| a ^ b).collect()
}

impl Rig {
    /// The node makes a snapshot of what it has executed, and keeps it.
    pub(crate) fn snapshot(&mut self, number: usize) -> Option<SnapshotId> {
        let applier = &self.nodes[number - 1].applier;
        let id = SnapshotId {
            slot: applier.applied(),
            chain: applier.chain(),
            bytes: LEN,
            digest: applier.digest(),
        };
        if id.slot == Slot::ZERO || !self.is_up(number) {
            return None;
        }
        self.snapshots.states.insert(id, applier.clone());
        self.keep(number, id);
        self.handle(number, Input::SnapshotTaken { id });
        Some(id)
    }

    /// Gives the node a snapshot of an earlier slot than that of `later`, which it has: its state
    /// is made anew from the log.
    pub(crate) fn snapshot_at(
        &mut self,
        number: usize,
        slot: u64,
        later: SnapshotId,
    ) -> SnapshotId {
        let mut applier = Applier::new(KeyValue::default());
        let log = self.nodes[number - 1].decided.clone();
        for entry in log.iter().take_while(|entry| entry.slot().get() <= slot) {
            applier.apply(entry);
        }
        let id = SnapshotId {
            slot: applier.applied(),
            chain: applier.chain(),
            bytes: LEN,
            digest: applier.digest(),
        };
        assert!(id.slot < later.slot);
        self.snapshots.states.insert(id, applier);
        self.keep(number, id);
        id
    }

    /// The node forgets a snapshot that its log does not need.
    pub(crate) fn forget(&mut self, number: usize, id: SnapshotId) {
        if let Some(kept) = self.snapshots.kept.get_mut(&number) {
            kept.remove(&id);
        }
    }

    /// How much of a snapshot is at a node that fetches it.
    pub(crate) fn partial(&self, number: usize) -> Option<PartialSnapshot> {
        let (id, bytes) = self.snapshots.partial.get(&number)?;
        let (id, have) = (*id, bytes.len() as u64);
        Some(PartialSnapshot { id, have })
    }

    /// Some byte of what came so far is wrong.
    pub(crate) fn spoil(&mut self, number: usize) {
        if let Some((_, bytes)) = self.snapshots.partial.get_mut(&number)
            && let Some(byte) = bytes.first_mut()
        {
            *byte ^= 1;
        }
    }

    /// Whatever the node fetches is wrong from now on.
    pub(crate) fn spoil_all(&mut self, number: usize) {
        self.snapshots.rotten.insert(number);
    }

    /// Whether writes of parts fail on this node.
    pub(crate) fn fill_disk(&mut self, number: usize, full: bool) {
        if full {
            self.snapshots.full.insert(number);
        } else {
            self.snapshots.full.remove(&number);
        }
    }

    /// From now on what the node has received is not on its disk before [`Rig::finish`].
    pub(crate) fn hold(&mut self, number: usize) {
        self.snapshots.slow.insert(number, Vec::new());
    }

    /// Whether all of a snapshot is there, and waits for the disk.
    pub(crate) fn is_held(&self, number: usize) -> bool {
        let held = self.snapshots.slow.get(&number);
        held.is_some_and(|held| !held.is_empty())
    }

    /// What was held is on the disk.
    pub(crate) fn finish(&mut self, number: usize) {
        for input in self.snapshots.slow.remove(&number).unwrap_or_default() {
            self.handle(number, input);
        }
    }

    fn keep(&mut self, number: usize, id: SnapshotId) {
        self.snapshots.kept.entry(number).or_default().insert(id);
    }

    fn keeps(&self, number: usize, id: &SnapshotId) -> bool {
        let kept = self.snapshots.kept.get(&number);
        kept.is_some_and(|kept| kept.contains(id))
    }

    /// The state that a node begins its next life with.
    pub(super) fn state_on_disk(&mut self, number: usize) -> Applier<KeyValue> {
        let partial = self.partial(number);
        let disk = &mut self.nodes[number - 1].disk;
        disk.partial = partial;
        let Some(snap) = disk.meta.snap else {
            return Applier::new(KeyValue::default());
        };
        assert!(self.keeps(number, &snap.id), "n{number} lost {}", snap.id);
        self.snapshots.states[&snap.id].clone()
    }

    /// Carries out what a node wants done about snapshots; gives back everything else.
    pub(super) fn serve_snapshots(&mut self, number: usize, output: Output) -> Option<Output> {
        match output {
            Output::ReadChunk {
                to,
                id,
                offset,
                len,
            } => {
                let bytes = self.keeps(number, &id).then(|| {
                    let from = usize::try_from(offset).expect("LEN");
                    let len = usize::try_from(len).expect("LEN");
                    Bytes::copy_from_slice(&content(&id)[from..from + len])
                });
                let read = Input::ChunkRead {
                    to,
                    id,
                    offset,
                    bytes,
                };
                self.later(number, read);
            }
            Output::WriteChunk { id, offset, bytes } => {
                let have = self.write_part(number, id, offset, &bytes);
                self.later(number, Input::ChunkWritten { id, have });
            }
            Output::FinishSnapshot { id } => {
                let (partial, bytes) = self.snapshots.partial.remove(&number).expect("written");
                assert_eq!(partial, id);
                let sound = bytes == content(&id) && !self.snapshots.rotten.contains(&number);
                if sound {
                    self.keep(number, id);
                }
                let received = Input::SnapshotReceived { id, sound };
                match self.snapshots.slow.get_mut(&number) {
                    Some(held) => held.push(received),
                    None => self.later(number, received),
                }
            }
            Output::Install { id } => {
                assert!(self.keeps(number, &id), "n{number} installs {id}");
                let state = self.snapshots.states[&id].clone();
                let node = &mut self.nodes[number - 1];
                assert!(node.applier.applied() < id.slot, "n{number} goes back");
                node.applier = state;
                node.outputs.push(Output::Install { id });
            }
            other => return Some(other),
        }
        None
    }

    fn write_part(&mut self, number: usize, id: SnapshotId, offset: u64, part: &[u8]) -> u64 {
        let full = self.snapshots.full.contains(&number);
        let partial = &mut self.snapshots.partial;
        let entry = partial.entry(number).or_insert((id, Vec::new()));
        if entry.0 != id && offset == 0 {
            *entry = (id, Vec::new());
        }
        if entry.0 != id {
            return 0;
        }
        if !full && entry.1.len() as u64 == offset {
            entry.1.extend_from_slice(part);
        }
        entry.1.len() as u64
    }

    fn later(&mut self, number: usize, input: Input) {
        self.nodes[number - 1].answers.push_back(input);
    }
}
