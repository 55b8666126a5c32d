//! What the simulator knows and no node does: logs as identities, votes by ballot, what is chosen.
//! Knows nothing about what is right: the checks beside it judge.

use std::collections::{BTreeMap, BTreeSet};

use chil_core::{Ballot, Entry, EntryKind, LogChange, Slot, SnapshotId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One slot of a log as an identity: who proposed it first, and a digest of the whole prefix.
///
/// The digest is computed here from slot, origin and content; the chain that an entry carries is
/// production's claim and is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The ballot that first proposed it.
    pub origin: Ballot,
    /// Digest of everything up to and including it.
    pub prefix: u64,
}

impl Cell {
    /// The cell of `entry` behind a prefix with this digest.
    #[must_use]
    pub fn of(before: u64, entry: &Entry) -> Self {
        let [client, seq, floor, payload] = match entry.kind() {
            EntryKind::Command(command) => [
                command.client.get(),
                command.seq,
                command.ack_floor,
                xxh3_64(&command.payload),
            ],
            // No command has such a number: they count from 1.
            EntryKind::Register { nonce } => [u64::MAX, u64::MAX, 0, xxh3_64(&nonce.to_le_bytes())],
        };
        let mut bytes = [0_u8; 64];
        let words = [
            entry.slot().get(),
            entry.origin().epoch.get(),
            entry.origin().n,
            entry.origin().node.get(),
            client,
            seq,
            floor,
            payload,
        ];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Self {
            origin: entry.origin(),
            prefix: xxh3_64_with_seed(&bytes, before),
        }
    }
}

/// A log as cells, from slot 1: what a node has trimmed is kept here all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells(Vec<Cell>);

impl Cells {
    /// The last slot.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot::new(self.0.len() as u64)
    }

    /// The cell of a slot that exists.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Cell> {
        let at = usize::try_from(slot.get()).ok()?.checked_sub(1)?;
        self.0.get(at).copied()
    }

    /// Digest of the prefix up to `slot`; 0 for the empty one, `None` beyond the end.
    #[must_use]
    pub fn prefix(&self, slot: Slot) -> Option<u64> {
        if slot == Slot::ZERO {
            return Some(0);
        }
        self.get(slot).map(|cell| cell.prefix)
    }

    /// Drops everything behind `slot`.
    pub fn truncate(&mut self, slot: Slot) {
        self.0
            .truncate(usize::try_from(slot.get()).unwrap_or(usize::MAX));
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: &Entry) {
        let before = self.0.last().map_or(0, |cell| cell.prefix);
        self.0.push(Cell::of(before, entry));
    }

    /// Appends the cells of `other` behind this log's end, up to `to`.
    pub fn extend_from(&mut self, other: &Self, to: Slot) {
        let to = usize::try_from(to.get())
            .unwrap_or(usize::MAX)
            .min(other.0.len());
        if let Some(more) = other.0.get(self.0.len()..to) {
            self.0.extend_from_slice(more);
        }
    }

    /// Cuts and appends as `change` says, and says what that did.
    pub fn change(&mut self, change: &LogChange) -> Changed {
        let before = self.last();
        let keep = usize::try_from(change.keep.get()).unwrap_or(usize::MAX);
        let removed = self.0.split_off(keep.min(self.0.len()));
        for entry in &change.entries {
            self.push(entry);
        }
        let added = self.0.iter().skip(keep);
        let at = added.zip(&removed).position(|(new, old)| new != old);
        Changed {
            before,
            last: self.last(),
            differs: at.map(|at| Slot::new(change.keep.get() + at as u64 + 1)),
        }
    }

    /// A snapshot of everything in `chosen` up to `slot` takes the place of the log's beginning:
    /// what follows stays if it follows just that, and goes otherwise.
    pub fn install(&mut self, chosen: &Self, slot: Slot) -> Changed {
        let before = self.last();
        let mut differs = None;
        if !self.agrees(chosen, slot) {
            differs = self.first_difference(chosen);
            self.truncate(differs.map_or(slot, Slot::prev).min(slot));
            self.extend_from(chosen, slot);
        }
        Changed {
            before,
            last: self.last(),
            differs: differs.filter(|differs| *differs <= slot),
        }
    }

    /// Whether both agree on every slot up to `slot`, which both must have.
    #[must_use]
    pub fn agrees(&self, other: &Self, slot: Slot) -> bool {
        matches!((self.prefix(slot), other.prefix(slot)), (Some(a), Some(b)) if a == b)
    }

    /// The first slot on which the two differ, if both have it.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<Slot> {
        let at = self.0.iter().zip(&other.0).position(|(a, b)| a != b)?;
        Some(Slot::new(at as u64 + 1))
    }
}

/// What a change did to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its end before.
    pub before: Slot,
    /// Its end now.
    pub last: Slot,
    /// The first slot that held something else before.
    pub differs: Option<Slot>,
}

/// Everything that was voted in one ballot.
#[derive(Clone, Debug, Default)]
pub struct BallotGhost {
    /// The longest log proposed or voted for in it.
    pub log: Cells,
    /// For each node, the last slot that it durably voted for; it voted for all before, too.
    pub reach: Vec<Slot>,
    /// Everything up to here was chosen in this ballot.
    pub chosen_to: Slot,
    /// The node that leads it and the end of the log that it adopted.
    pub adopted: Option<(usize, Slot)>,
}

/// What is known about one node beyond what it says.
#[derive(Clone, Debug, Default)]
pub struct NodeGhost {
    /// The log that a crash now would leave.
    pub durable: Cells,
    /// The ballot of that log.
    pub acc: Ballot,
    /// The highest ballot promised durably.
    pub promised: Ballot,
    /// The last (acc, last) that was durable when `promised` became durable.
    pub promise_floor: (Ballot, Slot),
    /// The durable log up to here was voted for in `acc`; what follows was learned.
    pub voted_to: Slot,
    /// The durable boot count.
    pub boot: u64,
    /// The log that the node wants to be durable: what it holds in memory.
    pub written: Cells,
    /// The ballot of that log.
    pub written_acc: Ballot,
    /// The last slot that it handed out as decided, in this life.
    pub decided: Slot,
    /// The slot of the last snapshot that it wanted to be its state, in this life: its disk may be
    /// told of it a little later.
    pub replaced: Slot,
    /// The last slot that is in its state machine, in this life.
    pub applied: Slot,
    /// Snapshots that a crash now would leave under their own names.
    pub snapshots: BTreeSet<SnapshotId>,
    /// The slot of the snapshot that its durable metadata names.
    pub snap: Slot,
    /// The slot of the snapshot that it wants its metadata to name.
    pub written_snap: Slot,
    /// The log that it wants to be durable begins behind this slot.
    pub written_base: Slot,
    /// The highest commit and promise that it showed in this life.
    pub shown_commit: Slot,
    /// See `shown_commit`.
    pub shown_promised: Ballot,
}

/// All ghost state of a run.
#[derive(Clone, Debug)]
pub struct Ghost {
    /// The weight of each node.
    pub weights: Vec<u64>,
    /// Each node.
    pub nodes: Vec<NodeGhost>,
    /// Each ballot in which something was proposed or voted.
    pub ballots: BTreeMap<Ballot, BallotGhost>,
    /// Everything chosen, by slot: a prefix, since votes cover all earlier slots.
    pub chosen: Cells,
}

impl Ghost {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        Self {
            weights: weights.iter().map(|w| u64::from(*w)).collect(),
            nodes: vec![NodeGhost::default(); weights.len()],
            ballots: BTreeMap::new(),
            chosen: Cells::default(),
        }
    }

    /// The ballot's ghost, made on first use.
    pub fn ballot(&mut self, ballot: Ballot) -> &mut BallotGhost {
        let nodes = self.nodes.len();
        self.ballots.entry(ballot).or_insert_with(|| BallotGhost {
            reach: vec![Slot::ZERO; nodes],
            ..BallotGhost::default()
        })
    }

    /// The last slot that nodes of more than half of the weight have reached.
    #[must_use]
    pub fn quorum_reach(&self, reach: &[Slot]) -> Slot {
        let total: u64 = self.weights.iter().sum();
        let weight_at = |slot: Slot| -> u64 {
            let voters = reach.iter().zip(&self.weights);
            voters.filter(|(r, _)| **r >= slot).map(|(_, w)| *w).sum()
        };
        let mut candidates: Vec<Slot> = reach.to_vec();
        candidates.sort_unstable();
        let quorum = candidates
            .into_iter()
            .rev()
            .find(|s| weight_at(*s) * 2 > total);
        quorum.unwrap_or(Slot::ZERO)
    }

    /// How far node `node` voted durably in `ballot`.
    #[must_use]
    pub fn reach(&self, node: usize, ballot: Ballot) -> Slot {
        let ballot = self.ballots.get(&ballot);
        ballot
            .and_then(|b| b.reach.get(node).copied())
            .unwrap_or(Slot::ZERO)
    }

    /// Records that `node` voted in `ballot` for its durable log up to `last`.
    pub fn vote(&mut self, node: usize, ballot: Ballot, last: Slot) {
        let count = self.nodes.len();
        let Some(voter) = self.nodes.get(node) else {
            return;
        };
        let ghost = self.ballots.entry(ballot).or_insert_with(|| BallotGhost {
            reach: vec![Slot::ZERO; count],
            ..BallotGhost::default()
        });
        ghost.log.extend_from(&voter.durable, last);
        if let Some(reach) = ghost.reach.get_mut(node) {
            *reach = last.max(*reach);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, entries};
    use super::*;

    fn cells(origins: &[Ballot]) -> Cells {
        let mut cells = Cells::default();
        for entry in entries(origins) {
            cells.push(&entry);
        }
        cells
    }

    #[test]
    fn a_snapshot_leaves_what_follows_it_and_takes_what_contradicts_it() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let chosen = cells(&[one, one, one, one]);
        let install = |log: &[Ballot], slot| {
            let mut log = cells(log);
            let did = log.install(&chosen, Slot::new(slot));
            assert!(log.agrees(&chosen, Slot::new(slot)));
            (log.last().get(), did.differs.map(Slot::get))
        };
        assert_eq!(install(&[one, one, two], 2), (3, None));
        assert_eq!(install(&[one], 3), (3, None));
        assert_eq!(install(&[one, two], 3), (3, Some(2)));
        assert_eq!(install(&[one, two, two, two], 2), (2, Some(2)));
    }
}
