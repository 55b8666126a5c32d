//! I4 for snapshots: a snapshot is a function of what was chosen up to its slot, the same bytes on
//! every node, and on disk before anything counts on it. Knows nothing about what is in the bytes.
//!
//! Chandra, Griesemer, Redstone, "Paxos Made Live" (2007), section 5.5: log and snapshot must be
//! mutually consistent.

use std::collections::BTreeMap;

use chil_core::{Chain, Entry, Slot, SnapshotId};

use super::ghost::{Ghost, NodeGhost};

/// What is known of the chosen log and its snapshots, beyond cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    /// The chain that the first node to execute a slot had there.
    chains: Vec<Chain>,
    /// The first snapshot of each slot.
    ids: BTreeMap<Slot, SnapshotId>,
}

impl Snapshots {
    /// A node executes `entry`, which is the chosen one: its chain is everybody's.
    pub(crate) fn note(&mut self, entry: &Entry) -> Result<(), String> {
        let slot = entry.slot();
        match self.chain(slot) {
            Some(chain) if chain == entry.chain() => Ok(()),
            Some(chain) => Err(format!(
                "executes slot {slot} with chain {}, another node had {chain} there",
                entry.chain()
            )),
            None => {
                self.chains.push(entry.chain());
                Ok(())
            }
        }
    }

    fn chain(&self, slot: Slot) -> Option<Chain> {
        let at = usize::try_from(slot.get()).ok()?.checked_sub(1)?;
        self.chains.get(at).copied()
    }

    /// A node has made, received or named the snapshot `id`.
    pub(crate) fn check(&mut self, id: &SnapshotId) -> Result<(), String> {
        match self.chain(id.slot) {
            Some(chain) if chain == id.chain => {}
            Some(chain) => {
                return Err(format!(
                    "has {id} with chain {}, but what was chosen has {chain} there",
                    id.chain
                ));
            }
            None => {
                return Err(format!(
                    "has {id}, but nobody has executed slot {} yet",
                    id.slot
                ));
            }
        }
        let first = self.ids.entry(id.slot).or_insert(*id);
        if first == id {
            return Ok(());
        }
        Err(format!(
            "has {id}, another node had {first}: not the same bytes"
        ))
    }
}

/// A node names the snapshot `id` to its own metadata or to others.
pub(crate) fn check_named(ghost: &Ghost, node: &NodeGhost, id: &SnapshotId) -> Result<(), String> {
    if id.slot > ghost.chosen.last() {
        return Err(format!(
            "names {id}, but only slots up to {} are chosen",
            ghost.chosen.last()
        ));
    }
    if node.snapshots.contains(id) {
        return Ok(());
    }
    Err(format!("names {id}, which a crash now would not leave"))
}

/// A node wants its log to begin behind `to`.
pub(crate) fn check_trim(node: &NodeGhost, to: Slot) -> Result<(), String> {
    if to <= node.written_snap {
        return Ok(());
    }
    Err(format!(
        "drops its log up to {to}, but its metadata names a snapshot of slot {}",
        node.written_snap
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, entries, ghost};
    use super::*;

    fn id(entry: &Entry, digest: u128) -> SnapshotId {
        SnapshotId {
            slot: entry.slot(),
            chain: entry.chain(),
            bytes: 7,
            digest,
        }
    }

    #[test]
    fn a_snapshot_of_something_else_and_two_of_one_slot_are_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let (chosen, other) = (entries(&[one, one]), entries(&[one, two]));
        let mut snapshots = Snapshots::default();
        assert_eq!(snapshots.note(&chosen[0]), Ok(()));
        assert!(snapshots.check(&id(&chosen[1], 1)).is_err(), "too early");
        assert_eq!(snapshots.note(&chosen[1]), Ok(()));
        assert_eq!(snapshots.note(&chosen[0]), Ok(()));
        assert!(snapshots.note(&other[1]).is_err());
        assert!(snapshots.check(&id(&other[1], 1)).is_err());
        assert_eq!(snapshots.check(&id(&chosen[1], 1)), Ok(()));
        assert!(snapshots.check(&id(&chosen[1], 2)).is_err());
    }

    #[test]
    fn naming_a_snapshot_before_it_is_durable_and_trimming_beyond_it_are_found() {
        let one = ballot(1, 0);
        let mut history = ghost(&[(one, &[one, one, one])]);
        let log = entries(&[one, one]);
        let id = id(&log[1], 1);
        history.nodes[0].snapshots.insert(id);
        assert!(check_named(&history, &history.nodes[0], &id).is_err());
        history.chosen = history.ballots[&one].log.clone();
        assert_eq!(check_named(&history, &history.nodes[0], &id), Ok(()));
        history.nodes[0].snapshots.clear();
        assert!(check_named(&history, &history.nodes[0], &id).is_err());
        let node = &mut history.nodes[0];
        node.written_snap = Slot::new(2);
        assert_eq!(check_trim(node, Slot::new(2)), Ok(()));
        assert!(check_trim(node, Slot::new(3)).is_err());
    }
}
