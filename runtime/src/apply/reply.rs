//! Where the outcomes of proposals and reads go, and what they say.
//! Knows nothing about when they are known.

use bytes::Bytes;
use chil_core::{Outcome, Slot};
use tokio::sync::{mpsc, oneshot};

use crate::admit::Inside;
use crate::api::Held;
use crate::error::{ProposeError, ReadError, Rejection};
use crate::handle::{Answer, Executed};

/// What a proposer is told.
pub(crate) type ProposeResult = Result<Executed, ProposeError>;
/// What a reader is told.
pub(crate) type ReadResult = Result<Answer, ReadError>;

/// Where the outcome of a proposal goes. Dropped unanswered, the other side sees an unknown one.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To one caller. What counts the request, if anything does, does so for as long as it has no
    /// answer: the caller may be gone before.
    Once(oneshot::Sender<ProposeResult>, Option<Inside>),
    /// Into a pipelined stream, which has kept room for it.
    Stream {
        /// The client's name for the request.
        id: u64,
        /// Where its answer goes.
        room: mpsc::OwnedPermit<StreamAnswer>,
        /// Counts the request until the connection takes its answer.
        inside: Inside,
    },
}

/// An answer that waits to be taken by the connection of its stream.
#[derive(Debug)]
pub(crate) struct StreamAnswer {
    /// The client's name for the request.
    pub(crate) id: u64,
    /// What it is told.
    pub(crate) result: ProposeResult,
    /// Whoever takes no answers has them kept for it.
    pub(crate) counts: Counts,
}

/// What an answer that waits is counted as, until it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "it is there to be dropped")]
pub(crate) enum Counts {
    /// As a request that was let in.
    Request(Inside),
    /// As bytes, since the request was not.
    Bytes(Held),
}

impl ReplyTo {
    /// Tells the outcome; whether anybody still listens is of no concern.
    pub(crate) fn send(self, result: ProposeResult) {
        match self {
            Self::Once(to, inside) => {
                drop(to.send(result));
                drop(inside);
            }
            Self::Stream { id, room, inside } => {
                let answer = StreamAnswer {
                    id,
                    result,
                    counts: Counts::Request(inside),
                };
                drop(room.send(answer));
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
    /// Counts the request, if anything does, for as long as it has no answer.
    pub(crate) inside: Option<Inside>,
}

impl Read {
    /// Tells the reader; whether it still listens is of no concern.
    pub(crate) fn send(self, result: ReadResult) {
        drop(self.reply.send(result));
        drop(self.inside);
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
