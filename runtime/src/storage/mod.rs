//! Durable storage of one node: a segmented log and a metadata block over a [`Disk`].
//! Knows nothing about the protocol beyond `chil_core::record`: its recovery equals the fold of a
//! durable prefix of the records that were written.

pub mod disk;

use std::io;

use chil_core::{DiskId, Lsn, Meta, NodeId, Persist, Recovered};

pub use disk::{Disk, DiskFile};

/// Why storage cannot be used. Every variant is final for this process: nothing is retried.
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
    /// Another process uses the directory.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// The directory was written by a version that this one does not know.
    #[error("{file}: format version {found} is newer than this program's ({known})")]
    Version {
        /// The file's full name.
        file: String,
        /// The version found.
        found: u32,
        /// The highest version known.
        known: u32,
    },
}

/// The store of one node.
#[derive(Debug)]
pub struct Store<D: Disk> {
    disk: D,
}

/// What a directory turned out to be.
#[derive(Debug)]
pub enum Opened<D: Disk> {
    /// Prepared for this node, but not yet member of a cluster.
    Unformed(Unformed<D>),
    /// Member of a cluster.
    Formed(Store<D>, Recovered),
}

/// A directory that has an identity but no cluster yet.
#[derive(Debug)]
pub struct Unformed<D: Disk> {
    disk: D,
}

impl<D: Disk> Store<D> {
    /// Opens the directory for the node called `name`. An empty directory gets the identity
    /// `fresh`, which is durable when this returns: it must survive a crash during forming.
    ///
    /// # Errors
    /// See [`StorageError`]; nothing that holds data is changed then.
    pub fn open(disk: D, name: &str, fresh: DiskId) -> Result<Opened<D>, StorageError> {
        let _ = (disk, name, fresh, NodeId::NONE);
        unimplemented!()
    }

    /// Writes the records, in order, without waiting for the disk. A metadata record is the
    /// exception: it first syncs the log, then itself.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    pub fn write(&mut self, persist: &Persist) -> Result<(), StorageError> {
        let _ = persist;
        unimplemented!()
    }

    /// Makes everything written durable and says up to which LSN.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    pub fn sync(&mut self) -> Result<Lsn, StorageError> {
        let _ = &self.disk;
        unimplemented!()
    }

    /// Gives the disk back (a simulator crashes it, then opens it again).
    pub fn into_disk(self) -> D {
        self.disk
    }
}

impl<D: Disk> Unformed<D> {
    /// The directory's identity.
    #[must_use]
    pub fn disk_id(&self) -> DiskId {
        unimplemented!()
    }

    /// Makes the directory member of a cluster: `meta` is durable when this returns.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn form(self, meta: &Meta) -> Result<(Store<D>, Recovered), StorageError> {
        let _ = (meta, self.disk);
        unimplemented!()
    }
}
