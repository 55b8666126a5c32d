//! Why an operation of a client has no result, sorted by whether it can have had an effect.
//! Knows nothing about how it was tried.

use chil_core::{ClusterId, Slot};

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The command may have been executed, or may yet be: nobody can tell any more whether it was.
    #[error("the outcome is unknown, the command may have been executed or may yet be: {reason}")]
    Unknown {
        /// What was seen last.
        reason: String,
    },
    /// The request can never succeed as it is. Surely not executed.
    #[error("rejected: {reason}")]
    Rejected {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody served it in time. Surely not executed.
    #[error("no node served the request in time: {reason}")]
    Unavailable {
        /// What was seen last.
        reason: String,
    },
    /// A node was reached that belongs to another cluster than this client. Surely not executed.
    #[error(
        "{address} belongs to cluster {found}, but this client talks to {expected}, {origin}: name \
         the nodes of one cluster, and make a new client to talk to another"
    )]
    OtherCluster {
        /// The node.
        address: String,
        /// The cluster that it belongs to.
        found: ClusterId,
        /// The cluster that the client talks to.
        expected: ClusterId,
        /// Why it is that one, in words.
        origin: String,
    },
}

/// Why a watch ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The slots that were due are gone: they stand in snapshots only.
    #[error(
        "the log is there from slot {first} on only: read the state with a min_slot of {} \
         and watch from {first}", first.prev()
    )]
    Compacted {
        /// The first slot that can be watched, on the node that has the most.
        first: Slot,
    },
    /// No node served it for as long as the client's timeout.
    #[error(transparent)]
    Client(#[from] ClientError),
}
