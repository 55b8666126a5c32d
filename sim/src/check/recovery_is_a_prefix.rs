//! I24 Recovery is honest: what a disk gives back is the fold of what was written to it, up to
//! some point that is not before the last sync. Knows nothing about files.
//!
//! `chil_core::record`: any store whose recovery equals the fold of a durable prefix of the
//! records is a correct one.

use chil_core::{Record, Recovered};

/// How many of the `pending` records behind `synced` the disk kept, if any number explains what
/// was `found`.
pub(crate) fn check(
    synced: &Recovered,
    pending: &[Record],
    found: &Recovered,
) -> Result<usize, String> {
    let mut state = synced.clone();
    // The longest explanation: records that change nothing are counted as kept.
    let mut explains = is_state(&state, found).then_some(0);
    for (at, record) in pending.iter().enumerate() {
        state.fold(record);
        if is_state(&state, found) {
            explains = Some(at + 1);
        }
    }
    explains.ok_or_else(|| {
        format!(
            "the disk gives back a log of {} up to slot {} with promise {} and commit {}, which \
             is no prefix of what was written: synced were {} up to slot {} with promise {}, and \
             {} records more were on their way",
            found.acc,
            found.last(),
            found.meta.promised,
            found.commit,
            synced.acc,
            synced.last(),
            synced.meta.promised,
            pending.len()
        )
    })
}

/// Whether `found` is `state`, but perhaps with entries before its beginning that a trimming has
/// not removed yet. What there is of a transfer under way is no record, and not compared.
fn is_state(state: &Recovered, found: &Recovered) -> bool {
    let same = found.meta == state.meta
        && (found.acc, found.commit, found.commit_in) == (state.acc, state.commit, state.commit_in)
        && found.base <= state.base
        && found.last() == state.last();
    if !same {
        return false;
    }
    let more = usize::try_from(state.base.distance(found.base)).unwrap_or(usize::MAX);
    let (Some(before), Some(log)) = (found.log.get(..more), found.log.get(more..)) else {
        return false;
    };
    let mut end = (found.base, found.base_chain);
    let linked = before.iter().all(|entry| {
        let follows = entry.follows(end.0, end.1);
        end = (entry.slot(), entry.chain());
        follows
    });
    linked && end == (state.base, state.base_chain) && log == state.log
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, change, entries};
    use super::*;
    use chil_core::{ClusterId, DiskId, Epoch, Membership, Meta, SessionLimits};

    #[test]
    fn only_prefixes_of_what_was_written_are_honest() {
        let one = ballot(1, 0);
        let membership = Membership {
            epoch: Epoch::FIRST,
            members: std::collections::BTreeMap::new(),
            protocol: 1,
            lease: None,
            sessions: SessionLimits::default(),
        };
        let meta = Meta::format(ClusterId::new(1), one.node, DiskId::new(1), membership);
        let synced = Recovered::formatted(meta);
        let log = entries(&[one, one, one]);
        let pending = [
            Record::Log(change(one, 0, &log[..1], 0)),
            Record::Log(change(one, 1, &log[..2], 1)),
            Record::Log(change(one, 2, &log, 1)),
        ];
        let mut found = synced.clone();
        for (kept, record) in pending.iter().enumerate() {
            assert_eq!(check(&synced, &pending, &found), Ok(kept));
            found.fold(record);
        }
        let mut hole = synced.clone();
        hole.fold(&pending[0]);
        hole.commit = chil_core::Slot::new(1);
        assert!(check(&synced, &pending, &hole).is_err());
        let mut later = synced;
        later.fold(&pending[0]);
        assert!(
            check(
                &later,
                &pending[1..],
                &Recovered::formatted(later.meta.clone())
            )
            .is_err()
        );
    }

    #[test]
    fn entries_that_were_to_be_trimmed_may_still_be_there_but_only_the_right_ones() {
        let (one, two) = (ballot(1, 0), ballot(2, 1));
        let membership = Membership {
            epoch: Epoch::FIRST,
            members: std::collections::BTreeMap::new(),
            protocol: 1,
            lease: None,
            sessions: SessionLimits::default(),
        };
        let meta = Meta::format(ClusterId::new(1), one.node, DiskId::new(1), membership);
        let log = entries(&[one, one, one]);
        let mut whole = Recovered::formatted(meta);
        whole.fold(&Record::Log(change(one, 0, &log, 3)));
        let mut trimmed = whole.clone();
        let mut log = trimmed.log.split_off(2);
        trimmed.base = chil_core::Slot::new(2);
        trimmed.base_chain = whole.log[1].chain();
        std::mem::swap(&mut trimmed.log, &mut log);
        assert_eq!(check(&trimmed, &[], &whole), Ok(0));
        assert_eq!(check(&trimmed, &[], &trimmed), Ok(0));
        assert!(check(&whole, &[], &trimmed).is_err(), "nothing allowed it");
        whole.log[1] = entries(&[one, two])[1].clone();
        assert!(check(&trimmed, &[], &whole).is_err());
    }
}
