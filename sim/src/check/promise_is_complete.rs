//! A promise is complete: it reports at least everything that was accepted before it.
//! Knows nothing about what the candidate makes of it.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.2, phase 1(b): the response carries "the
//! highest-numbered proposal (if any) that it has accepted". An acceptance that is still on its
//! way to the disk counts: it will be acknowledged.

use chil_core::message::Promise;

use super::ghost::NodeGhost;

/// `promise` leaves `node`.
pub(crate) fn check(node: &NodeGhost, promise: &Promise) -> Result<(), String> {
    let (acc, last) = node.promise_floor;
    if promise.ballot != node.promised || (promise.acc, promise.last) >= (acc, last) {
        return Ok(());
    }
    Err(format!(
        "promises {} and reports a log of {} up to slot {}, but it had accepted slot {last} in \
         {acc} before",
        promise.ballot, promise.acc, promise.last
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;
    use chil_core::{Chain, Slot};

    #[test]
    fn a_promise_that_leaves_out_an_accepted_slot_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(one, &[one, one])]);
        history.nodes[0].promised = two;
        history.nodes[0].promise_floor = (one, Slot::new(2));
        let mut promise = Promise {
            ballot: two,
            acc: one,
            last: Slot::new(2),
            chain_at_last: Chain::EMPTY,
            commit: Slot::ZERO,
            from: Slot::new(2),
            suffix: Vec::new(),
            damaged: false,
        };
        assert_eq!(check(&history.nodes[0], &promise), Ok(()));
        promise.last = Slot::new(1);
        assert!(check(&history.nodes[0], &promise).is_err());
    }
}
