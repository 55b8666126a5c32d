//! I3 Decided means chosen: what a node takes or states as decided has a quorum of durable votes.
//! Knows nothing about values: that is I4.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.3: a learner learns only chosen values.

use chil_core::Slot;

use super::ghost::Ghost;

/// Somebody acts on, or states, that everything up to `commit` is decided.
pub(crate) fn check(ghost: &Ghost, commit: Slot, what: &str) -> Result<(), String> {
    let chosen = ghost.chosen.last();
    if commit <= chosen {
        return Ok(());
    }
    Err(format!(
        "{what} says that slot {commit} is decided, but votes of a quorum are durable only up to \
         slot {chosen}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn a_commit_without_a_quorum_of_durable_votes_is_found() {
        let one = ballot(1, 0);
        let mut history = ghost(&[(one, &[one, one]), (one, &[one]), (one, &[])]);
        let reach = history.quorum_reach(&history.ballots[&one].reach);
        assert_eq!(reach, Slot::new(1));
        let log = history.ballots[&one].log.clone();
        history.chosen.extend_from(&log, reach);
        assert_eq!(check(&history, Slot::new(1), "a test"), Ok(()));
        assert!(check(&history, Slot::new(2), "a test").is_err());
    }
}
