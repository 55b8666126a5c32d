//! Where the outcomes of proposals and reads go, and what they say.
//! Knows nothing about when they are known.

use bytes::Bytes;
use chil_core::{Outcome, Slot};
use tokio::sync::{mpsc, oneshot};

use crate::admit::Inside;
use crate::error::{ProposeError, ReadError, Rejection};
use crate::handle::{Answer, Executed};

/// What a proposer is told.
pub(crate) type ProposeResult = Result<Executed, ProposeError>;
/// What a reader is told.
pub(crate) type ReadResult = Result<Answer, ReadError>;

/// Where the outcome of a proposal goes. Dropped unanswered, the other side sees an unknown one.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To one caller.
    Once(oneshot::Sender<ProposeResult>),
    /// Into a pipelined stream, which has kept room for it.
    Stream {
        /// The client's name for the request.
        id: u64,
        /// Where its answer goes.
        room: mpsc::OwnedPermit<(u64, ProposeResult)>,
        /// Counts the request for as long as it has no answer.
        inside: Inside,
    },
}

impl ReplyTo {
    /// Tells the outcome; whether anybody still listens is of no concern.
    pub(crate) fn send(self, result: ProposeResult) {
        match self {
            Self::Once(to) => drop(to.send(result)),
            Self::Stream { id, room, inside } => {
                drop(room.send((id, result)));
                drop(inside);
            }
        }
    }
}

/// A query and who wants its answer.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) query: Bytes,
    /// The answer sees at least this slot.
    pub(crate) min_slot: Slot,
    /// Nothing proves that it sees what was acknowledged: the answer says how old it may be.
    pub(crate) stale: bool,
    pub(crate) reply: oneshot::Sender<ReadResult>,
}

impl Read {
    /// Tells the reader; whether it still listens is of no concern.
    pub(crate) fn send(self, result: ReadResult) {
        drop(self.reply.send(result));
    }
}

/// What the proposer of an executed entry is told.
pub(super) fn told(outcome: Outcome) -> ProposeResult {
    match outcome {
        Outcome::Executed { slot, reply } => Ok(Executed { slot, reply }),
        // The session is called what its slot is.
        Outcome::Registered { client } => Ok(Executed {
            slot: Slot::new(client.get()),
            reply: Bytes::new(),
        }),
        Outcome::SessionExpired => Err(ProposeError::SessionExpired),
        Outcome::StaleSeq => Err(ProposeError::StaleSeq),
        Outcome::BeyondWindow => Err(ProposeError::Rejected(Rejection::BeyondWindow)),
        Outcome::Reused => Err(ProposeError::Rejected(Rejection::Reused)),
    }
}
