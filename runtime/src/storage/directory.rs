//! Which files of a directory are the store's, and clearing away those that are in nobody's use.
//! Knows nothing about what is in them.

use super::disk::Disk;
use super::error::{Context, StorageError};
use super::segment::{self, Named};
use super::{identity, meta};

/// Whether a file holds data of a formed directory.
pub(super) fn is_data(name: &str) -> bool {
    meta::FILES.contains(&name) || matches!(Named::of(name), Named::Segment(_))
}

/// The number of the last segment.
pub(super) fn last_segment<D: Disk>(disk: &mut D) -> Result<u64, StorageError> {
    let names = disk.list().context(disk, "", "list")?;
    let mut seqs: Vec<u64> = names
        .iter()
        .filter_map(|name| match Named::of(name) {
            Named::Segment(seq) => Some(seq),
            Named::Temporary | Named::Other => None,
        })
        .collect();
    seqs.sort_unstable();
    let present = (1..).zip(&seqs).take_while(|(n, seq)| n == *seq).count() as u64;
    if present == 0 || present < seqs.len() as u64 {
        let name = segment::file_name(present + 1);
        return Err(StorageError::corrupt(disk, &name, 0, "the file is missing"));
    }
    Ok(present)
}

/// Removes what an attempt to form left behind when it was interrupted.
pub(super) fn clear_attempt<D: Disk>(disk: &mut D) -> Result<(), StorageError> {
    let names = disk.list().context(disk, "", "list")?;
    let mut removed = false;
    for name in names {
        if is_data(&name) || is_temporary(&name) {
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
