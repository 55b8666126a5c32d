//! What a run, or many, consisted of, in numbers.
//! Knows nothing about how it went.

use chil_core::TransferError;
use serde::{Deserialize, Serialize};

use crate::check::bounded_memory;
use crate::coverage::Coverage;
use crate::plan::{Ailment, FaultKind};

/// Counters of one run, or their sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Runs.
    pub seeds: u64,
    /// Things that happened: arrivals, wake-ups, syncs, requests, faults.
    pub events: u64,
    /// Histories of clients for which an order was searched, and found.
    pub histories: u64,
    /// Histories for which the search was given up: whether they have an order is unknown.
    pub histories_unknown: u64,
    /// Slots that were chosen.
    pub slots: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Messages that left a node.
    pub messages: u64,
    /// Of those, how many never arrived.
    pub lost: u64,
    /// Writes acknowledged.
    pub writes: u64,
    /// Reads answered.
    pub reads: u64,
    /// Operations whose outcome stayed unknown.
    pub unknown: u64,
    /// Ballots that some node tried to lead in.
    pub ballots: u64,
    /// Ballots led.
    pub leaders: u64,
    /// Starts of a node after its first.
    pub restarts: u64,
    /// Faults that struck, in the order of `FaultKind::NAMES`.
    pub faults: [u64; FaultKind::NAMES.len()],
    /// Attempts of clients with sessions.
    pub attempts: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Requests that came again and were answered without being executed.
    pub repeated: u64,
    /// Requests whose session was forgotten.
    pub expired: u64,
    /// Snapshots taken.
    pub snapshots_taken: u64,
    /// Snapshots received whole.
    pub snapshots_received: u64,
    /// Snapshots that became a running node's state.
    pub snapshots_installed: u64,
    /// Starts with a part of a snapshot whose transfer a crash had interrupted.
    pub transfers_resumed: u64,
    /// Of the reads: from a lease, through a follower, and stale ones.
    pub lease_reads: u64,
    /// See `lease_reads`.
    pub follower_reads: u64,
    /// See `lease_reads`.
    pub stale_reads: u64,
    /// Reads whose lease had ended when the clock was looked at.
    pub leases_ended: u64,
    /// Handovers of leadership that began, asked for or by priority.
    pub handovers: u64,
    /// Nodes that were asked to hand their leadership over.
    pub transfers_asked: u64,
    /// How that ended, in the order of [`Stats::TRANSFERS`].
    pub transfers: [u64; TRANSFERS],
    /// Heartbeat rounds from the end of the faults to a leader that stayed, or handed over: sum and
    /// maximum.
    pub heal_rounds_sum: u64,
    /// How often a cluster, or a core of it, was healed.
    pub healings: u64,
    /// See `heal_rounds_sum`.
    pub heal_rounds_max: u64,
    /// The largest share of the rounds allowed for that, in thousandths.
    pub heal_share_max: u64,
    /// Runs in which only a core was healed, for good or at first.
    #[serde(default)]
    pub cores: u64,
    /// Nodes that were left out of it, in the order of `Ailment::NAMES`.
    #[serde(default)]
    pub left: [u64; Ailment::NAMES.len()],
    /// The largest share of each limit that was used, in thousandths, in the order of
    /// [`Stats::MEMORY`].
    #[serde(default)]
    pub memory: [u64; bounded_memory::NAMES.len()],
    /// Runs under plain overload.
    #[serde(default)]
    pub overloads: u64,
    /// Messages that were left out of a full queue, or said again by a later one.
    #[serde(default)]
    pub left_out: u64,
    /// Requests that a node did not let in.
    #[serde(default)]
    pub turned_away: u64,
    /// Seeds that were run a second time and compared.
    pub run_twice: u64,
    /// Which states and events of the protocol were reached.
    pub coverage: Coverage,
}

impl Stats {
    /// How transfers of leadership end.
    pub const TRANSFERS: [&'static str; TRANSFERS] = [
        "done",
        "not the leader",
        "bad target",
        "no target",
        "busy",
        "timed out",
        "unclear",
    ];

    /// What of a node's memory is held to a limit.
    pub const MEMORY: [&'static str; bounded_memory::NAMES.len()] = bounded_memory::NAMES;

    /// Adds another run's counters.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.histories += other.histories;
        self.histories_unknown += other.histories_unknown;
        self.slots += other.slots;
        self.simulated_ms += other.simulated_ms;
        self.messages += other.messages;
        self.lost += other.lost;
        self.writes += other.writes;
        self.reads += other.reads;
        self.unknown += other.unknown;
        self.ballots += other.ballots;
        self.leaders += other.leaders;
        self.restarts += other.restarts;
        self.attempts += other.attempts;
        self.sessions += other.sessions;
        self.repeated += other.repeated;
        self.expired += other.expired;
        self.snapshots_taken += other.snapshots_taken;
        self.snapshots_received += other.snapshots_received;
        self.snapshots_installed += other.snapshots_installed;
        self.transfers_resumed += other.transfers_resumed;
        self.lease_reads += other.lease_reads;
        self.follower_reads += other.follower_reads;
        self.stale_reads += other.stale_reads;
        self.leases_ended += other.leases_ended;
        self.handovers += other.handovers;
        self.transfers_asked += other.transfers_asked;
        for (sum, more) in self.transfers.iter_mut().zip(other.transfers) {
            *sum += more;
        }
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.heal_rounds_sum += other.heal_rounds_sum;
        self.healings += other.healings;
        self.heal_rounds_max = self.heal_rounds_max.max(other.heal_rounds_max);
        self.heal_share_max = self.heal_share_max.max(other.heal_share_max);
        for (most, other) in self.memory.iter_mut().zip(other.memory) {
            *most = other.max(*most);
        }
        self.overloads += other.overloads;
        self.left_out += other.left_out;
        self.turned_away += other.turned_away;
        self.cores += other.cores;
        for (sum, more) in self.left.iter_mut().zip(other.left) {
            *sum += more;
        }
        self.run_twice += other.run_twice;
        self.coverage.add(&other.coverage);
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn faults_total(&self) -> u64 {
        self.faults.iter().sum()
    }
}

/// How many ends a transfer can have.
const TRANSFERS: usize = 7;

/// Position of a transfer's end in [`Stats::TRANSFERS`].
pub(crate) const fn ended(outcome: &Result<(), TransferError>) -> usize {
    match outcome {
        Ok(()) => 0,
        Err(TransferError::NotLeader { .. }) => 1,
        Err(TransferError::BadTarget) => 2,
        Err(TransferError::NoTarget) => 3,
        Err(TransferError::Busy) => 4,
        Err(TransferError::TimedOut) => 5,
        Err(TransferError::Unclear) => 6,
    }
}
