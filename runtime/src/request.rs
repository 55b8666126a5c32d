//! What handles and services ask of the node's loop. Knows nothing about how it is done.

use bytes::Bytes;
use chil_core::Command;
use tokio::sync::{mpsc, oneshot};

use crate::apply::{Read, ReplyTo};
use crate::error::{ProposeError, ReadError, Rejection};
use crate::handle::{Answer, Consistency, Executed};
use crate::status::NodeStatus;

/// One request to the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// Have this command decided and executed.
    Propose { command: Command, reply: ReplyTo },
    /// Answer this query.
    Read {
        consistency: Consistency,
        read: Read,
    },
    /// Say how things stand.
    Status(oneshot::Sender<NodeStatus>),
}

impl Request {
    /// Answers for a node that ends.
    pub(crate) fn refuse_stopped(self) {
        match self {
            Self::Propose { reply, .. } => reply.send(Err(ProposeError::Stopped)),
            Self::Read { read, .. } => drop(read.reply.send(Err(ReadError::Stopped))),
            // Dropping the reply says it.
            Self::Status(_) => {}
        }
    }
}

/// The way to the loop. Full, it makes the asker wait.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    to_loop: mpsc::Sender<Request>,
    value_bytes_max: u64,
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
        let request = Request::Propose { command, reply };
        if let Err(mpsc::error::SendError(request)) = self.to_loop.send(request).await {
            request.refuse_stopped();
        }
    }

    /// Hands a command over and waits for its outcome.
    pub(crate) async fn submit(&self, command: Command) -> Result<Executed, ProposeError> {
        let (reply, outcome) = oneshot::channel();
        self.propose(command, ReplyTo::Once(reply)).await;
        outcome.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Asks the state machine.
    pub(crate) async fn query(
        &self,
        query: Bytes,
        consistency: Consistency,
    ) -> Result<Answer, ReadError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Read {
            consistency,
            read: Read { query, reply },
        };
        if self.to_loop.send(request).await.is_err() {
            return Err(ReadError::Stopped);
        }
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Asks how things stand; `None` when the node has ended.
    pub(crate) async fn status(&self) -> Option<NodeStatus> {
        let (reply, status) = oneshot::channel();
        self.to_loop.send(Request::Status(reply)).await.ok()?;
        status.await.ok()
    }
}
