//! A replica's state as plain data for people: what `chil status` prints and tests look at.
//! Knows nothing about how it is shown, and nothing in the protocol depends on it.

use crate::snapshot::SnapshotId;
use crate::time::Time;
use crate::types::{Ballot, ClusterId, Epoch, NodeId, Slot};

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for promises.
    Preparing,
    /// Leads.
    Leading,
}

/// A snapshot of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Its membership's number.
    pub epoch: Epoch,
    /// How often its directory has been started.
    pub boot: u64,
    /// What it does.
    pub role: Role,
    /// The ballot that it prepares or leads, else the bottom ballot with its own id.
    pub ballot: Ballot,
    /// What it has promised.
    pub promised: Ballot,
    /// The ballot of its log.
    pub acc: Ballot,
    /// The node that leads, when one works as far as this node knows.
    pub leader: Option<NodeId>,
    /// Whether it has a leader that works.
    pub happy: bool,
    /// Whether something durable was lost here.
    pub damaged: bool,
    /// Last slot executed.
    pub applied: Slot,
    /// Last slot known to be decided.
    pub commit: Slot,
    /// End of the log in memory.
    pub last: Slot,
    /// End of the log on disk.
    pub durable: Slot,
    /// The log in memory begins behind this slot.
    pub base: Slot,
    /// Bytes of entries (payload and overhead) that the log in memory holds.
    pub log_bytes: u64,
    /// The snapshot that stands for the beginning of the log.
    pub snapshot: Option<SnapshotId>,
    /// The snapshot that is being fetched, and how many bytes of it are here.
    pub fetching: Option<(SnapshotId, u64)>,
    /// The last instant, by the clock that the driver hands in, of which this node knows that
    /// nothing was acknowledged anywhere by then that it has not executed: what is read here
    /// without asking anybody is at most that old. `None` while it never knew.
    pub fresh_at: Option<Time>,
    /// The other members.
    pub peers: Vec<PeerStatus>,
}

/// One peer as a replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Its weight.
    pub weight: u32,
    /// How much it is wanted as leader, as it last said.
    pub priority: u32,
    /// Whether it answers heartbeats.
    pub up: bool,
    /// What it last said to be decided there.
    pub commit: Slot,
    /// How far it is known to have accepted in this leader's ballot; only a leader knows.
    pub matched: Option<Slot>,
}
