//! Leaves out what plans have lists of: faults, requests, accidents, lost answers, lasting faults.
//! Knows nothing about what the things in these lists do.

use std::collections::BTreeMap;

use super::search::{Search, Stopped};
use crate::plan::{Ask, Plan, Script, Scripted};

/// A list of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    Faults,
    Requests,
    Accidents,
    Answers,
    Scars,
    Gone,
    Left,
    Routes,
    Mixed,
}

impl List {
    const ALL: [Self; 9] = [
        Self::Accidents,
        Self::Answers,
        Self::Scars,
        Self::Gone,
        Self::Left,
        Self::Routes,
        Self::Mixed,
        Self::Faults,
        Self::Requests,
    ];

    fn len(self, plan: &Plan) -> usize {
        let of_script = |len: fn(&Script) -> usize| plan.script.as_ref().map_or(0, len);
        match self {
            Self::Faults => plan.faults.len(),
            Self::Requests => of_script(|script| script.requests.len()),
            Self::Accidents => of_script(|script| script.accidents.len()),
            Self::Answers => of_script(|script| script.answers.len()),
            Self::Scars => plan.scars.len(),
            Self::Gone => plan.gone.len(),
            Self::Left => plan.left.len(),
            Self::Routes => plan.network.routes.len(),
            Self::Mixed => plan.cluster.mixed.len(),
        }
    }

    /// Leaves only what stands at these positions, which are in order.
    fn keep(self, plan: &mut Plan, at: &[usize]) {
        let script = plan.script.as_mut();
        match (self, script) {
            (Self::Faults, _) => keep(&mut plan.faults, at),
            (Self::Scars, _) => keep(&mut plan.scars, at),
            (Self::Gone, _) => keep(&mut plan.gone, at),
            (Self::Left, _) => {
                keep(&mut plan.left, at);
                plan.left_return &= !plan.left.is_empty();
            }
            (Self::Routes, _) => keep(&mut plan.network.routes, at),
            (Self::Mixed, _) => keep(&mut plan.cluster.mixed, at),
            (Self::Requests, Some(script)) => keep(&mut script.requests, at),
            (Self::Accidents, Some(script)) => keep(&mut script.accidents, at),
            (Self::Answers, Some(script)) => keep(&mut script.answers, at),
            (Self::Requests | Self::Accidents | Self::Answers, None) => {}
        }
    }

    /// What belongs together: it is tried first to leave it out together.
    fn group(self, plan: &Plan, at: usize) -> [usize; 3] {
        let script = plan.script.as_ref();
        let found = match self {
            Self::Faults => plan.faults.get(at).map(|f| [f.kind.index(), 0, 0]),
            Self::Requests => script.and_then(|s| s.requests.get(at)).map(|request| {
                let how = usize::from(request.ask != Ask::Command);
                [how, request.client, 0]
            }),
            Self::Accidents => script.and_then(|s| s.accidents.get(at)).map(|accident| {
                let of = &accident.message;
                [of.lane as usize, of.from, of.to]
            }),
            Self::Answers => script
                .and_then(|s| s.answers.get(at))
                .map(|answer| [answer.client, 0, 0]),
            Self::Routes => plan.network.routes.get(at).map(|route| [route.from, 0, 0]),
            Self::Scars | Self::Gone | Self::Left | Self::Mixed => None,
        };
        found.unwrap_or_default()
    }
}

fn keep<T: Clone>(list: &mut Vec<T>, at: &[usize]) {
    *list = at.iter().filter_map(|at| list.get(*at).cloned()).collect();
}

/// Leaves out whole lists.
pub(super) fn clear(search: &mut Search<'_>) -> Result<(), Stopped> {
    for list in List::ALL {
        if list.len(search.best()) > 0 {
            let mut candidate = search.best().clone();
            list.keep(&mut candidate, &[]);
            search.accepts(candidate)?;
        }
    }
    Ok(())
}

/// Leaves out groups of a list, then single things of it.
pub(super) fn reduce(search: &mut Search<'_>, list: List) -> Result<(), Stopped> {
    let original = search.best().clone();
    let mut groups: BTreeMap<[usize; 3], Vec<usize>> = BTreeMap::new();
    for at in 0..list.len(&original) {
        groups
            .entry(list.group(&original, at))
            .or_default()
            .push(at);
    }
    // Positions are those of the list as it was: a candidate is made of that.
    let put = |best: &Plan, at: &[usize]| {
        let mut plan = best.clone();
        copy(list, &original, &mut plan);
        list.keep(&mut plan, at);
        plan
    };
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let mut kept: Vec<usize> = groups.concat();
    if groups.len() > 1 {
        let left = search.reduce_in_two_ways(&groups, |best, groups| {
            let mut at = groups.concat();
            at.sort_unstable();
            both(put(best, &at), best)
        })?;
        kept = left.concat();
    }
    kept.sort_unstable();
    search.reduce_in_two_ways(&kept, |best, at| both(put(best, at), best))?;
    Ok(())
}

/// The plan, and the same with the answers that are lost counted as if those to the requests that
/// it lacks had never been: a retry that goes wrong stays the same one.
fn both(plan: Plan, best: &Plan) -> [Plan; 2] {
    let mut recounted = plan.clone();
    if let (Some(fewer), Some(all)) = (&mut recounted.script, &best.script) {
        for answer in &mut fewer.answers {
            let of_client = |request: &&Scripted| request.client == answer.client;
            let left: Vec<&Scripted> = fewer.requests.iter().filter(of_client).collect();
            let mut left = left.into_iter().peekable();
            let mut missing = 0;
            for request in all.requests.iter().filter(of_client).zip(1..answer.nth) {
                if left.next_if(|next| **next == *request.0).is_none() {
                    missing += 1;
                }
            }
            answer.nth = answer.nth.saturating_sub(missing).max(1);
        }
    }
    [plan, recounted]
}

fn copy(list: List, from: &Plan, to: &mut Plan) {
    match list {
        List::Faults => to.faults.clone_from(&from.faults),
        List::Scars => to.scars.clone_from(&from.scars),
        List::Gone => to.gone.clone_from(&from.gone),
        List::Left => to.left.clone_from(&from.left),
        List::Routes => to.network.routes.clone_from(&from.network.routes),
        List::Mixed => to.cluster.mixed.clone_from(&from.cluster.mixed),
        List::Requests | List::Accidents | List::Answers => {
            if let (Some(from), Some(to)) = (&from.script, &mut to.script) {
                match list {
                    List::Requests => to.requests.clone_from(&from.requests),
                    List::Accidents => to.accidents.clone_from(&from.accidents),
                    _ => to.answers.clone_from(&from.answers),
                }
            }
        }
    }
}

/// Leaves out what stays cut and who stays away when the faults are over.
pub(super) fn endings(search: &mut Search<'_>) -> Result<(), Stopped> {
    reduce(search, List::Scars)?;
    reduce(search, List::Gone)?;
    reduce(search, List::Left)?;
    if search.best().left_return {
        let mut stay = search.best().clone();
        stay.left_return = false;
        search.accepts(stay)?;
    }
    Ok(())
}

/// Leaves out latencies of single links and limits of single members.
pub(super) fn peculiarities(search: &mut Search<'_>) -> Result<(), Stopped> {
    reduce(search, List::Routes)?;
    reduce(search, List::Mixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LostAnswer, Payload};

    #[test]
    fn a_lost_answer_follows_its_request() {
        let ask = |at_ns, client| Scripted {
            at_ns,
            client,
            node: 0,
            ask: Ask::Command,
            payload: Payload::Text("x".to_owned()),
        };
        let mut best = crate::swarm::plan(1);
        best.script = Some(Script {
            requests: (0..10).map(|at| ask(at, 0)).chain([ask(99, 1)]).collect(),
            answers: vec![LostAnswer {
                client: 0,
                nth: 8,
                twice: false,
            }],
            ..Script::default()
        });
        let mut fewer = best.clone();
        List::Requests.keep(&mut fewer, &[0, 5, 6, 7, 8]);
        let [same, recounted] = both(fewer.clone(), &best);
        assert_eq!(same, fewer);
        // Four of the requests before it are gone.
        assert_eq!(recounted.script.unwrap().answers[0].nth, 4);
    }
}
