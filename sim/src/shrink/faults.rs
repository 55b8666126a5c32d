//! Makes single faults simpler: fewer links, fewer lanes, one node instead of all, small numbers.
//! Knows nothing about when they happen.

use super::search::{Search, Stopped};
use crate::plan::{CrashMode, FaultKind, Plan, Target};

/// Simplifies what each fault does.
pub(super) fn simplify(search: &mut Search<'_>) -> Result<(), Stopped> {
    for index in 0..search.best().faults.len() {
        links(search, index)?;
        lanes(search, index)?;
        swizzled(search, index)?;
        narrow(search, index)?;
        amounts(search, index)?;
    }
    Ok(())
}

/// The plan with another kind of fault at this place.
fn with(plan: &Plan, index: usize, change: impl FnOnce(&mut FaultKind)) -> Plan {
    let mut plan = plan.clone();
    if let Some(fault) = plan.faults.get_mut(index) {
        change(&mut fault.kind);
    }
    plan
}

fn kind(search: &Search<'_>, index: usize) -> Option<FaultKind> {
    Some(search.best().faults.get(index)?.kind.clone())
}

fn links(search: &mut Search<'_>, index: usize) -> Result<(), Stopped> {
    let Some(
        FaultKind::Cut { links }
        | FaultKind::CutLanes { links, .. }
        | FaultKind::Flap { links, .. }
        | FaultKind::Clog { links },
    ) = kind(search, index)
    else {
        return Ok(());
    };
    search.reduce(&links, |plan, part| {
        with(plan, index, |kind| {
            if let FaultKind::Cut { links }
            | FaultKind::CutLanes { links, .. }
            | FaultKind::Flap { links, .. }
            | FaultKind::Clog { links } = kind
            {
                *links = part.to_vec();
            }
        })
    })?;
    Ok(())
}

fn lanes(search: &mut Search<'_>, index: usize) -> Result<(), Stopped> {
    let Some(FaultKind::CutLanes { lanes, .. }) = kind(search, index) else {
        return Ok(());
    };
    search.reduce(&lanes, |plan, part| {
        with(plan, index, |kind| {
            if let FaultKind::CutLanes { lanes, .. } = kind {
                *lanes = part.to_vec();
            }
        })
    })?;
    Ok(())
}

/// Fewer nodes of a swizzle, in the same orders.
fn swizzled(search: &mut Search<'_>, index: usize) -> Result<(), Stopped> {
    let Some(FaultKind::Swizzle { clogs, frees }) = kind(search, index) else {
        return Ok(());
    };
    search.reduce(&clogs, |plan, part| {
        with(plan, index, |kind| {
            *kind = FaultKind::Swizzle {
                clogs: part.to_vec(),
                frees: within(&frees, part),
            };
        })
    })?;
    Ok(())
}

fn within(list: &[usize], part: &[usize]) -> Vec<usize> {
    list.iter()
        .copied()
        .filter(|node| part.contains(node))
        .collect()
}

/// One node in place of the whole cluster, and a plain way to end in place of a special one.
fn narrow(search: &mut Search<'_>, index: usize) -> Result<(), Stopped> {
    let Some(kind) = kind(search, index) else {
        return Ok(());
    };
    let crash = |node| FaultKind::Crash {
        node,
        mode: CrashMode::Power,
    };
    let simpler: Vec<FaultKind> = match kind {
        FaultKind::Blackout => {
            let nodes = 0..search.best().nodes();
            nodes.map(|node| crash(Target::Node(node))).collect()
        }
        FaultKind::CrashInDisk { node, .. } | FaultKind::Absence { node } => vec![crash(node)],
        FaultKind::Transfer { node, to: Some(_) } => vec![FaultKind::Transfer { node, to: None }],
        FaultKind::Flap { links, .. } => vec![FaultKind::Cut { links }],
        FaultKind::Swizzle { clogs, .. } => {
            vec![FaultKind::Clog {
                links: links_of(&clogs, search.best().nodes()),
            }]
        }
        FaultKind::SlowNode { node, .. } => vec![FaultKind::Pause { node }],
        _ => Vec::new(),
    };
    let best = search.best();
    let candidates = simpler
        .into_iter()
        .map(|kind| with(best, index, |it| *it = kind));
    let candidates = candidates.collect();
    search.first(candidates)?;
    Ok(())
}

/// Numbers that are smaller, or rounder.
fn amounts(search: &mut Search<'_>, index: usize) -> Result<(), Stopped> {
    let count = kind(search, index).map_or(0, |mut kind| amounts_of(&mut kind).len());
    for nth in 0..count {
        loop {
            let best = search.best();
            let amount = best.faults.get(index).map(|fault| fault.kind.clone());
            let amount = amount.map(|mut kind| *amounts_of(&mut kind).remove(nth));
            let candidates = simpler_amounts(amount.unwrap_or(0)).into_iter();
            let candidates = candidates.map(|less| {
                with(best, index, |kind| {
                    if let Some(amount) = amounts_of(kind).into_iter().nth(nth) {
                        *amount = less;
                    }
                })
            });
            let candidates: Vec<Plan> = candidates.collect();
            if search.first(candidates)?.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// The numbers of a fault beside those of nodes.
fn amounts_of(kind: &mut FaultKind) -> Vec<&mut u64> {
    match kind {
        FaultKind::CrashInDisk { operations, .. } => vec![operations],
        FaultKind::SlowDisk { extra_us, .. } => vec![extra_us],
        FaultKind::SlowNode { handle_us, .. } => vec![handle_us],
        FaultKind::Flap { down_us, up_us, .. } => vec![down_us, up_us],
        _ => Vec::new(),
    }
}

/// What is tried in place of a number, the simplest first; never 0, which may mean nothing at all.
fn simpler_amounts(amount: u64) -> Vec<u64> {
    let mut tries = vec![1, amount / 4, amount / 2];
    let mut step = 10_u64.pow(amount.max(1).ilog10());
    while step > 1 {
        tries.push(amount / step * step);
        step /= 10;
    }
    tries.retain(|it| (1..amount).contains(it));
    tries.dedup();
    tries
}

/// All links of these nodes, both ways.
fn links_of(some: &[usize], nodes: usize) -> Vec<(usize, usize)> {
    let all = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    all.filter(|(a, b)| a != b && (some.contains(a) || some.contains(b)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_swizzle_keeps_both_orders() {
        assert_eq!(within(&[3, 0, 2], &[2, 3]), [3, 2]);
        assert_eq!(links_of(&[1], 3), [(0, 1), (1, 0), (1, 2), (2, 1)]);
    }

    #[test]
    fn numbers_get_smaller_and_rounder() {
        assert_eq!(simpler_amounts(0), [0; 0]);
        assert_eq!(simpler_amounts(1), [0; 0]);
        assert_eq!(
            simpler_amounts(7_345),
            [1, 1_836, 3_672, 7_000, 7_300, 7_340]
        );
        let mut kind = FaultKind::Flap {
            links: vec![(0, 1)],
            down_us: 5,
            up_us: 6,
        };
        assert_eq!(amounts_of(&mut kind), [&5, &6]);
    }
}
