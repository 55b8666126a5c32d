//! V4 Caught up: whoever lagged behind, was away or only learns, holds what was decided a while ago.
//! Knows nothing about how it comes to hold it: from the leader, or from others by hearsay.
//!
//! PROTOCOL.md, "Liveness".

use chil_core::Slot;

/// What a node has executed, when `floor` was decided a while ago and messages reach it, both ways
/// and perhaps over others, from whoever leads.
pub(crate) fn check(applied: Slot, floor: Slot) -> Result<(), String> {
    if applied >= floor {
        return Ok(());
    }
    Err(format!(
        "has executed up to slot {applied} only, although slot {floor} was decided long ago and \
         messages reach it"
    ))
}

/// Who is reached from `start` over links that work both ways.
pub(crate) fn reached(
    start: usize,
    nodes: usize,
    linked: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(&from) = reached.get(next) {
        next += 1;
        for to in 0..nodes {
            if !reached.contains(&to) && linked(from, to) && linked(to, from) {
                reached.push(to);
            }
        }
    }
    reached.sort_unstable();
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_lags_is_found() {
        assert_eq!(check(Slot::new(5), Slot::new(5)), Ok(()));
        assert!(check(Slot::new(4), Slot::new(5)).is_err());
    }

    #[test]
    fn chains_reach_and_one_way_links_do_not() {
        let chain = |a: usize, b: usize| a.abs_diff(b) == 1;
        assert_eq!(reached(1, 4, chain), [0, 1, 2, 3]);
        let up_only = |a: usize, b: usize| chain(a, b) && a < b;
        assert_eq!(reached(1, 4, up_only), [1]);
        assert_eq!(reached(3, 4, |a, b| chain(a, b) && a + b != 3), [2, 3]);
    }
}
