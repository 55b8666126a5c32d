//! What can go wrong in a plan, whom it hits, and for how long.
//! Knows nothing about what a fault does to the world.

use chil_core::Lane;
use serde::{Deserialize, Serialize};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, in simulated microseconds.
    pub at_us: u64,
    /// For how long; what that means is the kind's to say.
    pub for_us: u64,
    /// What.
    pub kind: FaultKind,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The node with this index.
    Node(usize),
    /// Whoever leads or campaigns at that moment, else the first node.
    Leader,
    /// The node with this index among those that do not lead at that moment.
    Follower(usize),
}

impl Target {
    pub(super) const fn is_below(self, nodes: usize) -> bool {
        match self {
            Self::Node(i) | Self::Follower(i) => i < nodes,
            Self::Leader => true,
        }
    }
}

/// What survives when a process ends without warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashMode {
    /// The machine loses power: unsynced writes are kept, dropped or torn.
    Power,
    /// Only the process dies: the system keeps what was written.
    Kill,
}

/// A lane between nodes, as plans name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneName {
    /// Heartbeats and what introduces nodes to each other.
    Heartbeat,
    /// Everything that decides.
    Quorum,
    /// Catching up.
    Bulk,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Heartbeat => Self::Heartbeat,
            LaneName::Quorum => Self::Quorum,
            LaneName::Bulk => Self::Bulk,
        }
    }
}

impl From<Lane> for LaneName {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Heartbeat => Self::Heartbeat,
            Lane::Quorum => Self::Quorum,
            Lane::Bulk => Self::Bulk,
        }
    }
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// A node ends and is started again after the fault's time.
    Crash {
        /// Who.
        node: Target,
        /// What survives.
        mode: CrashMode,
    },
    /// The whole cluster loses power and comes back, node by node, within the fault's time.
    Blackout,
    /// A node is switched off, and away for so long that its peers trim what it lacks.
    Absence {
        /// Who.
        node: Target,
    },
    /// No fault, but an operator's wish: a node is asked to hand its leadership over.
    Transfer {
        /// Who is asked.
        node: Target,
        /// To whom; to whoever suits best when there is none.
        to: Option<usize>,
    },
    /// A node loses power in the middle of the n-th disk operation from now on.
    CrashInDisk {
        /// Who.
        node: Target,
        /// How many operations still succeed.
        operations: u64,
    },
    /// No message passes these links (from, to) while it lasts.
    Cut {
        /// The links.
        links: Vec<(usize, usize)>,
    },
    /// Nothing passes between the target and anybody else while it lasts.
    Isolate {
        /// Who.
        node: Target,
        /// Whether messages of the target still get out.
        inbound_only: bool,
    },
    /// On these links no message of these lanes passes while it lasts, such as when a connection
    /// hangs that carries the data, while the one that carries heartbeats works.
    CutLanes {
        /// The links.
        links: Vec<(usize, usize)>,
        /// What does not pass.
        lanes: Vec<LaneName>,
    },
    /// Messages on these links are held and all arrive when it ends.
    Clog {
        /// The links.
        links: Vec<(usize, usize)>,
    },
    /// Every write of the node takes this much longer while it lasts.
    SlowDisk {
        /// Who.
        node: Target,
        /// Added to each sync, in microseconds.
        extra_us: u64,
    },
    /// These links are down for a while, up for a while, and so on while it lasts.
    Flap {
        /// The links.
        links: Vec<(usize, usize)>,
        /// How long they are down each time, in microseconds.
        down_us: u64,
        /// How long they are up each time.
        up_us: u64,
    },
    /// In the first half of its time one node after the other has all its links clogged, in the
    /// second half one after the other is released, in another order (FoundationDB's
    /// "swizzle-clogging").
    Swizzle {
        /// Who is clogged, in this order.
        clogs: Vec<usize>,
        /// The same, in the order in which they are released.
        frees: Vec<usize>,
    },
    /// Whatever the node handles takes so much time of it while it lasts, and what comes
    /// meanwhile waits.
    SlowNode {
        /// Who.
        node: Target,
        /// For each thing, in microseconds.
        handle_us: u64,
    },
    /// The node does nothing at all while it lasts, then goes on as if nothing had happened.
    Pause {
        /// Who.
        node: Target,
    },
    /// The node's clock jumps forward by the fault's time.
    ClockJump {
        /// Who.
        node: Target,
    },
}

impl FaultKind {
    /// Names of all kinds, in the order in which they are counted.
    pub const NAMES: [&'static str; 17] = [
        "crash (power)",
        "crash (kill)",
        "blackout",
        "crash in disk op",
        "cut",
        "isolate",
        "isolate one-way",
        "clog",
        "slow disk",
        "pause",
        "clock jump",
        "cut lanes",
        "absence",
        "transfer",
        "flapping links",
        "swizzle-clog",
        "slow node",
    ];

    /// Whether something has to be undone when its time is over.
    #[must_use]
    pub const fn has_end(&self) -> bool {
        matches!(
            self,
            Self::Cut { .. } | Self::CutLanes { .. } | Self::Isolate { .. }
        )
    }

    /// Whether there is anything that it could hit in a cluster of so many nodes.
    #[must_use]
    pub const fn hits_any(&self, nodes: usize) -> bool {
        match self {
            Self::Cut { links } | Self::CutLanes { links, .. } | Self::Flap { links, .. } => {
                !links.is_empty()
            }
            Self::Isolate { .. } | Self::Clog { .. } | Self::Swizzle { .. } => nodes > 1,
            _ => true,
        }
    }

    /// Position of its name in [`FaultKind::NAMES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::Crash {
                mode: CrashMode::Power,
                ..
            } => 0,
            Self::Crash {
                mode: CrashMode::Kill,
                ..
            } => 1,
            Self::Blackout => 2,
            Self::CrashInDisk { .. } => 3,
            Self::Cut { .. } => 4,
            Self::Isolate {
                inbound_only: false,
                ..
            } => 5,
            Self::Isolate {
                inbound_only: true, ..
            } => 6,
            Self::Clog { .. } => 7,
            Self::SlowDisk { .. } => 8,
            Self::Pause { .. } => 9,
            Self::ClockJump { .. } => 10,
            Self::CutLanes { .. } => 11,
            Self::Absence { .. } => 12,
            Self::Transfer { .. } => 13,
            Self::Flap { .. } => 14,
            Self::Swizzle { .. } => 15,
            Self::SlowNode { .. } => 16,
        }
    }
}
