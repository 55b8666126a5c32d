//! What can go wrong for the host of a node, sorted by what it may do about it.
//! Knows nothing about how a node works.

use std::sync::Arc;
use std::time::Duration;

use chil_core::{ClusterId, RecoverError, SessionLimits, Slot};

use crate::storage::StorageError;
use crate::tls::TlsError;

/// Why a node could not be started. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The certificate, its key or the authorities cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address for the page with the metrics cannot be listened on.
    #[error("metrics.address: cannot listen on {address}: {source}")]
    Metrics {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What the directory holds and the settings do not fit together.
    #[error("data directory: {0}")]
    Recover(#[from] RecoverError),
    /// The state machine panicked on its own snapshot.
    #[error("the state machine panicked while it restored the snapshot of slot {slot}: {panic}")]
    Restore {
        /// Everything up to here is in it.
        slot: Slot,
        /// What the panic said.
        panic: String,
    },
    /// The data directory belongs to a cluster, but to another one than the settings describe.
    #[error(
        "{dir} belongs to a cluster of {members}, but the settings mean {meant}: name the \
         directory of that cluster, or the peers of this one; nothing was changed"
    )]
    OtherCluster {
        /// The directory.
        dir: String,
        /// The names of its cluster's members.
        members: String,
        /// What the settings describe, in words.
        meant: String,
    },
    /// The host's runtime went away while the node was starting.
    #[error("the tokio runtime was shut down while the node was starting")]
    Runtime,
}

/// Why a running node ended by itself. It answers nothing any more and must be started anew.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk failed: what is durable is not known any more, so nothing may be promised.
    #[error("storage failed: {0}")]
    Storage(Arc<StorageError>),
    /// The state machine panicked. Every node that executes this slot will, until it is mended.
    #[error("the state machine panicked while it executed slot {slot}: {panic}")]
    StateMachine {
        /// The slot of the command.
        slot: Slot,
        /// What the panic said.
        panic: String,
    },
    /// A snapshot cannot be restored: the state of this node is not usable.
    #[error("cannot restore the snapshot of slot {slot}: {reason}")]
    Restore {
        /// Everything up to here is in it.
        slot: Slot,
        /// What is wrong with it.
        reason: String,
    },
    /// A cluster cannot be formed, or joined, with these peers.
    #[error("cannot join the cluster: {0}")]
    Forming(String),
    /// What the directory holds and the settings do not fit together.
    #[error("data directory: {0}")]
    Recover(#[from] RecoverError),
    /// A broken invariant stopped the node before it could do harm: a bug of chil.
    #[error("the node stopped on a broken invariant: {0}")]
    Invariant(String),
    /// The host's tokio runtime was shut down under the node.
    #[error("the tokio runtime was shut down while the node was running")]
    Runtime,
}

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It can never be taken as it is. Surely not executed.
    #[error("rejected: {0}")]
    Rejected(Rejection),
    /// Another node leads, or none does. Surely not executed: ask the hint, or try a little later.
    #[error("not the leader{}", hint_text(hint))]
    NotLeader {
        /// The leader's address, as far as this node knows.
        hint: Option<String>,
    },
    /// Too much is in flight. Surely not executed: try again after a pause.
    #[error("overloaded: try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// The pause.
        retry_after: Duration,
    },
    /// The outcome is not known: it may have been executed, or may yet be.
    #[error("the outcome is unknown: the command may have been executed, or may yet be")]
    Unknown,
    /// The cluster does not know the session (any more). This attempt executed nothing; whether
    /// an earlier one did is not known, and will not become known.
    #[error("the session has expired: the outcome is unknown")]
    SessionExpired,
    /// The client had said, by a later command's `ack_floor`, that it has this one's outcome.
    /// This attempt executed nothing; an earlier one's reply is not kept any more.
    #[error("the command's outcome was acknowledged before")]
    StaleSeq,
    /// The node does not belong to a cluster yet, and the command is for a certain one. Surely not
    /// executed: try another node, or a little later.
    #[error("the node does not belong to a cluster yet")]
    Forming,
    /// The node is shutting down or has ended. Surely not executed.
    #[error("the node has stopped")]
    Stopped,
}

/// Why a command can never be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is larger than the cluster allows.
    #[error("the value has {len} bytes, but at most {max} are allowed")]
    TooLarge {
        /// Its size in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// It was meant for another cluster.
    #[error("this node belongs to cluster {cluster}, not to the one that was asked for")]
    WrongCluster {
        /// The cluster that the node belongs to.
        cluster: ClusterId,
    },
    /// Its number is too far above the last one whose reply its session's client has seen.
    #[error(
        "its number is more than {max} above the last one whose reply the client has seen",
        max = SessionLimits::WINDOW
    )]
    BeyondWindow,
    /// Another command was executed under its number.
    #[error("another command of its session was executed under its number")]
    Reused,
    /// The state machine did not understand it. It stands in the log and changed nothing.
    #[error("the state machine does not understand it: {0}")]
    NotUnderstood(String),
}

/// Why a query has no answer. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another node leads, or none does: ask the hint, try a little later, or read stale.
    #[error("not the leader{}", hint_text(hint))]
    NotLeader {
        /// The leader's address, as far as this node knows.
        hint: Option<String>,
    },
    /// Too many reads wait: try again after a pause.
    #[error("overloaded: try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// The pause.
        retry_after: Duration,
    },
    /// The node did not execute in time what the read has to see: try again, or another node.
    #[error("the node has executed slot {applied}, but the read needs slot {needed}")]
    Behind {
        /// What it has executed.
        applied: Slot,
        /// What the read has to see.
        needed: Slot,
    },
    /// The state machine could not answer.
    #[error("the state machine cannot answer: {0}")]
    Failed(String),
    /// The node is shutting down or has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead: ask the hint, or try a little later.
    #[error("not the leader{}", hint_text(hint))]
    NotLeader {
        /// The leader's address, as far as this node knows.
        hint: Option<String>,
    },
    /// No member is called that, or it cannot lead: it is the leader itself, has no vote, or
    /// does not say that it is able to.
    #[error(
        "'{name}' cannot take over: name another member that votes and works; soon after a start, \
         ask again"
    )]
    BadTarget {
        /// The name.
        name: String,
    },
    /// No other member answers heartbeats and is able to lead.
    #[error("no other member is able to lead now")]
    NoTarget,
    /// Another transfer is under way.
    #[error("another transfer is under way: try again a little later")]
    Busy,
    /// The target did not come so far in time that it could be told to take over: this node goes on.
    #[error("the target did not take over in time")]
    TimedOut,
    /// It had begun, and then the target did not take over in time, or this node lost the
    /// leadership to somebody else. The target may lead yet, or this node again: see who does
    /// before asking for another transfer.
    #[error("the hand-over had begun, and it is not known who leads next")]
    Unclear,
    /// The node is shutting down or has ended.
    #[error("the node has stopped")]
    Stopped,
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(
        || ", and nobody is known to lead".to_owned(),
        |leader| format!(": {leader} is"),
    )
}
