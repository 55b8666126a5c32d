//! Sees to it that a drawn plan can heal in time: limits that are too small for that are raised.
//! Knows nothing about how limits are drawn.

use crate::plan::Plan;

/// Raises limits with which healing would take longer than it may.
pub(super) fn enough(plan: &mut Plan) {
    let Missed { bytes, turn_us } = Missed::of(plan);
    let per = |turn_us: u64| bytes * turn_us / (plan.cluster.heartbeat_us * CATCH_UP_ROUNDS);
    let (window, unapplied) = (per(turn_us), per(plan.cluster.apply_us));
    let snapshot = super::features::snapshot_bytes(&plan.workload);
    let part_us = turn_us + 2 * plan.snapshots.part_max_us;
    let chunk_turns = plan.cluster.heartbeat_us * CATCH_UP_ROUNDS / 3 / part_us.max(1);
    let mut batch = if plan.scars.is_empty() {
        0
    } else {
        // Whoever does not hear the leader catches up message by message, and has to get there.
        (plan.cluster.value_bytes_max + 128) * 16
    };
    if !plan.network.in_order {
        // Each gap brings a whole window again: it must not be one of hundreds of messages.
        let mixed = plan
            .cluster
            .mixed
            .iter()
            .map(|own| own.peer_window_bytes_max);
        let widest = mixed
            .max()
            .unwrap_or(0)
            .max(plan.cluster.peer_window_bytes_max);
        batch = batch.max(widest.max(window) / WINDOW_MESSAGES_MAX);
    }
    let chunk = |in_flight: u64| snapshot / (chunk_turns * in_flight.max(1)).max(1);
    let cluster = &mut plan.cluster;
    let least = |limit: &mut u64, least: u64| *limit = least.max(*limit);
    let snapshots = &mut plan.snapshots;
    let in_flight = if cluster.mixed.is_empty() {
        snapshots.chunks_in_flight_max
    } else {
        1
    };
    least(&mut snapshots.chunk_bytes_max, chunk(in_flight));
    least(&mut cluster.batch_bytes_max, batch);
    least(&mut cluster.peer_window_bytes_max, window.max(batch));
    least(&mut cluster.unapplied_bytes_max, unapplied);
    for own in &mut cluster.mixed {
        least(&mut own.batch_bytes_max, batch);
        least(&mut own.peer_window_bytes_max, window.max(batch));
        least(&mut own.unapplied_bytes_max, unapplied);
        // Parts are as large as who asks and who is asked allow.
        least(&mut own.chunk_bytes_max, chunk(1));
    }
}

/// Messages of a window at most, where they do not stay in order.
const WINDOW_MESSAGES_MAX: u64 = 16;
/// Rounds of the healing in which a node must be able to take in all that it has missed.
const CATCH_UP_ROUNDS: u64 = 20;

/// What a node may have missed.
struct Missed {
    bytes: u64,
    /// How long each window of it takes: it waits for the disk, and often for the sync before its
    /// own.
    turn_us: u64,
}

impl Missed {
    fn of(plan: &Plan) -> Self {
        let (workload, network, disk) = (&plan.workload, &plan.network, &plan.disk);
        Self {
            bytes: workload.operations_max * (workload.value_bytes_max / 2 + 192),
            turn_us: 2 * (network.slowest_us() + disk.latency_max_us),
        }
    }
}
