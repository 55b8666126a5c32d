//! Why a data directory cannot be used, sorted by what a person can do about it.
//! Knows nothing about how anything is stored.

use std::io;

use chil_core::snapshot::SnapshotError;

use super::disk::Disk;

/// Why storage cannot be used. Every variant is final for who uses the log: nothing is retried.
/// [`Snapshots`](super::Snapshots) says which of its errors are not.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The system refused an operation.
    #[error("{file}: cannot {what}: {source}")]
    Io {
        /// The file's full name.
        file: String,
        /// The operation.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error("{file}: corrupt at byte {offset}: {detail}")]
    Corrupt {
        /// The file's full name.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong there, and what can be done.
        detail: String,
    },
    /// A snapshot file is not the snapshot that it has to be.
    #[error("{file}: {source}; this node cannot go on without it: bring the file back as it was")]
    Snapshot {
        /// The file's full name.
        file: String,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// The directory belongs to another node.
    #[error("{dir} belongs to node '{found}', but this node is called '{expected}'")]
    OtherNode {
        /// The directory.
        dir: String,
        /// Whose it is.
        found: String,
        /// Who was started.
        expected: String,
    },
    /// A restore into the directory did not come to its end.
    #[error(
        "{0} holds half of a restore that was interrupted: remove this directory, and restore \
         again into a new one"
    )]
    HalfRestored(String),
    /// A directory that is to be made of a snapshot is in use already.
    #[error("{0} is in use already: restore into a new directory")]
    NotEmpty(String),
    /// Another process uses the directory.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// The directory was written by a version of chil whose format this one does not read.
    #[error(
        "{file}: format version {found}, but this program reads version {known}: start the \
         version of chil that wrote it"
    )]
    Version {
        /// The file's full name.
        file: String,
        /// The version found.
        found: u32,
        /// The version that is read.
        known: u32,
    },
}

impl StorageError {
    /// Whether there was no room for a write. A sync that finds none is no such case: nothing is
    /// known about the file then.
    pub(super) fn is_full_write(&self) -> bool {
        let Self::Io { what, source, .. } = self else {
            return false;
        };
        !matches!(*what, "sync" | "make durable") && source.kind() == io::ErrorKind::StorageFull
    }

    /// Damage in `file`, with what it means for the node.
    pub(super) fn corrupt<D: Disk>(disk: &D, file: &str, offset: u64, detail: &str) -> Self {
        Self::Corrupt {
            file: disk.describe(file),
            offset,
            detail: format!(
                "{detail}; what was durable here may have been promised to other nodes, so this \
                 node does not start: bring this directory back as it was, do not delete parts of it"
            ),
        }
    }
}

/// Names the file and the operation that an I/O error belongs to.
pub(super) trait Context<T> {
    /// The result with `file` and `what` in its error.
    fn context<D: Disk>(self, disk: &D, file: &str, what: &'static str) -> Result<T, StorageError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context<D: Disk>(self, disk: &D, file: &str, what: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Io {
            file: disk.describe(file),
            what,
            source,
        })
    }
}
