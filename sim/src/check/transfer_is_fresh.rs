//! A word to take over is honoured only while it is fresh: by a node that has promised the sender's
//! ballot and holds exactly its log; and whoever sent it proposes nothing more in that ballot, or a
//! late one would depose a leader that works. Knows nothing about why a leader hands over.
//!
//! Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 3.10: the target's log must
//! match the leader's before it is told to start an election. PROTOCOL.md, "Transfer of
//! leadership": whoever takes its leadership back prepares a higher ballot first.

use chil_core::message::{Accept, TransferNow};
use chil_core::{Ballot, Slot, Status};

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

/// The ballots that were handed over, by node: the last one of each, and where its log ended.
#[derive(Debug)]
pub(crate) struct Words(Vec<Option<(Ballot, Slot)>>);

impl Words {
    /// Nobody has handed anything over.
    pub(crate) fn new(nodes: usize) -> Self {
        Self(vec![None; nodes])
    }

    /// This node tells its successor to take over.
    pub(crate) fn tells(&mut self, node: usize, word: &TransferNow) {
        self.0[node] = Some((word.ballot, word.last));
    }

    /// This node sends entries as a leader.
    pub(crate) fn check_accept(&self, node: usize, accept: &Accept) -> Result<(), String> {
        let Some((ballot, last)) = self.0[node].filter(|(ballot, _)| *ballot == accept.ballot)
        else {
            return Ok(());
        };
        let end = Slot::new(accept.prev.get() + accept.entries.len() as u64);
        if end <= last {
            return Ok(());
        }
        Err(format!(
            "sends slot {end} in {ballot}, which it handed over with slot {last}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, entries, status};
    use super::*;
    use chil_core::{Chain, Role};

    fn word(n: u64, last: u64) -> TransferNow {
        TransferNow {
            ballot: ballot(n, 1),
            last: Slot::new(last),
        }
    }

    #[test]
    fn taking_over_upon_a_late_word_is_found() {
        let mut before = status(Role::Follower, 3);
        (before.promised, before.acc) = (ballot(2, 1), ballot(2, 1));
        before.last = Slot::new(3);
        assert_eq!(check(&before, &word(2, 3), true), Ok(()));
        assert_eq!(check(&before, &word(1, 3), false), Ok(()));
        assert!(check(&before, &word(1, 3), true).is_err());
        before.last = Slot::new(2);
        assert!(check(&before, &word(2, 3), true).is_err());
    }

    #[test]
    fn proposing_in_a_ballot_that_was_handed_over_is_found() {
        let accept = |n, prev| Accept {
            ballot: ballot(n, 1),
            sync: None,
            prev: Slot::new(prev),
            prev_chain: Chain::EMPTY,
            // How many there are is all that counts here.
            entries: entries(&[ballot(n, 1)]),
            commit: Slot::ZERO,
            seq: 1,
        };
        let mut words = Words::new(2);
        assert_eq!(words.check_accept(0, &accept(1, 7)), Ok(()));
        words.tells(0, &word(1, 3));
        assert_eq!(words.check_accept(0, &accept(1, 2)), Ok(()));
        assert!(words.check_accept(0, &accept(1, 3)).is_err());
        assert_eq!(words.check_accept(0, &accept(2, 3)), Ok(()));
        assert_eq!(words.check_accept(1, &accept(1, 3)), Ok(()));
    }
}
