//! I2 One value a ballot: votes of one ballot for one slot are for one value, and one node
//! proposes in it, once. Knows nothing about what is chosen.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.2: each proposal has a number of its own.

use chil_core::{Ballot, NodeId, Slot};

use super::ghost::Ghost;

/// `node` is about to vote in `ballot` for its durable log up to `last`.
pub(crate) fn check_vote(
    ghost: &Ghost,
    node: usize,
    ballot: Ballot,
    last: Slot,
) -> Result<(), String> {
    let (Some(voter), Some(known)) = (ghost.nodes.get(node), ghost.ballots.get(&ballot)) else {
        return Ok(());
    };
    let common = last.min(known.log.last());
    if voter.durable.agrees(&known.log, common) {
        return Ok(());
    }
    let slot = voter.durable.first_difference(&known.log).unwrap_or(common);
    Err(format!(
        "in ballot {ballot} two values are voted for in slot {slot}"
    ))
}

/// The node `id` with index `node` begins to lead `ballot`.
pub(crate) fn check_leader(
    ghost: &Ghost,
    node: usize,
    id: NodeId,
    ballot: Ballot,
) -> Result<(), String> {
    if ballot.node != id {
        return Err(format!("leads ballot {ballot} of another node"));
    }
    match ghost.ballots.get(&ballot).and_then(|b| b.adopted) {
        Some((other, _)) => Err(format!(
            "ballot {ballot} is led twice, by node {other} and by node {node}"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, entries, ghost};
    use super::*;

    #[test]
    fn a_second_value_in_one_ballot_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let mut history = ghost(&[(two, &[one, two]), (one, &[one]), (one, &[one])]);
        for entry in entries(&[one, one]).iter().skip(1) {
            history.nodes[1].durable.push(entry);
        }
        assert_eq!(check_vote(&history, 1, two, Slot::new(1)), Ok(()));
        let found = check_vote(&history, 1, two, Slot::new(2)).unwrap_err();
        assert!(found.contains("slot 2"), "{found}");
    }

    #[test]
    fn leading_a_ballot_twice_or_a_foreign_one_is_found() {
        let one = ballot(1, 0);
        let mut history = ghost(&[(one, &[]), (one, &[]), (one, &[])]);
        assert_eq!(check_leader(&history, 0, one.node, one), Ok(()));
        assert!(check_leader(&history, 1, NodeId::new(2), one).is_err());
        history.ballot(one).adopted = Some((0, Slot::ZERO));
        assert!(check_leader(&history, 0, one.node, one).is_err());
    }
}
