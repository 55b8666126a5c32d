//! A node's storage in the world: the real storage code on a [`SimDisk`], or only the fold of what
//! was made durable; and beside either what a crash may leave, to compare with.
//! Knows nothing about when syncs happen: the world decides.

mod snapshots;

use std::collections::BTreeSet;

use chil::storage::{Opened, Snapshots, StorageError, Store, StoreOptions, Unformed};
use chil_core::{DiskId, Meta, Persist, Record, Recovered, SnapshotId};

use crate::check::recovery_is_a_prefix;
use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::plan::{CrashMode, DiskPlan};
use crate::snapshot_files::SnapshotFiles;

/// What one node has written and what of it is durable.
pub(crate) struct NodeStore {
    /// The fold of everything that was synced: what a crash leaves at least.
    synced: Recovered,
    /// Written, and not yet synced.
    batch: Vec<Persist>,
    /// Not yet written.
    queued: Vec<Persist>,
    busy: bool,
    /// Whether the directory belongs to a cluster.
    formed: bool,
    files: Option<Files>,
    /// How many records of the batch a crash has left, without files.
    kept: usize,
    snapshots: SnapshotFiles,
}

struct Files {
    disk: SimDisk,
    store: Option<Store<SimDisk>>,
    snapshots: Option<Snapshots<SimDisk>>,
    /// Snapshots that were written whole, and may have been removed since.
    written: BTreeSet<SnapshotId>,
    unformed: Option<Unformed<SimDisk>>,
    name: String,
    fresh: DiskId,
    options: StoreOptions,
    /// Syncs so far: the idle work of a disk is done every few of them.
    syncs: u64,
}

/// A crash in the middle of a sync lets at most so many operations of it succeed.
const OPERATIONS_PER_SYNC: u64 = 6;

/// A disk counts as idle for a moment after every so many syncs.
const SYNCS_PER_IDLE: u64 = 4;

/// Why a node has no storage.
#[derive(Debug)]
pub(crate) enum StoreFailure {
    /// The power failed in the middle: crash the node.
    Power,
    /// Something is wrong that no fault of the plan explains.
    Wrong(String),
}

/// What a node starts with.
#[derive(Debug)]
pub(crate) enum Start {
    /// A directory that belongs to no cluster yet.
    Unformed,
    /// A member's durable state, and the records behind the last sync that turned out to be in it.
    Formed(Box<Recovered>, Vec<Record>),
}

impl NodeStore {
    /// An empty directory, which will become that of `meta`.
    pub(crate) fn blank(name: &str, meta: &Meta, plan: &DiskPlan) -> Self {
        let files = plan.files.then(|| Files {
            disk: SimDisk::new(),
            store: None,
            snapshots: None,
            written: BTreeSet::new(),
            unformed: None,
            name: name.to_owned(),
            fresh: meta.disk,
            options: StoreOptions {
                segment_bytes: plan.segment_bytes,
            },
            syncs: 0,
        });
        Self {
            synced: Recovered::formatted(meta.clone()),
            batch: Vec::new(),
            queued: Vec::new(),
            busy: false,
            formed: false,
            files,
            kept: 0,
            snapshots: SnapshotFiles::default(),
        }
    }

    /// The metadata that is durable, once the directory belongs to a cluster.
    pub(crate) fn meta(&self) -> Option<&Meta> {
        self.formed.then_some(&self.synced.meta)
    }

    /// Makes the directory, which [`NodeStore::recover`] found unformed, member of a cluster.
    pub(crate) fn form(&mut self, meta: &Meta) -> Result<Recovered, StoreFailure> {
        if *meta != self.synced.meta {
            return Err(StoreFailure::Wrong(format!(
                "forms a cluster with {meta:?} instead of {:?}",
                self.synced.meta
            )));
        }
        if let Some(files) = &mut self.files {
            let unformed = files.unformed.take().expect("it was opened before");
            let (store, recovered) = unformed.form(meta).map_err(|e| files.explain(&e))?;
            files.keep(store, &recovered)?;
            check_fresh(&recovered, &self.synced)?;
        }
        self.formed = true;
        Ok(self.synced.clone())
    }

    /// Takes a persist; it is written with the next batch.
    pub(crate) fn submit(&mut self, persist: Persist) {
        self.queued.push(persist);
    }

    /// Writes everything queued, unless a sync is under way. Returns whether a sync begins now.
    pub(crate) fn begin(&mut self) -> Result<bool, StoreFailure> {
        if self.busy || self.queued.is_empty() {
            return Ok(false);
        }
        self.busy = true;
        self.batch = std::mem::take(&mut self.queued);
        if let Some(files) = &mut self.files {
            files.write(&self.batch)?;
        }
        Ok(true)
    }

    /// Syncs what [`NodeStore::begin`] wrote and returns it; the caller folds it in.
    pub(crate) fn finish(&mut self) -> Result<Vec<Persist>, StoreFailure> {
        if let Some(files) = &mut self.files {
            files.sync(self.batch.last())?;
        }
        self.busy = false;
        Ok(std::mem::take(&mut self.batch))
    }

    /// A record turned out to be durable.
    pub(crate) fn fold(&mut self, record: &Record) {
        self.synced.fold(record);
    }

    /// Closes the files in good order.
    pub(crate) fn close(&mut self) {
        if let Some(files) = &mut self.files {
            files.store = None;
            files.snapshots = None;
        }
    }

    /// The node dies: decides what survives.
    pub(crate) fn crash(&mut self, mode: CrashMode, dice: &mut Dice) {
        self.queued.clear();
        self.snapshots.crash(mode, dice);
        if let Some(files) = &mut self.files {
            if self.busy {
                files.interrupt(mode, dice);
            }
            self.busy = false;
            files.store = None;
            files.snapshots = None;
            files.unformed = None;
            files.disk.crash(mode, dice);
            return;
        }
        self.busy = false;
        let written = self.batch.iter().map(|p| p.records.len()).sum::<usize>();
        self.kept = match mode {
            CrashMode::Power => dice.index(written + 1),
            CrashMode::Kill => written,
        };
    }

    /// Starts again from what survived.
    pub(crate) fn recover(&mut self) -> Result<Start, StoreFailure> {
        if !self.formed {
            return self.recover_unformed();
        }
        let pending: Vec<Record> = std::mem::take(&mut self.batch)
            .into_iter()
            .flat_map(|persist| persist.records)
            .collect();
        let Some(files) = &mut self.files else {
            let mut kept = pending;
            kept.truncate(self.kept);
            let mut recovered = self.synced.clone();
            for record in &kept {
                recovered.fold(record);
            }
            recovered.partial = self.snapshots.partial();
            return Ok(Start::Formed(Box::new(recovered), kept));
        };
        match files.open() {
            Ok(recovered) => {
                let count = recovery_is_a_prefix::check(&self.synced, &pending, &recovered)
                    .map_err(StoreFailure::Wrong)?;
                let mut kept = pending;
                kept.truncate(count);
                Ok(Start::Formed(Box::new(recovered), kept))
            }
            Err(failure) => {
                // What was on its way may still turn up at the next attempt.
                let lsn = chil_core::Lsn::new(0);
                self.batch = vec![Persist {
                    lsn,
                    records: pending,
                }];
                Err(failure)
            }
        }
    }

    /// Takes back what [`NodeStore::fail_after`] asked for, unless it has happened.
    pub(crate) fn disarm(&self) {
        if let Some(files) = &self.files {
            files.disk.disarm();
        }
    }

    /// Opens a directory that was not formed when it was last seen: a crash in the middle of
    /// forming may have left it formed all the same.
    fn recover_unformed(&mut self) -> Result<Start, StoreFailure> {
        let Some(files) = &mut self.files else {
            return Ok(Start::Unformed);
        };
        match files.open_store()? {
            Opened::Unformed(unformed) => {
                files.unformed = Some(unformed);
                Ok(Start::Unformed)
            }
            Opened::Formed(store, recovered) => {
                check_fresh(&recovered, &self.synced)?;
                files.keep(store, &recovered)?;
                self.formed = true;
                Ok(Start::Formed(Box::new(recovered), Vec::new()))
            }
        }
    }

    /// Lets the power fail after so many more operations. Returns whether there are files.
    pub(crate) fn fail_after(&self, operations: u64) -> bool {
        if let Some(files) = &self.files {
            files.disk.fail_after(operations);
        }
        self.files.is_some()
    }
}

fn check_fresh(found: &Recovered, expected: &Recovered) -> Result<(), StoreFailure> {
    if found == expected {
        return Ok(());
    }
    Err(StoreFailure::Wrong(format!(
        "a directory that was just formed holds {found:?} instead of {expected:?}"
    )))
}

impl Files {
    fn explain(&self, error: &StorageError) -> StoreFailure {
        if self.disk.has_failed() {
            StoreFailure::Power
        } else {
            StoreFailure::Wrong(format!("its storage fails without a fault: {error}"))
        }
    }

    /// Takes over a store that was opened, and the snapshot files beside it.
    fn keep(&mut self, store: Store<SimDisk>, found: &Recovered) -> Result<(), StoreFailure> {
        let snapshots = store.snapshots(found).map_err(|e| self.explain(&e))?;
        self.snapshots = Some(snapshots);
        self.store = Some(store);
        Ok(())
    }

    fn write(&mut self, batch: &[Persist]) -> Result<(), StoreFailure> {
        for persist in batch {
            let store = self.store.as_mut().expect("a running node has its store");
            if let Err(error) = store.write(persist) {
                return Err(self.explain(&error));
            }
        }
        Ok(())
    }

    fn sync(&mut self, last: Option<&Persist>) -> Result<(), StoreFailure> {
        let store = self.store.as_mut().expect("a running node has its store");
        match store.sync() {
            Ok(lsn) if last.is_none_or(|last| last.lsn == lsn) => {}
            Ok(lsn) => {
                return Err(StoreFailure::Wrong(format!(
                    "its storage says that {lsn} is durable after {last:?} was written"
                )));
            }
            Err(error) => return Err(self.explain(&error)),
        }
        self.syncs += 1;
        let idle = self.syncs.is_multiple_of(SYNCS_PER_IDLE);
        let work = if idle && store.watermark_due() {
            store.watermark()
        } else if store.preparation_due() {
            store.prepare()
        } else {
            Ok(())
        };
        work.map_err(|error| self.explain(&error))
    }

    fn open(&mut self) -> Result<Recovered, StoreFailure> {
        match self.open_store()? {
            Opened::Formed(store, recovered) => {
                self.keep(store, &recovered)?;
                Ok(recovered)
            }
            Opened::Unformed(_) => Err(StoreFailure::Wrong(
                "its disk forgets that it belongs to a cluster".to_owned(),
            )),
        }
    }

    /// A crash comes while a sync is under way: it got as far as the dice say.
    fn interrupt(&mut self, mode: CrashMode, dice: &mut Dice) {
        let done = dice.below(OPERATIONS_PER_SYNC);
        let Some(store) = self.store.as_mut().filter(|_| mode == CrashMode::Power) else {
            return;
        };
        if !self.disk.has_failed() {
            self.disk.fail_after(done);
            // Whether it fails or has nothing left to do: what is on the disk is what counts.
            let _ = store.sync();
        }
    }

    fn open_store(&self) -> Result<Opened<SimDisk>, StoreFailure> {
        let disk = self.disk.clone();
        Store::open_with(disk, &self.name, self.fresh, self.options.clone())
            .map_err(|e| self.explain(&e))
    }
}
