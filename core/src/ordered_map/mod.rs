//! An ordered map whose copies share what they have in common, so that freezing it costs nothing.
//! Knows nothing about what it holds.
//!
//! A B+ tree whose nodes are shared between copies and copied when one of them changes: after a
//! freeze, the first change in each leaf copies that leaf and the few nodes above it, once.
//! `docs/ARCHITECTURE.md` says what it costs, and what it was compared with.

mod iter;
mod node;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::ops::Bound;
use std::sync::Arc;

use iter::Iter;
use node::Node;

/// A map like [`std::collections::BTreeMap`], but for `clone`, which takes constant time.
#[derive(Clone)]
pub(crate) struct OrderedMap<K, V> {
    root: Arc<Node<K, V>>,
    len: u64,
}

impl<K: Ord + Clone, V: Clone> OrderedMap<K, V> {
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.root.get(key)
    }

    /// Copies what is shared on the way, so ask only for what is going to be changed.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        Arc::make_mut(&mut self.root).get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (before, split) = Arc::make_mut(&mut self.root).insert(key, value, true);
        if let Some((separator, right)) = split {
            let left = std::mem::replace(&mut self.root, Arc::new(Node::empty()));
            self.root = Arc::new(Node::above(left, separator, right));
        }
        self.len += u64::from(before.is_none());
        before
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Nothing is copied for a key that is not there.
        self.get(key)?;
        let removed = Arc::make_mut(&mut self.root).remove(key);
        while let Some(only) = self.root.only_child() {
            self.root = only;
        }
        self.len -= u64::from(removed.is_some());
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        Iter::all(&self.root)
    }

    /// From `start` on, in order.
    pub(crate) fn range_from<'a, Q: Ord + ?Sized>(
        &'a self,
        start: Bound<&Q>,
    ) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
    {
        Iter::from(&self.root, start)
    }
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::empty()),
            len: 0,
        }
    }
}
