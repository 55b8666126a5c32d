//! A node's state as plain data for people: what `Node::status` returns and the CLI prints.
//! Knows nothing about how it is gathered or shown.

use std::time::{Duration, SystemTime};

use chil_core::{DiskId, Lease, NodeId, Slot};

use crate::net::LinkStatus;

/// A snapshot of one node.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Its identity: the hash of its name.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its data directory.
    pub disk: DiskId,
    /// Where it says that it can be reached.
    pub address: String,
    /// The version of chil that it runs.
    pub version: &'static str,
    /// How much it is wanted as leader.
    pub priority: u32,
    /// When this process started it.
    pub started: SystemTime,
    /// Whether it is member of a cluster yet.
    pub phase: Phase,
    /// The replica's own account; `None` while forming.
    pub replica: Option<chil_core::Status>,
    /// All members with their names, this node included; empty while forming.
    pub members: Vec<MemberInfo>,
    /// Last slot executed.
    pub applied: Slot,
    /// Digest of the state after that slot, sessions included: equal on all nodes that executed
    /// as much. `None` while a snapshot is being installed.
    pub digest: Option<u128>,
    /// Sessions that are open; `None` while a snapshot is being installed.
    pub sessions: Option<u64>,
    /// For how long the node has not known that what it has executed was everything decided;
    /// `None` when it never has.
    pub age: Option<Duration>,
    /// How leaders may serve reads without a round trip, if they may: what the members agreed on.
    pub lease: Option<Lease>,
    /// The outbound connections.
    pub links: Vec<LinkStatus>,
}

/// Whether a node is member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet.
    Forming {
        /// What stands in the way, in words.
        waiting: Vec<String>,
    },
    /// It is.
    Member,
}

/// Who a member is and where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its identity.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its address, as far as this node knows.
    pub address: String,
    /// How much its vote counts.
    pub weight: u32,
}

impl NodeStatus {
    /// The member that leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<&MemberInfo> {
        let leader = self.replica.as_ref()?.leader?;
        self.members.iter().find(|member| member.node == leader)
    }
}
