//! What handles and services ask of the node's loop. Knows nothing about how it is done.

use bytes::Bytes;
use chil_core::{ClientId, Command, Entry, FrozenSnapshot, Slot, SnapshotId};
use tokio::sync::{mpsc, oneshot};

use crate::admit::Inside;
use crate::apply::{Read, ReplyTo};
use crate::error::{ProposeError, ReadError, Rejection, TransferError};
use crate::explain::Finding;
use crate::handle::{Answer, Consistency, Executed};
use crate::status::{MemberInfo, NodeStatus};
use crate::watch::WatchError;

/// Where the next decisions go.
pub(crate) type WatchReply = oneshot::Sender<Result<Vec<Entry>, WatchError>>;
/// Where the outcome of a transfer goes.
pub(crate) type TransferReply = oneshot::Sender<Result<MemberInfo, TransferError>>;

/// Where a part of a snapshot goes, with the name of it.
pub(crate) type StoredReply = oneshot::Sender<(SnapshotId, Bytes)>;

/// One request to the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// Have this command decided and executed.
    Propose { command: Command, reply: ReplyTo },
    /// Open a session: the slot of what is executed is its id.
    Register { nonce: u128, reply: ReplyTo },
    /// Answer this query.
    Read {
        consistency: Consistency,
        read: Read,
    },
    /// Say what is decided from this slot on, once there is something.
    Watch { from: Slot, reply: WatchReply },
    /// Hand the leadership over, to the member of this name.
    Transfer {
        to: Option<String>,
        reply: TransferReply,
    },
    /// Read a part of a snapshot on disk: of this one, or of the newest. Dropping the reply says
    /// that it is not there.
    ReadStored {
        id: Option<SnapshotId>,
        offset: u64,
        len: u64,
        reply: StoredReply,
    },
    /// Hand out the state as it is now. Dropping the reply says that it is not there.
    Freeze(oneshot::Sender<FrozenSnapshot>),
    /// Say what stands in the way of what.
    Explain(oneshot::Sender<Vec<Finding>>),
    /// Say how things stand.
    Status(oneshot::Sender<NodeStatus>),
}

impl Request {
    /// Answers for a node that ends.
    pub(crate) fn refuse_stopped(self) {
        match self {
            Self::Propose { reply, .. } | Self::Register { reply, .. } => {
                reply.send(Err(ProposeError::Stopped));
            }
            Self::Read { read, .. } => read.send(Err(ReadError::Stopped)),
            Self::Watch { reply, .. } => drop(reply.send(Err(WatchError::Stopped))),
            Self::Transfer { reply, .. } => drop(reply.send(Err(TransferError::Stopped))),
            // Dropping the reply says it.
            Self::ReadStored { .. } | Self::Freeze(_) | Self::Explain(_) | Self::Status(_) => {}
        }
    }
}

/// The way to the loop. Full, it makes the asker wait.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    to_loop: mpsc::Sender<Request>,
    /// How large a payload may be.
    pub(crate) value_bytes_max: u64,
}

impl Requests {
    /// Requests that may wait for the loop.
    const QUEUED_MAX: usize = 1_024;

    pub(crate) fn channel(value_bytes_max: u64) -> (Self, mpsc::Receiver<Request>) {
        let (to_loop, requests) = mpsc::channel(Self::QUEUED_MAX);
        let this = Self {
            to_loop,
            value_bytes_max,
        };
        (this, requests)
    }

    /// Hands a command over; its outcome goes to `reply`. Returns once the loop has room.
    pub(crate) async fn propose(&self, command: Command, reply: ReplyTo) {
        let len = command.payload.len() as u64;
        let max = self.value_bytes_max;
        if len > max {
            // Here, too, so that what is far too large never waits in the queue.
            let rejection = Rejection::TooLarge { len, max };
            return reply.send(Err(ProposeError::Rejected(rejection)));
        }
        self.send(Request::Propose { command, reply }).await;
    }

    /// Hands a command over, which `inside` counts, and waits for its outcome.
    pub(crate) async fn submit(
        &self,
        command: Command,
        inside: Option<Inside>,
    ) -> Result<Executed, ProposeError> {
        let (reply, outcome) = oneshot::channel();
        self.propose(command, ReplyTo::Once(reply, inside)).await;
        outcome.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Opens the session of `nonce`, or finds it open.
    pub(crate) async fn register(
        &self,
        nonce: u128,
        inside: Option<Inside>,
    ) -> Result<ClientId, ProposeError> {
        let (reply, outcome) = oneshot::channel();
        let reply = ReplyTo::Once(reply, inside);
        self.send(Request::Register { nonce, reply }).await;
        let executed = outcome.await.unwrap_or(Err(ProposeError::Unknown))?;
        Ok(ClientId::new(executed.slot.get()))
    }

    /// Asks the state machine.
    pub(crate) async fn query(
        &self,
        query: Bytes,
        consistency: Consistency,
        min_slot: Slot,
        inside: Option<Inside>,
    ) -> Result<Answer, ReadError> {
        let (reply, answer) = oneshot::channel();
        let stale = consistency == Consistency::Stale;
        let read = Read {
            query,
            min_slot,
            stale,
            reply,
            inside,
        };
        self.send(Request::Read { consistency, read }).await;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// What is decided from `from` on: one entry at least, once there is one.
    pub(crate) async fn decisions(&self, from: Slot) -> Result<Vec<Entry>, WatchError> {
        let (reply, decisions) = oneshot::channel();
        self.send(Request::Watch { from, reply }).await;
        decisions.await.unwrap_or(Err(WatchError::Stopped))
    }

    /// Has the leadership handed over, and says who leads then.
    pub(crate) async fn transfer(&self, to: Option<String>) -> Result<MemberInfo, TransferError> {
        let (reply, outcome) = oneshot::channel();
        self.send(Request::Transfer { to, reply }).await;
        outcome.await.unwrap_or(Err(TransferError::Stopped))
    }

    /// A part of a snapshot on disk, of this one or of the newest; `None` when it is not there.
    pub(crate) async fn stored(
        &self,
        id: Option<SnapshotId>,
        offset: u64,
        len: u64,
    ) -> Option<(SnapshotId, Bytes)> {
        let (reply, part) = oneshot::channel();
        let request = Request::ReadStored {
            id,
            offset,
            len,
            reply,
        };
        self.send(request).await;
        part.await.ok()
    }

    /// The state as it is now; `None` when it is not there.
    pub(crate) async fn freeze(&self) -> Option<FrozenSnapshot> {
        let (reply, frozen) = oneshot::channel();
        self.send(Request::Freeze(reply)).await;
        frozen.await.ok()
    }

    /// What stands in the way of what; `None` when the node has ended.
    pub(crate) async fn explain(&self) -> Option<Vec<Finding>> {
        let (reply, findings) = oneshot::channel();
        self.send(Request::Explain(reply)).await;
        findings.await.ok()
    }

    /// Asks how things stand; `None` when the node has ended.
    pub(crate) async fn status(&self) -> Option<NodeStatus> {
        let (reply, status) = oneshot::channel();
        self.send(Request::Status(reply)).await;
        status.await.ok()
    }

    async fn send(&self, request: Request) {
        if let Err(mpsc::error::SendError(request)) = self.to_loop.send(request).await {
            request.refuse_stopped();
        }
    }
}
