//! Going through a tree in order. Knows nothing about changing it.

use std::borrow::Borrow;
use std::ops::Bound;
use std::sync::Arc;

use super::node::{Node, child_of};

/// The way down to the item at hand: each node with the position that comes next in it.
pub(super) struct Iter<'a, K, V> {
    path: Vec<(&'a Node<K, V>, usize)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn all(root: &'a Arc<Node<K, V>>) -> Self {
        Self {
            path: vec![(root.as_ref(), 0)],
        }
    }

    pub(super) fn from<Q: Ord + ?Sized>(root: &'a Arc<Node<K, V>>, start: Bound<&Q>) -> Self
    where
        K: Borrow<Q>,
    {
        let key = match start {
            Bound::Unbounded => return Self::all(root),
            Bound::Included(key) | Bound::Excluded(key) => key,
        };
        let mut path = Vec::new();
        let mut node = root.as_ref();
        loop {
            match node {
                Node::Inner { keys, children } => {
                    let at = child_of(keys, key);
                    path.push((node, at + 1));
                    match children.get(at) {
                        Some(child) => node = child,
                        None => return Self { path },
                    }
                }
                Node::Leaf { keys, .. } => {
                    let is_before = |k: &K| match start {
                        Bound::Excluded(_) => k.borrow() <= key,
                        Bound::Included(_) | Bound::Unbounded => k.borrow() < key,
                    };
                    path.push((node, keys.partition_point(is_before)));
                    return Self { path };
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, at) = self.path.last_mut()?;
            let here = *at;
            *at += 1;
            match node {
                Node::Leaf { keys, values } => {
                    if let (Some(key), Some(value)) = (keys.get(here), values.get(here)) {
                        return Some((key, value));
                    }
                    self.path.pop();
                }
                Node::Inner { children, .. } => match children.get(here) {
                    Some(child) => self.path.push((child.as_ref(), 0)),
                    None => drop(self.path.pop()),
                },
            }
        }
    }
}
