//! What clients want executed, what they were told never will be, and what was: one ledger.
//! Knows nothing about what follows from it; the checks do.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chil_core::Slot;

/// All commands of a run, by what they say: different operations may want the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes(BTreeMap<Bytes, Wish>);

/// What is known about one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    wanted: BTreeSet<u64>,
    denied: BTreeSet<u64>,
    /// Where it took effect.
    pub(crate) effects: Vec<Slot>,
}

impl Wish {
    /// How many effects it may have: one for each operation that nobody was told to be off.
    pub(crate) fn allowed(&self) -> usize {
        self.wanted.difference(&self.denied).count()
    }

    /// How many operations want it.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.len()
    }
}

impl Wishes {
    /// An operation wants this executed; it may say so again.
    pub(crate) fn want(&mut self, operation: u64, payload: &Bytes) {
        let wish = self.0.entry(payload.clone()).or_default();
        wish.wanted.insert(operation);
    }

    /// The client of an operation is told that it had and will have no effect.
    pub(crate) fn deny(&mut self, operation: u64, payload: &Bytes) -> &Wish {
        let wish = self.0.entry(payload.clone()).or_default();
        wish.denied.insert(operation);
        wish
    }

    /// A command takes effect in a slot.
    pub(crate) fn executes(&mut self, slot: Slot, payload: &Bytes) -> &Wish {
        let wish = self.0.entry(payload.clone()).or_default();
        wish.effects.push(slot);
        wish
    }
}
