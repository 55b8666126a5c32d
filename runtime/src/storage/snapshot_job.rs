//! What a node asks of its snapshot files, as data: jobs, and what became of them.
//! Knows nothing about threads or queues.

use bytes::Bytes;
use chil_core::snapshot::FrozenSnapshot;
use chil_core::{Applier, NodeId, SnapshotHeader, SnapshotId, StateMachine};

use super::disk::Disk;
use super::error::StorageError;
use super::snapshots::Snapshots;

/// Something to do with snapshot files.
#[derive(Debug)]
pub enum SnapshotJob<S> {
    /// Write this snapshot, and make it durable under its own name.
    Take(FrozenSnapshot),
    /// Read a part for a peer: `Output::ReadChunk`.
    Read {
        /// The peer.
        to: NodeId,
        /// Of which snapshot.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Write a part of a snapshot that is on its way: `Output::WriteChunk`.
    Write {
        /// Of which snapshot.
        id: SnapshotId,
        /// Where it belongs.
        offset: u64,
        /// The part.
        bytes: Bytes,
    },
    /// All parts are written: `Output::FinishSnapshot`.
    Finish {
        /// Of which snapshot.
        id: SnapshotId,
    },
    /// Replace the state of this applier by a snapshot.
    Restore {
        /// By which one.
        id: SnapshotId,
        /// Whose state.
        applier: Box<Applier<S>>,
    },
    /// Metadata that names this snapshot is durable: older ones may go.
    Forget {
        /// The snapshot that stays, and the one before it.
        keep: SnapshotId,
    },
}

/// What became of a [`SnapshotJob`]. An error ends the job and says nothing about the log; only
/// a node that cannot restore the snapshot which its log begins behind has to stop.
#[derive(Debug)]
pub enum SnapshotDone<S> {
    /// Answer with `Input::SnapshotTaken`. After an error nothing is left of it: it is tried
    /// again at the next point.
    Taken(Result<SnapshotId, StorageError>),
    /// Answer with `Input::ChunkRead`; with no bytes also after an error.
    Read {
        /// The peer.
        to: NodeId,
        /// Of which snapshot.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// The part; `None` if the snapshot is not kept (any more).
        bytes: Result<Option<Bytes>, StorageError>,
    },
    /// Answer with `Input::ChunkWritten`, also after an error.
    Written {
        /// Of which snapshot.
        id: SnapshotId,
        /// How much of it is there.
        have: u64,
        /// Whether the part was written.
        result: Result<(), StorageError>,
    },
    /// Answer with `Input::SnapshotReceived`; it is not sound after an error, either.
    Finished {
        /// Which snapshot.
        id: SnapshotId,
        /// Whether it is sound and durable; if not, it was thrown away.
        sound: Result<bool, StorageError>,
    },
    /// The applier comes back. After an error it must not be used any more.
    Restored {
        /// By which snapshot.
        id: SnapshotId,
        /// Whose state.
        applier: Box<Applier<S>>,
        /// What the snapshot says about itself.
        result: Result<SnapshotHeader, StorageError>,
    },
    /// Nothing to answer; after an error, what is left is removed another time.
    Forgotten(Result<(), StorageError>),
}

impl<D: Disk> Snapshots<D> {
    /// Does one job.
    pub fn perform<S: StateMachine>(&mut self, job: SnapshotJob<S>) -> SnapshotDone<S> {
        match job {
            SnapshotJob::Take(frozen) => SnapshotDone::Taken(self.take(&frozen)),
            SnapshotJob::Read {
                to,
                id,
                offset,
                len,
            } => SnapshotDone::Read {
                to,
                id,
                offset,
                bytes: self.read(&id, offset, len),
            },
            SnapshotJob::Write { id, offset, bytes } => {
                let result = self.write(&id, offset, &bytes).map(|_| ());
                SnapshotDone::Written {
                    id,
                    have: self.have(&id),
                    result,
                }
            }
            SnapshotJob::Finish { id } => SnapshotDone::Finished {
                id,
                sound: self.finish(&id),
            },
            SnapshotJob::Restore { id, mut applier } => SnapshotDone::Restored {
                id,
                result: self.restore(&id, &mut applier),
                applier,
            },
            SnapshotJob::Forget { keep } => SnapshotDone::Forgotten(self.forget(&keep)),
        }
    }
}
