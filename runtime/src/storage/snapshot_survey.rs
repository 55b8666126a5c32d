//! What snapshot files a directory has when it is opened: the one that is needed, and leftovers.
//! Knows nothing about the log, nor about what a snapshot says: that is checked when it is restored.

use std::io;

use chil_core::snapshot::good_prefix;
use chil_core::{PartialSnapshot, SnapshotId};

use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};
use super::snapshot_file::{self as file, Named, Source};
use super::snapshots::outdated;

/// What was found. Nothing is changed before [`Survey::clean`].
pub(super) struct Survey {
    /// A transfer that can go on.
    pub(super) partial: Option<PartialSnapshot>,
    /// Files that nothing needs.
    leftovers: Vec<String>,
}

impl Survey {
    /// Looks for the snapshot that the metadata names, and for a transfer of a later one.
    pub(super) fn read<D: Disk>(
        disk: &mut D,
        named: Option<&SnapshotId>,
    ) -> Result<Self, StorageError> {
        if let Some(id) = named {
            check(disk, id)?;
        }
        let names = disk.list().context(disk, "", "list")?;
        let mut partial: Option<PartialSnapshot> = None;
        for name in &names {
            if let Named::Partial(id) = Named::of(name)
                && named.is_none_or(|named| named.slot < id.slot)
                && partial.is_none_or(|best| best.id.slot < id.slot)
            {
                // One that cannot be read is worth nothing: its leader sends it again.
                let have = readable(disk, name, &id).unwrap_or(0);
                if have > 0 {
                    partial = Some(PartialSnapshot { id, have });
                }
            }
        }
        let outdated = named.map_or_else(Vec::new, |keep| outdated(&names, keep));
        let is_leftover = |name: &&String| match Named::of(name) {
            // One that the metadata does not name yet may be there by its name only.
            Named::Whole(slot) => {
                named.is_none_or(|named| named.slot < slot) || outdated.contains(&name.as_str())
            }
            Named::Partial(id) => partial.is_none_or(|partial| partial.id != id),
            Named::Temporary => true,
            Named::Other => false,
        };
        let leftovers = names.iter().filter(is_leftover).cloned().collect();
        Ok(Self { partial, leftovers })
    }

    /// Removes what nothing needs.
    pub(super) fn clean<D: Disk>(&self, disk: &mut D) -> Result<(), StorageError> {
        for name in &self.leftovers {
            disk.remove(name).context(disk, name, "remove")?;
        }
        Ok(())
    }
}

/// How much of a transfer is there, whole and sound.
fn readable<D: Disk>(disk: &mut D, name: &str, id: &SnapshotId) -> io::Result<u64> {
    let file = disk.open(name, false)?;
    good_prefix(&mut Source::new(&file, id.bytes)?)
}

/// The snapshot stands for the beginning of the log: without it there is no state to go on from.
fn check<D: Disk>(disk: &mut D, id: &SnapshotId) -> Result<(), StorageError> {
    let name = file::name(id);
    let file = match disk.open(&name, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let detail = "the file is missing, although the log begins behind this snapshot";
            return Err(StorageError::corrupt(disk, &name, 0, detail));
        }
        opened => opened.context(disk, &name, "open")?,
    };
    let len = file.len().context(disk, &name, "measure")?;
    if len != id.bytes {
        let detail = format!("the file has {len} bytes instead of {}", id.bytes);
        return Err(StorageError::corrupt(
            disk,
            &name,
            len.min(id.bytes),
            &detail,
        ));
    }
    Ok(())
}
