//! Shrinking as a whole: bugs of a state machine are found by seeds and become small plans.
//! Which items of a list can be left out is tested where that is decided.

use std::io::{Read, Write};

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
use chil_sim::check::Violation;
use chil_sim::check::only::Only;
use chil_sim::plan::Plan;
use chil_sim::run::Watch;
use chil_sim::shrink::{Counts, Shrink, Shrunk};
use chil_sim::signature::Signature;
use chil_sim::subject::{Draw, Request, Subject};
use chil_sim::swarm;
use chil_sim::sweep::guarded;

/// A till whose snapshots forget what is held: that shows when somebody asks for it after a start
/// from a snapshot that was taken after something was put there.
#[derive(Clone, Debug, Default)]
struct Till {
    cash: u64,
    held: u64,
    /// Panics when more is released than was held, as code does that trusts its own state.
    trusts: bool,
}

impl StateMachine for Till {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        match command.as_ref() {
            b"hold" => self.held += 1,
            b"release" if self.trusts && self.held == 0 && self.cash % 2 == 1 => {
                panic!("{} coins, and nothing held", self.cash)
            }
            b"release" => return Bytes::from(std::mem::take(&mut self.held).to_string()),
            _ => self.cash += 1,
        }
        Bytes::from_static(b"done")
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        Bytes::from(self.cash.to_string())
    }

    fn digest(&self) -> u128 {
        self.cash.into()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Frozen(self.cash))
    }

    fn restore(&mut self, from: &mut dyn Read) -> std::io::Result<()> {
        let mut cash = [0; 8];
        from.read_exact(&mut cash)?;
        (self.cash, self.held) = (u64::from_le_bytes(cash), 0);
        Ok(())
    }
}

struct Frozen(u64);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(&self.0.to_le_bytes())
    }
}

fn ask(draw: &mut Draw<'_>) -> Request {
    match draw.below(10) {
        0 => Request::Command(Bytes::from_static(b"hold")),
        1 => Request::Command(Bytes::from_static(b"release")),
        2 => Request::Query(Bytes::from_static(b"cash")),
        _ => Request::Command(Bytes::from_static(b"add")),
    }
}

fn till() -> Subject {
    Subject::new(Till::default).with_workload(|| ask)
}

/// The first seed that fails with one of these checks.
fn failing(subject: &Subject, check: &str) -> (Plan, Violation) {
    for seed in 0..400 {
        let plan = swarm::short(seed);
        let outcome = guarded(subject, &plan, Watch::default());
        if let Some(violation) = outcome.violation.filter(|it| it.check == check) {
            return (plan, violation);
        }
    }
    panic!("no seed violates {check}");
}

/// It violates the same as before, in this and in each later run.
fn holds(subject: &Subject, shrunk: &Shrunk, violation: &Violation) {
    let signature = Signature::of(violation);
    assert_eq!(Signature::of(&shrunk.violation), signature);
    let text = serde_json::to_string(&shrunk.plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    again.check().unwrap();
    let outcome = guarded(subject, &again, Watch::default());
    assert_eq!(outcome.violation.as_ref(), Some(&shrunk.violation));
    assert_eq!(shrunk.after, Counts::of(&shrunk.plan));
}

#[test]
fn a_bug_of_a_state_machine_becomes_a_small_plan() {
    let subject = till();
    let (plan, violation) = failing(&subject, "exactly_once");
    let shrink = Shrink::new(&subject, &plan).jobs(2);
    let shrunk = shrink.run(|_| true).expect("it fails");
    holds(&subject, &shrunk, &violation);
    assert!(shrunk.is_done);
    assert!(shrunk.before.things() > 50, "{}", shrunk.before);
    assert!(shrunk.after.things() <= 10, "{}", shrunk.after);
    let script = shrunk.plan.script.as_ref().unwrap();
    let asked = serde_json::to_string(&script.requests).unwrap();
    assert!(asked.contains("hold") && asked.contains("release"));
}

#[test]
fn only_what_counts_is_made_smaller() {
    let subject = till();
    let (plan, violation) = failing(&subject, "exactly_once");
    let shrunk = |check| {
        let only = Only::named(&[check]).unwrap();
        let shrink = Shrink::new(&subject, &plan).only(only);
        shrink.run(|_| false).map(|shrunk| shrunk.violation.check)
    };
    assert_eq!(shrunk("one_leader"), None);
    assert_eq!(shrunk("exactly_once"), Some(violation.check));
}

#[test]
fn a_panic_becomes_a_small_plan_with_the_same_place() {
    let subject = Subject::new(|| Till {
        trusts: true,
        ..Till::default()
    })
    .with_workload(|| ask);
    let (plan, violation) = failing(&subject, "assertion");
    assert!(Signature::of(&violation).to_string().contains("shrink.rs:"));
    let shrunk = Shrink::new(&subject, &plan).run(|_| true).unwrap();
    holds(&subject, &shrunk, &violation);
    // An odd number of coins and a release.
    assert_eq!((shrunk.after.faults, shrunk.after.requests), (0, 2));
}

#[test]
fn shrinking_goes_on_where_it_was_stopped() {
    let subject = till();
    let (plan, violation) = failing(&subject, "exactly_once");
    let mut sittings = 0;
    let mut best = plan;
    let mut cost = u64::MAX;
    loop {
        sittings += 1;
        let mut better = 0;
        let shrunk = Shrink::new(&subject, &best)
            .run(|progress| {
                better += u32::from(progress.is_better);
                better < 12
            })
            .unwrap();
        holds(&subject, &shrunk, &violation);
        assert!(shrunk.after.things() <= cost);
        cost = shrunk.after.things();
        best = shrunk.plan;
        if shrunk.is_done {
            break;
        }
    }
    assert!(sittings > 1, "it was stopped at least once");
    assert!(cost <= 10, "{cost}");
}

#[test]
fn the_result_depends_on_nothing_but_the_plan() {
    let subject = till();
    let (plan, _) = failing(&subject, "exactly_once");
    let part = |jobs| {
        let mut better = 0;
        let shrink = Shrink::new(&subject, &plan).jobs(jobs);
        shrink
            .run(|progress| {
                better += u32::from(progress.is_better);
                better < 15
            })
            .map(|shrunk| (shrunk.plan, shrunk.violation))
    };
    assert_eq!(part(1), part(1));
    assert_eq!(part(1), part(3));
}

#[test]
fn a_plan_that_does_not_fail_is_not_shrunk() {
    let mut asked = 0;
    let shrunk = Shrink::new(&Subject::key_value(), &swarm::short(1)).run(|_| {
        asked += 1;
        true
    });
    assert_eq!((shrunk, asked), (None, 0));
}
