//! A row for each of those that are told apart, and one for all others. Bounded.
//! Knows nothing about what is in a row, but whether it may be forgotten.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use chil_core::{Span, Time};

/// How long nobody looks for idle rows after too few were found.
const SEARCH_PAUSE: Span = Span::from_millis(100);

/// What is remembered of one.
pub(super) trait Row: Default {
    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Time) -> bool;
}

/// Where somebody is counted: what was counted in a row is taken back from the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<K> {
    Own(K),
    /// With all those for whom there was no room.
    Shared,
}

/// Rows by key.
#[derive(Clone, Debug)]
pub(super) struct Table<K, R> {
    rows: BTreeMap<K, R>,
    rows_max: usize,
    shared: R,
    /// Looking for idle rows costs as much as there are rows: not before this.
    search_at: Time,
}

impl<K: Ord + Clone, R: Row> Table<K, R> {
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            rows_max,
            shared: R::default(),
            search_at: Time::ZERO,
        }
    }

    /// Finds the row of `key`, or makes one.
    pub(super) fn place<Q>(&mut self, now: Time, key: &Q, owned: impl FnOnce() -> K) -> Place<K>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        if let Some((known, _)) = self.rows.get_key_value(key) {
            return Place::Own(known.clone());
        }
        if self.rows.len() >= self.rows_max && self.search_at <= now {
            self.rows.retain(|_, row| !row.is_idle(now));
            self.search_at = now + SEARCH_PAUSE;
        }
        if self.rows.len() >= self.rows_max {
            return Place::Shared;
        }
        let key = owned();
        self.rows.insert(key.clone(), R::default());
        Place::Own(key)
    }

    pub(super) fn row(&mut self, place: &Place<K>) -> &mut R {
        match place {
            Place::Shared => &mut self.shared,
            // A row may have been forgotten when nothing was counted in it any more.
            Place::Own(key) => self.rows.entry(key.clone()).or_default(),
        }
    }

    /// All rows, that of the others among them.
    pub(super) fn rows(&self) -> impl Iterator<Item = &R> {
        self.rows.values().chain([&self.shared])
    }

    /// How many have a row of their own.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Busy(bool);

    impl Row for Busy {
        fn is_idle(&self, _: Time) -> bool {
            !self.0
        }
    }

    #[test]
    fn who_finds_no_room_is_counted_with_the_others_until_somebody_is_idle() {
        let mut table: Table<Arc<str>, Busy> = Table::new(2);
        let own = |name: &str| Place::Own(Arc::from(name));
        let place = |table: &mut Table<Arc<str>, Busy>, at, name: &str| {
            table.place(at, name, || Arc::from(name))
        };
        for name in ["a", "b"] {
            let place = place(&mut table, Time::ZERO, name);
            assert_eq!(place, own(name));
            table.row(&place).0 = true;
        }
        assert_eq!(place(&mut table, Time::ZERO, "c"), Place::Shared);
        assert_eq!(place(&mut table, Time::ZERO, "a"), own("a"));
        table.row(&own("a")).0 = false;
        let soon = Time::ZERO + Span::from_millis(1);
        assert_eq!(
            place(&mut table, soon, "c"),
            Place::Shared,
            "not searched again so soon"
        );
        assert_eq!(place(&mut table, Time::ZERO + SEARCH_PAUSE, "c"), own("c"));
        assert_eq!(table.len(), 2);
    }
}
