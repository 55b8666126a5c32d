//! Makes the directory of a node of a new cluster that begins with a snapshot of another.
//! Knows nothing about running nodes: it talks to nobody, and starts nothing.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};

use chil_core::snapshot::{RestoredMember, SnapshotError, verify};
use chil_core::{
    Ballot, ClusterId, Epoch, Lease, Membership, MembershipError, Meta, NodeId, SessionLimits,
    Slot, SnapshotHeader, SnapshotId, SnapshotMark,
};

use crate::config::Peer;
use crate::storage::{RealDisk, StorageError, Store, StoreOptions};

/// What shall be restored, and into what.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The snapshot's file.
    pub snapshot: PathBuf,
    /// The directory: new or empty.
    pub data_dir: PathBuf,
    /// The name of the node that the directory is for.
    pub name: String,
    /// All nodes of the new cluster with their names, this one included; in any order.
    pub members: Vec<Peer>,
    /// Names this restore. All machines that restore with the same token, snapshot and members
    /// make directories of one cluster; with another token, of another one.
    pub token: String,
}

/// A directory that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new cluster.
    pub cluster: ClusterId,
    /// The snapshot that it begins with.
    pub snapshot: SnapshotId,
    /// What the members agreed on in the cluster that it was taken of; it holds for the new one.
    pub lease: Option<Lease>,
    /// The same for sessions. Settings have to say both.
    pub sessions: SessionLimits,
}

/// Why no directory was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What was asked for makes no sense. Nothing was touched.
    #[error("{0}")]
    Mistake(String),
    /// The members cannot form a cluster. Nothing was touched.
    #[error("the members: {0}")]
    Members(#[from] MembershipError),
    /// The directory holds something already. Nothing was touched.
    #[error("{0} is not empty: name a new directory, so that nothing is lost")]
    NotEmpty(String),
    /// The snapshot cannot be read. Nothing was touched.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// Its file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The snapshot is damaged, or none. Nothing was touched.
    #[error("{file}: {source}")]
    Snapshot {
        /// Its file.
        file: String,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// The directory cannot be written. What is in it is of no use, and no node starts with it:
    /// remove it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Restore {
    /// Makes the directory; durable when this returns. Reads all of the snapshot twice.
    ///
    /// The node must never have run with this token and snapshot before: the directory would make
    /// it forget what it has promised since.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn run(&self) -> Result<Restored, RestoreError> {
        self.check_names()?;
        check_empty(&self.data_dir)?;
        let mut file = File::open(&self.snapshot).map_err(|error| self.unreadable(error))?;
        let verified = verify(&mut BufReader::with_capacity(READ_BYTES, &file));
        let (header, id) = verified.map_err(|source| match source {
            SnapshotError::Io(error) => self.unreadable(error),
            source => RestoreError::Snapshot {
                file: self.snapshot.display().to_string(),
                source,
            },
        })?;
        if id.slot == Slot::ZERO {
            let file = self.snapshot.display();
            return Err(RestoreError::Mistake(format!(
                "{file} is of a cluster that had not decided anything: start a new one instead"
            )));
        }
        let meta = self.meta(&header, id)?;
        let disk = RealDisk::open(&self.data_dir)?;
        file.rewind().map_err(|error| self.unreadable(error))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, &file);
        let options = StoreOptions::default();
        Store::restore_with(disk, &self.name, &meta, &mut reader, options)?;
        Ok(Restored {
            cluster: meta.cluster,
            snapshot: id,
            lease: meta.membership.lease,
            sessions: meta.membership.sessions,
        })
    }

    fn check_names(&self) -> Result<(), RestoreError> {
        let mistake = |text: String| Err(RestoreError::Mistake(text));
        if self.token.is_empty() {
            return mistake("the token is empty: choose a text that names this restore".into());
        }
        for member in &self.members {
            if let Err(error) = member.check() {
                return mistake(error.to_string());
            }
            if member.name.is_none() {
                let address = &member.address;
                return mistake(format!(
                    "'{address}' has no name: nobody can be asked for it, so write name={address}"
                ));
            }
        }
        let named = |member: &Peer| member.name.as_deref() == Some(&self.name);
        if !self.members.iter().any(named) {
            let name = &self.name;
            return mistake(format!(
                "'{name}' is not among the members: list all nodes, this one included"
            ));
        }
        Ok(())
    }

    fn meta(&self, header: &SnapshotHeader, id: SnapshotId) -> Result<Meta, RestoreError> {
        let members = self.members.iter().map(|member| RestoredMember {
            name: member.name.clone().unwrap_or_default(),
            addr: member.address.clone(),
            weight: member.weight,
        });
        let membership = Membership::restored(&self.token, &id, &header.membership, members)?;
        let cluster = membership.cluster_id();
        let member = NodeId::from_name(&self.name)
            .and_then(|node| Some((node, membership.members.get(&node)?.disk)));
        let Some((node, disk)) = member else {
            let name = self.name.clone();
            return Err(MembershipError::BadName(name).into());
        };
        let mut meta = Meta::format(cluster, node, disk, membership);
        meta.snap = Some(SnapshotMark {
            id,
            decided_in: Ballot::bottom(Epoch::FIRST),
        });
        Ok(meta)
    }

    fn unreadable(&self, source: io::Error) -> RestoreError {
        let file = self.snapshot.display().to_string();
        RestoreError::Unreadable { file, source }
    }
}

fn check_empty(dir: &Path) -> Result<(), RestoreError> {
    let shown = || dir.display().to_string();
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty(shown())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreError::Storage(StorageError::Io {
            file: shown(),
            what: "look into this data directory",
            source,
        })),
    }
}

const READ_BYTES: usize = 256 << 10;
