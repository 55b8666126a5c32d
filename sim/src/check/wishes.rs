//! What clients want executed, what they were told never will be, and what was: one ledger.
//! Knows nothing about what follows from it; the checks do.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::Slot;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

/// All commands of a run, by the digest of what they say: different operations may want the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes(BTreeMap<u128, Wish>);

/// What is known about one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Operations, each once.
    wanted: SmallVec<[u64; 1]>,
    denied: SmallVec<[u64; 1]>,
    /// Where it took effect.
    pub(crate) effects: SmallVec<[Slot; 1]>,
}

impl Wish {
    /// How many effects it may have: one for each operation that nobody was told to be off.
    pub(crate) fn allowed(&self) -> usize {
        let denied = |operation: &&u64| self.denied.contains(operation);
        self.wanted.iter().filter(|one| !denied(one)).count()
    }

    /// How many operations want it.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.len()
    }
}

fn add(to: &mut SmallVec<[u64; 1]>, operation: u64) {
    if !to.contains(&operation) {
        to.push(operation);
    }
}

impl Wishes {
    fn of(&mut self, payload: &Bytes) -> &mut Wish {
        self.0.entry(xxh3_128(payload)).or_default()
    }

    /// An operation wants this executed; it may say so again.
    pub(crate) fn want(&mut self, operation: u64, payload: &Bytes) {
        add(&mut self.of(payload).wanted, operation);
    }

    /// The client of an operation is told that it had and will have no effect.
    pub(crate) fn deny(&mut self, operation: u64, payload: &Bytes) -> &Wish {
        let wish = self.of(payload);
        add(&mut wish.denied, operation);
        wish
    }

    /// A command takes effect in a slot.
    pub(crate) fn executes(&mut self, slot: Slot, payload: &Bytes) -> &Wish {
        let wish = self.of(payload);
        wish.effects.push(slot);
        wish
    }
}
