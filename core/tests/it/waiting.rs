//! Schedules after which nobody may be left waiting, nor be answered more than once.
//! Knows nothing about the papers: these are about messages, disks and restarts gone wrong.

use chil_core::message::{Accept, HeartbeatReply, Prepare};
use chil_core::{Ballot, Chain, Epoch, Lane, Message, Output, Role, Slot, Span};

use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

fn ballot(n: u64, number: usize) -> Ballot {
    Ballot::new(Epoch::FIRST, n, id(number))
}

fn prepare(ballot: Ballot) -> Message {
    Message::Prepare(Prepare {
        ballot,
        acc: Ballot::bottom(Epoch::FIRST),
        last: Slot::ZERO,
        commit: Slot::ZERO,
        chain_at_commit: Chain::EMPTY,
    })
}

fn empty_sync(ballot: Ballot) -> Message {
    Message::Accept(Accept {
        ballot,
        sync: Some(Slot::ZERO),
        prev: Slot::ZERO,
        prev_chain: Chain::EMPTY,
        entries: Vec::new(),
        commit: Slot::ZERO,
        seq: 1,
    })
}

/// A node asks those for decided slots who answer it, not whoever once knew as much.
#[test]
fn decided_slots_are_asked_of_a_peer_that_answers() {
    let mut rig = Rig::new(3);
    let led = rig.run_until_led();
    if led != 3 {
        rig.elect(3);
    }
    rig.run(ROUND.times(5));
    assert_eq!(rig.leader(), Some(3));
    // Node 1 learns that something is decided, and loses its leader before it learns what.
    rig.propose(3, "missed");
    for _ in 0..300 {
        rig.now += Span::from_millis(1);
        rig.wire
            .retain(|e| e.to != id(1) || e.body.lane() == Lane::Heartbeat);
        rig.deliver(|_| true);
        for number in rig.numbers() {
            rig.wake(number);
            rig.persist(number);
        }
    }
    assert_eq!(
        (rig.status(1).commit, rig.status(2).commit.get()),
        (Slot::ZERO, 1)
    );
    rig.cut(1, 3);
    rig.cut(3, 1);
    rig.run(ROUND.times(20));
    assert!(rig.has(1, "missed"), "{}", rig.show());
}

/// However often a candidate asks while the disk hangs: it gets one answer, which may be long.
#[test]
fn a_repeated_question_gets_one_answer_when_the_disk_moves_again() {
    let mut rig = Rig::new(3);
    for _ in 0..20 {
        rig.inject(3, 2, prepare(ballot(1, 3)));
    }
    rig.persist(2);
    assert_eq!(rig.sent(2, 3).len(), 1);
    rig.inject(3, 2, prepare(ballot(1, 3)));
    assert_eq!(rig.sent(2, 3).len(), 1);
}

/// What an earlier life has accepted is not confirmed before the new one is on disk.
#[test]
fn nothing_is_confirmed_before_the_boot_is_kept() {
    let mut rig = Rig::new(3);
    let led = ballot(1, 3);
    rig.inject(3, 2, prepare(led));
    rig.inject(3, 2, empty_sync(led));
    rig.persist(2);
    rig.crash(2, 0);
    rig.start(2);
    rig.sent(2, 3);
    rig.inject(3, 2, empty_sync(led));
    assert_eq!(rig.sent(2, 3), []);
    rig.persist(2);
    assert_eq!(rig.sent(2, 3).len(), 1);
}

/// A cluster of one confirms its reads itself, with the output that the read leads to.
#[test]
fn a_read_of_a_single_node_is_served_at_once() {
    let mut rig = Rig::new(1);
    rig.run_until_led();
    rig.outputs(1);
    rig.read(1);
    let outputs = rig.outputs(1);
    let ready = |output: &Output| matches!(output, Output::ReadReady { .. });
    assert!(outputs.iter().any(ready), "{outputs:?}");
}

/// A ballot of an epoch that is not this one's is nobody's to follow.
#[test]
fn a_heartbeat_of_a_foreign_ballot_unseats_nobody() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let other = rig.numbers().find(|&n| n != leader).expect("three nodes");
    let elected = rig.status(leader).ballot;
    let round = loop {
        rig.run(Span::from_millis(1));
        let asked = rig.wire.iter().find_map(|e| match &e.body {
            Message::Heartbeat(question) if e.from == id(leader) => Some(question.round),
            _ => None,
        });
        if let Some(round) = asked {
            break round;
        }
    };
    let foreign = Ballot::new(Epoch::new(9), 9, id(other));
    let reply = HeartbeatReply {
        round,
        data: false,
        ballot: foreign,
        leader: foreign,
        happy: true,
        able: true,
        commit: Slot::ZERO,
        priority: 0,
        fresh: None,
    };
    rig.cut(other, leader);
    rig.inject(other, leader, Message::HeartbeatReply(reply));
    rig.run(ROUND.times(2));
    rig.heal();
    rig.run(ROUND.times(5));
    let status = rig.status(leader);
    assert_eq!((status.role, status.ballot), (Role::Leading, elected));
}
