//! How nodes with empty directories agree on who they are before there is anything to agree with.
//! Knows nothing about logs and ballots, and does no IO: the driver sends, waits and makes durable.
//!
//! Every node asks every address of its list who answers there and whom it was told about. When
//! all have answered with the same names and weights, these nodes with the disks heard are the
//! *candidate*. The node asks all of them to confirm it, with a nonce drawn afresh whenever its
//! candidate changes; a peer confirms only while it is forming itself and has the same candidate,
//! or because it has formed that very cluster. When all have confirmed, the cluster is formed.
//!
//! # Why two clusters cannot both decide
//! *Two nodes that are in each other's candidate never form different clusters.* Each needs the
//! other's confirmation after its own last change, and confirms nothing after it has formed:
//!
//! ```text
//!   a:  --- last change --------- confirmed by b --- formed       (this candidate to the end)
//!   b:                    has a's candidate here, so b's last change comes later,
//!                         so a's confirmation for b comes later still, when a has its own
//!                         candidate or has formed: it never comes
//! ```
//!
//! A name that leads to two live disks, now to one, now to the other, can still leave the disk
//! that lost with a cluster of its own: all others confirmed it, then changed their minds, and
//! their confirmations arrive late. It is alone there as long as nobody joins it on its word. So
//! *a node takes over a formed cluster only when members with more than half of the weight,
//! itself not counted, say that they have formed it* (derived for chil): among those is one that
//! is in both candidates, unless half of the weight exists twice. A single formed member is not
//! believed alone; with all others' confirmations it is enough.

mod answer;
mod automaton;
mod config;
pub mod message;
mod obstacle;
mod roster;

use std::fmt;

use crate::record::Meta;
use crate::time::Time;
use crate::types::ClusterId;

pub use answer::answer_formed;
pub use automaton::Forming;
pub use config::{FormingConfig, FormingConfigError, FormingPeer};
pub use message::{
    ADDR_BYTES_MAX, Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState, Listed,
    NAME_BYTES_MAX,
};
pub use obstacle::Obstacle;

/// One event for a forming node.
#[derive(Clone, Debug)]
pub enum FormingInput {
    /// A message arrived, from anybody.
    Received(FormingMessage),
    /// The deadline of the last `Wait` has passed. Harmless when it comes early or twice.
    Wake,
}

/// One effect. [`Forming::poll_output`] yields them until it yields [`FormingOutput::Wait`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormingOutput {
    /// Send this there. May be lost.
    Send {
        /// Where to.
        to_addr: String,
        /// What.
        message: FormingMessage,
    },
    /// The cluster exists. Make this durable; until then answer nobody, afterwards answer with
    /// [`answer_formed`]. Nothing but `Wait` follows.
    Formed {
        /// The metadata to format the directory with.
        meta: Box<Meta>,
    },
    /// The node cannot join: stop, and show the reason. Nothing but `Wait` follows.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// Something that people may want to know; needs no action.
    Notice(FormingNotice),
    /// Nothing more to do until a message arrives or this instant passes. Always the last.
    Wait(Time),
}

/// What forming tells people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormingNotice {
    /// This stands in the way since a short while ago.
    Obstacle(Obstacle),
    /// All listed peers agree on who belongs to the cluster, and are asked to confirm it.
    Candidate {
        /// The identity that it would have.
        cluster: ClusterId,
        /// The names of its members.
        members: Vec<String>,
    },
    /// They do not agree any more.
    CandidateLost {
        /// The identity that it would have had.
        cluster: ClusterId,
    },
}

impl fmt::Display for FormingNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => write!(f, "forming waits: {obstacle}"),
            Self::Candidate { cluster, members } => {
                write!(
                    f,
                    "about to form cluster {cluster} of {}",
                    members.join(", ")
                )
            }
            Self::CandidateLost { cluster } => {
                write!(f, "no longer about to form cluster {cluster}")
            }
        }
    }
}

#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod tests;
