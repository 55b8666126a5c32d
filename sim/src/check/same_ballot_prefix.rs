//! I13 Same ballot, same prefix: two logs of one ballot agree as far as both were voted for.
//! Knows nothing about leaders.
//!
//! The log form of "one value a ballot"; compare Ongaro, Ousterhout, "In Search of an
//! Understandable Consensus Algorithm" (2014), section 5.3, Log Matching.

use super::ghost::Ghost;

/// The durable log of `node` has changed.
pub(crate) fn check(ghost: &Ghost, node: usize) -> Result<(), String> {
    let Some(mine) = ghost.nodes.get(node) else {
        return Ok(());
    };
    for (peer, other) in ghost.nodes.iter().enumerate() {
        if peer == node || other.acc != mine.acc {
            continue;
        }
        let common = mine.voted_to.min(other.voted_to);
        if !mine.durable.agrees(&other.durable, common) {
            let slot = mine.durable.first_difference(&other.durable);
            return Err(format!(
                "its log and that of node {peer}, both of {}, differ in slot {}",
                mine.acc,
                slot.unwrap_or(common)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;
    use chil_core::Slot;

    #[test]
    fn two_logs_of_one_ballot_that_differ_are_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(two, &[one, two]), (two, &[one, one])]);
        assert!(check(&history, 0).is_err());
        history.nodes[1].voted_to = Slot::new(1);
        assert_eq!(check(&history, 0), Ok(()));
    }
}
