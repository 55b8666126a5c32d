//! A run as data: cluster, network, disks, clocks, workload, and faults with their times.
//! Knows nothing about how a plan is drawn or executed; it is what replay and people work on.

mod admission;
mod bounds;
mod check;
mod fault;
mod file;
mod script;

use chil_core::{Config, NodeId, SessionLimits, SnapshotPolicy};
use serde::{Deserialize, Serialize};

pub use admission::AdmissionPlan;
pub use fault::{CrashMode, Fault, FaultKind, LaneName, Target};
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
    /// Nodes that nothing heals when the faults end: all others are a core that must elect,
    /// converge and serve by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    /// Whether those are healed, too, once the core has served; then all must be well again.
    #[serde(default)]
    pub left_return: bool,
    /// When the faults end and the healing begins, in simulated microseconds.
    pub heal_at_us: u64,
    /// A run that needs more events than this does not come to rest.
    pub events_max: u64,
    /// What clients ask for and what befalls messages, one by one. Without it both are drawn as
    /// the plan is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// A node that stays outside of the core when the faults end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Who.
    pub node: usize,
    /// What it suffers from.
    pub by: Ailment,
}

/// What a node outside of the core suffers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ailment {
    /// It is switched off.
    Down,
    /// It hears nobody, and nobody hears it.
    CutOff,
    /// It hears nobody, but everybody hears it.
    Deaf,
    /// It hears everybody, but nobody hears it.
    Mute,
    /// It does nothing at all.
    Paused,
}

impl Ailment {
    /// What people call them, in the order in which they are counted.
    pub const NAMES: [&'static str; 5] = ["down", "cut off", "deaf", "mute", "paused"];
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
    /// `Config::unapplied_bytes_max`.
    #[serde(default = "unapplied_bytes_max")]
    pub unapplied_bytes_max: u64,
    /// `Config::reads_queued_max`.
    #[serde(default = "reads_queued_max")]
    pub reads_queued_max: usize,
    /// What a node needs for each thing that comes to it, in microseconds; what comes meanwhile
    /// waits. 0 for nothing.
    #[serde(default)]
    pub handle_us: u64,
    /// Members whose limits are not those of the others.
    #[serde(default)]
    pub mixed: Vec<LimitsPlan>,
    /// How much each node lets in of what clients ask; `None` for all of it.
    #[serde(default)]
    pub admission: Option<AdmissionPlan>,
}

/// The limits of one member, as far as members may differ in them without a request being too
/// large for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsPlan {
    /// Whose.
    pub node: usize,
    /// `Config::lag_limit`.
    pub lag_limit: u64,
    /// `Config::in_flight_entries_max`.
    pub in_flight_entries_max: u64,
    /// `Config::in_flight_bytes_max`.
    pub in_flight_bytes_max: u64,
    /// `Config::peer_window_bytes_max`.
    pub peer_window_bytes_max: u64,
    /// `Config::batch_bytes_max`.
    pub batch_bytes_max: u64,
    /// `Config::unapplied_bytes_max`.
    pub unapplied_bytes_max: u64,
    /// `Config::reads_queued_max`.
    pub reads_queued_max: usize,
    /// `Config::chunk_bytes_max`.
    pub chunk_bytes_max: u64,
    /// `Config::chunks_in_flight_max`.
    pub chunks_in_flight_max: u64,
}

fn unapplied_bytes_max() -> u64 {
    ClusterPlan::default().unapplied_bytes_max
}

fn reads_queued_max() -> usize {
    ClusterPlan::default().reads_queued_max
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

impl Plan {
    /// The limits of a member: its own, or those of all.
    pub(crate) fn limits(&self, node: usize) -> LimitsPlan {
        let (cluster, snapshots) = (&self.cluster, &self.snapshots);
        let own = cluster.mixed.iter().find(|own| own.node == node);
        own.copied().unwrap_or(LimitsPlan {
            node,
            lag_limit: cluster.lag_limit,
            in_flight_entries_max: cluster.in_flight_entries_max,
            in_flight_bytes_max: cluster.in_flight_bytes_max,
            peer_window_bytes_max: cluster.peer_window_bytes_max,
            batch_bytes_max: cluster.batch_bytes_max,
            unapplied_bytes_max: cluster.unapplied_bytes_max,
            reads_queued_max: cluster.reads_queued_max,
            chunk_bytes_max: snapshots.chunk_bytes_max,
            chunks_in_flight_max: snapshots.chunks_in_flight_max,
        })
    }
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
            unapplied_bytes_max: config.unapplied_bytes_max,
            reads_queued_max: config.reads_queued_max,
            handle_us: 0,
            mixed: Vec::new(),
            admission: None,
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
    /// Links whose latency is their own, whatever the others' is: a slow one stays slow.
    #[serde(default)]
    pub routes: Vec<RoutePlan>,
    /// How much waits on a lane of a link that is clogged; `None` for all of it, even when its
    /// sender dies.
    #[serde(default)]
    pub outbox: Option<OutboxPlan>,
}

/// The bounds of a queue, in the terms of `chil::delivery::Bounds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxPlan {
    /// Messages.
    pub messages: usize,
    /// Bytes of more than one message.
    pub bytes: u64,
}

impl NetworkPlan {
    /// What an ordinary message takes at most, over whichever link, in microseconds.
    pub(crate) fn slowest_us(&self) -> u64 {
        let routes = self.routes.iter();
        let slowest = routes.map(|route| route.base_us + route.jitter_us).max();
        slowest.unwrap_or(0).max(self.latency_max_us)
    }
}

/// The latency of one direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePlan {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// What every message takes, in microseconds.
    pub base_us: u64,
    /// What it takes beyond that at most.
    pub jitter_us: u64,
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
    /// Clients ask for far more than the limits admit, and nothing goes wrong: whoever leads
    /// first must lead until the end.
    #[serde(default)]
    pub overload: bool,
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
            overload: false,
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
        let up = |node| !self.gone.contains(&node) && self.left_by(node).is_none();
        let scarred = self.scars.contains(&(a, b)) || self.scars.contains(&(b, a));
        up(a) && up(b) && (a == b || !scarred)
    }

    /// The links that do not work when the faults are over.
    pub(crate) fn lasting_cuts(&self) -> Vec<(usize, usize)> {
        let mut cuts = self.scars.clone();
        for Left { node, by } in &self.left {
            let (hears, is_heard) = match by {
                Ailment::CutOff => (false, false),
                Ailment::Deaf => (false, true),
                Ailment::Mute => (true, false),
                Ailment::Down | Ailment::Paused => (true, true),
            };
            for other in (0..self.nodes()).filter(|other| other != node) {
                if !hears {
                    cuts.push((other, *node));
                }
                if !is_heard {
                    cuts.push((*node, other));
                }
            }
        }
        cuts
    }

    /// What a node outside of the core suffers from when the faults are over.
    #[must_use]
    pub fn left_by(&self, node: usize) -> Option<Ailment> {
        let left = self.left.iter().find(|left| left.node == node);
        left.map(|left| left.by)
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
