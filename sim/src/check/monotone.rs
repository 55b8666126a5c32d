//! I7 Monotone: promises, ballots of logs and boot counts never go back on a disk; commit never
//! within a life; a log shortens only for a reason. Knows nothing about other nodes.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.5: an acceptor remembers its promise across
//! failures.

use chil_core::{LogChange, Meta, Slot, Status};

use super::ghost::{Changed, NodeGhost};

/// A metadata block becomes durable on a node.
pub(crate) fn check_meta(node: &NodeGhost, meta: &Meta) -> Result<(), String> {
    if meta.promised < node.promised {
        return Err(format!(
            "its durable promise goes back from {} to {}",
            node.promised, meta.promised
        ));
    }
    if meta.boot < node.boot {
        return Err(format!(
            "its boot count goes back from {} to {}",
            node.boot, meta.boot
        ));
    }
    let snap = meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot);
    if snap < node.snap {
        return Err(format!(
            "its durable snapshot goes back from slot {} to {snap}",
            node.snap
        ));
    }
    Ok(())
}

/// A change of the log becomes durable on a node whose log had the ballot `node.acc`; `did` is
/// what it did to the log.
pub(crate) fn check_change(
    node: &NodeGhost,
    change: &LogChange,
    did: Changed,
) -> Result<(), String> {
    if change.acc < node.acc {
        return Err(format!(
            "the ballot of its log goes back from {} to {}",
            node.acc, change.acc
        ));
    }
    if did.last >= did.before || change.acc > node.acc {
        return Ok(());
    }
    // Learned entries that contradict the log take the rest of it with them, but nothing else may.
    let learned = change.commit_in > change.acc;
    if learned && did.differs.is_some() {
        return Ok(());
    }
    Err(format!(
        "its durable log is cut from {} to {} without a sync and without a conflict",
        did.before, did.last
    ))
}

/// What a node shows of itself, after what it has shown before in this life.
pub(crate) fn check_status(node: &NodeGhost, status: &Status) -> Result<(), String> {
    if status.commit < node.shown_commit {
        return Err(format!(
            "commit goes back from {} to {}",
            node.shown_commit, status.commit
        ));
    }
    let promised = node.shown_promised.max(node.promised);
    if status.promised < promised {
        return Err(format!(
            "its promise goes back from {promised} to {}",
            status.promised
        ));
    }
    if status.acc < node.acc {
        return Err(format!(
            "the ballot of its log is {} in memory, but {} on disk",
            status.acc, node.acc
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, change, entries, ghost};
    use super::*;

    #[test]
    fn a_log_cut_without_a_sync_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let history = ghost(&[(one, &[one, one, one])]);
        let node = &history.nodes[0];
        let log = entries(&[one]);
        let cut = change(one, 1, &log, 0);
        let did = node.durable.clone().change(&cut);
        assert_eq!(
            (did.before.get(), did.last.get(), did.differs),
            (3, 1, None)
        );
        assert!(check_change(node, &cut, did).is_err());
        let sync = change(two, 1, &log, 0);
        assert_eq!(check_change(node, &sync, did), Ok(()));
    }

    #[test]
    fn a_conflict_with_learned_entries_may_cut_but_learning_without_one_may_not() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let history = ghost(&[(one, &[one, one, one])]);
        let node = &history.nodes[0];
        let mut learn = change(one, 1, &entries(&[one, two]), 2);
        learn.commit_in = two;
        let did = node.durable.clone().change(&learn);
        assert_eq!(check_change(node, &learn, did), Ok(()));
        let mut learn = change(one, 1, &entries(&[one, one]), 2);
        learn.commit_in = two;
        let did = node.durable.clone().change(&learn);
        assert!(check_change(node, &learn, did).is_err());
    }

    #[test]
    fn a_log_ballot_or_promise_that_goes_back_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let history = ghost(&[(two, &[one])]);
        let node = &history.nodes[0];
        let back = change(one, 1, &entries(&[one]), 0);
        let did = node.durable.clone().change(&back);
        assert!(check_change(node, &back, did).is_err());
        let membership = chil_core::Membership {
            epoch: chil_core::Epoch::FIRST,
            members: std::collections::BTreeMap::new(),
            protocol: 1,
            lease: None,
            sessions: chil_core::SessionLimits::default(),
        };
        let mut meta = Meta::format(
            chil_core::ClusterId::new(1),
            two.node,
            chil_core::DiskId::new(1),
            membership,
        );
        meta.promised = one;
        assert!(check_meta(node, &meta).is_err());
        meta.promised = two;
        assert_eq!(check_meta(node, &meta), Ok(()));
        let mut node = node.clone();
        node.snap = Slot::new(1);
        assert!(
            check_meta(&node, &meta).is_err(),
            "it names no snapshot any more"
        );
    }
}
