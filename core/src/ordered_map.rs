//! An ordered map whose copies share what they have in common, so that freezing it costs nothing.
//! Knows nothing about what it holds.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A clone is made in constant time.
#[derive(Clone)]
pub(crate) struct OrderedMap<K: Ord + Clone, V: Clone>(Arc<BTreeMap<K, V>>);

impl<K: Ord + Clone, V: Clone> OrderedMap<K, V> {
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        Arc::make_mut(&mut self.0).get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        Arc::make_mut(&mut self.0).insert(key, value)
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        Arc::make_mut(&mut self.0).remove(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }

    #[expect(dead_code, reason = "scans come next")]
    /// From `start` on, in order.
    pub(crate) fn range_from<Q: Ord + ?Sized>(
        &self,
        start: Bound<&Q>,
    ) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.range((start, Bound::Unbounded))
    }
}

impl<K: Ord + Clone, V: Clone> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
