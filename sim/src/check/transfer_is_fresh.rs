//! A word to take over is honoured only while it is fresh: by a node that has promised the sender's
//! ballot and holds exactly its log. Knows nothing about why a leader hands over.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 3.10: the target's log must
//! match the leader's before it is told to start an election.

use chil_core::Status;
use chil_core::message::TransferNow;

/// A node that showed `before` received `word`, and `campaigned` or not upon that.
pub(crate) fn check(before: &Status, word: &TransferNow, campaigned: bool) -> Result<(), String> {
    let fresh =
        before.promised == word.ballot && before.acc == word.ballot && before.last == word.last;
    if fresh || !campaigned {
        return Ok(());
    }
    Err(format!(
        "takes over from {} with a log of {} up to slot {} and a promise of {}, but was told to \
         with slot {}",
        word.ballot, before.acc, before.last, before.promised, word.last
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, status};
    use super::*;
    use chil_core::{Role, Slot};

    #[test]
    fn taking_over_upon_a_late_word_is_found() {
        let word = |n| TransferNow {
            ballot: ballot(n, 1),
            last: Slot::new(3),
        };
        let mut before = status(Role::Follower, 3);
        (before.promised, before.acc) = (ballot(2, 1), ballot(2, 1));
        before.last = Slot::new(3);
        assert_eq!(check(&before, &word(2), true), Ok(()));
        assert_eq!(check(&before, &word(1), false), Ok(()));
        assert!(check(&before, &word(1), true).is_err());
        before.last = Slot::new(2);
        assert!(check(&before, &word(2), true).is_err());
    }
}
