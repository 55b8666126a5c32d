//! Which files of a directory are the store's, and clearing away those that are in nobody's use.
//! Knows nothing about what is in them.

use super::disk::Disk;
use super::error::{Context, StorageError};
use super::segment::{self, Named};
use super::{identity, meta, snapshot_file};

/// Whether a file holds data of a formed directory.
pub(super) fn is_data(name: &str) -> bool {
    meta::FILES.contains(&name)
        || matches!(Named::of(name), Named::Segment(_))
        || matches!(
            snapshot_file::Named::of(name),
            snapshot_file::Named::Whole(_)
        )
}

/// The segments of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first of those that are there without a gap up to the last.
    pub(super) first: u64,
    /// The last that exists.
    pub(super) last: u64,
    /// Others, below a gap: what an interrupted trim has left, or what was behind them is lost.
    pub(super) below: Vec<u64>,
}

/// The segments that are there.
pub(super) fn segments<D: Disk>(disk: &mut D) -> Result<Run, StorageError> {
    let names = disk.list().context(disk, "", "list")?;
    let mut seqs: Vec<u64> = names
        .iter()
        .filter_map(|name| match Named::of(name) {
            Named::Segment(seq) => Some(seq),
            Named::Temporary | Named::Other => None,
        })
        .collect();
    seqs.sort_unstable();
    let Some(last) = seqs.last().copied() else {
        let name = segment::file_name(1);
        return Err(StorageError::corrupt(disk, &name, 0, "the file is missing"));
    };
    let downwards = (1..=last).rev().zip(seqs.iter().rev());
    let run = downwards.take_while(|(n, seq)| n == *seq).count();
    let below = seqs[..seqs.len() - run].to_vec();
    Ok(Run {
        first: seqs[seqs.len() - run],
        last,
        below,
    })
}

/// Removes segments that nothing needs. Their names may come back after a crash: whoever reads the
/// directory must cope with any of them.
pub(super) fn remove_segments<D: Disk>(disk: &mut D, seqs: &[u64]) -> Result<(), StorageError> {
    for seq in seqs {
        let name = segment::file_name(*seq);
        disk.remove(&name).context(disk, &name, "remove")?;
    }
    Ok(())
}

/// Removes what an attempt to form left behind when it was interrupted.
pub(super) fn clear_attempt<D: Disk>(disk: &mut D) -> Result<(), StorageError> {
    let names = disk.list().context(disk, "", "list")?;
    let mut removed = false;
    for name in names {
        let is_snapshot = snapshot_file::Named::of(&name) != snapshot_file::Named::Other;
        if is_data(&name) || is_temporary(&name) || is_snapshot {
            disk.remove(&name).context(disk, &name, "remove")?;
            removed = true;
        }
    }
    if removed {
        disk.sync_dir().context(disk, "", "sync")?;
    }
    Ok(())
}

/// Removes files that were being prepared when the process ended.
pub(super) fn remove_temporaries<D: Disk>(disk: &mut D) -> Result<(), StorageError> {
    for name in disk.list().context(disk, "", "list")? {
        if is_temporary(&name) {
            disk.remove(&name).context(disk, &name, "remove")?;
        }
    }
    Ok(())
}

fn is_temporary(name: &str) -> bool {
    name == identity::TEMPORARY || Named::of(name) == Named::Temporary
}
