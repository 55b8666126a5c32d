//! What nodes without a cluster say to each other, one struct each: who sends it, to whom, when,
//! and what its receiver may conclude. Knows nothing about bytes, nor about what follows from it.

use std::fmt;

use crate::membership::{Lease, Membership};
use crate::session::SessionLimits;
use crate::types::{ClusterId, DiskId};

/// Longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest address of a node, in bytes: a DNS name and a port, with room to spare.
pub const ADDR_BYTES_MAX: usize = 300;

/// One node of a peer list, as the list's owner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; `None` while it has not introduced itself and nobody said it.
    pub name: Option<String>,
    /// Where the list's owner looks for it.
    pub addr: String,
    /// How much its vote is to count.
    pub weight: u32,
}

/// All messages of forming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormingMessage {
    /// A question: who are you, and whom were you told about?
    Hello(Hello),
    /// Its answer.
    HelloReply(HelloReply),
    /// A question: is this what you are about to form, too?
    Confirm(Confirm),
    /// Its only answer.
    Confirmed(Confirmed),
}

impl FormingMessage {
    /// Its name, for traces and counters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::HelloReply(_) => "HelloReply",
            Self::Confirm(_) => "Confirm",
            Self::Confirmed(_) => "Confirmed",
        }
    }
}

/// "This is who I am; who are you, and whom were you told about?": from a forming node to every
/// address of its list, again and again.
///
/// The receiver concludes nothing from it, since anybody can claim a name: it answers to `addr`,
/// forming or formed. What it wants to know it asks itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's name.
    pub name: String,
    /// The sender's data directory; its identity was durable before.
    pub disk: DiskId,
    /// Where answers go.
    pub addr: String,
    /// Random, drawn by the sending process for each address that it asks.
    pub nonce: u64,
    /// Number of the question, rising within a nonce: a delayed answer never replaces a later one.
    pub round: u64,
}

/// "I am this, at the address that you asked": from any node to the sender of a [`Hello`].
///
/// The asker concludes whom the address that it asked leads to. The answer of a formed node is a
/// fact that stays true; that of a forming one is true until its sender changes its mind, which
/// is why it has to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The replier's name.
    pub name: String,
    /// The replier's data directory.
    pub disk: DiskId,
    /// Where the replier says that it can be reached.
    pub addr: String,
    /// As in the question.
    pub nonce: u64,
    /// As in the question.
    pub round: u64,
    /// Whether it belongs to a cluster.
    pub state: HelloState,
}

/// Whether a node belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloState {
    /// Not yet.
    Forming {
        /// Everybody that it was told about, and itself.
        list: Vec<Listed>,
        /// What it was told about reads from a lease.
        lease: Option<Lease>,
        /// What it was told about sessions.
        sessions: SessionLimits,
    },
    /// Yes, and that is durable.
    Formed {
        /// The cluster.
        cluster: ClusterId,
        /// Its current membership.
        membership: Membership,
    },
}

/// "Is this what you are about to form, too?": from a forming node that has a candidate to every
/// other node of it, until all have confirmed or the candidate changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The sender's name.
    pub name: String,
    /// The sender's data directory.
    pub disk: DiskId,
    /// Where the answer goes.
    pub addr: String,
    /// The identity that the cluster would have.
    pub candidate: ClusterId,
    /// Drawn afresh whenever the sender's candidate changes.
    pub nonce: u64,
}

/// "It is, and I am still forming": from a node whose own candidate is the one asked about.
///
/// The asker concludes that the sender had this candidate at some time after the nonce was drawn.
/// A node that is formed, or has another candidate or none, does not answer a [`Confirm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The sender's name.
    pub name: String,
    /// The sender's data directory.
    pub disk: DiskId,
    /// As in the question.
    pub candidate: ClusterId,
    /// As in the question.
    pub nonce: u64,
}

impl fmt::Display for FormingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(m) => write!(f, "Hello from {} round={}", m.name, m.round),
            Self::HelloReply(m) => {
                write!(f, "HelloReply from {} round={}", m.name, m.round)?;
                match &m.state {
                    HelloState::Forming { list, .. } => write!(f, " forming {}", list.len()),
                    HelloState::Formed { cluster, .. } => write!(f, " formed {cluster}"),
                }
            }
            Self::Confirm(m) => write!(f, "Confirm {} from {}", m.candidate, m.name),
            Self::Confirmed(m) => write!(f, "Confirmed {} by {}", m.candidate, m.name),
        }
    }
}
