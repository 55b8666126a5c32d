//! How old a state is that a node answers from without asking anybody.

use chil_core::{Envelope, Input, Role};

use crate::explaining::{ROUND, three};
use crate::rig::{Rig, id};

/// How old a state is: a leader's is of the last instant that a quorum has confirmed; a follower's
/// as old as the last word of its leader that it has caught up with, from when it asked for it.
#[test]
fn a_state_is_as_old_as_the_leaders_last_word() {
    let mut rig = three();
    let age = |rig: &Rig, number: usize| {
        let at = rig.status(number).fresh_at;
        rig.now.since(at.expect("it heard its leader"))
    };
    assert!(
        age(&rig, 1) <= ROUND.times(2) && age(&rig, 2) <= ROUND.times(3),
        "{}",
        age(&rig, 2)
    );
    rig.cut(1, 2);
    rig.propose(1, "unheard");
    rig.run(ROUND.times(10));
    assert!(age(&rig, 3) <= ROUND.times(3));
    assert!(ROUND.times(8) <= age(&rig, 2), "{}", age(&rig, 2));
    rig.heal();
    rig.run(ROUND.times(5));
    assert!(age(&rig, 2) <= ROUND.times(3), "{}", age(&rig, 2));
    // A new leader knows less at first than the last one had said: that makes nothing fresh.
    rig.propose(1, "told to clients");
    rig.settle();
    rig.isolate(1);
    rig.campaign(2);
    rig.persist(2);
    rig.deliver(|e| e.to == id(3));
    rig.persist(3);
    rig.deliver(|e| e.to == id(2));
    assert_eq!(rig.status(2).role, Role::Leading);
    let adopted = rig.status(2).last;
    assert!(rig.status(2).commit < adopted);
    let before = rig.status(3).fresh_at;
    rig.now += ROUND;
    rig.deliver(|e| e.to == id(3));
    assert!(rig.status(3).commit < adopted && rig.status(3).fresh_at == before);
    assert!(rig.status(2).fresh_at < Some(rig.now));
    rig.run(ROUND.times(3));
    assert!(age(&rig, 2) <= ROUND.times(2) && age(&rig, 3) <= ROUND.times(3));
    rig.heal();
    // Who has heard nothing in this life does not know.
    rig.crash(3, 0);
    rig.isolate(3);
    rig.start(3);
    assert_eq!(rig.status(3).fresh_at, None);
}

/// What was long under way says nothing about the present, whatever lane it came on.
#[test]
fn a_message_that_was_long_under_way_makes_nothing_fresh() {
    let mut rig = three();
    // Everything that the leader says in a round stays under way, and comes long after.
    rig.handle(1, Input::Wake);
    rig.now += ROUND;
    rig.wake(1);
    rig.wake(2);
    rig.deliver(|e| e.to == id(1));
    let late: Vec<Envelope> = rig
        .wire
        .iter()
        .filter(|e| e.from == id(1) && e.to == id(2))
        .cloned()
        .collect();
    assert!(late.iter().any(|e| e.body.name() == "Accept"));
    assert!(late.iter().any(|e| e.body.name() == "HeartbeatReply"));
    rig.wire.clear();
    let before = rig.now;
    rig.cut(1, 2);
    rig.run(ROUND.times(5));
    for envelope in late {
        rig.inject(1, 2, envelope.body);
    }
    let fresh_at = rig.status(2).fresh_at.expect("it heard its leader");
    assert!(fresh_at <= before, "{fresh_at:?} {before:?}");
}

/// A leader that is cut off goes on leading for some rounds, in which others may decide: neither
/// it nor who is cut off together with it takes its word for the present.
#[test]
fn whoever_is_cut_off_with_a_leader_grows_old_with_it() {
    let mut rig = Rig::new(5);
    rig.elect(1);
    rig.propose(1, "first");
    rig.run(ROUND.times(5));
    for inside in [1, 2] {
        for outside in 3..=5 {
            rig.cut(inside, outside);
            rig.cut(outside, inside);
        }
    }
    let cut = rig.now;
    rig.run(ROUND);
    assert_eq!(rig.leader(), Some(1), "it has not noticed yet");
    for _ in 0..10 {
        for number in [1, 2] {
            let fresh_at = rig.status(number).fresh_at.expect("it was confirmed");
            assert!(fresh_at <= cut, "n{number}: {fresh_at:?} {cut:?}");
        }
        rig.run(ROUND.divided(2));
    }
}
