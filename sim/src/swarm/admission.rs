//! Draws how much each node lets in of what clients ask.
//! Knows nothing about the rest of the plan but how much that is.

use crate::dice::{Concern, Dice};
use crate::plan::{AdmissionPlan, Plan};

/// Of a million runs that are not of plain overload; of those it is every second.
const PRESENT_PPM: u32 = 40_000;
/// Requests that are let in during a round, at least: after the faults, all must be answered.
const ROUND_MIN: u64 = 30;
/// Requests that have room at the same time, at least.
const IN_FLIGHT_MIN: u64 = 4;

/// Draws whether nodes of this run limit what they let in, and how.
pub(super) fn draw(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, Concern::Admission);
    let is_overload = plan.workload.overload;
    let present = if is_overload { 500_000 } else { PRESENT_PPM };
    if dice.chance(present) {
        plan.cluster.admission = Some(limits(&mut dice, plan));
    }
}

/// Raises limits below which what clients ask for would not get in in time.
pub(crate) fn enough(plan: &mut Plan) {
    let clients = plan.workload.clients.max(1) as u64;
    let (beat, largest) = (plan.cluster.heartbeat_us, largest(plan));
    let Some(limits) = &mut plan.cluster.admission else {
        return;
    };
    let least = |limit: &mut u64, in_a_round: u64| {
        if *limit > 0 {
            *limit = in_a_second(in_a_round, beat).max(*limit);
        }
    };
    least(&mut limits.bytes_per_second, ROUND_MIN * largest);
    let each = ROUND_MIN.div_ceil(clients) * largest;
    least(&mut limits.client_bytes_per_second, each);
    limits.in_flight_bytes = (largest * IN_FLIGHT_MIN).max(limits.in_flight_bytes);
}

/// What the largest request takes.
const fn largest(plan: &Plan) -> u64 {
    plan.cluster.value_bytes_max + 128
}

const fn in_a_second(in_a_round: u64, heartbeat_us: u64) -> u64 {
    in_a_round * 1_000_000 / heartbeat_us + 1
}

fn limits(dice: &mut Dice, plan: &Plan) -> AdmissionPlan {
    let beat = plan.cluster.heartbeat_us;
    let largest = largest(plan);
    let clients = plan.workload.clients.max(1) as u64;
    let mut rate = |least: u64, ppm| {
        let drawn = in_a_second(dice.magnitude(least, least * 64), beat);
        if dice.chance(ppm) { drawn } else { 0 }
    };
    let requests_per_second = rate(ROUND_MIN, 600_000);
    let bytes_per_second = rate(ROUND_MIN * largest, 400_000);
    let client_requests_per_second = rate(ROUND_MIN.div_ceil(clients), 300_000);
    let client_bytes_per_second = rate(ROUND_MIN.div_ceil(clients) * largest, 300_000);
    // What is larger than a burst waits until nobody else asks.
    let burst_us = dice.range(beat, beat * 8);
    AdmissionPlan {
        requests_per_second,
        bytes_per_second,
        client_requests_per_second,
        client_bytes_per_second,
        burst_us,
        in_flight: dice.magnitude(IN_FLIGHT_MIN, 256),
        in_flight_bytes: largest * dice.magnitude(IN_FLIGHT_MIN, 64),
        clients_tracked: if dice.chance(800_000) { 64 } else { 2 },
        late_max_us: if dice.coin() { 0 } else { beat / 2 },
    }
}
