//! The log in memory: contiguous entries behind a base, their chain, and what ranges of them cost.
//! Knows nothing about ballots' meaning, about disks, or about what is decided.

use std::collections::VecDeque;

use crate::command::{Chain, Entry};
use crate::types::Slot;

/// A contiguous log. Always holds: `items[i].entry.slot() == base + i + 1`, and each entry follows
/// the one before it, the first the prefix that ends in `base` with chain `base_chain`.
#[derive(Clone, Debug, Default)]
pub struct Log {
    base: Slot,
    base_chain: Chain,
    /// Cost of everything up to `base` that was ever held here.
    base_cost: u64,
    items: VecDeque<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    entry: Entry,
    /// Cost of everything up to and including `entry`.
    cost_sum: u64,
}

impl Log {
    /// An empty log that goes on behind a prefix which ends in `base` with this chain.
    #[must_use]
    pub const fn behind(base: Slot, base_chain: Chain) -> Self {
        Self {
            base,
            base_chain,
            base_cost: 0,
            items: VecDeque::new(),
        }
    }

    /// The slot that the log begins behind: what lies before is not held any more.
    #[must_use]
    pub const fn base(&self) -> Slot {
        self.base
    }

    /// End of the log; its base when empty.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot::new(self.base.get() + self.items.len() as u64)
    }

    /// The entry in `slot`, if it is held.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.item(slot).map(|item| &item.entry)
    }

    /// Chain of the log at `slot`; `None` before its base and beyond its end.
    #[must_use]
    pub fn chain_at(&self, slot: Slot) -> Option<Chain> {
        if slot == self.base {
            return Some(self.base_chain);
        }
        self.get(slot).map(Entry::chain)
    }

    /// Chain of the whole log.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.items
            .back()
            .map_or(self.base_chain, |item| item.entry.chain())
    }

    /// The entries in `(after, to]`, as far as the log reaches.
    ///
    /// # Panics
    /// If `after` lies before the base: a part of what is asked for is gone.
    #[must_use]
    pub fn entries(&self, after: Slot, to: Slot) -> Vec<Entry> {
        assert!(
            after >= self.base,
            "entries behind {after} of a log that begins behind {}",
            self.base
        );
        let (from, to) = (self.index(after), self.index(to.min(self.last())));
        if to <= from {
            return Vec::new();
        }
        self.items
            .range(from..to)
            .map(|item| item.entry.clone())
            .collect()
    }

    /// Cost in bytes of the entries in `(after, to]`, as far as the log reaches.
    #[must_use]
    pub fn cost(&self, after: Slot, to: Slot) -> u64 {
        self.cost_up_to(to.min(self.last()))
            .saturating_sub(self.cost_up_to(after))
    }

    /// The furthest end of a range behind `after`, at most `to`, that costs no more than
    /// `budget`, but holds at least one entry where there is one.
    #[must_use]
    pub fn end_within(&self, after: Slot, to: Slot, budget: u64) -> Slot {
        let to = to.min(self.last());
        if self.cost(after, to) <= budget {
            return to.max(after);
        }
        let limit = self.cost_up_to(after).saturating_add(budget);
        let end = self.last_within(limit).min(to);
        end.max(after.next().min(to))
    }

    /// The first slot behind which the entries up to `to` cost no more than `budget`; at least
    /// the base.
    #[must_use]
    pub fn start_within(&self, to: Slot, budget: u64) -> Slot {
        let spare = self.cost_up_to(to).saturating_sub(budget);
        if spare <= self.base_cost {
            return self.base;
        }
        let fitting = self.items.partition_point(|item| item.cost_sum < spare);
        let slot = Slot::new(self.base.get() + fitting as u64 + 1);
        slot.min(to)
    }

    /// Appends an entry that was built on [`Log::chain`] by this node.
    ///
    /// # Panics
    /// If its slot is not the next one.
    pub fn append(&mut self, entry: Entry) {
        assert!(
            entry.slot() == self.last().next(),
            "slot {} appended behind {}",
            entry.slot(),
            self.last()
        );
        let cost_sum = self.cost_up_to(self.last()) + entry.cost();
        self.items.push_back(Item { entry, cost_sum });
    }

    /// Drops everything behind `keep`.
    ///
    /// # Panics
    /// If `keep` lies before the base: what is dropped there for good must be decided.
    pub fn truncate(&mut self, keep: Slot) {
        assert!(
            keep >= self.base,
            "cut at {keep} a log that begins behind {}",
            self.base
        );
        self.items.truncate(self.index(keep));
    }

    /// Drops everything up to `to`, which becomes the base; nothing if that lies before it.
    pub fn trim(&mut self, to: Slot) {
        let to = to.min(self.last());
        let Some(item) = self.item(to) else {
            return;
        };
        let (chain, cost) = (item.entry.chain(), item.cost_sum);
        self.items.drain(..self.index(to));
        (self.base, self.base_chain, self.base_cost) = (to, chain, cost);
    }

    fn item(&self, slot: Slot) -> Option<&Item> {
        let index = slot.get().checked_sub(self.base.get() + 1)?;
        self.items.get(usize::try_from(index).ok()?)
    }

    fn cost_up_to(&self, slot: Slot) -> u64 {
        self.item(slot).map_or(self.base_cost, |item| item.cost_sum)
    }

    /// The last slot whose cost sum does not exceed `limit`.
    fn last_within(&self, limit: u64) -> Slot {
        let fitting = self.items.partition_point(|item| item.cost_sum <= limit);
        Slot::new(self.base.get() + fitting as u64)
    }

    /// How many of the items lie at `slot` or before.
    fn index(&self, slot: Slot) -> usize {
        usize::try_from(slot.distance(self.base)).unwrap_or(usize::MAX)
    }
}

/// Whether `entries` are consecutive and linked behind `(after, chain)`.
#[must_use]
pub fn linked(after: Slot, chain: Chain, entries: &[Entry]) -> bool {
    let mut end = (after, chain);
    for entry in entries {
        if !entry.follows(end.0, end.1) {
            return false;
        }
        end = (entry.slot(), entry.chain());
    }
    true
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::{Command, EntryKind};
    use crate::types::{Ballot, Epoch, NodeId};

    fn log(sizes: &[usize]) -> Log {
        let mut log = Log::default();
        for &size in sizes {
            let kind = EntryKind::Command(Command::sessionless(Bytes::from(vec![7; size])));
            let origin = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));
            log.append(Entry::new(log.chain(), log.last().next(), origin, kind));
        }
        log
    }

    #[test]
    fn ranges_are_open_at_the_bottom_and_clamped_at_the_top() {
        let log = log(&[1, 2, 3]);
        let slots = |after, to| -> Vec<u64> {
            let entries = log.entries(Slot::new(after), Slot::new(to));
            entries.iter().map(|e| e.slot().get()).collect()
        };
        assert_eq!(slots(0, 2), [1, 2]);
        assert_eq!(slots(2, 9), [3]);
        assert_eq!(slots(3, 3), []);
        assert_eq!(slots(7, 9), []);
        assert_eq!(
            log.cost(Slot::new(1), Slot::new(9)),
            2 + 3 + 2 * Entry::OVERHEAD as u64
        );
    }

    #[test]
    fn a_budget_buys_at_least_one_entry() {
        let log = log(&[1000, 10, 10]);
        let end = |after, budget| log.end_within(Slot::new(after), Slot::new(3), budget).get();
        assert_eq!(end(0, 1), 1);
        assert_eq!(end(1, 150), 2);
        assert_eq!(end(1, 276), 3);
        assert_eq!(end(3, 10), 3);
    }

    #[test]
    fn a_truncated_log_ends_with_the_kept_chain() {
        let mut log = log(&[1, 2, 3]);
        let chain = log.chain_at(Slot::new(2));
        log.truncate(Slot::new(2));
        assert_eq!((log.last(), Some(log.chain())), (Slot::new(2), chain));
        assert_eq!(
            log.cost(Slot::ZERO, Slot::new(9)),
            3 + 2 * Entry::OVERHEAD as u64
        );
    }

    #[test]
    fn a_trimmed_log_says_the_same_of_what_it_still_has() {
        let whole = log(&[5, 6, 7, 8]);
        let mut log = whole.clone();
        log.trim(Slot::new(2));
        assert_eq!((log.base(), log.last()), (Slot::new(2), Slot::new(4)));
        assert_eq!(log.chain_at(Slot::new(2)), whole.chain_at(Slot::new(2)));
        assert_eq!(log.chain_at(Slot::new(1)), None);
        assert_eq!(log.chain(), whole.chain());
        let (from, to) = (Slot::new(2), Slot::new(4));
        assert_eq!(log.entries(from, to), whole.entries(from, to));
        assert_eq!(log.cost(from, to), whole.cost(from, to));
        assert_eq!(log.cost(Slot::ZERO, to), whole.cost(from, to));
        assert_eq!(log.end_within(from, to, 1), Slot::new(3));
        log.trim(Slot::new(1));
        assert_eq!(log.base(), Slot::new(2));
        log.trim(Slot::new(9));
        assert_eq!((log.base(), log.chain()), (Slot::new(4), whole.chain()));
    }

    #[test]
    fn a_tail_is_as_long_as_its_budget() {
        let log = log(&[10, 10, 10]);
        let one = 10 + Entry::OVERHEAD as u64;
        let start = |budget| log.start_within(Slot::new(3), budget).get();
        assert_eq!(start(0), 3);
        assert_eq!(start(one - 1), 3);
        assert_eq!(start(one), 2);
        assert_eq!(start(2 * one), 1);
        assert_eq!(start(u64::MAX), 0);
    }
}
