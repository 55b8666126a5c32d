//! I9 No decided truncation: what a node handed out as decided stays in its log as it is.
//! Knows nothing about why a log changes.
//!
//! PROTOCOL.md, "Handlers": a sync keeps `max(prev, commit)`.

use super::ghost::{Ghost, NodeGhost};

/// A node has changed the log that it holds.
pub(crate) fn check(ghost: &Ghost, node: &NodeGhost) -> Result<(), String> {
    // Until the record that installs a snapshot, what comes before it is still being written.
    let installs = node.written_snap < node.replaced;
    if installs || node.written.agrees(&ghost.chosen, node.decided) {
        return Ok(());
    }
    Err(format!(
        "its log no longer holds the decided slots up to {} (it ends at {})",
        node.decided,
        node.written.last()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;
    use chil_core::Slot;

    #[test]
    fn cutting_a_decided_slot_is_found() {
        let one = ballot(1, 0);
        let mut history = ghost(&[(one, &[one, one])]);
        history.chosen = history.ballots[&one].log.clone();
        history.nodes[0].decided = Slot::new(2);
        assert_eq!(check(&history, &history.nodes[0]), Ok(()));
        history.nodes[0].written.truncate(Slot::new(1));
        assert!(check(&history, &history.nodes[0]).is_err());
        history.nodes[0].replaced = Slot::new(2);
        assert_eq!(check(&history, &history.nodes[0]), Ok(()));
        history.nodes[0].written_snap = Slot::new(2);
        assert!(check(&history, &history.nodes[0]).is_err());
    }
}
