//! Records a run: executes a plan and keeps everything that it tells.
//! Knows nothing about how recordings are shown.

use std::cell::RefCell;
use std::rc::Rc;

use super::event::{Event, Recording};
use crate::check::only::Only;
use crate::node;
use crate::plan::Plan;
use crate::run::{Outcome, Watch};
use crate::subject::Subject;
use crate::sweep::guarded;
use crate::trace::Sink;

/// Keeps what a run tells.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Rc<RefCell<Vec<Event>>>);

impl Recorder {
    /// What the run has to tell everything to.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let events = Rc::clone(&self.0);
        Box::new(move |event| events.borrow_mut().push(event))
    }

    /// The recording of the run of this plan, which has ended so.
    #[must_use]
    pub fn finish(self, plan: &Plan, outcome: &Outcome) -> Recording {
        let names = node::Names::new(plan.nodes());
        let violation = outcome.violation.as_ref();
        Recording {
            version: Recording::VERSION,
            plan: plan.clone(),
            nodes: (0..plan.nodes()).map(node::name).collect(),
            events: self.0.take(),
            violation: violation.map(|violation| names.put_into(&violation.to_string())),
            explained: outcome.explained.clone(),
            hash: format!("{:016x}", outcome.hash),
        }
    }
}

/// Executes a plan and records it. Recording changes nothing in the run.
#[must_use]
pub fn record(subject: &Subject, plan: &Plan, check_every: u64) -> (Outcome, Recording) {
    record_only(subject, plan, check_every, Only::ALL)
}

/// The same when only these checks count.
#[must_use]
pub fn record_only(
    subject: &Subject,
    plan: &Plan,
    check_every: u64,
    only: Only,
) -> (Outcome, Recording) {
    let recorder = Recorder::default();
    let watch = Watch {
        check_every,
        sink: Some(recorder.sink()),
        script: false,
        judged: true,
        only,
    };
    let outcome = guarded(subject, plan, watch);
    let recording = recorder.finish(plan, &outcome);
    (outcome, recording)
}

#[cfg(test)]
mod tests {
    use chil_core::kv::KeyValue;

    use super::*;
    use crate::report::event::What;
    use crate::subject::{Draw, Request};
    use crate::swarm;

    #[test]
    fn every_sync_is_about_a_batch_that_is_under_way() {
        let mut overtaken = 0;
        for seed in 0..20 {
            let (_, recording) = record(&Subject::key_value(), &swarm::short(seed), 0);
            let mut waiting: Vec<Vec<&str>> = vec![Vec::new(); recording.nodes.len()];
            for event in &recording.events {
                let Some(waiting) = event.node.map(|node| &mut waiting[node]) else {
                    continue;
                };
                match &event.what {
                    What::Persist { lsn, .. } => waiting.push(lsn),
                    What::Durable { lsn } => {
                        let last = waiting.iter().position(|batch| batch == lsn);
                        let last = last.expect("what is durable was handed over before");
                        waiting.drain(..=last);
                        overtaken += usize::from(!waiting.is_empty());
                    }
                    What::Dies { .. } => waiting.clear(),
                    _ => {}
                }
            }
        }
        assert!(overtaken > 100, "only {overtaken} syncs were overtaken");
    }

    #[test]
    fn attempts_are_told_of_their_operations_though_all_ask_for_the_same() {
        // Nothing of a run depends on what the machine does not understand.
        let subject = |repeats: bool| {
            Subject::new(KeyValue::default).with_workload(move || {
                let mut number = 0_u64;
                move |_: &mut Draw<'_>| {
                    number += u64::from(!repeats);
                    Request::Command(number.to_le_bytes().to_vec().into())
                }
            })
        };
        let asked = |seed, repeats| {
            let (_, recording) = record(&subject(repeats), &swarm::short(seed), 0);
            let told = recording.events.into_iter().filter_map(|event| {
                let What::Client {
                    operation, text, ..
                } = event.what
                else {
                    return None;
                };
                let (_, attempt) = text.split_once("(request ")?;
                Some((operation, attempt.to_owned()))
            });
            told.collect::<Vec<(u64, String)>>()
        };
        let mut attempts = 0;
        for seed in 0..20 {
            let told = asked(seed, true);
            attempts += told.len();
            assert_eq!(told, asked(seed, false), "seed {seed}");
        }
        assert!(attempts > 100, "only {attempts} attempts");
    }
}
