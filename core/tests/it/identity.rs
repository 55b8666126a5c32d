//! Lives of a node: which messages belong to the present one, and what an earlier one leaves.
//! Knows nothing about what is decided meanwhile.

use chil_core::message::{Heartbeat, NackReason};
use chil_core::output::IgnoreReason;
use chil_core::{Input, Message, Notice, Output, Role, Span};

use crate::paper::{ballot, prepare, slot};
use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

/// An older state of a directory, started beside or after the newer one, and a copy that runs at
/// the same time: neither is heard, both are told so, and the true owner is not disturbed.
#[test]
fn a_directory_that_was_copied_or_rolled_back_is_not_heard() {
    let mut rig = Rig::new(3);
    let older = rig.envelope(2, 1, prepare(ballot(9, 2)));
    rig.crash(2, 0);
    rig.start(2);
    let leader = rig.run_until_led();
    let led = rig.status(leader).ballot;
    let mut copy = rig.envelope(2, 1, prepare(ballot(9, 2)));
    copy.run = 2;
    for stranger in [older, copy] {
        rig.outputs(1);
        rig.sent(1, 2);
        let boot = stranger.boot;
        rig.handle(1, Input::Received(Box::new(stranger)));
        let ignored = |output: &Output| {
            let reason = IgnoreReason::ClonedDisk;
            matches!(output, Output::Notice(Notice::Ignored { reason: r, .. }) if *r == reason)
        };
        assert!(rig.outputs(1).iter().any(ignored));
        let answer = rig.wire.iter().find(|e| {
            e.to == id(2) && matches!(&e.body, Message::Nack(n) if n.reason == NackReason::Damaged)
        });
        let answer = answer.expect("it is told").clone();
        assert_eq!(answer.to_boot, boot, "the life that spoke is told");
        assert!(rig.status(1).promised < ballot(9, 2));
    }
    rig.run(ROUND.times(20));
    assert_eq!(rig.leader(), Some(leader));
    assert_eq!(rig.status(leader).ballot, led, "nobody was disturbed");
}

/// Both of two nodes have restarted, and each has heard only a late message of the other's earlier
/// life: what they say is addressed to those lives. They must get over it, since the third is gone.
#[test]
fn two_nodes_that_know_only_each_others_earlier_life_hear_each_other_again() {
    let mut rig = Rig::new(3);
    rig.run_until_led();
    let late = |rig: &Rig, from, to| {
        let mut envelope = rig.envelope(
            from,
            to,
            Message::Heartbeat(Heartbeat {
                round: 1,
                data: false,
                happy: true,
            }),
        );
        envelope.to_boot = 0;
        envelope
    };
    let (of_first, of_second) = (late(&rig, 1, 2), late(&rig, 2, 1));
    rig.crash(3, 0);
    for (number, envelope) in [(1, of_second), (2, of_first)] {
        rig.crash(number, 0);
        rig.start(number);
        rig.persist(number);
        rig.wire.clear();
        rig.handle(number, Input::Received(Box::new(envelope)));
    }
    rig.wire.clear();
    rig.run(ROUND.times(20));
    assert!(rig.leader().is_some(), "{}", rig.show());
}

/// A leader sends decided entries, which a peer has not written when it crashes: in its next
/// life it stands lower than it said. The leader forgets where the earlier life stood.
#[test]
fn a_peer_that_restarts_may_stand_lower_than_it_said() {
    let mut rig = crate::limits::small();
    rig.isolate(3);
    rig.elect(1);
    for n in 0..9 {
        rig.propose(1, &format!("k{n}"));
        rig.settle();
    }
    let asked = rig.elect(2);
    rig.heal();
    // It promises, is told a part of what is decided, and says how far that was enough.
    rig.inject(2, 3, prepare(asked));
    rig.persist(3);
    rig.deliver(|e| e.from == id(3));
    rig.deliver(|e| e.to == id(3) && matches!(e.body, Message::Learn(_)));
    assert!(rig.status(3).commit > slot(0), "{:?}", rig.wire);
    rig.deliver(|e| e.from == id(3));
    rig.crash(3, 0);
    rig.start(3);
    assert_eq!(rig.status(3).last, slot(0));
    // Sooner than it would ask for what is decided by itself.
    rig.run(ROUND.times(2));
    assert_eq!(rig.status(2).role, Role::Leading);
    assert_eq!(rig.status(3).acc, asked, "{}", rig.show());
    assert!(rig.has(3, "k8"), "{}", rig.show());
}
