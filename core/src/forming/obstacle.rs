//! What stands against forming a cluster, in words for the operator who waits for it.
//! Knows nothing about how it was found out.

use std::fmt;

use crate::membership::{Lease, MembershipError};
use crate::session::SessionLimits;
use crate::types::{ClusterId, DiskId};

/// One reason why a node still waits. All of them can go away without this node's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody answers at this peer's address.
    Silent {
        /// The peer.
        peer: String,
    },
    /// Another node answers than the list says.
    WrongName {
        /// Where.
        addr: String,
        /// Whom the list names.
        expected: String,
        /// Who answers.
        found: String,
    },
    /// Another process answers under this node's own name.
    Twin {
        /// Where.
        addr: String,
        /// Its data directory.
        disk: DiskId,
    },
    /// Two addresses of the list lead to the same name.
    SameNode {
        /// The name.
        name: String,
        /// The addresses.
        addrs: (String, String),
    },
    /// A node does not know yet who all its peers are.
    Unresolved {
        /// The node.
        peer: String,
    },
    /// A peer was told to form another cluster than this node.
    OtherList {
        /// The peer.
        peer: String,
        /// This node.
        own: String,
        /// Names and weights that only the peer has.
        there: Vec<(String, u32)>,
        /// Names and weights that only this node has.
        here: Vec<(String, u32)>,
    },
    /// A peer was told something else about leases than this node.
    OtherLease {
        /// The peer.
        peer: String,
        /// What it was told.
        there: Option<Lease>,
        /// What this node was told.
        here: Option<Lease>,
    },
    /// A peer was told something else about sessions than this node.
    OtherSessions {
        /// The peer.
        peer: String,
        /// What it was told.
        there: SessionLimits,
        /// What this node was told.
        here: SessionLimits,
    },
    /// The nodes that answered cannot be one cluster.
    Invalid(MembershipError),
    /// The peer has not confirmed the candidate yet.
    Unconfirmed {
        /// The peer.
        peer: String,
    },
    /// A cluster that this node belongs to exists, but too few of its members said so.
    TooFewFormed {
        /// The cluster.
        cluster: ClusterId,
        /// Who said so.
        by: Vec<String>,
        /// Their weight together.
        weight: u64,
        /// The weight of all members.
        total: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { peer } => write!(f, "no answer from {peer} yet"),
            Self::WrongName {
                addr,
                expected,
                found,
            } => write!(
                f,
                "'{found}' answers at {addr}, but the peer list expects '{expected}' there"
            ),
            Self::Twin { addr, disk } => write!(
                f,
                "another process at {addr} uses this node's name, with disk {disk}: stop one of them"
            ),
            Self::SameNode { name, addrs } => write!(
                f,
                "{} and {} both lead to '{name}': remove one of them from the peer list",
                addrs.0, addrs.1
            ),
            Self::Unresolved { peer } => write!(f, "'{peer}' does not know all of its peers yet"),
            Self::OtherList {
                peer,
                own,
                there,
                here,
            } => {
                write!(
                    f,
                    "the peer lists of '{own}' and '{peer}' differ: only '{peer}' has "
                )?;
                roll(f, there)?;
                write!(f, ", only '{own}' has ")?;
                roll(f, here)
            }
            Self::OtherLease { peer, there, here } => write!(
                f,
                "'{peer}' was told to use {} for reads, but this node {}: tell all nodes the same",
                lease_text(*there),
                lease_text(*here)
            ),
            Self::OtherSessions { peer, there, here } => write!(
                f,
                "'{peer}' was told to keep {there}, but this node {here}: tell all nodes the same"
            ),
            Self::Invalid(error) => error.fmt(f),
            Self::Unconfirmed { peer } => write!(f, "'{peer}' has not confirmed the members yet"),
            Self::TooFewFormed {
                cluster,
                by,
                weight,
                total,
            } => write!(
                f,
                "cluster {cluster} exists according to {}, whose weight is {weight} of {total}: \
                 waiting for more than half, or for all listed peers",
                by.join(", ")
            ),
        }
    }
}

/// What a node was told about leases, for people.
pub(super) fn lease_text(lease: Option<Lease>) -> String {
    lease.map_or_else(
        || "no lease".to_owned(),
        |lease| format!("a lease of {lease}"),
    )
}

fn roll(f: &mut fmt::Formatter<'_>, roll: &[(String, u32)]) -> fmt::Result {
    if roll.is_empty() {
        return write!(f, "nothing else");
    }
    for (i, (name, weight)) in roll.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(f, "{comma}'{name}' with weight {weight}")?;
    }
    Ok(())
}
