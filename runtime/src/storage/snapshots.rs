//! The snapshot files of a directory: taking, receiving, reading and forgetting them.
//! Knows nothing about which snapshot a node needs: the metadata says that, and who writes it.
//!
//! A snapshot has its own name only when it is whole and durable: it is written under another one,
//! synced, renamed, and the directory synced. A snapshot that is received is written to a file
//! whose name says all about it, so that a transfer goes on after a restart.
//!
//! No error here says anything about the log. A full disk ends the job and nothing else: the next
//! snapshot, or the next part of a transfer, is another attempt. After a failed sync the file is
//! thrown away, since nothing in it can be relied on. After a failed sync of the directory every
//! later job fails: which names are durable is not known any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chil_core::snapshot::{FrozenSnapshot, verify};
use chil_core::{
    Applier, PartialSnapshot, SessionLimits, SnapshotHeader, SnapshotId, StateMachine,
};

use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};
use super::snapshot_file::{self as file, Named, SYNC_LEN, Sink, Source, TEMPORARY, Unless};

/// The snapshot files of one directory. It starts no threads; a call ends when the work is done.
pub struct Snapshots<D: Disk> {
    disk: D,
    partial: Option<Partial<D::File>>,
    /// What the members agreed to keep for sessions.
    sessions: SessionLimits,
    /// The file that parts were read from last.
    reading: Option<(SnapshotId, D::File)>,
    /// What parts were read of since the last time that something was forgotten.
    served: BTreeSet<SnapshotId>,
    /// A sync of the directory failed.
    broken: bool,
    /// Whether long work is to be given up.
    stopped: Arc<AtomicBool>,
}

/// A snapshot on its way.
struct Partial<F> {
    id: SnapshotId,
    /// Opened when something is written.
    file: Option<F>,
    have: u64,
    synced: u64,
}

impl<D: Disk> Snapshots<D> {
    /// The files in `disk`, which a [`Store`](super::Store) recovered with this interrupted
    /// transfer. Snapshots of a cluster that keeps anything but `sessions` are not received.
    pub fn new(disk: D, partial: Option<PartialSnapshot>, sessions: SessionLimits) -> Self {
        let partial = match partial {
            Some(PartialSnapshot { id, have }) => Some(Partial {
                id,
                file: None,
                have,
                synced: 0,
            }),
            None => None,
        };
        Self {
            disk,
            partial,
            sessions,
            reading: None,
            served: BTreeSet::new(),
            broken: false,
            stopped: Arc::default(),
        }
    }

    /// Lets long work fail once this is true: a node that ends does not wait until a large state
    /// is written or read. Nothing of a snapshot that was being taken is left then, and a transfer
    /// goes on after the next start.
    pub fn stop_with(&mut self, stopped: Arc<AtomicBool>) {
        self.stopped = stopped;
    }

    /// Writes a snapshot; it is durable under its own name when this returns.
    ///
    /// # Errors
    /// See the module: nothing of it is left then, and it may be tried again.
    pub fn take(&mut self, frozen: &FrozenSnapshot) -> Result<SnapshotId, StorageError> {
        self.take_while(frozen, &mut |_| {})
    }

    /// [`Snapshots::take`] that calls `between` once in a while: a large snapshot takes seconds,
    /// and peers who fetch parts should not have to wait so long.
    ///
    /// # Errors
    /// As [`Snapshots::take`].
    pub fn take_while(
        &mut self,
        frozen: &FrozenSnapshot,
        between: &mut dyn FnMut(&mut Self),
    ) -> Result<SnapshotId, StorageError> {
        self.usable(TEMPORARY)?;
        let taken = self.write_new(frozen, between).and_then(|id| {
            self.publish(TEMPORARY, &id)?;
            Ok(id)
        });
        if taken.is_err() {
            self.discard(TEMPORARY);
        }
        taken
    }

    fn write_new(
        &mut self,
        frozen: &FrozenSnapshot,
        between: &mut dyn FnMut(&mut Self),
    ) -> Result<SnapshotId, StorageError> {
        let mut file = create(&mut self.disk, TEMPORARY)?;
        let mut pause = || {
            between(self);
            file::go_on(&self.stopped)
        };
        let mut sink = Sink::new(&mut file, &mut pause);
        let written = frozen
            .write_to(&mut sink)
            .and_then(|id| sink.finish().map(|()| id));
        written.context(&self.disk, TEMPORARY, "write")
    }

    /// A part of a snapshot; `None` if it is not kept (any more).
    ///
    /// # Errors
    /// What the system says.
    pub fn read(
        &mut self,
        id: &SnapshotId,
        offset: u64,
        len: u64,
    ) -> Result<Option<Bytes>, StorageError> {
        let name = file::name(id);
        if self.reading.as_ref().is_none_or(|(of, _)| of != id) {
            self.reading = match self.disk.open(&name, false) {
                Ok(file) => Some((*id, file)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e).context(&self.disk, &name, "open"),
            };
        }
        let Some((_, file)) = &self.reading else {
            return Ok(None);
        };
        self.served.insert(*id);
        let len = len.min(id.bytes.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset)
            .context(&self.disk, &name, "read")?;
        Ok(Some(Bytes::from(bytes)))
    }

    /// Writes a part of a snapshot that is on its way, and returns how much of it is there then.
    /// Parts come in order; what is there already is left alone, and what would leave a hole is
    /// not taken. A part of another snapshot than before replaces that if it is its first one.
    ///
    /// # Errors
    /// See the module: [`Snapshots::have`] says where to go on.
    pub fn write(
        &mut self,
        id: &SnapshotId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, StorageError> {
        let name = file::partial_name(id);
        self.usable(&name)?;
        if offset == 0
            && self
                .partial
                .as_ref()
                .is_none_or(|partial| partial.id != *id)
        {
            self.drop_partial();
            self.partial = Some(Partial {
                id: *id,
                file: Some(create(&mut self.disk, &name)?),
                have: 0,
                synced: 0,
            });
        }
        let Some(partial) = self.partial.as_mut().filter(|partial| partial.id == *id) else {
            return Ok(0);
        };
        let end = offset.saturating_add(bytes.len() as u64);
        if offset > partial.have || end <= partial.have || end > id.bytes {
            return Ok(partial.have);
        }
        if partial.file.is_none() {
            let opened = self.disk.open(&name, false);
            partial.file = Some(opened.context(&self.disk, &name, "open")?);
        }
        let Some(file) = partial.file.as_mut() else {
            unreachable!("it was opened above");
        };
        let new = usize::try_from(partial.have - offset).map_or(bytes, |known| &bytes[known..]);
        file.write_all_at(new, partial.have)
            .context(&self.disk, &name, "write")?;
        partial.have = end;
        if end - partial.synced >= SYNC_LEN {
            partial.synced = end;
            if let Err(error) = file.sync().context(&self.disk, &name, "sync") {
                self.drop_partial();
                return Err(error);
            }
        }
        Ok(end)
    }

    /// How much of a snapshot that is on its way is there.
    #[must_use]
    pub fn have(&self, id: &SnapshotId) -> u64 {
        let partial = self.partial.as_ref().filter(|partial| partial.id == *id);
        partial.map_or(0, |partial| partial.have)
    }

    /// Ends a transfer: the snapshot is durable under its own name when this returns true. False
    /// if what has arrived is not the snapshot, or was made under other limits of sessions than the
    /// members agreed on: then it was thrown away.
    ///
    /// # Errors
    /// See the module; what has arrived was thrown away then, too, unless reading it was given up
    /// because the node ends.
    pub fn finish(&mut self, id: &SnapshotId) -> Result<bool, StorageError> {
        let name = file::partial_name(id);
        self.usable(&name)?;
        let read = self.read_partial(id, &name);
        if read.is_err() && self.stopped.load(Ordering::Acquire) {
            // No sync was tried yet: the next start may go on with it.
            return read.map(|_| false);
        }
        let sound = match read {
            Ok(Some(file)) => self.keep_partial(id, &name, file).map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        if matches!(sound, Ok(true)) {
            self.partial = None;
        } else {
            self.drop_partial();
        }
        sound
    }

    /// The file of a transfer, if it holds the whole snapshot and that is one of this cluster.
    fn read_partial(
        &mut self,
        id: &SnapshotId,
        name: &str,
    ) -> Result<Option<D::File>, StorageError> {
        if self.have(id) != id.bytes {
            return Ok(None);
        }
        let file = self
            .disk
            .open(name, false)
            .context(&self.disk, name, "open")?;
        let header = read_snapshot(&file, id, &self.stopped).context(&self.disk, name, "read")?;
        let ours = header.is_some_and(|header| header.membership.sessions == self.sessions);
        Ok(Some(file).filter(|_| ours))
    }

    fn keep_partial(
        &mut self,
        id: &SnapshotId,
        name: &str,
        mut file: D::File,
    ) -> Result<(), StorageError> {
        file.sync().context(&self.disk, name, "sync")?;
        self.publish(name, id)
    }

    /// Replaces an applier's state by a snapshot.
    ///
    /// # Errors
    /// If the file is missing, damaged, or not of this state machine: then the applier must not be
    /// used any more.
    pub fn restore<S: StateMachine>(
        &mut self,
        id: &SnapshotId,
        applier: &mut Applier<S>,
    ) -> Result<SnapshotHeader, StorageError> {
        let name = file::name(id);
        let file = self
            .disk
            .open(&name, false)
            .context(&self.disk, &name, "open")?;
        let from = Source::new(&file, u64::MAX).context(&self.disk, &name, "read")?;
        let stopped = &*self.stopped;
        let mut from = Unless { stopped, from };
        applier
            .restore(id, &mut from)
            .map_err(|source| StorageError::Snapshot {
                file: self.disk.describe(&name),
                source,
            })
    }

    /// Removes what is not needed once metadata that names `keep` is durable: all older ones but
    /// one, which a peer may be about to fetch, and a transfer that is not needed any more. What
    /// parts were read of since the last time stays until the next: however often there is
    /// something newer, a peer can finish what it has begun.
    ///
    /// # Errors
    /// What the system says; what could not be removed is removed another time.
    pub fn forget(&mut self, keep: &SnapshotId) -> Result<(), StorageError> {
        if self
            .partial
            .as_ref()
            .is_some_and(|partial| partial.id.slot <= keep.slot)
        {
            self.drop_partial();
        }
        // A removed file takes up its room as long as it is open.
        self.reading = None;
        let names = self.disk.list().context(&self.disk, "", "list")?;
        let served: Vec<String> = std::mem::take(&mut self.served)
            .iter()
            .map(file::name)
            .collect();
        let outdated = outdated(&names, keep);
        for name in outdated
            .into_iter()
            .filter(|name| !served.iter().any(|s| s == name))
        {
            self.disk.remove(name).context(&self.disk, name, "remove")?;
        }
        Ok(())
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Gives a file that is whole and synced the name of the snapshot that it is.
    fn publish(&mut self, from: &str, id: &SnapshotId) -> Result<(), StorageError> {
        let to = file::name(id);
        self.reading = None;
        self.disk
            .rename(from, &to)
            .context(&self.disk, &to, "rename")?;
        let synced = self
            .disk
            .sync_dir()
            .context(&self.disk, &to, "make durable");
        self.broken = synced.is_err();
        synced
    }

    /// Forgets what has arrived of a snapshot.
    fn drop_partial(&mut self) {
        if let Some(partial) = self.partial.take() {
            self.discard(&file::partial_name(&partial.id));
        }
    }

    /// Removes a file that is of no use. If that fails, the next start does it.
    fn discard(&mut self, name: &str) {
        let _ = self.disk.remove(name);
    }

    fn usable(&self, name: &str) -> Result<(), StorageError> {
        if !self.broken {
            return Ok(());
        }
        Err(io::Error::other(
            "an earlier sync of the directory failed; only a restart can tell what is durable",
        ))
        .context(&self.disk, name, "write")
    }
}

impl<D: Disk> std::fmt::Debug for Snapshots<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots")
            .field("dir", &self.disk.describe(""))
            .field("partial", &self.partial.as_ref().map(|p| (p.id, p.have)))
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// A new file: what had the name before may have been written by a sync that failed.
pub(super) fn create<D: Disk>(disk: &mut D, name: &str) -> Result<D::File, StorageError> {
    match disk.remove(name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).context(disk, name, "remove");
        }
        Ok(()) | Err(_) => {}
    }
    disk.open(name, true).context(disk, name, "create")
}

/// What a file says about itself that holds this snapshot, whole and sound; `None` if it does not.
fn read_snapshot<F: DiskFile>(
    file: &F,
    id: &SnapshotId,
    stopped: &AtomicBool,
) -> io::Result<Option<SnapshotHeader>> {
    let from = Source::new(file, u64::MAX)?;
    match verify(&mut Unless { stopped, from }) {
        Ok((header, found)) => Ok(Some(header).filter(|_| found == *id)),
        Err(chil_core::snapshot::SnapshotError::Io(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The names of whole snapshots that are older than `keep`, but for the newest of them.
pub(super) fn outdated<'a>(names: &'a [String], keep: &SnapshotId) -> Vec<&'a str> {
    let mut older: Vec<_> = names
        .iter()
        .filter_map(|name| match Named::of(name) {
            Named::Whole(slot) if slot < keep.slot => Some((slot, name.as_str())),
            Named::Whole(_) | Named::Partial(_) | Named::Temporary | Named::Other => None,
        })
        .collect();
    older.sort_unstable();
    older.pop();
    older.into_iter().map(|(_, name)| name).collect()
}
