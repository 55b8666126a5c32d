//! Takes nodes away: with their clocks, links, faults, and what befell their messages.
//! Knows nothing about why the rest still fails.

use super::search::{Search, Stopped};
use crate::plan::{Fault, FaultKind, Plan, Target};

/// Takes away as many nodes as can be, the last ones first: that changes least for the others.
pub(super) fn remove(search: &mut Search<'_>) -> Result<(), Stopped> {
    loop {
        let best = search.best();
        let nodes = best.nodes();
        if nodes < 2 {
            return Ok(());
        }
        let mut candidates = Vec::new();
        if nodes > 3 {
            // Five nodes with four quorums of three: two at once leave the shape as it is.
            for (one, other) in pairs(nodes) {
                candidates.push(without(&without(best, one), other));
            }
        }
        candidates.extend((0..nodes).rev().map(|node| without(best, node)));
        if search.first(candidates)?.is_none() {
            return Ok(());
        }
    }
}

/// All pairs of nodes, the larger one first, the last ones first.
fn pairs(nodes: usize) -> Vec<(usize, usize)> {
    let larger = (1..nodes).rev();
    larger
        .flat_map(|one| (0..one).rev().map(move |other| (one, other)))
        .collect()
}

/// The plan without a node.
fn without(plan: &Plan, node: usize) -> Plan {
    let mut plan = plan.clone();
    let moved = |other: usize| match other.cmp(&node) {
        std::cmp::Ordering::Less => Some(other),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(other - 1),
    };
    let link = |(a, b): &(usize, usize)| Some((moved(*a)?, moved(*b)?));
    let links = |list: &[(usize, usize)]| -> Vec<_> { list.iter().filter_map(link).collect() };
    take(&mut plan.cluster.weights, node);
    take(&mut plan.cluster.priorities, node);
    take(&mut plan.clocks, node);
    plan.scars = links(&plan.scars);
    plan.gone = plan.gone.iter().filter_map(|it| moved(*it)).collect();
    plan.left.retain_mut(|left| follows(&mut left.node, moved));
    let mixed = &mut plan.cluster.mixed;
    mixed.retain_mut(|limits| follows(&mut limits.node, moved));
    let routes = &mut plan.network.routes;
    routes.retain_mut(|r| follows(&mut r.from, moved) && follows(&mut r.to, moved));
    let nodes = plan.nodes();
    let faults = plan.faults.iter();
    plan.faults = faults
        .filter_map(|fault| {
            let kind = moved_kind(&fault.kind, nodes, &moved, &links)?;
            Some(Fault { kind, ..*fault })
        })
        .collect();
    if let Some(script) = &mut plan.script {
        for request in &mut script.requests {
            request.node = moved(request.node).unwrap_or(0);
        }
        let accidents = script.accidents.iter().filter_map(|accident| {
            let mut accident = *accident;
            accident.message.from = moved(accident.message.from)?;
            accident.message.to = moved(accident.message.to)?;
            Some(accident)
        });
        script.accidents = accidents.collect();
    }
    plan
}

/// Renames a node; whether it is still there.
fn follows(node: &mut usize, moved: impl Fn(usize) -> Option<usize>) -> bool {
    let to = moved(*node);
    *node = to.unwrap_or(*node);
    to.is_some()
}

fn take<T>(list: &mut Vec<T>, at: usize) {
    if at < list.len() {
        list.remove(at);
    }
}

/// A fault in a cluster without the node; `None` if it was about that node alone.
fn moved_kind(
    kind: &FaultKind,
    nodes: usize,
    moved: &impl Fn(usize) -> Option<usize>,
    links: &impl Fn(&[(usize, usize)]) -> Vec<(usize, usize)>,
) -> Option<FaultKind> {
    let mut kind = kind.clone();
    match &mut kind {
        FaultKind::Cut { links: list }
        | FaultKind::CutLanes { links: list, .. }
        | FaultKind::Flap { links: list, .. }
        | FaultKind::Clog { links: list } => {
            *list = links(list);
            return (!list.is_empty()).then_some(kind);
        }
        FaultKind::Swizzle { clogs, frees } => {
            clogs.retain_mut(|node| follows(node, moved));
            frees.retain_mut(|node| follows(node, moved));
            return (!clogs.is_empty()).then_some(kind);
        }
        FaultKind::Transfer { to, .. } => *to = to.and_then(moved),
        FaultKind::Crash { .. }
        | FaultKind::Blackout
        | FaultKind::Absence { .. }
        | FaultKind::CrashInDisk { .. }
        | FaultKind::Isolate { .. }
        | FaultKind::SlowDisk { .. }
        | FaultKind::SlowNode { .. }
        | FaultKind::Pause { .. }
        | FaultKind::ClockJump { .. } => {}
    }
    if let Some(target) = target(&mut kind) {
        *target = match *target {
            Target::Node(node) => Target::Node(moved(node)?),
            Target::Leader => Target::Leader,
            Target::Follower(nth) => Target::Follower(nth.min(nodes.saturating_sub(1))),
        };
    }
    Some(kind)
}

/// Whom a fault hits, if that is one node.
const fn target(kind: &mut FaultKind) -> Option<&mut Target> {
    match kind {
        FaultKind::Crash { node, .. }
        | FaultKind::Absence { node }
        | FaultKind::Transfer { node, .. }
        | FaultKind::CrashInDisk { node, .. }
        | FaultKind::Isolate { node, .. }
        | FaultKind::SlowDisk { node, .. }
        | FaultKind::SlowNode { node, .. }
        | FaultKind::Pause { node }
        | FaultKind::ClockJump { node } => Some(node),
        FaultKind::Blackout
        | FaultKind::Cut { .. }
        | FaultKind::CutLanes { .. }
        | FaultKind::Flap { .. }
        | FaultKind::Swizzle { .. }
        | FaultKind::Clog { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Watch;
    use crate::subject::Subject;
    use crate::sweep::guarded;

    #[test]
    fn what_is_left_of_a_plan_can_be_run() {
        let mut some = 0;
        for seed in 0..120 {
            let mut plan = crate::swarm::short(seed);
            let watch = Watch {
                script: true,
                ..Watch::default()
            };
            if seed < 6 {
                plan.script = guarded(&Subject::key_value(), &plan, watch).script;
            }
            for node in 0..plan.nodes() {
                let less = without(&plan, node);
                assert_eq!(less.nodes() + 1, plan.nodes());
                assert_eq!(less.clocks.len(), less.nodes());
                // What is wrong with it, if anything, is that too few are left.
                if let Err(error) = less.check() {
                    let text = error.to_string();
                    let few = ["quorum", "0 nodes"].iter().any(|it| text.contains(it));
                    assert!(few, "{text}");
                } else {
                    some += 1;
                }
            }
        }
        assert!(some > 200, "{some} could be run");
    }
}
