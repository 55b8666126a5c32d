//! Handing leadership over: on request and by priority, and what comes of it when it fails.
//! Knows nothing about why somebody wants it.

use chil_core::message::TransferNow;
use chil_core::{
    Config, Envelope, Input, Lane, Message, Notice, Output, Role, Span, TransferError,
};

use crate::paper::slot;
use crate::reads::{Answer, answers};
use crate::rig::{Rig, id, number};
use crate::trouble::reply_to;

const ROUND: Span = Span::from_millis(100);

/// Node 1 leads, and everybody is heard and follows it.
fn led_by_one(rig: &mut Rig) {
    rig.elect(1);
    rig.propose(1, "first");
    rig.run(ROUND.times(4));
    assert_eq!(rig.leader(), Some(1), "{}", rig.show());
    for number in rig.numbers() {
        rig.outputs(number);
    }
    rig.trace.clear();
}

fn three() -> Rig {
    let mut rig = Rig::new(3);
    led_by_one(&mut rig);
    rig
}

fn is_told(envelope: &Envelope) -> bool {
    matches!(envelope.body, Message::TransferNow(_))
}

/// How often somebody was told to take over since the trace was last emptied.
fn told(rig: &Rig) -> usize {
    let sent = rig.trace.iter().filter(|line| line.contains("TransferNow"));
    sent.filter(|line| line.contains(" send ")).count()
}

/// No time passes: leadership changes within three exchanges, and nothing is lost.
#[test]
fn leadership_goes_to_the_member_named() {
    for target in [2, 3] {
        let mut rig = three();
        rig.propose(1, "second");
        let token = rig.transfer(1, Some(id(target)));
        rig.settle();
        assert_eq!(rig.leader(), Some(target));
        assert_eq!(rig.status(1).role, Role::Follower);
        assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
        assert_eq!(told(&rig), 1);
        rig.propose(target, "third");
        rig.run(ROUND.times(3));
        for number in rig.numbers() {
            assert!(rig.has(number, "second") && rig.has(number, "third"));
        }
    }
}

/// Without a name it goes to the highest priority among those that are up and could lead; among
/// equals to the longest log.
#[test]
fn without_a_name_the_best_takes_over() {
    let priority = |config: &mut Config| {
        config.priority = [9, 0, 5, 7][number(config.node) - 1];
    };
    let mut rig = Rig::configured(&[2, 1, 1, 0], priority);
    led_by_one(&mut rig);
    // Node 4 has no weight, node 3 the highest priority of the rest.
    let token = rig.transfer(1, None);
    rig.settle();
    assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
    assert_eq!(rig.leader(), Some(3));
    let mut rig = three();
    rig.cut(1, 2);
    rig.propose(1, "only node 3 has this");
    rig.settle();
    rig.heal();
    let token = rig.transfer(1, None);
    rig.settle();
    assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
    assert_eq!(rig.leader(), Some(3));
}

/// The target needs all that was proposed, and nothing more is proposed meanwhile; whoever wants
/// to is sent to the target.
#[test]
fn the_target_is_told_when_it_has_everything() {
    let mut rig = three();
    rig.propose(1, "undecided");
    rig.wire.retain(|e| e.body.lane() == Lane::Heartbeat);
    let token = rig.transfer(1, Some(id(2)));
    assert_eq!(told(&rig), 0);
    let refused = rig.propose(1, "too late");
    let hint = Some(id(2));
    let registered = rig.register(1, 1);
    let both = [refused, registered].map(|token| (token, Answer::NotLeader(hint)));
    assert_eq!(answers(&mut rig, 1), both);
    // Reads go on: they need no slot.
    let read = rig.read(1);
    rig.deliver(|e| e.to != id(1));
    rig.deliver(|e| e.to == id(1));
    assert_eq!(answers(&mut rig, 1), [(read, Answer::Ready(slot(1)))]);
    rig.run(ROUND.times(4));
    assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
    assert_eq!(
        (told(&rig), rig.leader()),
        (1, Some(2)),
        "{}",
        rig.trace.join("\n")
    );
    assert!(rig.has(2, "undecided") && !rig.has(2, "too late"));
}

/// Whatever the leader had proposed is decided before it goes: nobody is left in doubt of it.
#[test]
fn the_target_is_told_when_everything_is_decided() {
    // The target has all of it, and a quorum has not.
    let mut rig = Rig::new(5);
    led_by_one(&mut rig);
    for other in 3..=5 {
        rig.cut(other, 1);
    }
    rig.propose(1, "second");
    let token = rig.transfer(1, Some(id(2)));
    rig.settle();
    assert!(rig.status(2).last == slot(2) && rig.status(1).commit == slot(1));
    assert_eq!((told(&rig), rig.leader()), (0, Some(1)));
    rig.heal();
    while told(&rig) == 0 {
        assert_eq!(rig.transfer_end(1, token), None);
        rig.run(Span::from_millis(1));
    }
    assert_eq!(rig.status(1).commit, slot(2));
    rig.run(ROUND);
    assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
    assert_eq!((told(&rig), rig.leader()), (1, Some(2)));
    // Nothing is missing but the leader's own disk.
    let mut rig = Rig::weighted(&[2, 1, 1]);
    led_by_one(&mut rig);
    rig.propose(1, "second");
    rig.transfer(1, Some(id(2)));
    for _ in 0..4 {
        rig.deliver(|_| true);
        rig.persist(2);
        rig.persist(3);
    }
    assert_eq!((rig.status(2).last, told(&rig)), (slot(2), 0));
    rig.persist(1);
    assert_eq!((rig.status(1).commit, told(&rig)), (slot(2), 1));
}

/// Deposed by a message that came together with the last vote: what that decided is handed out
/// first, so that whoever waits for it learns its outcome.
#[test]
fn what_is_decided_is_handed_out_before_the_leader_is_deposed() {
    let mut rig = three();
    let led = rig.status(1).ballot;
    rig.propose(1, "second");
    rig.persist(1);
    rig.deliver(|e| e.to == id(2));
    rig.persist(2);
    let is_vote = |e: &Envelope| matches!(&e.body, Message::Accepted(m) if m.last == slot(2));
    let vote = rig.wire.iter().find(|e| is_vote(e)).cloned().unwrap();
    rig.outputs(1);
    let above = chil_core::Ballot {
        n: led.n + 1,
        node: id(3),
        ..led
    };
    let prepare = rig.envelope(3, 1, crate::paper::prepare(above));
    let inputs = [vote, prepare].map(|envelope| Input::Received(Box::new(envelope)));
    rig.handle_all(1, inputs.to_vec());
    assert_eq!(rig.status(1).commit, slot(2));
    let outputs = rig.outputs(1);
    let decided =
        |o: &Output| matches!(o, Output::Decided { entries } if entries[0].slot() == slot(2));
    let decided = outputs.iter().position(decided);
    let deposed = Output::Deposed { ballot: led };
    let deposed = outputs.iter().position(|o| *o == deposed);
    assert!(decided.is_some() && decided < deposed, "{outputs:?}");
}

/// Nothing was given up while the target was not told: the leader goes on in its ballot.
#[test]
fn a_leader_whose_target_does_not_catch_up_goes_on() {
    let mut rig = three();
    let ballot = rig.status(1).ballot;
    let lost = |e: &Envelope| e.to == id(2) && matches!(e.body.name(), "Accept" | "Learn");
    rig.propose(1, "second");
    rig.wire.retain(|e| !lost(e));
    let token = rig.transfer(1, Some(id(2)));
    rig.run_losing(ROUND.times(7), lost);
    let late = Err(TransferError::TimedOut);
    assert_eq!(rig.transfer_end(1, token), Some(late));
    assert_eq!((told(&rig), rig.leader()), (0, Some(1)));
    assert_eq!(rig.status(1).ballot, ballot);
    rig.propose(1, "third");
    rig.settle();
    assert!(rig.has(1, "third"));
}

/// A target that was told and did nothing may do it yet: the leader prepares a higher ballot
/// before it goes on, and what comes late is refused.
#[test]
fn a_late_target_is_kept_out() {
    let mut rig = three();
    let ballot = rig.status(1).ballot;
    let token = rig.transfer(1, Some(id(2)));
    let late: Vec<Envelope> = rig.wire.iter().filter(|e| is_told(e)).cloned().collect();
    rig.run_losing(ROUND.times(8), is_told);
    assert!(told(&rig) >= 4, "told again every round, {}", told(&rig));
    let outputs = rig.outputs(1);
    let timed_out = Output::TransferEnded {
        token,
        outcome: Err(TransferError::Unclear),
    };
    assert!(outputs.contains(&timed_out), "{outputs:?}");
    assert!(outputs.contains(&Output::Deposed { ballot }), "{outputs:?}");
    assert_eq!(rig.leader(), Some(1));
    let above = rig.status(1).ballot;
    assert!(ballot < above, "{ballot} {above}");
    rig.propose(1, "second");
    rig.settle();
    // Now the word of before arrives.
    assert_eq!(late.len(), 1);
    for envelope in late {
        rig.inject(1, 2, envelope.body);
    }
    rig.settle();
    assert_eq!((rig.leader(), rig.status(2).promised), (Some(1), above));
    assert!(rig.has(1, "second"));
}

/// The target campaigns only from where the leader said that both stand, in the leader's ballot.
#[test]
fn a_target_that_stands_elsewhere_stays() {
    let rig = three();
    let ballot = rig.status(1).ballot;
    let last = rig.status(2).last;
    let below = chil_core::Ballot {
        n: ballot.n - 1,
        ..ballot
    };
    let above = chil_core::Ballot {
        n: ballot.n + 1,
        ..ballot
    };
    let not_its_own = chil_core::Ballot {
        node: id(3),
        ..ballot
    };
    let campaigns = |from: usize, ballot, last| {
        let mut rig = three();
        rig.inject(from, 2, Message::TransferNow(TransferNow { ballot, last }));
        rig.status(2).role == Role::Preparing
    };
    assert!(campaigns(1, ballot, last));
    assert!(!campaigns(1, ballot, last.next()));
    assert!(!campaigns(1, ballot, last.prev()));
    for wrong in [below, above, not_its_own] {
        assert!(!campaigns(1, wrong, last), "{wrong}");
    }
    assert!(!campaigns(3, ballot, last), "it is not node 3's to give");
}

/// Who has promised a higher ballot in the meantime follows that one.
#[test]
fn a_target_that_has_promised_higher_stays() {
    let mut rig = three();
    let (ballot, last) = (rig.status(1).ballot, rig.status(2).last);
    rig.inject(
        3,
        2,
        crate::paper::prepare(crate::paper::ballot(ballot.n + 1, 3)),
    );
    let promised = rig.status(2).promised;
    rig.inject(1, 2, Message::TransferNow(TransferNow { ballot, last }));
    assert_eq!(
        (rig.status(2).role, rig.status(2).promised),
        (Role::Follower, promised)
    );
}

/// Whoever could not lead never gets it: no weight, no member, the leader itself, damaged, or
/// with a disk that hangs.
#[test]
fn a_member_that_cannot_lead_is_no_target() {
    let mut rig = Rig::weighted(&[1, 1, 1, 0]);
    led_by_one(&mut rig);
    let bad = Some(Err(TransferError::BadTarget));
    for target in [1, 4, 9] {
        let token = rig.transfer(1, Some(id(target)));
        assert_eq!(rig.transfer_end(1, token), bad, "n{target}");
    }
    rig.crash(2, 0);
    let promised = rig.disk(2).meta.promised;
    rig.disk_mut(2).meta.damaged = Some(promised);
    rig.start(2);
    rig.persist(2);
    rig.run(ROUND.times(3));
    let token = rig.transfer(1, Some(id(2)));
    assert_eq!(rig.transfer_end(1, token), bad, "it is damaged");
    // The disk of node 3 hangs: nobody is left.
    reply_to(&mut rig, 1, 3, |reply| reply.able = false);
    let token = rig.transfer(1, None);
    let nobody = Some(Err(TransferError::NoTarget));
    assert_eq!(rig.transfer_end(1, token), nobody);
}

/// One at a time, and only where the leader is.
#[test]
fn who_does_not_lead_or_hands_over_already_refuses() {
    let mut rig = three();
    let token = rig.transfer(2, Some(id(3)));
    let hint = Some(id(1));
    let elsewhere = Some(Err(TransferError::NotLeader { hint }));
    assert_eq!(rig.transfer_end(2, token), elsewhere);
    rig.transfer(1, Some(id(3)));
    let second = rig.transfer(1, Some(id(2)));
    assert_eq!(rig.transfer_end(1, second), Some(Err(TransferError::Busy)));
    rig.settle();
    assert_eq!(rig.unanswered(), []);
}

/// Somebody else takes over first: that is said, once.
#[test]
fn a_transfer_ends_when_somebody_else_leads() {
    // Before the target was told: there was nothing to hand over any more.
    let mut rig = three();
    rig.propose(1, "undecided");
    rig.wire.retain(|e| e.body.lane() == Lane::Heartbeat);
    let token = rig.transfer(1, Some(id(2)));
    rig.elect(3);
    // Had it not begun, whoever asked might ask node 3 to move it once more.
    assert_eq!(
        rig.transfer_end(1, token),
        Some(Err(TransferError::Unclear))
    );
    // And afterwards.
    let mut rig = three();
    let token = rig.transfer(1, Some(id(2)));
    rig.wire.clear();
    rig.elect(3);
    assert_eq!(
        rig.transfer_end(1, token),
        Some(Err(TransferError::Unclear))
    );
    // The target promises itself the leadership, and is gone.
    let mut rig = three();
    let token = rig.transfer(1, Some(id(2)));
    rig.deliver(is_told);
    rig.persist(2);
    rig.deliver(|e| e.to == id(1));
    assert_eq!(rig.status(1).role, Role::Follower);
    rig.crash(2, 0);
    rig.run(ROUND.times(20));
    assert_eq!(rig.unanswered(), []);
    assert_eq!(
        rig.transfer_end(1, token),
        Some(Err(TransferError::Unclear))
    );
    assert!(rig.leader().is_some());
}

fn priorities(list: [u32; 3]) -> impl Fn(&mut Config) {
    move |config| config.priority = list[number(config.node) - 1]
}

/// A leader gives way to a higher priority once that peer has been fit for some rounds, and
/// never to an equal one.
#[test]
fn leadership_goes_to_the_highest_priority() {
    let mut rig = Rig::configured(&[1, 1, 1], priorities([1, 1, 2]));
    rig.elect(1);
    rig.run(ROUND.times(3));
    assert_eq!(rig.leader(), Some(1), "not at once");
    rig.run(ROUND.times(10));
    assert_eq!(rig.leader(), Some(3));
    let led = rig.status(3).ballot;
    rig.run(ROUND.times(50));
    assert_eq!((rig.leader(), rig.status(3).ballot), (Some(3), led));
    let mut rig = Rig::configured(&[1, 1, 1], priorities([1, 1, 1]));
    let led = rig.elect(1);
    rig.run(ROUND.times(50));
    assert_eq!(rig.status(1).ballot, led);
}

/// Whoever was asked to hand over, perhaps because it is to be stopped, is not given it back at
/// once for its priority.
#[test]
fn a_leader_that_was_asked_to_hand_over_yields_for_a_while() {
    let mut rig = Rig::configured(&[1, 1, 1], priorities([3, 1, 1]));
    led_by_one(&mut rig);
    let token = rig.transfer(1, Some(id(2)));
    rig.run(ROUND.times(60));
    assert_eq!(rig.transfer_end(1, token), Some(Ok(())));
    assert_eq!(rig.leader(), Some(2));
    rig.run(ROUND.times(100));
    assert_eq!(rig.leader(), Some(1));
}

/// The same where it was deposed before it had told its target.
#[test]
fn a_leader_that_was_deposed_while_it_handed_over_yields_too() {
    let mut rig = Rig::configured(&[1, 1, 1], priorities([3, 1, 1]));
    led_by_one(&mut rig);
    rig.propose(1, "undecided");
    rig.wire.retain(|e| e.body.lane() == Lane::Heartbeat);
    let token = rig.transfer(1, Some(id(2)));
    rig.elect(3);
    rig.run(ROUND.times(60));
    assert_eq!(
        rig.transfer_end(1, token),
        Some(Err(TransferError::Unclear))
    );
    assert_eq!((told(&rig), rig.leader()), (0, Some(3)));
    rig.run(ROUND.times(100));
    assert_eq!(rig.leader(), Some(1));
}

/// Where nobody leads, the highest priority tries first, then the members in their order.
#[test]
fn the_highest_priority_takes_over_first() {
    for (list, first) in [
        ([0, 0, 7], 3),
        ([0, 7, 0], 2),
        ([5, 5, 5], 1),
        ([1, 2, 3], 3),
    ] {
        let mut rig = Rig::configured(&[1, 1, 1], priorities(list));
        // A first round makes the priorities known.
        let leader = rig.run_until_led();
        assert_eq!(leader, first, "{list:?}");
    }
}

/// A peer that lags is not handed to: nothing could be proposed while it catches up. Nor is one
/// that does not take it asked again and again.
#[test]
fn a_peer_that_does_not_take_over_is_asked_ever_less_often() {
    let mut rig = Rig::configured(&[1, 1, 1], priorities([1, 1, 2]));
    led_by_one(&mut rig);
    let lost = |e: &Envelope| is_told(e) && e.to == id(3);
    rig.outputs(1);
    rig.run_losing(ROUND.times(300), lost);
    let handing = |output: &Output| matches!(output, Output::Notice(Notice::Transferring { .. }));
    let attempts = rig.outputs(1).into_iter().filter(handing).count();
    assert!((2..=6).contains(&attempts), "{attempts} in 300 rounds");
    rig.run(ROUND.times(300));
    assert_eq!(rig.leader(), Some(3));
}

#[test]
fn a_peer_that_lags_is_not_handed_to() {
    let mut rig = Rig::configured(&[1, 1, 1], priorities([1, 1, 2]));
    led_by_one(&mut rig);
    let lost = |e: &Envelope| matches!(&e.body, Message::Accept(m) if e.to == id(3) && !m.entries.is_empty());
    for n in 0..30 {
        rig.propose(1, &format!("k{n}"));
        rig.run_losing(ROUND, lost);
    }
    assert_eq!((rig.leader(), told(&rig)), (Some(1), 0));
    rig.run(ROUND.times(20));
    assert_eq!(rig.leader(), Some(3));
}

/// The target hears nobody but the leader: it would only make a ballot that leads nowhere.
#[test]
fn a_target_without_a_quorum_does_not_try() {
    let mut rig = Rig::new(5);
    rig.elect(1);
    rig.run(ROUND.times(4));
    for other in 3..=5 {
        rig.cut(2, other);
        rig.cut(other, 2);
    }
    rig.run(ROUND.times(10));
    assert_eq!(rig.leader(), Some(1));
    let promised = rig.status(2).promised;
    rig.transfer(1, Some(id(2)));
    rig.settle();
    assert_eq!(told(&rig), 1);
    assert_eq!(rig.status(2).promised, promised);
    rig.run(ROUND.times(20));
    assert!(rig.leader().is_some() && rig.unanswered().is_empty());
}
