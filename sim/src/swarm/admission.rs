//! Draws how much each node lets in of what clients ask.
//! Knows nothing about the rest of the plan but how much that is.

use crate::dice::{Concern, Dice};
use crate::plan::{AdmissionPlan, Plan};

/// Of a million runs that are not of plain overload; of those it is every second.
const PRESENT_PPM: u32 = 40_000;
/// Requests that are let in during a round, at least: after the faults, all must be answered.
const ROUND_MIN: u64 = 30;

/// Draws whether nodes of this run limit what they let in, and how.
pub(super) fn draw(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, Concern::Admission);
    let is_overload = plan.workload.overload;
    let present = if is_overload { 500_000 } else { PRESENT_PPM };
    if dice.chance(present) {
        plan.cluster.admission = Some(limits(&mut dice, plan));
    }
}

fn limits(dice: &mut Dice, plan: &Plan) -> AdmissionPlan {
    let beat = plan.cluster.heartbeat_us;
    let largest = plan.cluster.value_bytes_max + 128;
    let in_a_second = |in_a_round: u64| in_a_round * 1_000_000 / beat + 1;
    let clients = plan.workload.clients.max(1) as u64;
    let mut rate = |least: u64, ppm| {
        let drawn = in_a_second(dice.magnitude(least, least * 64));
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
        in_flight: dice.magnitude(4, 256),
        in_flight_bytes: largest * dice.magnitude(4, 64),
        clients_tracked: if dice.chance(800_000) { 64 } else { 2 },
        late_max_us: if dice.coin() { 0 } else { beat / 2 },
    }
}
