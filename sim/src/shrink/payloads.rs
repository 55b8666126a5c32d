//! Makes what clients ask for shorter.
//! Knows no encoding: the subject says what is simpler than a request.

use chil_core::Slot;

use super::search::{Search, Stopped};
use crate::plan::{Payload, Plan, Scripted};

/// Makes requests simpler: all of them, then each alone.
pub(super) fn simplify(search: &mut Search<'_>) -> Result<(), Stopped> {
    let count = search.script().requests.len();
    let simplest = |search: &Search<'_>, request: &Scripted| {
        let simpler = search.subject.simpler(&request.request(Slot::ZERO).0);
        simpler
            .into_iter()
            .next()
            .map(|it| Payload::new(it.bytes()))
    };
    let mut all = search.best().clone();
    let requests = all.script.iter_mut().flat_map(|it| &mut it.requests);
    for request in requests {
        if let Some(payload) = simplest(search, request) {
            request.payload = payload;
        }
    }
    if search.accepts(all)? {
        return Ok(());
    }
    for index in 0..count {
        let Some(request) = search.script().requests.get(index).cloned() else {
            break;
        };
        let simpler = search.subject.simpler(&request.request(Slot::ZERO).0);
        let best = search.best();
        let candidates = simpler.iter().map(|simpler| {
            let payload = Payload::new(simpler.bytes());
            with(best, index, payload)
        });
        let candidates = candidates.collect();
        search.first(candidates)?;
    }
    Ok(())
}

fn with(plan: &Plan, index: usize, payload: Payload) -> Plan {
    let mut plan = plan.clone();
    let requests = plan.script.as_mut().map(|it| &mut it.requests);
    if let Some(request) = requests.and_then(|it| it.get_mut(index)) {
        request.payload = payload;
    }
    plan
}
