//! Seeds as an ordinary test: short runs must hold everything, and a run is a function of its plan.
//! Long sweeps are `cargo chaos`'s.

use std::cell::RefCell;
use std::rc::Rc;

use chil_sim::coverage::Coverage;
use chil_sim::run::Watch;
use chil_sim::subject::Subject;
use chil_sim::sweep::guarded;
use chil_sim::{plan::Plan, swarm};

#[test]
fn two_hundred_short_seeds_hold_everything() {
    let mut slots = 0;
    let mut coverage = Coverage::default();
    for seed in 0..200 {
        let watch = Watch {
            check_every: 1,
            ..Watch::default()
        };
        let outcome = guarded(&Subject::key_value(), &swarm::short(seed), watch);
        assert_eq!(
            outcome.violation, None,
            "seed {seed}: {:?}",
            outcome.violation
        );
        slots += outcome.stats.slots;
        coverage.add(&outcome.stats.coverage);
    }
    assert!(slots > 200, "200 runs decided only {slots} slots");
    // What cannot be reached, by `sim/src/impossible.rs`, was not.
    assert_eq!(coverage.contradictions(), [""; 0]);
}

#[test]
fn a_plan_gives_the_same_run_twice_whoever_watches() {
    for seed in 300..310 {
        let plan = swarm::short(seed);
        let plain = guarded(&Subject::key_value(), &plan, Watch::default());
        let lines = Rc::new(RefCell::new(0));
        let seen = Rc::clone(&lines);
        let watched = Watch {
            check_every: 1,
            sink: Some(Box::new(move |_| *seen.borrow_mut() += 1)),
            script: false,
            ..Watch::default()
        };
        assert_eq!(
            guarded(&Subject::key_value(), &plan, watched),
            plain,
            "seed {seed}"
        );
        assert!(*lines.borrow() > 100, "a timeline has lines");
        let text = serde_json::to_string(&plan).unwrap();
        let again: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(
            guarded(&Subject::key_value(), &again, Watch::default()).hash,
            plain.hash
        );
    }
}

#[test]
fn a_run_is_the_same_when_the_judges_look_away() {
    for seed in 320..330 {
        let plan = swarm::short(seed);
        let judged = guarded(&Subject::key_value(), &plan, Watch::default());
        let watch = Watch {
            judged: false,
            check_every: u64::MAX,
            ..Watch::default()
        };
        let unjudged = guarded(&Subject::key_value(), &plan, watch);
        assert_eq!(unjudged.violation, None, "seed {seed}");
        assert_eq!(unjudged.hash, judged.hash, "seed {seed}");
        assert_eq!(unjudged.stats.events, judged.stats.events, "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_runs() {
    let hash = |seed| guarded(&Subject::key_value(), &swarm::short(seed), Watch::default()).hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn what_a_run_draws_can_be_written_down_and_gives_the_same_run() {
    for seed in 400..440 {
        let mut plan = swarm::short(seed);
        let watch = Watch {
            script: true,
            ..Watch::default()
        };
        let drawn = guarded(&Subject::key_value(), &plan, watch);
        plan.script = drawn.script;
        plan.check().unwrap();
        let again = guarded(&Subject::key_value(), &plan, Watch::default());
        assert_eq!(again.hash, drawn.hash, "seed {seed}");
    }
}
