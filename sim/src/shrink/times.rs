//! Makes runs shorter: what comes too late goes, idle time is cut out, times become round.
//! Knows nothing about what happens at these times.

use super::search::{Search, Stopped};
use crate::plan::Plan;

/// Heartbeat intervals are cut in so many pieces when little time is left.
const FINE: u64 = 4;
/// Pieces of time at most; a longer run is cut in coarser ones.
const PIECES_MAX: u64 = 192;

/// Leaves out what begins only when the violation is over.
pub(super) fn trim(search: &mut Search<'_>) -> Result<(), Stopped> {
    let (best, ended_us) = (search.best(), search.ended_us());
    let mut candidate = best.clone();
    candidate.faults.retain(|fault| fault.at_us < ended_us);
    if let Some(script) = &mut candidate.script {
        script.requests.retain(|it| it.at_ns / 1_000 < ended_us);
    }
    let mut earlier = candidate.clone();
    earlier.heal_at_us = best.heal_at_us.min(ended_us);
    search.first(vec![earlier, candidate])?;
    Ok(())
}

/// Cuts out time, shortens faults, and makes numbers round.
pub(super) fn reduce(search: &mut Search<'_>) -> Result<(), Stopped> {
    let beat = search.best().cluster.heartbeat_us;
    let heal_at = search.best().heal_at_us;
    cut_out(search, beat.max(heal_at / PIECES_MAX))?;
    if search.best().heal_at_us / beat * FINE < PIECES_MAX {
        cut_out(search, (beat / FINE).max(1))?;
    }
    earlier_end(search)?;
    shorten(search)?;
    round(search)
}

/// Cuts out as many pieces of time as can be.
fn cut_out(search: &mut Search<'_>, piece_us: u64) -> Result<(), Stopped> {
    let original = search.best().clone();
    let pieces: Vec<u64> = (0..original.heal_at_us.div_ceil(piece_us)).collect();
    search.reduce(&pieces, |best, kept| {
        let mut plan = Plan {
            faults: original.faults.clone(),
            script: original.script.clone(),
            heal_at_us: original.heal_at_us,
            ..best.clone()
        };
        // Where a moment has come to: behind the kept pieces before its own, and in its own as
        // far as it was, if that is kept.
        let moved = |at_ns: u64| {
            let piece_ns = piece_us * 1_000;
            let at = at_ns / piece_ns;
            let before = kept.partition_point(|piece| *piece < at);
            let is_kept = kept.get(before) == Some(&at);
            let beyond = at.saturating_sub(pieces.len() as u64);
            let rest = if is_kept || beyond > 0 || at == pieces.len() as u64 {
                at_ns % piece_ns
            } else {
                0
            };
            (before as u64 + beyond) * piece_ns + rest
        };
        moving(&mut plan, moved);
        plan
    })?;
    Ok(())
}

/// Moves everything that has a time, in nanoseconds.
fn moving(plan: &mut Plan, moved: impl Fn(u64) -> u64) {
    let moved_us = |at_us: u64| moved(at_us * 1_000) / 1_000;
    for fault in &mut plan.faults {
        let (begin, end) = (fault.at_us, fault.at_us.saturating_add(fault.for_us));
        fault.at_us = moved_us(begin);
        // Behind the end of the faults nothing of them matters.
        let end = moved_us(end.min(plan.heal_at_us.max(begin)));
        fault.for_us = end.saturating_sub(fault.at_us);
    }
    if let Some(script) = &mut plan.script {
        for request in &mut script.requests {
            request.at_ns = moved(request.at_ns);
        }
    }
    plan.heal_at_us = moved_us(plan.heal_at_us);
}

/// Ends the faults earlier; what clients ask for after that, they ask for as much earlier.
fn earlier_end(search: &mut Search<'_>) -> Result<(), Stopped> {
    let best = search.best();
    let heal_at = best.heal_at_us;
    let faults = best.faults.iter().map(|fault| fault.at_us + 1);
    let requests = search.script().requests;
    let requests = requests.iter().map(|it| it.at_ns / 1_000 + 1);
    let last = faults.chain(requests).filter(|at| *at < heal_at).max();
    let ends = ends_between(last.unwrap_or(1), heal_at);
    let candidates = ends.into_iter().map(|end| {
        let mut plan = best.clone();
        let gap = (heal_at - end) * 1_000;
        moving(&mut plan, |at| {
            if at >= heal_at * 1_000 {
                at - gap
            } else {
                at.min(end * 1_000)
            }
        });
        plan
    });
    let candidates = candidates.collect();
    search.first(candidates)?;
    Ok(())
}

/// When the faults may end instead of at `heal_at`: not before `low`.
fn ends_between(low: u64, heal_at: u64) -> Vec<u64> {
    // A run whose faults end at once has nothing that could end earlier.
    let low = low.max(1).min(heal_at);
    let mut ends: Vec<u64> = (0..4)
        .map(|part| low + (heal_at - low) * part / 4)
        .collect();
    ends.dedup();
    ends
}

/// Makes each fault as short as can be.
fn shorten(search: &mut Search<'_>) -> Result<(), Stopped> {
    for index in 0..search.best().faults.len() {
        loop {
            let best = search.best();
            let Some(fault) = best.faults.get(index) else {
                break;
            };
            let rest = best.heal_at_us.saturating_sub(fault.at_us);
            let long = fault.for_us.min(rest);
            let beat = best.cluster.heartbeat_us;
            let mut tries: Vec<u64> =
                vec![0, 1_000, beat, 2 * beat, long / 4, long / 2, long * 3 / 4];
            tries.push(rest);
            tries.retain(|it| *it < fault.for_us);
            tries.sort_unstable();
            tries.dedup();
            let candidates = tries.into_iter().map(|for_us| {
                let mut plan = best.clone();
                if let Some(fault) = plan.faults.get_mut(index) {
                    fault.for_us = for_us;
                }
                plan
            });
            let candidates = candidates.collect();
            let found = search.first(candidates)?;
            // Rounding has the rest: to the microsecond nobody wants to know.
            if found.is_none_or(|_| {
                search
                    .best()
                    .faults
                    .get(index)
                    .is_none_or(|f| f.for_us <= beat / 8)
            }) {
                break;
            }
        }
    }
    Ok(())
}

/// Makes times round: all of them, then as many as can be, from the coarse to the fine.
fn round(search: &mut Search<'_>) -> Result<(), Stopped> {
    let beat_ns = search.best().cluster.heartbeat_us * 1_000;
    for step in [beat_ns, 10_000_000, 1_000_000, 100_000, 1_000] {
        let count = times(search.best()).len();
        let original = search.best().clone();
        let all: Vec<usize> = (0..count).collect();
        // What is left out is left as it is.
        search.reduce(&all, |best, kept| {
            let mut plan = Plan {
                faults: original.faults.clone(),
                script: original.script.clone(),
                heal_at_us: original.heal_at_us,
                ..best.clone()
            };
            let rounded: Vec<u64> = times(&plan)
                .into_iter()
                .enumerate()
                .map(|(at, time)| {
                    let is_left = kept.binary_search(&at).is_ok();
                    if is_left { time } else { time / step * step }
                })
                .collect();
            set_times(&mut plan, &rounded);
            plan
        })?;
    }
    Ok(())
}

/// All times of a plan in nanoseconds: begin and length of faults, requests, the end.
fn times(plan: &Plan) -> Vec<u64> {
    let faults = plan.faults.iter();
    let faults = faults.flat_map(|fault| [fault.at_us * 1_000, fault.for_us * 1_000]);
    let requests = plan.script.iter().flat_map(|script| &script.requests);
    let requests = requests.map(|request| request.at_ns);
    faults
        .chain(requests)
        .chain([plan.heal_at_us * 1_000])
        .collect()
}

fn set_times(plan: &mut Plan, times: &[u64]) {
    let mut times = times.iter().copied();
    let mut next = || times.next().unwrap_or(0);
    for fault in &mut plan.faults {
        fault.at_us = next() / 1_000;
        fault.for_us = next() / 1_000;
    }
    let requests = plan.script.iter_mut().flat_map(|it| &mut it.requests);
    for request in requests {
        request.at_ns = next();
    }
    plan.heal_at_us = (next() / 1_000).max(1);
    plan.faults.sort_by_key(|fault| fault.at_us);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, FaultKind};

    #[test]
    fn times_can_be_taken_out_and_put_back() {
        let mut plan = crate::swarm::plan(3);
        let before = plan.clone();
        let all = times(&plan);
        set_times(&mut plan, &all);
        assert_eq!(plan, before);
    }

    #[test]
    fn faults_end_earlier_but_not_before_the_last_of_them() {
        assert_eq!(ends_between(20, 100), [20, 40, 60, 80]);
        assert_eq!(ends_between(99, 100), [99]);
        assert_eq!(ends_between(1, 0), [0]);
    }

    #[test]
    fn a_fault_that_time_is_cut_out_of_becomes_shorter() {
        let mut plan = crate::swarm::plan(3);
        plan.heal_at_us = 1_000;
        plan.faults = vec![Fault {
            at_us: 100,
            for_us: 10_000,
            kind: FaultKind::Blackout,
        }];
        moving(&mut plan, |at| if at < 500_000 { at } else { at - 200_000 });
        assert_eq!(plan.heal_at_us, 800);
        let fault = &plan.faults[0];
        assert_eq!((fault.at_us, fault.for_us), (100, 700));
    }
}
