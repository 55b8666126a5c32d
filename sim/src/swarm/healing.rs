//! Sees to it that a drawn plan can heal in time: limits that are too small for that are raised.
//! Knows nothing about how limits are drawn.

use chil_core::{Config, NodeId};

use crate::plan::Plan;

/// How large things are that a plan's limits have to be enough for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// What a request takes on average, with everything around it.
    pub(crate) request: u64,
    /// The snapshot of a whole state.
    pub(crate) snapshot: u64,
}

/// Raises limits with which healing would take longer than it may.
pub(super) fn enough(plan: &mut Plan) {
    let sizes = Sizes {
        request: plan.workload.value_bytes_max / 2 + 192,
        snapshot: super::features::snapshot_bytes(&plan.workload),
    };
    enough_for(plan, sizes);
}

/// The same when things have these sizes.
pub(crate) fn enough_for(plan: &mut Plan, sizes: Sizes) {
    let Missed { bytes, turn_us } = Missed::of(plan, sizes.request);
    let span_us = plan.cluster.heartbeat_us * CATCH_UP_ROUNDS;
    let per = |turn_us: u64| {
        let bytes = u128::from(bytes) * u128::from(turn_us) / u128::from(span_us);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let window = per(turn_us);
    // Until it is executed, what is proposed counts as well: a turn's worth has to fit.
    let unapplied = per(plan.cluster.apply_us).max(window);
    let snapshot = sizes.snapshot;
    let part_us = turn_us + 2 * plan.snapshots.part_max_us;
    let chunk_turns = span_us / 3 / part_us.max(1);
    let mut batch = if plan.scars.is_empty() {
        0
    } else {
        // Whoever does not hear the leader catches up message by message, and has to get there.
        (plan.cluster.value_bytes_max + 128) * 16
    };
    if !plan.network.in_order {
        // Each gap brings a whole window again: it must not be one of hundreds of messages. And
        // where most of them are overtaken, one gets through in a turn: that has to be enough.
        let mixed = plan
            .cluster
            .mixed
            .iter()
            .map(|own| own.peer_window_bytes_max);
        let widest = mixed
            .max()
            .unwrap_or(0)
            .max(plan.cluster.peer_window_bytes_max);
        batch = batch.max(widest / WINDOW_MESSAGES_MAX).max(window);
    }
    // Whatever would be good: no message may be larger than all nodes take.
    let config = Config::new(NodeId::new(1), 0, 0);
    let batch = batch.min(config.message_bytes_max);
    let chunk = |in_flight: u64| {
        let chunk = snapshot / (chunk_turns * in_flight.max(1)).max(1);
        chunk.min(Config::MESSAGE_BYTES_CEILING)
    };
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
    fn of(plan: &Plan, request: u64) -> Self {
        let (workload, network, disk) = (&plan.workload, &plan.network, &plan.disk);
        Self {
            bytes: workload.operations_max.saturating_mul(request),
            turn_us: 2 * (network.slowest_us() + disk.latency_max_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_most_messages_are_overtaken_one_a_turn_is_enough() {
        for in_order in [true, false] {
            let mut plan = crate::scenario::plan_of(&[1, 1, 1, 1], 1);
            plan.network.in_order = in_order;
            plan.network.latency_max_us = 3_000;
            plan.cluster.heartbeat_us = 18_000;
            plan.cluster.batch_bytes_max = 500;
            plan.cluster.peer_window_bytes_max = 8_000;
            plan.cluster.unapplied_bytes_max = 40;
            let sizes = Sizes {
                request: 300,
                snapshot: 1_000,
            };
            plan.workload.operations_max = 1_400;
            enough_for(&mut plan, sizes);
            let turn_us = 2 * (plan.network.slowest_us() + plan.disk.latency_max_us);
            let turns = plan.cluster.heartbeat_us * CATCH_UP_ROUNDS / turn_us;
            let missed = plan.workload.operations_max * sizes.request;
            let one_a_turn = plan.cluster.batch_bytes_max * (turns + 1);
            assert_eq!(one_a_turn >= missed, !in_order, "{one_a_turn} of {missed}");
            assert!(plan.cluster.peer_window_bytes_max >= plan.cluster.batch_bytes_max);
            assert!(plan.cluster.unapplied_bytes_max * (turns + 1) >= missed);
        }
    }
}
