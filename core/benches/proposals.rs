//! What one proposal costs in the core alone: three replicas in one thread, no disk, no network.
//! Knows nothing about latency: with everything answered at once, only the work is left.
//!
//! Twice: with a log that only grows, and with a snapshot, which costs nothing here, every
//! so many slots, so that the log is trimmed and its memory used again.
//!
//! `cargo bench -p chil-core --bench proposals`
#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chil_core::{
    ClusterId, Command, Config, DiskId, Entry, Envelope, Epoch, Input, Member, Membership, Meta,
    NodeId, Output, Recovered, Replica, Role, SessionLimits, SnapshotId, Span, Time, Token,
};

const VALUE_BYTES: usize = 256;
const ROUNDS: usize = 5;
const SNAPSHOT_SLOTS: u64 = 65_536;

fn main() {
    println!("three replicas in one thread, {VALUE_BYTES}-byte values, no disk");
    println!(
        "{:>8} {:>10} {:>12} {:>14}",
        "window", "log", "ns/proposal", "proposals/s"
    );
    for (window, proposals) in [(1, 200_000), (64, 1_000_000), (1024, 1_000_000)] {
        for (log, interval) in [("grows", u64::MAX), ("trimmed", SNAPSHOT_SLOTS)] {
            let run = |_| measure(window, proposals, interval);
            let mut nanos: Vec<f64> = (0..ROUNDS).map(run).collect();
            nanos.sort_by(f64::total_cmp);
            let median = nanos[ROUNDS / 2];
            println!(
                "{window:>8} {log:>10} {median:>12.0} {:>14.0}",
                1e9 / median
            );
        }
    }
}

/// Nanoseconds per proposal, with at most `window` proposed ahead of what is decided.
fn measure(window: u64, proposals: u64, snapshot_slots: u64) -> f64 {
    let mut cluster = Cluster::new(snapshot_slots);
    let leader = cluster.elect();
    let payload = Bytes::from(vec![7; VALUE_BYTES]);
    // The first proposals pay for memory that later ones use again.
    cluster.decide(leader, &payload, window, proposals / 10);
    let took = stopwatch(|| cluster.decide(leader, &payload, window, proposals));
    took.as_secs_f64() * 1e9 / proposals as f64
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the machine; the replicas get their time from it as before"
)]
fn stopwatch(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

struct Cluster {
    now: Time,
    replicas: Vec<Replica>,
    mail: VecDeque<Box<Envelope>>,
    wake_at: Time,
    /// By replica: how many entries it was handed to execute.
    decided: Vec<u64>,
    proposed: u64,
    snapshot_slots: u64,
    /// By replica: the slot of its next snapshot.
    snapshot_at: Vec<u64>,
}

impl Cluster {
    fn new(snapshot_slots: u64) -> Self {
        let member = |id: u64| Member {
            name: format!("n{id}"),
            disk: DiskId::new(u128::from(id)),
            addr: String::new(),
            weight: 1,
        };
        let members: BTreeMap<NodeId, Member> =
            (1..=3).map(|id| (NodeId::new(id), member(id))).collect();
        let membership = Membership {
            epoch: Epoch::FIRST,
            members,
            protocol: Membership::PROTOCOL,
            lease: None,
            sessions: SessionLimits::default(),
        };
        let replica = |id: u64| {
            let (node, disk) = (NodeId::new(id), DiskId::new(u128::from(id)));
            let meta = Meta::format(ClusterId::new(1), node, disk, membership.clone());
            let config = Config::new(node, 1, id);
            Replica::recover(config, Recovered::formatted(meta), Time::ZERO)
                .expect("a formatted directory is a valid one")
        };
        Self {
            now: Time::ZERO,
            replicas: (1..=3).map(replica).collect(),
            mail: VecDeque::new(),
            wake_at: Time::ZERO,
            decided: vec![0; 3],
            proposed: 0,
            snapshot_slots,
            snapshot_at: vec![snapshot_slots; 3],
        }
    }

    /// Lets time pass until somebody leads.
    fn elect(&mut self) -> usize {
        loop {
            self.wake_at = Time::MAX;
            for at in 0..3 {
                self.replicas[at].handle(self.now, Input::Wake);
                self.drain(at);
            }
            self.deliver();
            let leads = |replica: &Replica| replica.status().role == Role::Leading;
            if let Some(leader) = self.replicas.iter().position(leads) {
                return leader;
            }
            self.now = self.wake_at.max(self.now + Span::from_millis(1));
        }
    }

    fn decide(&mut self, leader: usize, payload: &Bytes, window: u64, count: u64) {
        let goal = self.decided[leader] + count;
        while self.decided[leader] < goal {
            while self.proposed < goal && self.proposed - self.decided[leader] < window {
                self.proposed += 1;
                let token = Token::new(self.proposed);
                let command = Command::sessionless(payload.clone());
                self.replicas[leader].handle(self.now, Input::Propose { token, command });
            }
            self.drain(leader);
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        while let Some(envelope) = self.mail.pop_front() {
            let to = usize::try_from(envelope.to.get()).expect("1 to 3") - 1;
            self.replicas[to].handle(self.now, Input::Received(envelope));
            self.drain(to);
        }
    }

    fn execute(&mut self, at: usize, entries: &[Entry]) {
        self.decided[at] += entries.len() as u64;
        let Some(last) = entries.last() else {
            return;
        };
        let slot = last.slot();
        self.replicas[at].handle(self.now, Input::Applied { slot });
        if slot.get() >= self.snapshot_at[at] {
            self.snapshot_at[at] += self.snapshot_slots;
            let id = SnapshotId {
                slot,
                chain: last.chain(),
                bytes: 1,
                digest: 0,
            };
            self.replicas[at].handle(self.now, Input::SnapshotTaken { id });
        }
    }

    fn drain(&mut self, at: usize) {
        loop {
            match self.replicas[at].poll_output() {
                Output::Persist(persist) => {
                    let lsn = persist.lsn;
                    self.replicas[at].handle(self.now, Input::Persisted { lsn });
                }
                Output::Send(envelope) => self.mail.push_back(envelope),
                Output::Decided { entries } => self.execute(at, &entries),
                Output::Refused { reason, .. } => panic!("refused: {reason}"),
                Output::Wait(until) => {
                    self.wake_at = self.wake_at.min(until);
                    return;
                }
                Output::Placed { .. }
                | Output::Deposed { .. }
                | Output::ReadReady { .. }
                | Output::TransferEnded { .. }
                | Output::ReadChunk { .. }
                | Output::WriteChunk { .. }
                | Output::FinishSnapshot { .. }
                | Output::Install { .. }
                | Output::Notice(_) => {}
            }
        }
    }
}
