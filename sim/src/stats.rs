//! What a run, or many, consisted of, in numbers.
//! Knows nothing about how it went.

use serde::{Deserialize, Serialize};

use crate::plan::FaultKind;

/// Counters of one run, or their sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Runs.
    pub seeds: u64,
    /// Things that happened: arrivals, wake-ups, syncs, requests, faults.
    pub events: u64,
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
    /// Heartbeat rounds from the end of the faults to a leader that stayed: sum and maximum.
    pub heal_rounds_sum: u64,
    /// See `heal_rounds_sum`.
    pub heal_rounds_max: u64,
}

impl Stats {
    /// Adds another run's counters.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
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
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.heal_rounds_sum += other.heal_rounds_sum;
        self.heal_rounds_max = self.heal_rounds_max.max(other.heal_rounds_max);
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn faults_total(&self) -> u64 {
        self.faults.iter().sum()
    }
}
