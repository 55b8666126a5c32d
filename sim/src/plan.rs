//! A run as data: cluster, network, disks, clocks, workload, and faults with their times.
//! Knows nothing about how a plan is drawn or executed; it is what replay and people work on.

mod check;
mod file;
mod script;

use chil_core::{Config, Lane, NodeId, SessionLimits, SnapshotPolicy};
use serde::{Deserialize, Serialize};

pub use script::{Accident, Ask, LostAnswer, MessageName, Mishap, Payload, Script, Scripted};

/// Everything that a run depends on. The same plan gives the same run, event by event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of everything that is drawn while the plan is executed.
    pub seed: u64,
    /// Who takes part, and how the replicas are configured.
    pub cluster: ClusterPlan,
    /// How messages travel when no fault bends it.
    pub network: NetworkPlan,
    /// How disks behave when no fault bends it.
    pub disk: DiskPlan,
    /// When snapshots are taken, and how they travel.
    pub snapshots: SnapshotPlan,
    /// The clock of each node.
    pub clocks: Vec<ClockPlan>,
    /// What clients do.
    pub workload: WorkloadPlan,
    /// What goes wrong, in order of time.
    pub faults: Vec<Fault>,
    /// Links (from, to) that stay cut when the faults end: the nodes that are up must be able to
    /// decide all the same.
    pub scars: Vec<(usize, usize)>,
    /// Nodes that are switched off when the faults end and never come back.
    pub gone: Vec<usize>,
    /// When the faults end and the healing begins, in simulated microseconds.
    pub heal_at_us: u64,
    /// A run that needs more events than this does not come to rest.
    pub events_max: u64,
    /// What clients ask for and what befalls messages, one by one. Without it both are drawn as
    /// the plan is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// The members and their knobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// The weight of each member; their number is the size of the cluster.
    pub weights: Vec<u32>,
    /// Whether the nodes begin with empty directories and form the cluster themselves.
    pub forms: bool,
    /// `Config::heartbeat_interval`, in microseconds; what is measured in heartbeats follows.
    pub heartbeat_us: u64,
    /// How long drivers gather inputs before they drain a replica, in microseconds; 0 for never.
    pub gather_us: u64,
    /// `Config::lag_limit`.
    pub lag_limit: u64,
    /// `Config::value_bytes_max`.
    pub value_bytes_max: u64,
    /// `Config::in_flight_entries_max`.
    pub in_flight_entries_max: u64,
    /// `Config::in_flight_bytes_max`.
    pub in_flight_bytes_max: u64,
    /// `Config::peer_window_bytes_max`.
    pub peer_window_bytes_max: u64,
    /// `Config::batch_bytes_max`.
    pub batch_bytes_max: u64,
    /// `Config::priority` of each member.
    pub priorities: Vec<u32>,
    /// `Membership::lease`; without it nobody serves reads from a lease.
    pub lease: Option<LeasePlan>,
    /// `Config::transfer_rounds_max`.
    pub transfer_rounds_max: u32,
    /// `Config::registers_per_second_max`.
    pub registers_per_second_max: u32,
    /// Sessions that are open at the same time at most; one more ends the one idle longest.
    pub sessions_max: u64,
    /// How long what is decided waits for its execution at most, in microseconds; 0 for not at all.
    pub apply_us: u64,
}

/// A lease of the cluster, in the terms of `chil_core::Lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasePlan {
    /// How long a new leader waits, in microseconds of its clock.
    pub duration_us: u64,
    /// By how many millionths clocks may run fast or slow; those of the plan stay within it.
    pub drift_ppm: u32,
}

/// When snapshots are taken, and how they travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotPlan {
    /// Slots from one snapshot to the next.
    pub slots: u64,
    /// Bytes of entries after which a snapshot is taken earlier.
    pub bytes: u64,
    /// How long work on a whole snapshot takes at most, in microseconds.
    pub whole_max_us: u64,
    /// How long work on a part of one takes at most.
    pub part_max_us: u64,
    /// `Config::log_tail_bytes`.
    pub log_tail_bytes: u64,
    /// `Config::log_keep_bytes_max`.
    pub log_keep_bytes_max: u64,
    /// `Config::chunk_bytes_max`.
    pub chunk_bytes_max: u64,
    /// `Config::chunks_in_flight_max`.
    pub chunks_in_flight_max: u64,
}

impl Default for ClusterPlan {
    /// Three equal members with the core's own limits.
    fn default() -> Self {
        let config = Config::new(NodeId::new(1), 0, 0);
        Self {
            weights: vec![1; 3],
            forms: false,
            heartbeat_us: config.heartbeat_interval.micros(),
            gather_us: 0,
            lag_limit: config.lag_limit,
            value_bytes_max: config.value_bytes_max,
            in_flight_entries_max: config.in_flight_entries_max,
            in_flight_bytes_max: config.in_flight_bytes_max,
            peer_window_bytes_max: config.peer_window_bytes_max,
            batch_bytes_max: config.batch_bytes_max,
            priorities: vec![0; 3],
            lease: None,
            transfer_rounds_max: config.transfer_rounds_max,
            registers_per_second_max: config.registers_per_second_max,
            sessions_max: SessionLimits::default().sessions_max,
            apply_us: 0,
        }
    }
}

impl Default for SnapshotPlan {
    /// None at all, with the core's own limits.
    fn default() -> Self {
        let config = Config::new(NodeId::new(1), 0, 0);
        Self {
            slots: SnapshotPolicy::NEVER.slots,
            bytes: SnapshotPolicy::NEVER.bytes,
            whole_max_us: 1_000,
            part_max_us: 100,
            log_tail_bytes: config.log_tail_bytes,
            log_keep_bytes_max: config.log_keep_bytes_max,
            chunk_bytes_max: config.chunk_bytes_max,
            chunks_in_flight_max: config.chunks_in_flight_max,
        }
    }
}

/// How messages travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// Least latency of a message, in microseconds.
    pub latency_min_us: u64,
    /// Largest ordinary latency.
    pub latency_max_us: u64,
    /// Whether messages of one lane of one link stay in order, stragglers aside.
    pub in_order: bool,
    /// Messages lost, of a million.
    pub loss_ppm: u32,
    /// Messages delivered twice, of a million.
    pub duplicate_ppm: u32,
    /// Messages that arrive much later than others, of a million.
    pub straggle_ppm: u32,
    /// How late a straggler may be.
    pub straggle_max_us: u64,
    /// Whether each hop is encoded to bytes and decoded again.
    pub codec: bool,
}

/// How disks behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// Whether the real storage code runs on simulated files; else a disk is the fold of what
    /// was made durable, which is much faster.
    pub files: bool,
    /// Length of a segment of the log, with files.
    pub segment_bytes: u64,
    /// Least time to make a batch durable, in microseconds.
    pub latency_min_us: u64,
    /// Largest ordinary time.
    pub latency_max_us: u64,
}

/// How a node's clock differs from simulated time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPlan {
    /// What it showed when the run began, in microseconds.
    pub offset_us: u64,
    /// By how many millionths it runs fast; negative for slow.
    pub drift_ppm: i32,
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPlan {
    /// Clients at the same time.
    pub clients: usize,
    /// Operations that one client has in flight at most.
    pub window: usize,
    /// Least pause of a client between two operations, in microseconds.
    pub think_min_us: u64,
    /// Largest pause.
    pub think_max_us: u64,
    /// How long a client waits before it calls an outcome unknown.
    pub timeout_us: u64,
    /// Keys in use.
    pub keys: u64,
    /// Reads, of a million operations.
    pub read_ppm: u32,
    /// Deletions, of a million operations.
    pub delete_ppm: u32,
    /// Conditional writes and transactions, of a million writes.
    pub conditional_ppm: u32,
    /// How many of the clients have sessions.
    pub sessions: usize,
    /// Reads from a lease, through a follower, and stale ones, of a million reads; the rest asks
    /// the leader.
    pub lease_read_ppm: u32,
    /// See `lease_read_ppm`.
    pub follower_read_ppm: u32,
    /// See `lease_read_ppm`.
    pub stale_read_ppm: u32,
    /// Largest value, in bytes.
    pub value_bytes_max: u64,
    /// Operations in the whole run at most.
    pub operations_max: u64,
}

impl Default for WorkloadPlan {
    /// One client that writes and reads what the leader confirms, without a session.
    fn default() -> Self {
        Self {
            clients: 1,
            window: 1,
            think_min_us: 1_000,
            think_max_us: 2_000,
            timeout_us: 1_000_000,
            keys: 1,
            read_ppm: 500_000,
            delete_ppm: 0,
            conditional_ppm: 0,
            sessions: 0,
            lease_read_ppm: 0,
            follower_read_ppm: 0,
            stale_read_ppm: 0,
            value_bytes_max: 64,
            operations_max: 1_000,
        }
    }
}

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
    const fn is_below(self, nodes: usize) -> bool {
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
    pub const NAMES: [&'static str; 14] = [
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
    ];

    /// Whether something has to be undone when its time is over.
    #[must_use]
    pub const fn has_end(&self) -> bool {
        matches!(
            self,
            Self::Cut { .. } | Self::CutLanes { .. } | Self::Isolate { .. }
        )
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
        }
    }
}

/// Why a plan cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub String);

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the plan cannot be run: {}", self.0)
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Number of nodes.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.cluster.weights.len()
    }

    /// Whether two nodes hear each other when the faults are over.
    #[must_use]
    pub fn linked_at_the_end(&self, a: usize, b: usize) -> bool {
        let up = |node| !self.gone.contains(&node);
        let scarred = self.scars.contains(&(a, b)) || self.scars.contains(&(b, a));
        up(a) && up(b) && (a == b || !scarred)
    }

    /// Whether a node is then connected to a quorum, so that it could lead.
    #[must_use]
    pub fn can_lead_at_the_end(&self, node: usize) -> bool {
        let weights = self.cluster.weights.iter().map(|w| u64::from(*w));
        let total: u64 = weights.clone().sum();
        let heard = weights.clone().enumerate();
        let heard = heard.filter(|(other, _)| self.linked_at_the_end(node, *other));
        let heard: u64 = heard.map(|(_, weight)| weight).sum();
        weights.clone().nth(node).is_some_and(|own| own > 0) && heard * 2 > total
    }
}
