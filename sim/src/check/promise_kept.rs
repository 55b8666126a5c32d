//! I8 Promise kept: no vote in a ballot below one that the same disk promised before.
//! Knows nothing about messages: only what became durable, in its order, counts.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.2, P1a: an acceptor accepts a proposal numbered
//! n only if it has not responded to a prepare request numbered greater than n.

use chil_core::{LogChange, Slot};

use super::ghost::NodeGhost;

/// A change of the log becomes durable on a node whose log ends at `last` with it.
pub(crate) fn check(node: &NodeGhost, change: &LogChange, last: Slot) -> Result<(), String> {
    if change.acc >= node.promised {
        return Ok(());
    }
    if change.acc > node.acc {
        return Err(format!(
            "accepts the log of ballot {} after it promised {}",
            change.acc, node.promised
        ));
    }
    // What was learned as decided is no vote.
    let learned = change.commit_in > change.acc || last <= change.commit;
    if learned || last <= node.voted_to {
        return Ok(());
    }
    Err(format!(
        "votes for slot {last} in ballot {} after it promised {}",
        change.acc, node.promised
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, change, entries, ghost};
    use super::*;

    #[test]
    fn a_vote_below_a_promise_is_found_and_learning_is_none() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(one, &[one])]);
        let log = entries(&[one, one]);
        let vote = change(one, 1, &log, 0);
        let last = Slot::new(2);
        assert_eq!(check(&history.nodes[0], &vote, last), Ok(()));
        history.nodes[0].promised = two;
        assert!(check(&history.nodes[0], &vote, last).is_err());
        assert_eq!(
            check(&history.nodes[0], &change(one, 1, &log, 2), last),
            Ok(())
        );
        history.nodes[0].promised = ballot(3, 0);
        assert!(check(&history.nodes[0], &change(two, 1, &log, 2), last).is_err());
    }
}
