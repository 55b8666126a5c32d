//! Durable storage of one node: a segmented log and a metadata block over a [`Disk`].
//! Knows nothing about the protocol beyond `chil_core::record`: its recovery equals the fold of a
//! durable prefix of the records that were written.
//!
//! | module | responsible for |
//! |---|---|
//! | `disk`, `real` | what is needed of a disk; a real directory |
//! | `identity`, `form`, `directory` | whose directory it is; putting it into use; its files |
//! | `meta` | the metadata block in two copies |
//! | `codec`, `segment`, `wal` | frames, the files they are in, writing them |
//! | `recover`, `replay` | reading the log back: torn or corrupt; what it says |
//! | `snapshots`, `snapshot_file`, `snapshot_survey` | snapshot files; one of them; at a start |
//! | `block`, `at_rest` | small checksummed records |
//! | `thread`, `snapshot_thread` | the log, and the snapshots, each on a thread of its own |

mod at_rest;
mod block;
mod codec;
mod directory;
pub mod disk;
mod error;
mod form;
mod identity;
mod meta;
#[cfg(unix)]
mod real;
mod recover;
mod replay;
mod segment;
mod snapshot_file;
mod snapshot_job;
mod snapshot_survey;
pub mod snapshot_thread;
mod snapshots;
pub mod thread;
mod wal;

use std::fmt;

use chil_core::{DiskId, LogChange, Lsn, Meta, Persist, Record, Recovered, Slot};

pub use disk::{Disk, DiskFile, SharedDisk};
pub use error::StorageError;
pub use form::Unformed;
#[cfg(unix)]
pub use real::{RealDisk, RealFile};
pub use snapshot_job::{SnapshotDone, SnapshotJob};
pub use snapshots::Snapshots;

use error::Context;
use identity::{Identity, Stage};

/// How a store lays out its files. May differ from start to start.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Length of a segment of the log; at least [`StoreOptions::SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
}

impl StoreOptions {
    /// The smallest segment: its head and some frames.
    pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;

    fn at_least_minimal(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.max(Self::SEGMENT_BYTES_MIN);
        self
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
        }
    }
}

/// The store of one node. It starts no threads, reads no clock and draws no random numbers: what
/// it does to the disk is a function of the calls.
///
/// After an error it is used up: what is on disk is not known any more, and every later call fails.
pub struct Store<D: Disk> {
    disk: D,
    copies: meta::Copies<D::File>,
    wal: wal::Wal<D::File>,
    /// End of the log; not before it where a snapshot may have dropped it.
    last: Slot,
    commit: Slot,
    /// Slot of the snapshot that the metadata names.
    snap: Slot,
    /// Whether something durable is attested by nothing yet: see [`Store::watermark`].
    unattested: bool,
    failed: bool,
}

/// What a directory turned out to be.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once a start, and taken apart at once"
)]
pub enum Opened<D: Disk> {
    /// Prepared for this node, but not yet member of a cluster.
    Unformed(Unformed<D>),
    /// Member of a cluster.
    Formed(Store<D>, Recovered),
}

impl<D: Disk> Store<D> {
    /// Opens the directory for the node called `name`. An empty directory gets the identity
    /// `fresh`, which is durable when this returns: it must survive a crash during forming.
    ///
    /// # Errors
    /// See [`StorageError`]; nothing that holds data is changed then.
    pub fn open(disk: D, name: &str, fresh: DiskId) -> Result<Opened<D>, StorageError> {
        Self::open_with(disk, name, fresh, StoreOptions::default())
    }

    /// [`Store::open`] with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        mut disk: D,
        name: &str,
        fresh: DiskId,
        options: StoreOptions,
    ) -> Result<Opened<D>, StorageError> {
        let options = options.at_least_minimal();
        // After the kill of a process, a name that is seen may not be durable yet.
        disk.sync_dir()
            .context(&disk, identity::FILE, "sync the directory of")?;
        let Some(identity) = Identity::read(&mut disk)? else {
            return Unformed::begin(disk, name, fresh, options).map(Opened::Unformed);
        };
        if identity.name != name {
            return Err(StorageError::OtherNode {
                dir: disk.describe(""),
                found: identity.name,
                expected: name.to_string(),
            });
        }
        match identity.stage {
            Stage::Unformed => {
                directory::clear_attempt(&mut disk)?;
                Ok(Opened::Unformed(Unformed {
                    disk,
                    identity,
                    options,
                }))
            }
            Stage::Restoring => Err(StorageError::HalfRestored(disk.describe(""))),
            Stage::Formed => {
                let (store, recovered) = Self::recover(disk, &identity, &options)?;
                Ok(Opened::Formed(store, recovered))
            }
        }
    }

    fn recover(
        mut disk: D,
        identity: &Identity,
        options: &StoreOptions,
    ) -> Result<(Self, Recovered), StorageError> {
        let run = directory::segments(&mut disk)?;
        let found = meta::Found::load(&mut disk)?;
        let (meta_lsn, generation) = (found.block.lsn, found.generation());
        if found.block.meta.disk != identity.disk {
            let detail = "it belongs to another directory than the identity file";
            return Err(StorageError::corrupt(&disk, meta::FILES[0], 0, detail));
        }
        let replayed = recover::Replayed::read(
            &mut disk,
            identity.disk,
            run,
            found.block.meta.clone(),
            found.block.frames,
        )?;
        if replayed.generation() > generation {
            let detail = format!(
                "generation {generation}, but the log attests that {} was durable",
                replayed.generation()
            );
            return Err(StorageError::corrupt(&disk, meta::FILES[0], 0, &detail));
        }
        let named = found.block.meta.snap.map(|mark| mark.id);
        let survey = snapshot_survey::Survey::read(&mut disk, named.as_ref())?;
        // Only now, with everything found sound, is anything changed.
        let copies = found.repair(&mut disk)?;
        let unrepeated = replayed.unrepeated;
        let (mut recovered, end) = replayed.settle(&mut disk, meta_lsn, generation)?;
        recovered.partial = survey.partial;
        directory::remove_temporaries(&mut disk)?;
        survey.clean(&mut disk)?;
        let mut wal = wal::Wal::go_on(identity.disk, options.segment_bytes, end);
        if let Some(mark) = unrepeated {
            // Else what is written next could not be told from a log with a hole.
            wal.append_snap(&mut disk, &mark)?;
        }
        let store = Self {
            disk,
            copies,
            wal,
            last: recovered.last(),
            commit: recovered.commit,
            snap: snap_slot(&recovered.meta),
            unattested: true,
            failed: false,
        };
        Ok((store, recovered))
    }

    /// Writes the records, in order, without waiting for the disk. A metadata record is the
    /// exception: it first syncs the log, then itself.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    ///
    /// # Panics
    /// If the persist does not follow the one before, or a record does not fit the log: it could
    /// not be recovered.
    pub fn write(&mut self, persist: &Persist) -> Result<(), StorageError> {
        self.guarded(|store| {
            store.wal.begin(persist.lsn);
            for record in &persist.records {
                match record {
                    Record::Meta(meta) => store.write_meta(persist.lsn, meta)?,
                    Record::Log(change) => store.write_log(change)?,
                    Record::Trim(to) => store.trim(*to)?,
                }
            }
            Ok(())
        })
    }

    /// Makes everything written durable and says up to which LSN.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    pub fn sync(&mut self) -> Result<Lsn, StorageError> {
        self.guarded(|store| {
            store.wal.sync(&store.disk)?;
            Ok(store.wal.lsn())
        })
    }

    /// Whether [`Store::watermark`] has something to do once the disk is idle.
    #[must_use]
    pub const fn watermark_due(&self) -> bool {
        self.unattested && !self.failed
    }

    /// Makes durable a record of what is durable. Until then a damaged last batch looks as if a
    /// crash had torn it, and would be cut. For idle times: about 10 ms after the last sync.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    pub fn watermark(&mut self) -> Result<(), StorageError> {
        self.guarded(|store| {
            store.wal.sync(&store.disk)?;
            if store.unattested {
                store.wal.append_mark(&mut store.disk)?;
                store.wal.sync(&store.disk)?;
                store.unattested = false;
            }
            Ok(())
        })
    }

    /// Whether [`Store::prepare`] should be called, in idle times or between two batches.
    #[must_use]
    pub fn preparation_due(&self) -> bool {
        !self.failed && self.wal.preparation_due()
    }

    /// One bounded step of work on the next segment. Without it, the write that fills a segment
    /// does all of the work at once.
    ///
    /// # Errors
    /// Final: see [`StorageError`].
    pub fn prepare(&mut self) -> Result<(), StorageError> {
        self.guarded(|store| store.wal.prepare(&mut store.disk))
    }

    /// The directory's snapshot files, for a user of their own. `recovered` is what this store
    /// was opened with.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub fn snapshots(&self, recovered: &Recovered) -> Result<Snapshots<D>, StorageError>
    where
        D: SharedDisk,
    {
        let disk = self.disk.share();
        let disk = disk.context(&self.disk, "", "open once more")?;
        let sessions = recovered.meta.membership.sessions;
        Ok(Snapshots::new(disk, recovered.partial, sessions))
    }

    /// Gives the disk back (a simulator crashes it, then opens it again).
    pub fn into_disk(self) -> D {
        self.disk
    }

    fn write_meta(&mut self, lsn: Lsn, meta: &Meta) -> Result<(), StorageError> {
        self.wal.sync(&self.disk)?;
        let block = meta::Block {
            lsn,
            frames: self.wal.synced(),
            meta: meta.clone(),
        };
        self.copies.write(&self.disk, &block)?;
        self.wal.set_generation(self.copies.generation());
        self.unattested = true;
        let snap = snap_slot(meta);
        if let Some(mark) = meta.snap.as_ref().filter(|_| snap > self.snap) {
            self.wal.append_snap(&mut self.disk, mark)?;
            self.snap = snap;
            self.commit = self.commit.max(snap);
            // A log that ends behind the snapshot is kept if its chain is the snapshot's: only
            // who has the entries can tell.
            self.last = self.last.max(snap);
        }
        Ok(())
    }

    fn trim(&mut self, to: Slot) -> Result<(), StorageError> {
        let snap = self.snap;
        assert!(to <= snap, "trimming to {to} behind the snapshot of {snap}");
        self.wal.trim(&self.disk, to)
    }

    fn write_log(&mut self, change: &LogChange) -> Result<(), StorageError> {
        let (keep, last, commit) = (change.keep, self.last, self.commit);
        assert!(
            commit <= keep && keep <= last,
            "{change:?} does not fit a log that is decided up to {commit} and ends at {last}"
        );
        assert!(
            change.commit <= change.last(),
            "{change:?} decides more than it has"
        );
        let slots = change.entries.iter().map(|entry| entry.slot().get());
        assert!(
            slots.eq(keep.get() + 1..=change.last().get()),
            "{change:?} leaves a hole"
        );
        self.wal.append(&mut self.disk, change)?;
        self.last = change.last();
        self.commit = commit.max(change.commit);
        self.unattested = true;
        Ok(())
    }

    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.failed {
            return Err(std::io::Error::other(
                "an earlier operation failed; only a restart can tell what is durable",
            ))
            .context(&self.disk, "", "go on using the directory");
        }
        let done = work(self);
        self.failed = done.is_err();
        done
    }
}

/// Where the log of a node with this metadata may begin at the latest.
fn snap_slot(meta: &Meta) -> Slot {
    meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot)
}

impl<D: Disk> fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.disk.describe(""))
            .field("lsn", &self.wal.lsn())
            .field("last", &self.last)
            .field("commit", &self.commit)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
