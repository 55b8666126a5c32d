//! I12 Match is true: what a leader believes of a follower's log was once durable there, in its
//! ballot. Knows nothing about messages.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.2, phase 2: acceptances count for their ballot.

use chil_core::{Ballot, Slot};

use super::ghost::Ghost;

/// The leader of `ballot` believes that `peer` has accepted everything up to `matched`.
pub(crate) fn check(
    ghost: &Ghost,
    ballot: Ballot,
    peer: usize,
    matched: Slot,
) -> Result<(), String> {
    let reach = ghost.reach(peer, ballot);
    if matched <= reach {
        return Ok(());
    }
    Err(format!(
        "leads {ballot} and believes that node {peer} has slot {matched}, but its durable votes \
         there end at {reach}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn a_match_from_another_ballot_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 0));
        let history = ghost(&[(two, &[one, one]), (one, &[one, one])]);
        assert_eq!(check(&history, one, 1, Slot::new(2)), Ok(()));
        assert!(check(&history, two, 1, Slot::new(1)).is_err());
    }
}
