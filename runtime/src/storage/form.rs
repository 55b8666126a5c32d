//! From an empty directory to a member's: first an identity, then, in one step, log and metadata.
//! Knows nothing about how nodes agree on a first membership.

use std::fmt;
use std::io::{self, Read};

use chil_core::snapshot::{SnapshotError, verify};
use chil_core::{DiskId, LogChange, Lsn, Meta, Record, Recovered, Slot, SnapshotId};

use super::disk::Disk;
use super::error::{Context, StorageError};
use super::identity::{self, Identity, Stage};
use super::snapshot_file::{self, Sink, Source, TEMPORARY};
use super::{Store, StoreOptions, directory, meta, snapshots, wal};

/// A directory that has an identity but no cluster yet.
pub struct Unformed<D: Disk> {
    pub(super) disk: D,
    pub(super) identity: Identity,
    pub(super) options: StoreOptions,
}

impl<D: Disk> Unformed<D> {
    /// Gives an empty directory its identity; durable when this returns.
    pub(super) fn begin(
        mut disk: D,
        name: &str,
        fresh: DiskId,
        options: StoreOptions,
    ) -> Result<Self, StorageError> {
        let identity = begin(&mut disk, name, fresh, Stage::Unformed)?;
        Ok(Self {
            disk,
            identity,
            options,
        })
    }

    /// The directory's identity.
    #[must_use]
    pub fn disk_id(&self) -> DiskId {
        self.identity.disk
    }

    /// Makes the directory member of a cluster: `meta` is durable when this returns.
    ///
    /// # Errors
    /// See [`StorageError`].
    ///
    /// # Panics
    /// If `meta` is for another directory (see [`Unformed::disk_id`]), or names a snapshot (see
    /// [`Store::restore_with`]).
    pub fn form(self, meta: &Meta) -> Result<(Store<D>, Recovered), StorageError> {
        assert!(meta.snap.is_none(), "the snapshot's file is not there");
        self.form_with(meta)
    }

    fn form_with(self, meta: &Meta) -> Result<(Store<D>, Recovered), StorageError> {
        let Self {
            mut disk,
            mut identity,
            options,
        } = self;
        assert_eq!(
            meta.disk, identity.disk,
            "metadata for another directory than this one"
        );
        let mut recovered = Recovered::formatted(Meta {
            snap: None,
            ..meta.clone()
        });
        let mut wal = wal::Wal::create(&mut disk, identity.disk, options.segment_bytes)?;
        // The log begins with its first `acc`: no later metadata can change what it was.
        let first = LogChange {
            keep: Slot::ZERO,
            entries: Vec::new(),
            acc: recovered.acc,
            commit: recovered.commit,
            commit_in: recovered.commit_in,
        };
        wal.append(&mut disk, &first)?;
        if let Some(mark) = &meta.snap {
            wal.append_snap(&mut disk, mark)?;
            recovered.fold(&Record::Meta(Box::new(meta.clone())));
        }
        wal.sync(&disk)?;
        let block = meta::Block {
            lsn: Lsn::default(),
            frames: wal.synced(),
            meta: meta.clone(),
        };
        let copies = meta::Copies::create(&mut disk, &block)?;
        wal.set_generation(copies.generation());
        disk.sync_dir()
            .context(&disk, meta::FILES[0], "make durable")?;
        identity.stage = Stage::Formed;
        identity.write(&mut disk)?;
        let store = Store {
            disk,
            copies,
            wal,
            last: recovered.last(),
            commit: recovered.commit,
            snap: super::snap_slot(meta),
            unattested: true,
            failed: false,
        };
        Ok((store, recovered))
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }
}

impl<D: Disk> Store<D> {
    /// Makes an empty directory member of a cluster that goes on behind a snapshot: the bytes of
    /// `snapshot` are copied, checked, and durable before `meta`, which has to name it. `name` is
    /// the node's, and the directory gets the identity that `meta` says.
    ///
    /// # Errors
    /// See [`StorageError`]; [`StorageError::Snapshot`] if the bytes are not that snapshot. From
    /// then on the directory is refused: its identity is one that other members count on, so that
    /// it must never be taken for an empty one. A crash has the same effect.
    ///
    /// # Panics
    /// If `meta` names no snapshot.
    pub fn restore_with(
        mut disk: D,
        name: &str,
        meta: &Meta,
        snapshot: &mut dyn Read,
        options: StoreOptions,
    ) -> Result<(Self, Recovered), StorageError> {
        let mark = meta
            .snap
            .expect("a cluster that begins with a snapshot names it");
        if Identity::read(&mut disk)?.is_some() {
            return Err(StorageError::NotEmpty(disk.describe("")));
        }
        let identity = begin(&mut disk, name, meta.disk, Stage::Restoring)?;
        copy_snapshot(&mut disk, &mark.id, snapshot)?;
        let restoring = Unformed {
            disk,
            identity,
            options: options.at_least_minimal(),
        };
        restoring.form_with(meta)
    }
}

/// Gives an empty directory an identity; durable when this returns.
fn begin<D: Disk>(
    disk: &mut D,
    name: &str,
    id: DiskId,
    stage: Stage,
) -> Result<Identity, StorageError> {
    let names = disk.list().context(disk, "", "list")?;
    if let Some(data) = names.iter().find(|name| directory::is_data(name)) {
        let detail = format!("the file is missing, although there is '{data}'");
        return Err(StorageError::corrupt(disk, identity::FILE, 0, &detail));
    }
    let identity = Identity {
        name: name.to_string(),
        disk: id,
        stage,
    };
    identity.write(disk)?;
    Ok(identity)
}

/// Copies a snapshot into the directory, under its own name; its content is durable when this
/// returns, its name with the next sync of the directory.
fn copy_snapshot<D: Disk>(
    disk: &mut D,
    id: &SnapshotId,
    from: &mut dyn Read,
) -> Result<(), StorageError> {
    let mut file = snapshots::create(disk, TEMPORARY)?;
    let mut pause = || Ok(());
    let mut sink = Sink::new(&mut file, &mut pause);
    let copied = io::copy(from, &mut sink).and_then(|_| sink.finish());
    copied.context(disk, TEMPORARY, "copy the snapshot to")?;
    let source = Source::new(&file, u64::MAX).map(|mut source| verify(&mut source));
    let source = match source.context(disk, TEMPORARY, "read")? {
        Ok((_, found)) if found == *id => None,
        Ok(_) => Some(SnapshotError::OtherSnapshot),
        Err(error) => Some(error),
    };
    if let Some(source) = source {
        let file = disk.describe(TEMPORARY);
        return Err(StorageError::Snapshot { file, source });
    }
    let name = snapshot_file::name(id);
    disk.rename(TEMPORARY, &name).context(disk, &name, "rename")
}

impl<D: Disk> fmt::Debug for Unformed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unformed")
            .field("dir", &self.disk.describe(""))
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
