//! Logs that begin anywhere, and logs that nobody can have written.

use bytes::Bytes;
use chil_core::{
    ClusterId, Command, DiskId, EntryKind, Epoch, Membership, NodeId, SessionLimits, SnapshotId,
    SnapshotMark,
};

use super::*;

const ACC: Ballot = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));

/// Entries of slots 1 to `count`, their payloads filled with `fill`.
fn log(count: u64, fill: u8) -> Vec<Entry> {
    let mut chain = Chain::EMPTY;
    (1..=count)
        .map(|slot| {
            let kind = EntryKind::Command(Command::sessionless(Bytes::from(vec![fill; 3])));
            let entry = Entry::new(chain, Slot::new(slot), ACC, kind);
            chain = entry.chain();
            entry
        })
        .collect()
}

fn meta(snap: Option<&Entry>) -> Meta {
    let membership = Membership {
        epoch: Epoch::FIRST,
        members: std::collections::BTreeMap::new(),
        protocol: 1,
        lease: None,
        sessions: SessionLimits::default(),
    };
    let mut meta = Meta::format(
        ClusterId::new(1),
        NodeId::new(1),
        DiskId::new(1),
        membership,
    );
    meta.snap = snap.map(mark);
    meta
}

fn mark(at: &Entry) -> SnapshotMark {
    SnapshotMark {
        id: SnapshotId {
            slot: at.slot(),
            chain: at.chain(),
            bytes: 1,
            digest: 2,
        },
        decided_in: ACC,
    }
}

fn seal(keep: u64, count: usize, commit: u64) -> Seal {
    Seal {
        keep: Slot::new(keep),
        count: count as u64,
        acc: ACC,
        commit: Slot::new(commit),
        commit_in: ACC,
    }
}

/// The frames of a transaction that keeps what is before its first entry.
fn transaction(entries: &[Entry], commit: u64) -> Vec<Payload> {
    let (last, rest) = entries.split_last().unwrap();
    let keep = entries[0].slot().prev().get();
    let mut frames: Vec<_> = rest.iter().cloned().map(Payload::Entry).collect();
    let seal = seal(keep, entries.len(), commit);
    frames.push(Payload::Last(last.clone(), seal));
    frames
}

fn snap(at: &Entry) -> Payload {
    Payload::Snap(Snap::of(&mark(at)))
}

fn read(meta: Meta, trimmed: bool, frames: &[Payload]) -> Result<Recovered, String> {
    let mut replay = Replay::new(meta, trimmed);
    for frame in frames {
        replay.take(frame.clone())?;
    }
    replay.finish().map_err(|unfit| match unfit {
        Unfit::Hole(detail) => format!("hole{detail}"),
        Unfit::Contradiction(detail) => detail,
    })
}

#[test]
fn a_log_without_its_first_frames_ends_as_the_whole_one() {
    let log = log(20, 7);
    let frames: Vec<_> = [&log[..5], &log[5..6], &log[6..15], &log[15..]]
        .iter()
        .flat_map(|entries| transaction(entries, 0))
        .chain([snap(&log[17]), Payload::Seal(seal(20, 0, 18))])
        .collect();
    let whole = read(meta(Some(&log[17])), false, &frames).unwrap();
    assert_eq!((whole.base, whole.last()), (Slot::ZERO, Slot::new(20)));
    for gone in 0..18 {
        let found = read(meta(Some(&log[17])), true, &frames[gone..]).unwrap();
        // The first entry of all stands on what is known; any other on what is gone.
        let first = if gone == 0 { 0 } else { gone as u64 + 1 };
        assert_eq!(found.base, Slot::new(first));
        assert_eq!(found.chain_at(Slot::new(20)), whole.chain_at(Slot::new(20)));
        assert_eq!((found.acc, found.commit), (whole.acc, whole.commit));
    }
    let behind_snapshot = read(meta(Some(&log[17])), true, &frames[18..]).unwrap();
    assert_eq!(behind_snapshot.base, Slot::new(18));
    let hole = read(meta(Some(&log[17])), true, &frames[19..]).unwrap_err();
    assert!(hole.starts_with("hole"), "{hole}");
}

#[test]
fn a_cut_below_the_first_entry_begins_the_log_there() {
    let (old, new) = (log(12, 1), log(20, 2));
    let mut frames = transaction(&old[10..], 0);
    frames.extend(transaction(&new[8..], 0));
    frames.push(snap(&new[14]));
    let found = read(meta(Some(&new[14])), true, &frames).unwrap();
    assert_eq!((found.base, found.last()), (Slot::new(9), Slot::new(20)));
    // Without entries of its own, whatever follows.
    let mut frames = transaction(&old[10..], 0);
    frames.push(Payload::Seal(seal(8, 0, 0)));
    frames.extend(transaction(&new[8..], 0));
    let found = read(meta(Some(&new[14])), true, &frames).unwrap();
    assert_eq!((found.base, found.last()), (Slot::new(9), Slot::new(20)));
}

#[test]
fn an_installed_snapshot_drops_what_differs_and_only_that() {
    let (old, new) = (log(12, 1), log(20, 2));
    for (kept, at) in [(true, &old[9]), (false, &new[9])] {
        let mut frames = transaction(&old, 0);
        let crashed = read(meta(Some(at)), false, &frames).unwrap();
        frames.push(snap(at));
        assert_eq!(read(meta(Some(at)), false, &frames).unwrap(), crashed);
        assert_eq!(crashed.last().get(), if kept { 12 } else { 10 });
        assert_eq!(crashed.commit, Slot::new(10));
    }
    let mut frames = transaction(&old, 0);
    frames.push(snap(&new[15]));
    frames.extend(transaction(&new[16..], 16));
    let found = read(meta(Some(&new[15])), false, &frames).unwrap();
    assert_eq!((found.base, found.last()), (Slot::new(16), Slot::new(20)));
    // The same without what was before it.
    let found = read(meta(Some(&new[15])), true, &frames[12..]).unwrap();
    assert_eq!((found.base, found.last()), (Slot::new(16), Slot::new(20)));
}

#[test]
fn what_no_store_writes_is_refused() {
    let log = log(20, 7);
    let refused = |frames: &[Payload]| read(meta(None), false, frames).unwrap_err();
    let first = transaction(&log[..5], 3);
    let mut hole = first.clone();
    hole.extend(transaction(&log[6..8], 3));
    assert!(refused(&hole).contains("hole"), "{}", refused(&hole));
    let mut cut = first.clone();
    cut.extend(transaction(&log[1..3], 3));
    assert!(refused(&cut).contains("cuts what was decided"));
    assert!(refused(&transaction(&log[..5], 6)).contains("more is decided"));
    assert!(refused(&first[1..]).contains("number of entries"));
    let inside = [first[0].clone(), Payload::Mark];
    assert!(refused(&inside).contains("inside a transaction"));
    let mut other = first;
    other.extend(transaction(&self::log(8, 9)[5..], 3));
    assert!(refused(&other).contains("does not follow"));
    let all = transaction(&log, 20);
    let missing = read(meta(None), true, &all[3..]).unwrap_err();
    assert!(missing.starts_with("hole"), "{missing}");
}
