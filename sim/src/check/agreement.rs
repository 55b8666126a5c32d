//! I1 Agreement: a slot for which one value was chosen never gets another.
//! Knows nothing about who believes what: only votes count.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.1: "Only a single value is chosen".

use chil_core::{Ballot, Slot};

use super::ghost::Ghost;

/// `ballot` has now a quorum of votes for everything up to `to`: does that fit what is chosen?
pub(crate) fn check(ghost: &Ghost, ballot: Ballot, to: Slot) -> Result<(), String> {
    let Some(voted) = ghost.ballots.get(&ballot) else {
        return Ok(());
    };
    let common = to.min(ghost.chosen.last());
    if voted.log.agrees(&ghost.chosen, common) {
        return Ok(());
    }
    let slot = voted.log.first_difference(&ghost.chosen).unwrap_or(common);
    let origin = |cell: Option<super::ghost::Cell>| {
        cell.map_or_else(|| "nothing".to_owned(), |cell| cell.origin.to_string())
    };
    Err(format!(
        "two values are chosen for slot {slot}: the one proposed in {} and, by the votes of \
         {ballot}, the one proposed in {}",
        origin(ghost.chosen.get(slot)),
        origin(voted.log.get(slot))
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn two_quorums_for_two_values_are_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(one, &[one]), (one, &[one]), (two, &[two])]);
        history.chosen = history.ballots[&one].log.clone();
        assert_eq!(check(&history, one, Slot::new(1)), Ok(()));
        let found = check(&history, two, Slot::new(1)).unwrap_err();
        assert!(found.contains("slot 1"), "{found}");
    }
}
