//! I6 Bounds: `applied <= commit <= last`, `durable <= last`, and logs without holes.
//! Knows nothing about other nodes.
//!
//! The relation stands in PROTOCOL.md, "State".

use chil_core::{LogChange, Slot, Status};

use super::ghost::Cells;

/// What a node shows of itself.
pub(crate) fn check_status(status: &Status) -> Result<(), String> {
    let (applied, commit) = (status.applied, status.commit);
    if applied <= commit && commit <= status.last && status.durable <= status.last {
        return Ok(());
    }
    Err(format!(
        "applied={applied} <= commit={commit} <= last={} and durable={} <= last do not all hold",
        status.last, status.durable
    ))
}

/// A node changes its log, which is `log` so far and begins behind `base`.
pub(crate) fn check_change(log: &Cells, base: Slot, change: &LogChange) -> Result<(), String> {
    if change.keep < base {
        return Err(format!(
            "keeps {} slots of a log that begins behind {base}",
            change.keep
        ));
    }
    if change.keep > log.last() {
        return Err(format!(
            "keeps {} slots of a log that ends at {}",
            change.keep,
            log.last()
        ));
    }
    let mut expected = change.keep;
    for entry in &change.entries {
        expected = expected.next();
        if entry.slot() != expected {
            return Err(format!("writes {entry} into slot {expected}"));
        }
    }
    if change.commit > expected.max(Slot::ZERO) {
        return Err(format!(
            "writes a commit of {} behind the end of its log at {expected}",
            change.commit
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, change, entries};
    use super::*;

    #[test]
    fn holes_and_a_commit_behind_the_end_are_found() {
        let one = ballot(1, 0);
        let log = entries(&[one, one, one]);
        let mut cells = Cells::default();
        cells.push(&log[0]);
        assert_eq!(
            check_change(&cells, Slot::ZERO, &change(one, 1, &log, 3)),
            Ok(())
        );
        assert!(check_change(&cells, Slot::ZERO, &change(one, 2, &log, 0)).is_err());
        assert!(check_change(&cells, Slot::new(2), &change(one, 1, &log, 0)).is_err());
        assert!(check_change(&cells, Slot::ZERO, &change(one, 1, &log, 4)).is_err());
        let mut hole = change(one, 1, &log, 0);
        hole.entries.remove(0);
        assert!(check_change(&cells, Slot::ZERO, &hole).is_err());
    }

    #[test]
    fn a_commit_behind_the_log_in_memory_is_found() {
        let mut status = Status {
            cluster: chil_core::ClusterId::new(1),
            node: chil_core::NodeId::new(1),
            epoch: chil_core::Epoch::FIRST,
            boot: 1,
            role: chil_core::Role::Follower,
            ballot: ballot(0, 0),
            promised: ballot(1, 0),
            acc: ballot(1, 0),
            leader: None,
            happy: false,
            damaged: false,
            applied: Slot::new(1),
            commit: Slot::new(2),
            last: Slot::new(3),
            durable: Slot::new(3),
            fresh_at: None,
            base: Slot::ZERO,
            log_bytes: 0,
            snapshot: None,
            fetching: None,
            peers: Vec::new(),
        };
        assert_eq!(check_status(&status), Ok(()));
        status.commit = Slot::new(4);
        assert!(check_status(&status).is_err());
    }
}
