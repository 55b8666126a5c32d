//! What the loop has done with snapshots: one of its own state at a time, parts of others', and
//! the state machine away while one is installed. Knows nothing about how they are kept.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::Bytes;
use chil_core::{
    Applier, FrozenSnapshot, Input, Lsn, NodeId, Persist, Record, Slot, SnapshotId, StateMachine,
    Time,
};

use tokio::sync::oneshot;

use super::NodeLoop;
use crate::error::NodeError;
use crate::ports::{Clock, Network, SnapshotStorage, Storage};
use crate::request::StoredReply;
use crate::storage::{SnapshotDone, SnapshotJob, StorageError};

/// A log that is longer than this is worth a snapshot of any length: it is in memory, and it is
/// what a restart executes again.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// The place where snapshots are kept, and what is under way there.
pub(super) struct Keeper<S, P> {
    port: P,
    /// A snapshot of this node's own state is being written.
    taking: bool,
    /// Length of the last one that was written, fetched, or found at the start.
    last_bytes: u64,
    /// Snapshots named by metadata that is not durable yet.
    named: VecDeque<(Lsn, SnapshotId)>,
    /// The slot of the last one named.
    newest: Slot,
    /// One that is to be installed once the state machine is back from another.
    next: Option<SnapshotId>,
    /// Who waits for parts that are read for this node's own clients, in order.
    reading: VecDeque<StoredReply>,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine, P: SnapshotStorage<S>> Keeper<S, P> {
    /// The last snapshot, which the node begins with, had so many bytes.
    pub(super) const fn new(port: P, last_bytes: u64) -> Self {
        Self {
            port,
            taking: false,
            last_bytes,
            named: VecDeque::new(),
            newest: Slot::ZERO,
            next: None,
            reading: VecDeque::new(),
            machine: PhantomData,
        }
    }

    /// Whether the state at the next snapshot point is wanted, `log_bytes` of entries having been
    /// executed since the last. Points are left out while one is still being written, and as long
    /// as the log is shorter than a snapshot: so writing snapshots costs no more than writing the
    /// log does, however large the state is.
    pub(super) fn wants_snapshot(&self, log_bytes: u64) -> bool {
        !self.taking && log_bytes >= self.last_bytes.min(LOG_BYTES_MAX)
    }

    pub(super) fn take(&mut self, frozen: FrozenSnapshot) {
        self.taking = true;
        self.port.submit(SnapshotJob::Take(frozen));
    }

    pub(super) fn read_chunk(&mut self, to: NodeId, id: SnapshotId, offset: u64, len: u64) {
        self.port.submit(SnapshotJob::Read {
            to,
            id,
            offset,
            len,
        });
    }

    pub(super) fn write_chunk(&mut self, id: SnapshotId, offset: u64, bytes: Bytes) {
        self.port.submit(SnapshotJob::Write { id, offset, bytes });
    }

    pub(super) fn finish(&mut self, id: SnapshotId) {
        self.port.submit(SnapshotJob::Finish { id });
    }

    fn restore(&mut self, id: SnapshotId, applier: Applier<S>) {
        let applier = Box::new(applier);
        self.port.submit(SnapshotJob::Restore { id, applier });
    }

    /// Notes which snapshots the metadata in `persist` names.
    pub(super) fn persists(&mut self, persist: &Persist) {
        for record in &persist.records {
            if let Record::Meta(meta) = record
                && let Some(snap) = meta.snap.filter(|snap| self.newest < snap.id.slot)
            {
                self.newest = snap.id.slot;
                self.named.push_back((persist.lsn, snap.id));
            }
        }
    }

    /// What the metadata named before this is not needed any more.
    pub(super) fn persisted(&mut self, lsn: Lsn) {
        let durable = self.named.partition_point(|(named, _)| *named <= lsn);
        if let Some((_, keep)) = self.named.drain(..durable).next_back() {
            self.port.submit(SnapshotJob::Forget { keep });
        }
    }

    /// The next job that is done. Cancel-safe.
    pub(super) async fn completed(&mut self) -> Result<SnapshotDone<S>, StorageError> {
        self.port.completed().await
    }

    pub(super) async fn close(self) {
        self.port.close().await;
    }
}

impl<S, D, P, N, C> NodeLoop<S, D, P, N, C>
where
    S: StateMachine,
    D: Storage,
    P: SnapshotStorage<S>,
    N: Network,
    C: Clock,
{
    /// Takes in what became of a job. That something could not be read or written is no reason
    /// to end, the log is as it was; but without its state a node is nothing.
    pub(super) fn kept(&mut self, now: Time, done: SnapshotDone<S>) -> Result<(), NodeError> {
        let node = self.about.name.as_str();
        let input = match done {
            SnapshotDone::Taken(taken) => {
                self.keeper.taking = false;
                if let Ok(id) = &taken {
                    self.keeper.last_bytes = id.bytes;
                }
                let id = told(
                    node,
                    "cannot take a snapshot, so the log grows",
                    taken.map(Some),
                );
                id.map(|id| Input::SnapshotTaken { id })
            }
            SnapshotDone::Read {
                to,
                id,
                offset,
                bytes,
            } => {
                let bytes = told(node, "cannot read a snapshot", bytes);
                if to == self.about.node {
                    let reply = self.keeper.reading.pop_front();
                    hand_out(reply, id, bytes);
                    return Ok(());
                }
                Some(Input::ChunkRead {
                    to,
                    id,
                    offset,
                    bytes,
                })
            }
            SnapshotDone::Written { id, have, result } => {
                told(node, "cannot write a snapshot", result.map(Some));
                Some(Input::ChunkWritten { id, have })
            }
            SnapshotDone::Finished { id, sound } => {
                let sound = told(node, "cannot keep a snapshot", sound.map(Some));
                let sound = sound.unwrap_or(false);
                Some(Input::SnapshotReceived { id, sound })
            }
            SnapshotDone::Restored {
                id,
                applier,
                result,
            } => {
                let slot = id.slot;
                result.map_err(|error| NodeError::Restore {
                    slot,
                    reason: error.to_string(),
                })?;
                tracing::info!(node, %slot, bytes = id.bytes, "restored a snapshot");
                self.keeper.last_bytes = id.bytes;
                self.restored(now, *applier);
                return Ok(());
            }
            SnapshotDone::Forgotten(result) => {
                told(node, "cannot remove old snapshots", result.map(Some));
                None
            }
        };
        if let Some(input) = input {
            self.replica.handle(now, input);
        }
        Ok(())
    }

    /// Reads a part of a snapshot for a client of this node, as for a peer.
    pub(super) fn read_stored(
        &mut self,
        id: Option<SnapshotId>,
        offset: u64,
        len: u64,
        reply: StoredReply,
    ) {
        if let Some(id) = id.or_else(|| self.replica.status().snapshot) {
            self.keeper.reading.push_back(reply);
            self.keeper.read_chunk(self.about.node, id, offset, len);
        }
    }

    /// Hands out the state as it is now, if it is here.
    pub(super) fn freeze(&self, reply: oneshot::Sender<FrozenSnapshot>) {
        match self.apply.freeze(self.replica.membership()) {
            Ok(Some(frozen)) => drop(reply.send(frozen)),
            Ok(None) => {}
            Err(panic) => tracing::error!(%panic, "the state machine panicked on a freeze"),
        }
    }

    /// The state is to be replaced. The state machine goes to where the snapshot is, and the loop
    /// goes on: with heartbeats, and with what is decided, which queues up.
    pub(super) fn install(&mut self, id: SnapshotId) {
        match self.apply.leave(&id) {
            Some(applier) => self.keeper.restore(id, applier),
            // It is away for an earlier one, which nobody needs to see any more.
            None => self.keeper.next = Some(id),
        }
    }

    fn restored(&mut self, now: Time, applier: Applier<S>) {
        if let Some(next) = self.keeper.next.take() {
            return self.keeper.restore(next, applier);
        }
        let slot = applier.applied();
        let again = self.apply.come_back(&self.clock, applier);
        self.replica.handle(now, Input::Applied { slot });
        self.read_again(now, again);
        self.watchers.executed(self.replica.log(), slot);
    }
}

/// Hands a part to who asked for it; without one, the reply is dropped, which says so.
fn hand_out(reply: Option<StoredReply>, id: SnapshotId, bytes: Option<Bytes>) {
    if let (Some(reply), Some(bytes)) = (reply, bytes) {
        drop(reply.send((id, bytes)));
    }
}

/// What a job yielded; an error is told to people, and nothing comes of the job.
fn told<T>(node: &str, what: &'static str, yielded: Result<Option<T>, StorageError>) -> Option<T> {
    yielded.unwrap_or_else(|error| {
        tracing::error!(node, %error, "{what}");
        None
    })
}
