//! The log in memory: contiguous entries from slot 1, their chain, and what ranges of them cost.
//! Knows nothing about ballots' meaning, about disks, or about what is decided.

use crate::command::{Chain, Entry};
use crate::types::Slot;

/// A contiguous log. Always holds: `entries[i].slot() == i + 1`, and each entry follows the one
/// before it.
#[derive(Clone, Debug, Default)]
pub struct Log {
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    entry: Entry,
    /// Cost of everything up to and including `entry`.
    cost_sum: u64,
}

impl Log {
    /// End of the log; [`Slot::ZERO`] when empty.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot::new(self.items.len() as u64)
    }

    /// The entry in `slot`, if the log reaches that far.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.item(slot).map(|item| &item.entry)
    }

    /// Chain of the log at `slot`; `None` beyond its end.
    #[must_use]
    pub fn chain_at(&self, slot: Slot) -> Option<Chain> {
        if slot == Slot::ZERO {
            return Some(Chain::EMPTY);
        }
        self.get(slot).map(Entry::chain)
    }

    /// Chain of the whole log.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.items
            .last()
            .map_or(Chain::EMPTY, |item| item.entry.chain())
    }

    /// The entries in `(after, to]`, as far as the log reaches.
    #[must_use]
    pub fn entries(&self, after: Slot, to: Slot) -> Vec<Entry> {
        let (from, to) = (index(after), index(to.min(self.last())));
        self.items
            .get(from..to)
            .unwrap_or(&[])
            .iter()
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
        let (from, until) = (index(after), index(to));
        let limit = self.cost_up_to(after).saturating_add(budget);
        let range = self.items.get(from..until).unwrap_or(&[]);
        let fitting = range.partition_point(|item| item.cost_sum <= limit);
        Slot::new(after.get() + fitting.max(1).min(range.len()) as u64)
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
        self.items.push(Item { entry, cost_sum });
    }

    /// Drops everything behind `keep`.
    pub fn truncate(&mut self, keep: Slot) {
        self.items.truncate(index(keep));
    }

    fn item(&self, slot: Slot) -> Option<&Item> {
        self.items.get(index(slot).checked_sub(1)?)
    }

    fn cost_up_to(&self, slot: Slot) -> u64 {
        self.item(slot).map_or(0, |item| item.cost_sum)
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

fn index(slot: Slot) -> usize {
    usize::try_from(slot.get()).unwrap_or(usize::MAX)
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
}
