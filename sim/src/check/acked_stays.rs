//! I19 Acknowledged writes stay: what a client was told to be done is chosen, and every node that
//! is up at the end has executed it. Knows nothing about reads.
//!
//! Herlihy, Wing, "Linearizability" (1990): a completed operation has taken effect.

use chil_core::{Ballot, Slot};

use super::ghost::Ghost;

/// A client is told that its command, placed in `slot` by the leader of `origin`, is done.
pub(crate) fn check_ack(ghost: &Ghost, slot: Slot, origin: Ballot) -> Result<(), String> {
    match ghost.chosen.get(slot) {
        Some(cell) if cell.origin == origin => Ok(()),
        Some(cell) => Err(format!(
            "a client is told that its command of {origin} took slot {slot}, but the one of {} \
             was chosen there",
            cell.origin
        )),
        None => Err(format!(
            "a client is told that slot {slot} is done, but nothing is chosen there"
        )),
    }
}

/// At the end of the run a node has executed everything up to `applied`.
pub(crate) fn check_end(acked: Slot, applied: Slot) -> Result<(), String> {
    if applied >= acked {
        return Ok(());
    }
    Err(format!(
        "slot {acked} was acknowledged, but at the end only slots up to {applied} are executed"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn an_ack_of_something_that_was_not_chosen_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(one, &[one])]);
        assert!(check_ack(&history, Slot::new(1), one).is_err());
        history.chosen = history.ballots[&one].log.clone();
        assert_eq!(check_ack(&history, Slot::new(1), one), Ok(()));
        assert!(check_ack(&history, Slot::new(1), two).is_err());
        assert!(check_end(Slot::new(2), Slot::new(1)).is_err());
    }
}
