//! Lets fewer clients ask for the same.
//! Knows nothing about what they ask for.

use std::collections::BTreeSet;

use super::search::{Search, Stopped};
use crate::plan::{Plan, Script};

/// Leaves one client, or as few as can be.
pub(super) fn merge(search: &mut Search<'_>) -> Result<(), Stopped> {
    search.accepts(only_busy(search.best()))?;
    if search.best().script.is_none() || search.best().workload.clients < 2 {
        return Ok(());
    }
    if search.accepts(mapped(search.best(), |_| 0))? {
        return Ok(());
    }
    // Each one's requests to each of those before it.
    let mut client = search.best().workload.clients;
    while client > 1 {
        client -= 1;
        let best = search.best();
        let candidates = (0..client).map(|to| {
            mapped(best, |of| match of.cmp(&client) {
                std::cmp::Ordering::Less => of,
                std::cmp::Ordering::Equal => to,
                std::cmp::Ordering::Greater => of - 1,
            })
        });
        let candidates = candidates.collect();
        search.first(candidates)?;
        client = client.min(search.best().workload.clients);
    }
    Ok(())
}

/// The plan without the clients that ask for nothing.
fn only_busy(plan: &Plan) -> Plan {
    let Some(script) = &plan.script else {
        return plan.clone();
    };
    let busy: BTreeSet<usize> = script.requests.iter().map(|r| r.client).collect();
    let busy: Vec<usize> = busy.into_iter().collect();
    let sessions = busy
        .iter()
        .filter(|client| **client < plan.workload.sessions);
    let sessions = sessions.count();
    let mut plan = mapped(plan, |of| busy.iter().position(|it| *it == of).unwrap_or(0));
    plan.workload.sessions = sessions;
    plan
}

/// The plan with other clients' numbers.
fn mapped(plan: &Plan, number: impl Fn(usize) -> usize) -> Plan {
    let mut plan = plan.clone();
    let Some(script) = &mut plan.script else {
        return plan;
    };
    let Script {
        requests, answers, ..
    } = script;
    let mut last = 0;
    for client in requests
        .iter_mut()
        .map(|it| &mut it.client)
        .chain(answers.iter_mut().map(|it| &mut it.client))
    {
        *client = number(*client);
        last = last.max(*client);
    }
    answers.sort_by_key(|it| (it.client, it.nth));
    answers.dedup_by_key(|it| (it.client, it.nth));
    plan.workload.clients = last + 1;
    plan.workload.sessions = plan.workload.sessions.min(last + 1);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Ask, Payload, Scripted};

    #[test]
    fn idle_clients_go_and_the_others_keep_their_sessions() {
        let mut plan = crate::swarm::plan(1);
        let ask = |client| Scripted {
            at_ns: 1,
            client,
            node: 0,
            ask: Ask::Command,
            payload: Payload::Text("x".to_owned()),
        };
        plan.workload.clients = 6;
        plan.workload.sessions = 3;
        plan.script = Some(Script {
            requests: vec![ask(1), ask(4), ask(1)],
            ..Script::default()
        });
        let less = only_busy(&plan);
        let of = |plan: &Plan| -> Vec<usize> {
            let script = plan.script.as_ref().unwrap();
            script.requests.iter().map(|it| it.client).collect()
        };
        assert_eq!(of(&less), [0, 1, 0]);
        assert_eq!((less.workload.clients, less.workload.sessions), (2, 1));
        let one = mapped(&less, |_| 0);
        assert_eq!((of(&one), one.workload.clients), (vec![0, 0, 0], 1));
    }
}
