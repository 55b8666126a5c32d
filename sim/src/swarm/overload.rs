//! Makes a plan one of plain overload: clients ask for far more than small limits admit, and
//! nothing goes wrong.
//! Knows nothing about the rest of the plan but what could be a reason for another leader.

use crate::dice::{Concern, Dice};
use crate::plan::Plan;

/// Of a million runs.
const PRESENT_PPM: u32 = 30_000;
/// Longer runs show nothing more, and each round of them is full of requests that come again.
const ROUNDS_MAX: u64 = 40;
/// Things that a node has the time for in a round, at least.
const HANDLED_MIN: u64 = 300;
/// At most, where handling takes time at all.
const HANDLED_MAX: u64 = 3_000;
/// By how many millionths clocks run fast or slow at most.
const DRIFT_PPM_MAX: i32 = 50_000;

/// Draws whether this is such a run, and if so, makes it one.
pub(super) fn draw(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, Concern::Overload);
    // Where there is only one node, nobody else could lead.
    if dice.chance(PRESENT_PPM) && !plan.cluster.forms && plan.nodes() > 1 {
        make(&mut dice, plan);
    }
}

/// Makes a plan one of plain overload.
pub(super) fn make(dice: &mut Dice, plan: &mut Plan) {
    plan.faults.clear();
    plan.scars.clear();
    plan.gone.clear();
    plan.left.clear();
    plan.left_return = false;
    // Each gap brings a window again: that is no matter of load.
    plan.network.in_order = true;
    plan.network.loss_ppm = 0;
    plan.network.straggle_ppm = 0;
    for clock in &mut plan.clocks {
        clock.drift_ppm = clock.drift_ppm.clamp(-DRIFT_PPM_MAX, DRIFT_PPM_MAX);
    }
    let beat = plan.cluster.heartbeat_us;
    plan.heal_at_us = plan.heal_at_us.min(beat * ROUNDS_MAX);
    let cluster = &mut plan.cluster;
    let cost = cluster.value_bytes_max + 128;
    cluster.priorities.iter_mut().for_each(|it| *it = 0);
    cluster.in_flight_entries_max = dice.magnitude(1, 16);
    cluster.in_flight_bytes_max = cost * dice.magnitude(1, 8);
    cluster.unapplied_bytes_max = dice.magnitude(1, cost * 4);
    cluster.reads_queued_max = dice.index(8) + 1;
    let workload = &mut plan.workload;
    workload.overload = true;
    workload.clients = dice.index(16) + 8;
    workload.window = dice.index(8) + 8;
    workload.sessions = workload.sessions.min(workload.clients);
    workload.think_max_us = dice.magnitude(10, beat / 50);
    workload.think_min_us = dice.below(workload.think_max_us);
    workload.operations_max = dice.range(1_000, 4_000);
    // A node has the time for a few hundred things a round; what the members say to each other in
    // a round must be fewer, and clients ask for as much as is left and more.
    if dice.coin() {
        cluster.handle_us = dice.range(beat / HANDLED_MAX, beat / HANDLED_MIN).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Coverage;
    use crate::run::Watch;
    use crate::subject::Subject;
    use crate::sweep::guarded;

    #[test]
    fn overload_is_drawn_refuses_most_and_changes_no_leader() {
        let drawn = (0..400).filter(|seed| crate::swarm::plan(*seed).workload.overload);
        assert!((4..40).contains(&drawn.count()));
        // Clients come again so soon that nodes have the time for a part of them only.
        let swamped = |seed: &u64| {
            let plan = crate::swarm::plan(*seed);
            let at_once = (plan.workload.clients * plan.workload.window) as u64;
            let away_us = plan.workload.think_max_us + 400;
            plan.workload.overload && plan.cluster.handle_us * at_once > 4 * away_us
        };
        let count = (0..1_500).filter(swamped).count();
        assert!(count > 5, "{count} are swamped");
        let refusals = Coverage::OUTPUTS
            .iter()
            .position(|it| it.ends_with("Overloaded"));
        let (mut refused, mut taken) = (0, 0);
        for seed in 0..12 {
            let mut plan = crate::swarm::plan(seed);
            plan.cluster.forms = false;
            make(&mut Dice::new(seed, Concern::Overload), &mut plan);
            plan.heal_at_us = plan.cluster.heartbeat_us * 12;
            plan.check().unwrap();
            let outcome = guarded(&Subject::key_value(), &plan, Watch::default());
            assert_eq!(outcome.violation, None, "seed {seed}");
            refused += outcome.stats.coverage.outputs.0[refusals.unwrap()];
            taken += outcome.stats.writes + outcome.stats.reads;
        }
        assert!(refused > 2 * taken, "{refused} refused, {taken} taken");
    }
}
