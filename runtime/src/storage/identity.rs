//! Whose directory this is: the node's name, the disk's identity, and how far it is in use.
//! Knows nothing about the log or the metadata that a formed directory holds beside it.
//!
//! The identity is replaced only whole, by a rename, and the replacement that says *formed* is the
//! moment at which a directory becomes a member's: whatever a crash left of an earlier attempt to
//! form is nobody's data. What a crash left of a restore is nobody's either, but must not be taken
//! for an empty directory: its identity is one that other members count on.

use chil_core::DiskId;
use serde::{Deserialize, Serialize};

use super::at_rest;
use super::block::{self, Kind};
use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};

/// The file.
pub(super) const FILE: &str = "identity";
/// Its replacement while it is being written.
pub(super) const TEMPORARY: &str = "identity.tmp";

const KIND: Kind = Kind {
    magic: *b"chilnode",
    version: 2,
    // The first one did not know directories that are being restored.
    oldest: 2,
};

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The node's name.
    pub(super) name: String,
    /// The directory's identity.
    pub(super) disk: DiskId,
    /// How far the directory is in use.
    pub(super) stage: Stage,
}

/// How far a directory is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It has an identity, and nothing else that counts.
    Unformed,
    /// It is being made of a snapshot, under an identity that follows from it.
    Restoring,
    /// Log and metadata are there and in use.
    Formed,
}

impl Identity {
    /// What the directory's file says; `None` when there is none.
    pub(super) fn read<D: Disk>(disk: &mut D) -> Result<Option<Self>, StorageError> {
        let Some((_, bytes)) = block::read(disk, FILE)? else {
            return Ok(None);
        };
        let block =
            block::unseal(&KIND, &bytes).map_err(|broken| broken.into_error(disk, FILE, &KIND))?;
        let identity = at_rest::decode(block.body).map_err(|detail| {
            StorageError::corrupt(disk, FILE, block::HEADER_LEN as u64, &detail)
        })?;
        Ok(Some(identity))
    }

    /// Replaces the file; durable when this returns.
    pub(super) fn write<D: Disk>(&self, disk: &mut D) -> Result<(), StorageError> {
        let body = at_rest::encode(self).map_err(|detail| StorageError::Io {
            file: disk.describe(FILE),
            what: "write",
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, detail),
        })?;
        let mut file = disk
            .open(TEMPORARY, true)
            .context(disk, TEMPORARY, "create")?;
        file.write_all_at(&block::seal(&KIND, 0, &body), 0)
            .context(disk, TEMPORARY, "write")?;
        file.sync().context(disk, TEMPORARY, "sync")?;
        disk.rename(TEMPORARY, FILE)
            .context(disk, FILE, "replace")?;
        disk.sync_dir().context(disk, FILE, "make durable")
    }
}
