//! The tree against the standard library's map, copies included.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::node::{MAX, MIN};
use super::*;

type Map = OrderedMap<u16, u32>;

/// Asserts a node's invariant and returns its height and number of values.
fn check(node: &Node<u16, u32>, bounds: (Option<u16>, Option<u16>)) -> (usize, u64) {
    let (low, high) = bounds;
    let keys = match node {
        Node::Leaf { keys, .. } | Node::Inner { keys, .. } => keys,
    };
    assert!(node.len() <= MAX);
    assert!(keys.is_sorted_by(|a, b| a < b));
    assert!(keys.first().is_none_or(|k| low.is_none_or(|low| low <= *k)));
    assert!(
        keys.last()
            .is_none_or(|k| high.is_none_or(|high| *k < high))
    );
    match node {
        Node::Leaf { keys, values } => {
            assert_eq!(keys.len(), values.len());
            (0, values.len() as u64)
        }
        Node::Inner { keys, children } => {
            assert_eq!(keys.len() + 1, children.len());
            let mut below = Vec::new();
            for (i, child) in children.iter().enumerate() {
                let low = i.checked_sub(1).and_then(|i| keys.get(i)).copied().or(low);
                let high = keys.get(i).copied().or(high);
                below.push(check(child, (low, high)));
            }
            assert!(below.iter().all(|(height, _)| *height == below[0].0));
            (below[0].0 + 1, below.iter().map(|(_, len)| len).sum())
        }
    }
}

fn contents(map: &Map) -> Vec<(u16, u32)> {
    let (_, len) = check(&map.root, (None, None));
    assert_eq!(len, map.len());
    map.iter().map(|(k, v)| (*k, *v)).collect()
}

fn same(map: &Map, model: &BTreeMap<u16, u32>) {
    assert_eq!(
        contents(map),
        model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_added_at_the_end_fills_the_leaves() {
    let mut map = Map::default();
    for key in 0..10_000 {
        map.insert(key, 0);
    }
    let leaves = |map: &Map| {
        let mut nodes = vec![Arc::clone(&map.root)];
        let mut leaves = 0;
        while let Some(node) = nodes.pop() {
            match node.as_ref() {
                Node::Inner { children, .. } => nodes.extend(children.iter().cloned()),
                Node::Leaf { .. } => leaves += 1,
            }
        }
        leaves
    };
    assert_eq!(leaves(&map), 10_000_usize.div_ceil(MAX));
    // Leaves do not stay behind empty, either.
    for key in (0..10_000).filter(|key| key % 100 != 0) {
        map.remove(&key);
    }
    assert_eq!(contents(&map).len(), 100);
    assert!(leaves(&map) <= 100 / MIN + 1, "{}", leaves(&map));
}

#[test]
fn an_empty_map_stays_small_after_all_is_removed() {
    let mut map = Map::default();
    for key in 0..5_000 {
        map.insert(key, 0);
    }
    for key in (0..5_000).rev() {
        assert_eq!(map.remove(&key), Some(0));
        assert_eq!(map.remove(&key), None);
    }
    assert_eq!((map.len(), map.root.len()), (0, 0));
    assert!(matches!(map.root.as_ref(), Node::Leaf { .. }));
}

#[test]
fn a_copy_shares_all_that_did_not_change() {
    let mut map = Map::default();
    for key in 0..1_000 {
        map.insert(key, 0);
    }
    let frozen = map.clone();
    *map.get_mut(&500).unwrap() = 1;
    let (Node::Inner { children: a, .. }, Node::Inner { children: b, .. }) =
        (map.root.as_ref(), frozen.root.as_ref())
    else {
        panic!("1,000 items are more than a leaf holds");
    };
    let shared = a.iter().zip(b).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(shared, a.len() - 1);
    assert_eq!(frozen.get(&500), Some(&0));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u32),
    Remove(u16),
    Change(u16),
    Freeze,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Runs of neighbouring keys, so that nodes get full and empty.
    let step = prop_oneof![
        6 => (0_u16..400, any::<u32>()).prop_map(|(k, v)| Step::Insert(k, v)),
        5 => (0_u16..400).prop_map(Step::Remove),
        2 => (0_u16..400).prop_map(Step::Change),
        1 => Just(Step::Freeze),
    ];
    proptest::collection::vec(step, 0..1_500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_a_map(full in 0_u16..400, steps in steps(), start in 0_u16..400) {
        let (mut map, mut model) = (Map::default(), BTreeMap::new());
        for key in 0..full {
            prop_assert_eq!(map.insert(key, 0), model.insert(key, 0));
        }
        let mut frozen = (map.clone(), model.clone());
        for step in steps {
            match step {
                Step::Insert(k, v) => prop_assert_eq!(map.insert(k, v), model.insert(k, v)),
                Step::Remove(k) => prop_assert_eq!(map.remove(&k), model.remove(&k)),
                Step::Change(k) => {
                    let (here, there) = (map.get_mut(&k), model.get_mut(&k));
                    prop_assert_eq!(here.is_some(), there.is_some());
                    if let (Some(here), Some(there)) = (here, there) {
                        *here = here.wrapping_add(1);
                        *there = there.wrapping_add(1);
                    }
                }
                Step::Freeze => {
                    same(&frozen.0, &frozen.1);
                    frozen = (map.clone(), model.clone());
                }
            }
            prop_assert_eq!(map.get(&start), model.get(&start));
        }
        same(&map, &model);
        same(&frozen.0, &frozen.1);
        for bound in [Bound::Included(&start), Bound::Excluded(&start), Bound::Unbounded] {
            let here: Vec<_> = map.range_from(bound).collect();
            let there: Vec<_> = model.range((bound, Bound::Unbounded)).collect();
            prop_assert_eq!(here, there);
        }
    }
}
