//! From a seed to a plan: each seed draws which faults exist at all, and how often they strike.
//! Knows nothing about how a plan is executed.
//!
//! Swarm testing (Groce et al., ISSTA 2012): leaving features out of a test case finds more than
//! having all of them in every one, since faults mask each other.

pub(crate) mod admission;
mod features;
pub(crate) mod healing;
mod overload;
mod troubles;

use crate::dice::{Concern, Dice};
use crate::plan::{
    ClockPlan, ClusterPlan, CrashMode, DiskPlan, Fault, FaultKind, LaneName, NetworkPlan, Plan,
    Target, WorkloadPlan,
};

/// The plan of `seed`.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, Concern::Plan);
    let heartbeat_us = dice.magnitude(10_000, 200_000);
    let rounds = dice.magnitude(30, 160);
    let heal_at_us = heartbeat_us * rounds;
    let mut cluster = cluster(&mut dice, heartbeat_us);
    let network = network(&mut dice, heartbeat_us);
    let disk = disk(&mut dice, heartbeat_us);
    let nodes = cluster.weights.len();
    let mut clocks = clocks(&mut dice, nodes);
    let mut workload = workload(&mut dice, heartbeat_us, rounds, cluster.value_bytes_max);
    let mut faults = faults(&mut dice, nodes, heartbeat_us, heal_at_us, disk.files);
    let gone = gone(&mut dice, &cluster.weights);
    let gone = if cluster.forms { Vec::new() } else { gone };
    let scars = if nodes > 2 && !cluster.forms && dice.chance(200_000) {
        links(&mut dice, nodes)
    } else {
        Vec::new()
    };
    let mut features = Dice::new(seed, Concern::Features);
    features::cluster(&mut features, &mut cluster, &mut clocks);
    features::workload(&mut features, &mut workload);
    let snapshots = features::snapshots(&mut features, &workload, heartbeat_us);
    features::faults(&mut features, &cluster, heal_at_us, &mut faults);
    let mut plan = Plan {
        seed,
        cluster,
        network,
        disk,
        snapshots,
        clocks,
        workload,
        faults,
        scars,
        gone,
        left: Vec::new(),
        left_return: false,
        heal_at_us,
        events_max: 300_000,
        script: None,
    };
    troubles::draw(&mut plan);
    // A shape of links that has none, as a split into all and nobody, is no fault.
    let nodes = plan.nodes();
    plan.faults.retain(|fault| fault.kind.hits_any(nodes));
    overload::draw(&mut plan);
    admission::draw(&mut plan);
    healing::enough(&mut plan);
    if plan.check().is_err() {
        // Scars that leave nobody connected to a quorum: the whole cluster heals instead.
        plan.scars.clear();
    }
    plan
}

/// The plan of `seed`, cut down to what an ordinary test has time for: the same faults, but only
/// those of the first rounds.
#[must_use]
pub fn short(seed: u64) -> Plan {
    let mut plan = plan(seed);
    plan.heal_at_us = plan
        .heal_at_us
        .min(plan.cluster.heartbeat_us * SHORT_ROUNDS);
    plan.faults.retain(|fault| fault.at_us < plan.heal_at_us);
    plan.workload.operations_max = plan.workload.operations_max.min(SHORT_OPERATIONS);
    plan
}

/// The plan of `seed`, cut down or not.
#[must_use]
pub fn drawn(seed: u64, is_short: bool) -> Plan {
    if is_short { short(seed) } else { plan(seed) }
}

/// Heartbeat rounds of the fault phase of a short run.
const SHORT_ROUNDS: u64 = 30;
/// Operations in the fault phase of a short run.
const SHORT_OPERATIONS: u64 = 150;

fn cluster(dice: &mut Dice, heartbeat_us: u64) -> ClusterPlan {
    const SHAPES: [&[u32]; 12] = [
        &[1, 1, 1],
        &[1, 1, 1],
        &[1, 1, 1],
        &[1, 1, 1],
        &[1, 1, 1],
        &[1, 1, 1, 1, 1],
        &[1, 1, 1, 1, 1],
        &[1],
        &[2, 1, 1],
        &[1, 1, 1, 0],
        &[3, 2, 2, 1, 1],
        &[1, 1, 1, 1],
    ];
    let weights = SHAPES
        .get(dice.index(SHAPES.len()))
        .map_or_else(|| vec![1], |shape| shape.to_vec());
    // Small limits make full windows, split batches and back-pressure ordinary.
    let tight = dice.coin();
    let value_bytes_max = if tight { dice.range(64, 512) } else { 1 << 16 };
    let cost_max = value_bytes_max + 128;
    let in_flight_bytes_max = if tight {
        cost_max * dice.magnitude(1, 32)
    } else {
        4 << 20
    };
    let batch_bytes_max = if tight {
        dice.magnitude(1, cost_max * 8)
    } else {
        1 << 20
    };
    ClusterPlan {
        forms: dice.chance(150_000),
        heartbeat_us,
        gather_us: if dice.chance(250_000) {
            dice.magnitude(1, heartbeat_us / 50)
        } else {
            0
        },
        lag_limit: if dice.coin() {
            10_000
        } else {
            dice.magnitude(1, 100)
        },
        value_bytes_max,
        in_flight_entries_max: if tight { dice.magnitude(1, 64) } else { 16_384 },
        in_flight_bytes_max,
        peer_window_bytes_max: batch_bytes_max.max(cost_max) * dice.magnitude(1, 16),
        batch_bytes_max,
        priorities: vec![0; weights.len()],
        lease: None,
        transfer_rounds_max: 5,
        registers_per_second_max: 1_000,
        sessions_max: 1_024,
        apply_us: 0,
        weights,
        ..ClusterPlan::default()
    }
}

fn network(dice: &mut Dice, heartbeat_us: u64) -> NetworkPlan {
    let latency_max_us = dice.magnitude(100, heartbeat_us / 5);
    let latency_min_us = dice.range(20, latency_max_us.max(21));
    let mut some = |low: u64, high: u64| {
        if dice.coin() {
            u32::try_from(dice.magnitude(low, high)).expect("a probability fits")
        } else {
            0
        }
    };
    let loss_ppm = some(1_000, 200_000);
    let duplicate_ppm = some(1_000, 200_000);
    let straggle_ppm = some(1_000, 100_000);
    NetworkPlan {
        latency_min_us,
        latency_max_us,
        in_order: dice.coin(),
        loss_ppm,
        duplicate_ppm,
        straggle_ppm,
        straggle_max_us: heartbeat_us * dice.magnitude(1, 30),
        codec: dice.chance(600_000),
        routes: Vec::new(),
        outbox: None,
    }
}

fn disk(dice: &mut Dice, heartbeat_us: u64) -> DiskPlan {
    // Slow disks keep the windows open in which something is said but not yet durable.
    let latency_max_us = dice.magnitude(50, heartbeat_us / 2);
    DiskPlan {
        files: dice.chance(250_000),
        segment_bytes: dice.magnitude(8 << 10, 64 << 10),
        latency_min_us: dice.range(20, latency_max_us.max(21)),
        latency_max_us,
    }
}

fn clocks(dice: &mut Dice, nodes: usize) -> Vec<ClockPlan> {
    let drifting = dice.coin();
    (0..nodes)
        .map(|_| ClockPlan {
            offset_us: dice.below(1_000_000_000),
            drift_ppm: if drifting {
                i32::try_from(dice.below(100_000)).expect("below 100,000") - 50_000
            } else {
                0
            },
        })
        .collect()
}

fn workload(dice: &mut Dice, heartbeat_us: u64, rounds: u64, value_bytes_max: u64) -> WorkloadPlan {
    let clients = dice.range(1, 8);
    let operations_max = dice.magnitude(50, 2_000);
    // Spread over the run, or in a burst at its beginning.
    let pause = heartbeat_us * rounds * clients / operations_max;
    let think_max_us = dice.magnitude(10, pause.max(20) * 2);
    WorkloadPlan {
        clients: usize::try_from(clients).expect("at most 8"),
        window: usize::try_from(dice.magnitude(1, 16)).expect("at most 16"),
        think_min_us: dice.below(think_max_us),
        think_max_us,
        timeout_us: heartbeat_us * dice.range(5, 40),
        keys: dice.magnitude(1, 16),
        read_ppm: u32::try_from(dice.below(600_000)).expect("below a million"),
        delete_ppm: u32::try_from(dice.below(100_000)).expect("below a million"),
        conditional_ppm: 0,
        sessions: 0,
        lease_read_ppm: 0,
        follower_read_ppm: 0,
        stale_read_ppm: 0,
        value_bytes_max: dice.magnitude(16, value_bytes_max.min(1_024) - 40),
        operations_max,
        overload: false,
    }
}

fn gone(dice: &mut Dice, weights: &[u32]) -> Vec<usize> {
    if weights.len() < 3 || dice.chance(750_000) {
        return Vec::new();
    }
    let total: u32 = weights.iter().sum();
    let mut left = total;
    let mut gone = Vec::new();
    for _ in 0..dice.range(1, weights.len() as u64 / 2) {
        let node = dice.index(weights.len());
        let weight = weights.get(node).copied().unwrap_or(0);
        if !gone.contains(&node) && (left - weight) * 2 > total {
            left -= weight;
            gone.push(node);
        }
    }
    gone.sort_unstable();
    gone
}

/// Draws the faults: a kind is present in a run or not, and when present has its own rate.
fn faults(
    dice: &mut Dice,
    nodes: usize,
    heartbeat_us: u64,
    heal_at_us: u64,
    files: bool,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    // One run in sixteen is without any fault, so that the plain path is tried as well.
    if dice.chance(62_500) {
        return faults;
    }
    let mut draw = Draw {
        dice,
        nodes,
        heartbeat_us,
        heal_at_us,
    };
    let kinds: [fn(&mut Draw<'_>) -> FaultKind; 11] = [
        |d| FaultKind::Crash {
            node: d.target(),
            mode: CrashMode::Power,
        },
        |d| FaultKind::Crash {
            node: d.target(),
            mode: CrashMode::Kill,
        },
        |_| FaultKind::Blackout,
        |d| FaultKind::CrashInDisk {
            node: d.target(),
            operations: d.dice.below(12),
        },
        |d| FaultKind::Cut {
            links: links(d.dice, d.nodes),
        },
        |d| FaultKind::Isolate {
            node: d.target(),
            inbound_only: d.dice.coin(),
        },
        |d| FaultKind::Clog {
            links: links(d.dice, d.nodes),
        },
        |d| FaultKind::SlowDisk {
            node: d.target(),
            extra_us: d.dice.magnitude(1_000, d.heartbeat_us * 25),
        },
        |d| FaultKind::Pause { node: d.target() },
        |d| FaultKind::ClockJump { node: d.target() },
        |d| FaultKind::CutLanes {
            links: links(d.dice, d.nodes),
            lanes: lanes(d.dice),
        },
    ];
    for (at, kind) in kinds.iter().enumerate() {
        let present = draw.dice.coin() && (files || at != 3);
        if !present {
            continue;
        }
        let most = if at == 2 { 3 } else { 12 };
        for _ in 0..draw.dice.magnitude(1, most) {
            let at_us = draw.dice.below(draw.heal_at_us);
            let for_us = draw.length();
            let kind = kind(&mut draw);
            faults.push(Fault {
                at_us,
                for_us,
                kind,
            });
        }
    }
    if draw.dice.chance(400_000) {
        draw.storm(&mut faults);
    }
    faults.sort_by_key(|fault| fault.at_us);
    faults
}

struct Draw<'a> {
    dice: &'a mut Dice,
    nodes: usize,
    heartbeat_us: u64,
    heal_at_us: u64,
}

impl Draw<'_> {
    fn length(&mut self) -> u64 {
        self.dice
            .magnitude(self.heartbeat_us / 20, self.heartbeat_us * 30)
    }

    /// One leader after the other is taken away for about as long as its successor reigns, so that
    /// leaders come back with what they alone have accepted.
    fn storm(&mut self, faults: &mut Vec<Fault>) {
        let period = self
            .dice
            .range(self.heartbeat_us * 2, self.heartbeat_us * 12);
        let begin = self.dice.below(self.heal_at_us);
        let kind = self.dice.below(4);
        for strike in 0..self.dice.range(3, 12) {
            let node = Target::Leader;
            let kind = match kind {
                0 => FaultKind::Isolate {
                    node,
                    inbound_only: false,
                },
                1 => FaultKind::Isolate {
                    node,
                    inbound_only: true,
                },
                2 => FaultKind::Pause { node },
                _ => FaultKind::Crash {
                    node,
                    mode: CrashMode::Power,
                },
            };
            faults.push(Fault {
                at_us: begin + strike * period + self.dice.below(period / 2),
                for_us: self.dice.range(period / 2, period * 2),
                kind,
            });
        }
        faults.retain(|fault| fault.at_us < self.heal_at_us);
    }

    fn target(&mut self) -> Target {
        match self.dice.below(4) {
            0 => Target::Leader,
            1 => Target::Follower(self.dice.index(self.nodes)),
            _ => Target::Node(self.dice.index(self.nodes)),
        }
    }
}

/// What hangs on a link: one lane, or everything but the heartbeats, which then hide it.
fn lanes(dice: &mut Dice) -> Vec<LaneName> {
    match dice.below(4) {
        0 => vec![LaneName::Heartbeat],
        1 => vec![LaneName::Bulk],
        2 => vec![LaneName::Quorum],
        _ => vec![LaneName::Quorum, LaneName::Bulk],
    }
}

/// A set of links that are down together: a split, a bridge, a star, or any.
fn links(dice: &mut Dice, nodes: usize) -> Vec<(usize, usize)> {
    let all = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    let shape = dice.below(5);
    let hub = dice.index(nodes);
    let side: Vec<bool> = (0..nodes).map(|_| dice.coin()).collect();
    let in_first = |n: usize| side.get(n).copied().unwrap_or(false);
    let mut links = Vec::new();
    for (a, b) in all.filter(|(a, b)| a != b) {
        let down = match shape {
            // Two groups that do not hear each other.
            0 => in_first(a) != in_first(b),
            // Two groups and one node that hears both.
            1 => a != hub && b != hub && in_first(a) != in_first(b),
            // Everybody hears only the hub (OmniPaxos section 2, quorum loss).
            2 => a != hub && b != hub,
            // One direction between two groups.
            3 => in_first(a) && !in_first(b),
            // Any links in any direction.
            _ => dice.chance(300_000),
        };
        if down {
            links.push((a, b));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_it_can_be_run() {
        for seed in 0..2_000 {
            let drawn = plan(seed);
            assert_eq!(drawn, plan(seed));
            drawn.check().unwrap();
        }
    }

    #[test]
    fn a_plan_survives_json() {
        for seed in 0..100 {
            let drawn = plan(seed);
            let text = serde_json::to_string(&drawn).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), drawn);
        }
    }

    #[test]
    fn clocks_are_off_and_run_fast_and_slow_and_well() {
        let (mut off, mut fast, mut slow, mut even) = (0, 0, 0, 0);
        for seed in 0..300 {
            let clocks = plan(seed).clocks;
            let first = clocks.first().map(|clock| clock.offset_us);
            off += u32::from(clocks.iter().any(|it| Some(it.offset_us) != first));
            fast += u32::from(clocks.iter().any(|it| it.drift_ppm > 1_000));
            slow += u32::from(clocks.iter().any(|it| it.drift_ppm < -1_000));
            even += u32::from(clocks.iter().all(|it| it.drift_ppm == 0));
        }
        for (what, count) in [("off", off), ("fast", fast), ("slow", slow), ("even", even)] {
            assert!(count > 60, "{what} in {count} of 300 plans");
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_also_left_out() {
        let mut present = [0; FaultKind::NAMES.len()];
        for seed in 0..500 {
            let mut here = [false; FaultKind::NAMES.len()];
            for fault in plan(seed).faults {
                here[fault.kind.index()] = true;
            }
            for (count, here) in present.iter_mut().zip(here) {
                *count += u32::from(here);
            }
        }
        for (name, count) in FaultKind::NAMES.iter().zip(present) {
            assert!((10..490).contains(&count), "{name} in {count} of 500 plans");
        }
    }
}
