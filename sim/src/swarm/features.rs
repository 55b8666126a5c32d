//! Draws what a plan says of snapshots, sessions, reads, leases, priorities and transfers.
//! Knows nothing about the rest of the plan, whose dice it leaves alone: a kind of thing more here
//! changes nothing there.

use crate::dice::Dice;
use crate::plan::{
    ClockPlan, ClusterPlan, CrashMode, Fault, FaultKind, LeasePlan, SnapshotPlan, Target,
    WorkloadPlan,
};

/// More slots than any run has.
const NEVER: u64 = 1 << 40;

/// When snapshots are taken: in three runs of four, and then often.
pub(super) fn snapshots(
    dice: &mut Dice,
    workload: &WorkloadPlan,
    heartbeat_us: u64,
) -> SnapshotPlan {
    let whole_max_us = dice.magnitude(100, heartbeat_us * 3);
    let log_tail_bytes = if dice.coin() {
        dice.magnitude(1, 4_096)
    } else {
        dice.magnitude(4_096, 1 << 18)
    };
    let keeps = if dice.coin() {
        1
    } else {
        dice.magnitude(1, 64)
    };
    // Small parts, so that a transfer takes many, but not more than the healing has time for.
    let about = snapshot_bytes(workload);
    let chunk_bytes_max = if dice.chance(800_000) {
        (about / dice.magnitude(1, 40)).max(64)
    } else {
        256 << 10
    };
    let taken = dice.chance(750_000);
    let (slots, bytes) = (dice.magnitude(2, 256), dice.magnitude(2_048, 1 << 20));
    SnapshotPlan {
        slots: if taken { slots } else { NEVER },
        bytes: if taken { bytes } else { NEVER },
        whole_max_us,
        part_max_us: dice.magnitude(10, heartbeat_us / 20),
        log_tail_bytes,
        log_keep_bytes_max: log_tail_bytes * keeps,
        chunk_bytes_max,
        chunks_in_flight_max: dice.magnitude(1, 8),
    }
}

/// About how large a snapshot is.
pub(super) const fn snapshot_bytes(workload: &WorkloadPlan) -> u64 {
    let values = workload.keys * (workload.value_bytes_max + 64);
    values + workload.sessions as u64 * 2_048 + 512
}

/// Leases with clocks that keep within their bound, priorities, sessions that run out, and the
/// pace at which what is decided is executed.
pub(super) fn cluster(dice: &mut Dice, cluster: &mut ClusterPlan, clocks: &mut [ClockPlan]) {
    let heartbeat_us = cluster.heartbeat_us;
    if dice.chance(400_000) {
        let mut shortest_us = heartbeat_us / 2;
        if dice.coin() {
            // Clocks so bad that a margin which is not kept shows within a few rounds.
            let most = dice.range(20_000, 300_000);
            // Each as fast or as slow as allowed, and a lease for which that adds up to more than
            // an election takes: then the margin is all that keeps two leaders apart.
            let extreme = dice.coin();
            if extreme {
                shortest_us = heartbeat_us * 12;
            }
            for clock in &mut *clocks {
                let drift = if extreme {
                    2 * most * u64::from(dice.coin())
                } else {
                    dice.below(2 * most)
                };
                let drift = i32::try_from(drift).expect("below a million");
                clock.drift_ppm = drift - i32::try_from(most).expect("below a million");
            }
        }
        let drift = |clock: &ClockPlan| clock.drift_ppm.unsigned_abs();
        let worst = clocks.iter().map(drift).max().unwrap_or(0);
        // Often exactly the bound: a margin that is not kept shows.
        let slack = if dice.coin() {
            0
        } else {
            dice.magnitude(1, 10_000)
        };
        cluster.lease = Some(LeasePlan {
            duration_us: dice.magnitude(shortest_us, heartbeat_us * 32),
            drift_ppm: worst + u32::try_from(slack).expect("at most 10,000"),
        });
    }
    if dice.chance(300_000) {
        for priority in &mut cluster.priorities {
            *priority = u32::try_from(dice.below(3)).expect("below 3");
        }
    }
    cluster.transfer_rounds_max = u32::try_from(dice.range(1, 8)).expect("at most 8");
    if dice.coin() {
        cluster.sessions_max = dice.magnitude(1, 16);
    }
    if dice.chance(300_000) {
        // Enough for what begins when all is well.
        let least = 2_000_000 / heartbeat_us;
        let rate = dice.magnitude(1, 20).max(least);
        cluster.registers_per_second_max = u32::try_from(rate).expect("at most 200");
    }
    if dice.coin() {
        cluster.apply_us = dice.magnitude(10, heartbeat_us / 2);
    }
}

/// Sessions, conditional writes, and all kinds of reads.
pub(super) fn workload(dice: &mut Dice, workload: &mut WorkloadPlan) {
    let mut some = |most: u64| {
        if dice.coin() {
            u32::try_from(dice.below(most)).expect("at most a million")
        } else {
            0
        }
    };
    workload.conditional_ppm = some(700_000);
    workload.lease_read_ppm = some(600_000);
    workload.follower_read_ppm = some(600_000);
    workload.stale_read_ppm = some(400_000);
    workload.sessions = if dice.chance(750_000) {
        dice.index(workload.clients) + 1
    } else {
        0
    };
}

/// Long absences and transfers of leadership; none of them in a run without faults.
pub(super) fn faults(
    dice: &mut Dice,
    cluster: &ClusterPlan,
    heal_at_us: u64,
    faults: &mut Vec<Fault>,
) {
    let quiet = faults.is_empty();
    let nodes = cluster.weights.len();
    if let Some(lease) = &cluster.lease {
        faults.retain(|fault| !matches!(fault.kind, FaultKind::ClockJump { .. }));
        if dice.coin() && !quiet {
            // A leader that sleeps until about the end of its lease.
            for _ in 0..dice.range(1, 8) {
                faults.push(Fault {
                    at_us: dice.below(heal_at_us),
                    for_us: dice.range(lease.duration_us * 3 / 4, lease.duration_us * 7 / 4),
                    kind: FaultKind::Pause {
                        node: Target::Leader,
                    },
                });
            }
        }
    }
    if dice.chance(400_000) && !quiet {
        for _ in 0..dice.range(1, 3) {
            faults.push(Fault {
                at_us: dice.below(heal_at_us),
                for_us: dice.range(heal_at_us / 8, heal_at_us),
                kind: FaultKind::Absence {
                    node: target(dice, nodes),
                },
            });
        }
    }
    if dice.chance(400_000) {
        for _ in 0..dice.magnitude(1, 24) {
            let heartbeat_us = (!quiet).then_some(cluster.heartbeat_us);
            transfer(dice, nodes, heal_at_us, heartbeat_us, faults);
        }
    }
    faults.sort_by_key(|fault| fault.at_us);
}

/// A transfer, and sometimes a fault that strikes while it is under way: within the given time.
fn transfer(
    dice: &mut Dice,
    nodes: usize,
    heal_at_us: u64,
    disturbed: Option<u64>,
    faults: &mut Vec<Fault>,
) {
    let at_us = dice.below(heal_at_us);
    let node = if dice.chance(800_000) {
        Target::Leader
    } else {
        target(dice, nodes)
    };
    let to = dice.coin().then(|| dice.index(nodes));
    faults.push(Fault {
        at_us,
        for_us: 0,
        kind: FaultKind::Transfer { node, to },
    });
    let Some(heartbeat_us) = disturbed else {
        return;
    };
    if dice.chance(200_000) {
        let node = target(dice, nodes);
        let kind = match dice.below(3) {
            0 => FaultKind::Pause { node },
            1 => FaultKind::Isolate {
                node,
                inbound_only: dice.coin(),
            },
            _ => FaultKind::Crash {
                node,
                mode: CrashMode::Power,
            },
        };
        faults.push(Fault {
            at_us: at_us + dice.below(heartbeat_us),
            for_us: dice.magnitude(heartbeat_us / 20, heartbeat_us * 10),
            kind,
        });
    }
}

pub(super) fn target(dice: &mut Dice, nodes: usize) -> Target {
    match dice.below(4) {
        0 => Target::Leader,
        1 => Target::Follower(dice.index(nodes)),
        _ => Target::Node(dice.index(nodes)),
    }
}
