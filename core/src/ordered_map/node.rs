//! A node of the tree: how keys find their way, and how nodes divide and unite.
//! Knows nothing about who shares it: it is only changed by who may.

use std::borrow::Borrow;
use std::sync::Arc;

/// Always: keys ascend. A leaf has as many values as keys; an inner node has one child more than
/// keys, all of one height, and `keys[i]` is at most the first key below `children[i + 1]` and
/// above all keys below `children[i]`.
#[derive(Clone)]
pub(super) enum Node<K, V> {
    Leaf {
        keys: Vec<K>,
        values: Vec<V>,
    },
    Inner {
        keys: Vec<K>,
        children: Vec<Arc<Self>>,
    },
}

/// The upper half of a node that became too large, and the key that separates it.
type Split<K, V> = Option<(K, Arc<Node<K, V>>)>;

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    /// The root above two nodes.
    pub(super) fn above(left: Arc<Self>, separator: K, right: Arc<Self>) -> Self {
        Self::Inner {
            keys: vec![separator],
            children: vec![left, right],
        }
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = self;
        loop {
            match node {
                Self::Leaf { keys, values } => return values.get(find(keys, key).ok()?),
                Self::Inner { keys, children } => node = children.get(child_of(keys, key))?,
            }
        }
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = self;
        loop {
            match node {
                Self::Leaf { keys, values } => return values.get_mut(find(keys, key).ok()?),
                Self::Inner { keys, children } => {
                    node = Arc::make_mut(children.get_mut(child_of(keys, key))?);
                }
            }
        }
    }

    /// `is_last`: nothing is to the right of this node. What is added at the end of everything
    /// divides its leaf there, since more of that kind follows: so leaves get full.
    pub(super) fn insert(&mut self, key: K, value: V, is_last: bool) -> (Option<V>, Split<K, V>) {
        match self {
            Self::Leaf { keys, values } => match find(keys, &key) {
                Ok(at) => {
                    let there = values.get_mut(at);
                    (there.map(|v| std::mem::replace(v, value)), None)
                }
                Err(at) => {
                    let at_end = is_last && at == keys.len();
                    keys.insert(at, key);
                    values.insert(at, value);
                    (None, self.split(at_end))
                }
            },
            Self::Inner { keys, children } => {
                let at = child_of(keys, &key);
                let is_last = is_last && at == keys.len();
                let Some(child) = children.get_mut(at) else {
                    return (None, None);
                };
                let (before, split) = Arc::make_mut(child).insert(key, value, is_last);
                if let Some((separator, right)) = split {
                    keys.insert(at, separator);
                    children.insert(at + 1, right);
                }
                (before, self.split(is_last))
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf { keys, values } => {
                let at = find(keys, key).ok()?;
                keys.remove(at);
                Some(values.remove(at))
            }
            Self::Inner { keys, children } => {
                let at = child_of(keys, key);
                let child = Arc::make_mut(children.get_mut(at)?);
                let removed = child.remove(key);
                if child.len() < MIN {
                    self.mend(at);
                }
                removed
            }
        }
    }

    /// The child of a root that has only one.
    pub(super) fn only_child(&self) -> Option<Arc<Self>> {
        match self {
            Self::Inner { children, .. } if children.len() == 1 => children.first().cloned(),
            Self::Inner { .. } | Self::Leaf { .. } => None,
        }
    }

    /// Values of a leaf, children of an inner node.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Leaf { values, .. } => values.len(),
            Self::Inner { children, .. } => children.len(),
        }
    }

    /// Divides a node that has one too many.
    fn split(&mut self, at_end: bool) -> Split<K, V> {
        if self.len() <= MAX {
            return None;
        }
        let at = if at_end { MAX } else { MAX / 2 };
        self.split_at(at)
    }

    fn split_at(&mut self, at: usize) -> Split<K, V> {
        match self {
            Self::Leaf { keys, values } => {
                let keys = keys.split_off(at);
                let values = values.split_off(at);
                let separator = keys.first()?.clone();
                Some((separator, Arc::new(Self::Leaf { keys, values })))
            }
            Self::Inner { keys, children } => {
                let children = children.split_off(at);
                let upper = keys.split_off(at);
                let separator = keys.pop()?;
                let keys = upper;
                Some((separator, Arc::new(Self::Inner { keys, children })))
            }
        }
    }

    /// Unites a child that became small with a neighbour, and divides them anew if that is too
    /// much for one.
    fn mend(&mut self, small: usize) {
        let Self::Inner { keys, children } = self else {
            return;
        };
        let left = small.saturating_sub(1);
        if left + 1 >= children.len() {
            return;
        }
        let separator = keys.remove(left);
        let right = children.remove(left + 1);
        let Some(child) = children.get_mut(left) else {
            return;
        };
        let child = Arc::make_mut(child);
        child.append(separator, Arc::unwrap_or_clone(right));
        let len = child.len();
        if len > MAX
            && let Some((separator, right)) = child.split_at(len / 2)
        {
            keys.insert(left, separator);
            children.insert(left + 1, right);
        }
    }

    fn append(&mut self, separator: K, right: Self) {
        match (self, right) {
            (
                Self::Leaf { keys, values },
                Self::Leaf {
                    keys: mut more_keys,
                    values: mut more_values,
                },
            ) => {
                keys.append(&mut more_keys);
                values.append(&mut more_values);
            }
            (
                Self::Inner { keys, children },
                Self::Inner {
                    keys: mut more_keys,
                    children: mut more_children,
                },
            ) => {
                keys.push(separator);
                keys.append(&mut more_keys);
                children.append(&mut more_children);
            }
            _ => unreachable!("all children of a node have one height"),
        }
    }
}

impl<K, V> Node<K, V> {
    pub(super) const fn empty() -> Self {
        Self::Leaf {
            keys: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// Where `key` is, or where it would be. One after the other: keys are pointers to byte strings,
/// which a processor fetches ahead in order, but not in the order of a binary search.
fn find<K: Borrow<Q>, Q: Ord + ?Sized>(keys: &[K], key: &Q) -> Result<usize, usize> {
    let at = keys.iter().take_while(|k| (*k).borrow() < key).count();
    match keys.get(at) {
        Some(k) if k.borrow() == key => Ok(at),
        _ => Err(at),
    }
}

/// Below which child `key` is, if anywhere.
pub(super) fn child_of<K: Borrow<Q>, Q: Ord + ?Sized>(keys: &[K], key: &Q) -> usize {
    keys.iter().take_while(|k| (*k).borrow() <= key).count()
}

/// Most values or children of a node. Few in unit tests, so that a small map is a high tree.
pub(super) const MAX: usize = if cfg!(test) { 8 } else { 16 };
/// A node below the root that gets fewer is united with a neighbour.
pub(super) const MIN: usize = MAX / 4;
