//! A client's automaton: finds the leader, opens a session, and tries each request until its outcome is known.
//! Knows no socket, no clock and no address: targets are whatever the driver takes for one.
//!
//! Drive it as a replica: *each [`RetryClient::handle`] is followed by draining
//! [`RetryClient::poll_output`] to [`RetryOutput::Wait`].* The same automaton runs in the client
//! library (a target is an address) and in the simulator (a target is a node's number).
//!
//! A request keeps its number, the pair of session and `seq`, through all attempts, whichever node
//! they go to: so however often it is sent, it takes effect once (PROTOCOL.md "Exactly once").
//! What that rests on:
//! - The driver delivers an attempt at most once. It may never arrive, and its answer may be lost,
//!   late or repeated.
//! - An outcome that is not known stays so for ever: the request's number is given to nothing
//!   else, and its session takes no further requests.
//! - When the cluster has forgotten a session, what may have reached a log is reported as
//!   unknown. Only what surely did not is tried again, in a new session.

mod client;
mod pace;
mod queue;
mod session;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use client::RetryClient;

use crate::command::Command;
use crate::session::SessionLimits;
use crate::time::{Span, Time};
use crate::types::{ClientId, Slot, Token};

/// How a client tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Pause after the first failure; doubled with each further one.
    pub backoff_min: Span,
    /// Longest pause.
    pub backoff_max: Span,
    /// An attempt that is not answered for so long counts as lost.
    pub attempt_timeout: Span,
    /// Requests under way at a time, at most [`SessionLimits::WINDOW`].
    pub window: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            backoff_min: Span::from_millis(10),
            backoff_max: Span::from_millis(1_000),
            attempt_timeout: Span::from_millis(2_000),
            window: SessionLimits::WINDOW,
        }
    }
}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryInput<T, R> {
    /// Somebody wants this done.
    Submit {
        /// The driver's name for the request: none that is in use. It is free again when the
        /// request has its result.
        token: Token,
        /// The state machine's command.
        payload: Bytes,
        /// When to give up; [`Time::MAX`] for never.
        deadline: Time,
    },
    /// An attempt came to an end. Late and repeated answers are welcome.
    Answered {
        /// Which one.
        attempt: AttemptId,
        /// How.
        answer: Answer<T, R>,
    },
    /// Nobody waits for this request any more: as if its deadline were now.
    GiveUp {
        /// Which one.
        token: Token,
    },
    /// As [`RetryInput::GiveUp`], and the driver has taken the attempt back that was under way: it
    /// was not sent, and will not be.
    Withdraw {
        /// Which one.
        token: Token,
    },
    /// The instant of the last `Wait` has passed. Harmless when it comes early or twice.
    Wake,
}

/// The token of a new request names another one that has no result yet. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request {token:?} has no result yet: submit the next under another token")]
pub struct TokenInUse {
    /// The token.
    pub token: Token,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOutput<T, R> {
    /// Send this there, once, and hand in what becomes of it.
    Send {
        /// Handed back in the answer.
        attempt: AttemptId,
        /// To this node.
        to: T,
        /// What is asked of it.
        ask: Ask,
    },
    /// A request has its result; each has exactly one.
    Completed {
        /// Which one.
        token: Token,
        /// The result.
        result: Completion<R>,
    },
    /// Nothing more to do until an input arrives or this instant passes. Always the last.
    Wait(Time),
}

/// What is asked of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A session.
    Register {
        /// The same in all attempts to open this one session.
        nonce: u128,
    },
    /// That this is executed.
    Propose(Command),
}

/// Names one attempt of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The client's number for the session.
    session: u64,
    /// Number of the request; 0 opens the session.
    seq: u64,
    /// Number of the attempt.
    n: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T, R> {
    /// Executed, by this attempt or an earlier one.
    Executed {
        /// Where.
        slot: Slot,
        /// The state machine's reply.
        reply: Bytes,
    },
    /// The session is open.
    Registered {
        /// What it is called.
        client: ClientId,
    },
    /// This attempt surely does nothing: somebody else leads.
    NotLeader {
        /// Who, if the node knows.
        hint: Option<T>,
    },
    /// This attempt surely does nothing: too much is in flight.
    Overloaded {
        /// When to come again, at the earliest.
        retry_after: Span,
    },
    /// This attempt surely does nothing: the node cannot serve, or could not be reached at all.
    Unavailable,
    /// Nothing is known: the connection broke, or the leader was deposed.
    Unknown,
    /// The cluster does not know the session (any more). This attempt did nothing.
    SessionExpired,
    /// The session counts the request as acknowledged. This attempt did nothing.
    StaleSeq,
    /// This attempt surely does nothing, and no other could.
    Rejected(R),
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion<R> {
    /// Executed, exactly once.
    Executed {
        /// Where.
        slot: Slot,
        /// The state machine's reply.
        reply: Bytes,
    },
    /// Surely not executed, and never will be: the cluster does not take it.
    Rejected(R),
    /// Surely not executed, and never will be: no node took it in time.
    TimedOut,
    /// It may have been executed, once, or may yet be.
    Unknown,
}
