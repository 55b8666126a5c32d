//! What was really decided, from votes as they become durable.
//! Knows nothing about what replicas believe; it only judges it.

use std::collections::{BTreeMap, BTreeSet};

use chil_core::{Ballot, Chain, Recovered, Replica, Slot};

/// Votes and decisions of a run. Chains stand for whole prefixes: two logs with the same chain
/// at a slot are the same up to it.
#[derive(Debug)]
pub(crate) struct Ghost {
    weights: Vec<u32>,
    votes: BTreeMap<(Ballot, Slot), (Chain, BTreeSet<usize>)>,
    chosen: BTreeMap<Slot, Chain>,
    /// By node: what its votes were recorded for already.
    recorded: Vec<(Ballot, Slot)>,
}

impl Ghost {
    pub(crate) fn new(weights: &[u32]) -> Self {
        Self {
            weights: weights.to_vec(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            recorded: vec![(Ballot::default(), Slot::ZERO); weights.len()],
        }
    }

    /// The last slot that is chosen.
    pub(crate) fn chosen(&self) -> Slot {
        self.chosen.keys().next_back().copied().unwrap_or_default()
    }

    /// The disk of `node` changed: every slot of its log is a vote in the ballot of its log, but
    /// for what was learned as decided by a later one.
    pub(crate) fn durable(&mut self, node: usize, disk: &Recovered) {
        if disk.acc.n == 0 {
            return;
        }
        let (ballot, upto) = self.recorded[node];
        let from = if ballot == disk.acc { upto } else { Slot::ZERO };
        // What was learned of a later ballot stands in the log, and is no vote in this one.
        let learned = if disk.commit_in > disk.acc {
            disk.commit
        } else {
            Slot::ZERO
        };
        let from = from.max(learned);
        self.recorded[node] = (disk.acc, disk.last());
        for entry in disk.log.iter().filter(|entry| entry.slot() > from) {
            let (slot, chain) = (entry.slot(), entry.chain());
            let vote = self.votes.entry((disk.acc, slot));
            let (value, voters) = vote.or_insert_with(|| (chain, BTreeSet::new()));
            assert_eq!(*value, chain, "two values in {} of slot {slot}", disk.acc);
            voters.insert(node);
            let weight = |set: &BTreeSet<usize>| -> u64 {
                set.iter().map(|&i| u64::from(self.weights[i])).sum()
            };
            let total: u64 = self.weights.iter().map(|&w| u64::from(w)).sum();
            if 2 * weight(voters) > total {
                let before = self.chosen.entry(slot).or_insert(chain);
                assert_eq!(*before, chain, "slot {slot} is chosen twice");
            }
        }
    }

    /// What `replica` takes for decided is chosen, and its log holds it.
    pub(crate) fn judge(&self, replica: &Replica) {
        let status = replica.status();
        if status.commit > Slot::ZERO {
            let ours = replica.log().chain_at(status.commit);
            assert_eq!(
                ours,
                self.chosen.get(&status.commit).copied(),
                "{} believes slot {} to be decided",
                status.node,
                status.commit
            );
        }
        if status.role == chil_core::Role::Leading {
            // Leader completeness, for ballots below the leader's; its own it proposes itself.
            for (slot, chain) in &self.chosen {
                let held = replica.log().chain_at(*slot);
                let superseded = self.votes.keys().any(|(b, _)| *b > status.ballot);
                assert!(
                    held == Some(*chain) || superseded || *slot < replica.log().base(),
                    "{} leads {} without the decided slot {slot}",
                    status.node,
                    status.ballot
                );
            }
        }
    }
}
