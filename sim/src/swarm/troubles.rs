//! Draws links and members that differ from the others, links that flap, swizzles, slow nodes, and
//! who is left behind when the faults are over.
//! Knows nothing about the rest of the plan; each kind of thing has dice of its own.

use crate::dice::{Concern, Dice};
use crate::plan::{Ailment, Fault, FaultKind, Left, LimitsPlan, OutboxPlan, Plan, RoutePlan};

/// Draws all of it into a plan that is whole otherwise.
pub(super) fn draw(plan: &mut Plan) {
    let quiet = plan.faults.is_empty();
    routes(&mut Dice::new(plan.seed, Concern::Routes), plan);
    limits(&mut Dice::new(plan.seed, Concern::Limits), plan);
    core(&mut Dice::new(plan.seed, Concern::Core), plan);
    outbox(&mut Dice::new(plan.seed, Concern::Delivery), plan);
    if !quiet {
        faults(plan);
    }
}

/// What waits on clogged links is bounded, as in the runtime.
fn outbox(dice: &mut Dice, plan: &mut Plan) {
    let messages = usize::try_from(dice.magnitude(1, 256)).unwrap_or(1);
    let largest = plan.cluster.value_bytes_max + 128;
    let bytes = largest * dice.magnitude(1, 64);
    if dice.chance(400_000) {
        plan.network.outbox = Some(OutboxPlan { messages, bytes });
    }
}

/// Each direction of each pair has its own latency; or only few have, and those are slow.
fn routes(dice: &mut Dice, plan: &mut Plan) {
    let present = dice.chance(350_000);
    let few = dice.coin();
    let nodes = plan.nodes();
    // A round trip over two of the slowest fits into a round, as configurations must have it.
    let most = plan.cluster.heartbeat_us * 3 / 10;
    let all = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    for (from, to) in all.filter(|(a, b)| a != b) {
        let drawn = !few || dice.chance(250_000);
        let least = if few { most / 4 } else { 20 };
        let base_us = dice.magnitude(least, most * 2 / 3);
        let jitter_us = dice.magnitude(1, most - base_us.min(most - 1));
        if present && drawn {
            plan.network.routes.push(RoutePlan {
                from,
                to,
                base_us: base_us.min(most),
                jitter_us: jitter_us.min(most.saturating_sub(base_us)),
            });
        }
    }
}

/// Members with limits of their own: those that decide how much is under way.
fn limits(dice: &mut Dice, plan: &mut Plan) {
    if dice.chance(250_000) {
        let cluster = &mut plan.cluster;
        cluster.unapplied_bytes_max = dice.magnitude(1, 64 << 10);
    }
    if dice.chance(250_000) {
        plan.cluster.reads_queued_max = dice.index(16) + 1;
    }
    if !dice.chance(250_000) {
        return;
    }
    let cost = plan.cluster.value_bytes_max + 128;
    // What one may send at once must be enough for others to catch up, as for all.
    let window = plan.cluster.peer_window_bytes_max;
    for node in 0..plan.nodes() {
        let differs = dice.chance(600_000);
        let batch = dice.magnitude(1, cost * 16);
        let own = LimitsPlan {
            node,
            lag_limit: dice.magnitude(1, 10_000),
            in_flight_entries_max: dice.magnitude(1, 1_024),
            in_flight_bytes_max: cost * dice.magnitude(1, 32),
            peer_window_bytes_max: window.max(batch) * dice.magnitude(1, 4),
            batch_bytes_max: batch,
            unapplied_bytes_max: dice.magnitude(1, 1 << 20),
            reads_queued_max: dice.index(64) + 1,
            chunk_bytes_max: (plan.snapshots.chunk_bytes_max * dice.magnitude(1, 8) / 2).max(64),
            chunks_in_flight_max: dice.magnitude(1, 16),
        };
        if differs {
            plan.cluster.mixed.push(own);
        }
    }
}

/// A quorum, sometimes with some more, stays behind as a core that has to do without the others.
fn core(dice: &mut Dice, plan: &mut Plan) {
    let present = dice.chance(250_000);
    let nodes = plan.nodes();
    if !present || nodes < 3 || plan.cluster.forms {
        return;
    }
    let mut order: Vec<usize> = (0..nodes).collect();
    dice.shuffle(&mut order);
    let weight = |node: usize| plan.cluster.weights.get(node).copied().unwrap_or(0);
    let all: u32 = (0..nodes).map(weight).sum();
    let together = dice.coin();
    let common = ailment(dice);
    let (mut inside, mut left) = (0, Vec::new());
    for node in order {
        let own = ailment(dice);
        let more = dice.chance(300_000);
        if inside * 2 <= all || more {
            inside += weight(node);
        } else {
            let by = if together { common } else { own };
            left.push(Left { node, by });
        }
    }
    if left.is_empty() {
        return;
    }
    left.sort_unstable_by_key(|left| left.node);
    plan.left = left;
    plan.left_return = dice.coin();
    // The core hears each other, all of it.
    plan.gone.clear();
    plan.scars.clear();
}

fn ailment(dice: &mut Dice) -> Ailment {
    match dice.below(5) {
        0 => Ailment::Down,
        1 => Ailment::CutOff,
        2 => Ailment::Deaf,
        3 => Ailment::Mute,
        _ => Ailment::Paused,
    }
}

/// Draws a fault of one kind, for so many nodes, heartbeats, and a while, in microseconds.
type DrawKind = fn(&mut Dice, usize, u64, u64) -> FaultKind;

/// Links that flap, swizzles, and slow nodes: each kind in some runs, with its own rate and dice.
fn faults(plan: &mut Plan) {
    let (nodes, beat, over) = (plan.nodes(), plan.cluster.heartbeat_us, plan.heal_at_us);
    let kinds: [DrawKind; 3] = [
        |dice, nodes, beat, for_us| FaultKind::Flap {
            links: super::links(dice, nodes),
            // Up again before it ends: else it is a cut.
            down_us: dice.magnitude(beat / 8, (beat * 10).min(for_us * 2 / 3)),
            up_us: dice.magnitude(beat / 8, beat * 10),
        },
        |dice, nodes, _, _| {
            let mut order: Vec<usize> = (0..nodes).collect();
            dice.shuffle(&mut order);
            let mut frees = order.clone();
            dice.shuffle(&mut frees);
            let some = dice.index(nodes) + 1;
            let clogs: Vec<usize> = order.into_iter().take(some).collect();
            frees.retain(|node| clogs.contains(node));
            FaultKind::Swizzle { clogs, frees }
        },
        |dice, nodes, beat, _| FaultKind::SlowNode {
            node: super::features::target(dice, nodes),
            handle_us: dice.magnitude(beat / 1_000, beat / 4),
        },
    ];
    for (kind, stream) in kinds.into_iter().zip(1..) {
        let dice = &mut Dice::of(plan.seed, Concern::Troubles, stream);
        if !dice.chance(400_000) {
            continue;
        }
        for _ in 0..dice.magnitude(1, 6) {
            let at_us = dice.below(over);
            let for_us = dice.magnitude(beat / 2, beat * 40);
            let kind = kind(dice, nodes, beat, for_us);
            plan.faults.push(Fault {
                at_us,
                for_us,
                kind,
            });
        }
    }
    plan.faults.sort_by_key(|fault| fault.at_us);
}

#[cfg(test)]
mod tests {
    use crate::plan::{Ailment, Plan};
    use crate::swarm::plan;

    #[test]
    fn all_of_it_is_drawn_and_also_left_out() {
        let drawn: Vec<Plan> = (0..1_000).map(plan).collect();
        let count = |is: &dyn Fn(&Plan) -> bool| drawn.iter().filter(|plan| is(plan)).count();
        let some = |what: &str, is: &dyn Fn(&Plan) -> bool| {
            let count = count(is);
            assert!((50..700).contains(&count), "{what} in {count} of 1000");
        };
        some("routes", &|plan| !plan.network.routes.is_empty());
        some("mixed", &|plan| !plan.cluster.mixed.is_empty());
        some("left", &|plan| !plan.left.is_empty());
        some("return", &|plan| plan.left_return);
        for by in [
            Ailment::Down,
            Ailment::CutOff,
            Ailment::Deaf,
            Ailment::Mute,
            Ailment::Paused,
        ] {
            let has = |plan: &Plan| plan.left.iter().any(|left| left.by == by);
            assert!(count(&has) > 20, "{by:?}");
        }
    }
}
