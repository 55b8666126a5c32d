//! One node of the world: its replica, state machine, storage and clock, and who waits for it.
//! Knows nothing about other nodes.

use std::collections::{BTreeMap, VecDeque};

use chil_core::forming::Forming;
use chil_core::{
    Applier, Ballot, ClusterId, Config, DiskId, Entry, Epoch, Lease, Member, Membership, Meta,
    NodeId, Replica, Slot, Span, StateMachine, Time,
};

use crate::check::bounded_memory::{Kept, Limits};
use crate::clock::Clock;
use crate::dice::{Concern, Dice};
use crate::plan::Plan;
use crate::sessions::Waiter;
use crate::snapshots::{Desk, blank};
use crate::stages::Stage;
use crate::store::{NodeStore, StoreFailure};
use crate::subject::Subject;

/// A member of the simulated cluster.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: NodeId,
    /// `None` while it is down.
    pub(crate) replica: Option<Replica>,
    /// While it has no cluster.
    pub(crate) forming: Option<Forming>,
    pub(crate) applier: Applier<Box<dyn StateMachine>>,
    /// Work on snapshot files.
    pub(crate) desk: Desk,
    pub(crate) store: NodeStore,
    /// Its own random numbers: identities and seeds, its disk, and how long its work takes.
    pub(crate) own_dice: Dice,
    pub(crate) disk_dice: Dice,
    pub(crate) work_dice: Dice,
    pub(crate) clock: Clock,
    /// Counts starts and ends, so that events of an earlier life are recognised.
    pub(crate) life: u64,
    /// The node's deadline, and when its wake-up is scheduled in simulated time.
    pub(crate) deadline: Time,
    pub(crate) wake_at: u64,
    pub(crate) paused_until: u64,
    /// Added to each sync until the given simulated time, in nanoseconds.
    pub(crate) slow: (u64, u64),
    /// What handling anything takes in any case, in nanoseconds.
    pub(crate) handling: u64,
    /// What handling anything takes beyond that until the given simulated time, in nanoseconds.
    pub(crate) slow_hands: (u64, u64),
    /// When a slow node is done with what has come so far.
    pub(crate) busy_until: u64,
    /// What this life of it may keep.
    pub(crate) limits: Limits,
    /// Whether inputs were given that are not drained yet.
    pub(crate) drain_due: bool,
    /// The last slot executed that the replica was told of.
    pub(crate) told_applied: Slot,
    /// Decided, and not executed yet.
    pub(crate) to_apply: VecDeque<Entry>,
    /// Whether the execution of these is scheduled.
    pub(crate) apply_due: bool,
    /// Who waits for a slot, and the ballot of the placement.
    pub(crate) placed: BTreeMap<Slot, (Ballot, Waiter)>,
    /// What it was when that was last looked at.
    pub(crate) stage: Stage,
    /// Who waits for the state machine to reach a slot.
    pub(crate) reads: Vec<Waiting>,
}

/// A read that waits for the state machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// To have executed this.
    pub(crate) index: Slot,
    /// On this node's clock, the end of the lease that it rests on, and the lease's ballot.
    pub(crate) lease: Option<(Time, Option<Ballot>)>,
    pub(crate) operation: usize,
}

impl Node {
    /// Everything about a node that does not exist yet but for its directory, which is formed
    /// already unless the plan wants the nodes to do that.
    pub(crate) fn new(
        plan: &Plan,
        subject: &Subject,
        index: usize,
        meta: &Meta,
    ) -> Result<Self, StoreFailure> {
        let name = name(index);
        let mut store = NodeStore::blank(&name, meta, &plan.disk);
        if !plan.cluster.forms {
            store.recover()?;
            store.form(meta)?;
            // It is opened again when the node starts.
            store.close();
        }
        Ok(Self {
            id: meta.node,
            replica: None,
            applier: blank(plan, subject),
            desk: Desk::default(),
            store,
            own_dice: Dice::of(plan.seed, Concern::Nodes, index + 1),
            disk_dice: Dice::of(plan.seed, Concern::Disk, index),
            work_dice: Dice::of(plan.seed, Concern::Work, index),
            forming: None,
            clock: Clock::new(&plan.clocks[index]),
            life: 0,
            deadline: Time::MAX,
            wake_at: u64::MAX,
            paused_until: 0,
            slow: (0, 0),
            handling: plan.cluster.handle_us * 1_000,
            slow_hands: (0, 0),
            limits: Limits::default(),
            busy_until: 0,
            drain_due: false,
            told_applied: Slot::ZERO,
            to_apply: VecDeque::new(),
            apply_due: false,
            placed: BTreeMap::new(),
            stage: Stage::Down,
            reads: Vec::new(),
            name,
        })
    }

    /// Whether it is so slow now that what comes has to wait.
    pub(crate) const fn is_slow(&self, now: u64) -> bool {
        self.handling > 0 || now < self.slow_hands.1
    }

    /// Something comes to a slow node: when it is handled.
    pub(crate) fn queues_up(&mut self, now: u64) -> u64 {
        let (takes, until) = self.slow_hands;
        let begins = self.busy_until.max(now);
        self.busy_until = begins + self.handling;
        if now < until {
            // When the fault is over, everything is handled at once.
            self.busy_until = (begins + takes).min(until) + self.handling;
        }
        self.busy_until
    }

    /// What its host keeps.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            to_execute: self.to_apply.len() as u64,
            waiting: self.placed.len() as u64,
            sessions: self.applier.sessions(),
        }
    }

    /// Forgets everything that is lost with a process.
    pub(crate) fn forget(&mut self, plan: &Plan, subject: &Subject) {
        self.replica = None;
        self.forming = None;
        self.applier = blank(plan, subject);
        self.desk = Desk::default();
        self.life += 1;
        self.deadline = Time::MAX;
        self.wake_at = u64::MAX;
        self.drain_due = false;
        self.told_applied = Slot::ZERO;
        self.to_apply.clear();
        self.apply_due = false;
        self.placed.clear();
        self.reads.clear();
    }
}

/// What people call the node with this index.
pub(crate) fn name(index: usize) -> String {
    format!("n{index}")
}

/// Where the node with this index can be reached.
pub(crate) fn addr(index: usize) -> String {
    format!("{}:7000", name(index))
}

/// The identity of the node with this index.
pub(crate) fn id(index: usize) -> NodeId {
    NodeId::from_name(&name(index)).expect("these names have hashes other than zero")
}

/// The lease that the cluster agrees on.
pub(crate) fn lease(plan: &Plan) -> Option<Lease> {
    let lease = plan.cluster.lease?;
    Some(Lease {
        duration_us: lease.duration_us,
        drift_ppm: lease.drift_ppm,
    })
}

/// The metadata of every node's fresh directory.
pub(crate) fn metas(plan: &Plan, dice: &mut Dice) -> Vec<Meta> {
    let mut members = BTreeMap::new();
    for (index, weight) in plan.cluster.weights.iter().enumerate() {
        let disk = u128::from(dice.word()) << 64 | u128::from(dice.word() | 1);
        members.insert(
            id(index),
            Member {
                name: name(index),
                disk: DiskId::new(disk),
                addr: addr(index),
                weight: *weight,
            },
        );
    }
    let membership = Membership {
        epoch: Epoch::FIRST,
        members,
        protocol: Membership::PROTOCOL,
        lease: lease(plan),
        sessions: crate::snapshots::session_limits(plan),
    };
    let cluster: ClusterId = membership.cluster_id();
    (0..plan.nodes())
        .map(|index| {
            let disk = membership.members[&id(index)].disk;
            Meta::format(cluster, id(index), disk, membership.clone())
        })
        .collect()
}

/// The configuration of one life of a node.
pub(crate) fn config(plan: &Plan, node: usize, dice: &mut Dice) -> Config {
    let (limits, snapshots, plan) = (plan.limits(node), &plan.snapshots, &plan.cluster);
    let mut config = Config::new(id(node), dice.word(), dice.word())
        .with_heartbeat(Span::from_micros(plan.heartbeat_us));
    config.value_bytes_max = plan.value_bytes_max;
    config.priority = plan.priorities.get(node).copied().unwrap_or(0);
    config.transfer_rounds_max = plan.transfer_rounds_max;
    config.registers_per_second_max = plan.registers_per_second_max;
    config.log_tail_bytes = snapshots.log_tail_bytes;
    config.log_keep_bytes_max = snapshots.log_keep_bytes_max;
    config.lag_limit = limits.lag_limit;
    config.in_flight_entries_max = limits.in_flight_entries_max;
    config.in_flight_bytes_max = limits.in_flight_bytes_max;
    config.peer_window_bytes_max = limits.peer_window_bytes_max;
    config.batch_bytes_max = limits.batch_bytes_max;
    config.unapplied_bytes_max = limits.unapplied_bytes_max;
    config.reads_queued_max = limits.reads_queued_max;
    config.chunk_bytes_max = limits.chunk_bytes_max;
    config.chunks_in_flight_max = limits.chunks_in_flight_max;
    config
}

/// Puts the nodes' names where the core, which knows only their numbers, prints those.
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    pub(crate) fn new(nodes: usize) -> Self {
        let pairs = (0..nodes).map(|index| (id(index).to_string(), name(index)));
        Self(pairs.collect())
    }

    pub(crate) fn put_into(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (number, name) in &self.0 {
            line = line.replace(number, name);
        }
        line
    }
}
