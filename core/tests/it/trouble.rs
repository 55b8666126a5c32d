//! Nodes that lost something, contradict themselves, or say what cannot be.
//! Knows nothing about how a disk comes to lie: the rig rewrites what it holds.

use chil_core::message::{Heartbeat, HeartbeatReply, Nack, NackReason, Prepare, Promise};
use chil_core::output::{IgnoreReason, StepDown};
use chil_core::{Ballot, Chain, Entry, Epoch, Message, Notice, Output, Role, Slot, Span};

use crate::paper::{
    accept, ballot, end_of, follow, log, nacks, prepare, promise, slot, sync, texts,
};
use crate::rig::Rig;

const ROUND: Span = Span::from_millis(100);

/// A promise of `ballot` that knows all of `log` to be decided.
fn decided_promise(ballot: Ballot, acc: Ballot, log: &[Entry]) -> Message {
    let (last, chain_at_last) = end_of(log);
    Message::Promise(Promise {
        ballot,
        acc,
        last,
        chain_at_last,
        commit: last,
        from: Slot::ZERO,
        suffix: log.to_vec(),
        damaged: false,
    })
}

fn gave_up(outputs: &[Output]) -> Vec<StepDown> {
    let reasons = outputs.iter().filter_map(|output| match output {
        Output::Notice(Notice::SteppedDown { reason, .. }) => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

fn ignored(outputs: &[Output]) -> Vec<IgnoreReason> {
    let reasons = outputs.iter().filter_map(|output| match output {
        Output::Notice(Notice::Ignored { reason, .. }) => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// Node 1 has accepted more recently than `liars` know, who claim longer logs to be decided: one
/// of all these disks lies. Each attempt goes on without whoever was caught in it.
fn suspected(liars: &[usize]) -> Rig {
    let mut rig = Rig::new(3);
    let (old, new) = (ballot(1, 3), ballot(2, 2));
    follow(&mut rig, 1, new, &log(&[(new, "a")]));
    let longer = log(&[(old, "x"), (old, "y")]);
    for &liar in liars {
        rig.outputs(1);
        rig.campaign(1);
        rig.persist(1);
        let asked = rig.status(1).promised;
        rig.inject(liar, 1, decided_promise(asked, old, &longer));
        assert_eq!(gave_up(&rig.outputs(1)), [StepDown::LyingDisk]);
    }
    rig
}

/// Who promises a commit beyond the best log of all is not led from: some disk lost what it had
/// confirmed. The next attempt does without it.
#[test]
fn a_promise_that_contradicts_the_best_log_is_not_led_from() {
    let mut rig = suspected(&[2]);
    rig.campaign(1);
    rig.persist(1);
    let asked = rig.status(1).promised;
    let longer = log(&[(ballot(1, 3), "x"), (ballot(1, 3), "y")]);
    rig.inject(2, 1, decided_promise(asked, ballot(1, 3), &longer));
    assert_eq!(rig.status(1).role, Role::Preparing, "it is not counted");
    rig.inject(3, 1, promise(asked, Ballot::bottom(Epoch::FIRST), &[]));
    assert_eq!(rig.status(1).role, Role::Leading);
    assert_eq!(texts(&rig, 1), ["a"]);
}

/// Suspicions end with an attempt that found nobody: two of them, once false, would else keep
/// this node of three from leading for ever.
#[test]
fn suspicions_do_not_outlive_an_attempt_that_found_nobody() {
    let mut rig = suspected(&[2, 3]);
    rig.campaign(1);
    rig.persist(1);
    let asked = rig.status(1).promised;
    let nothing = Ballot::bottom(Epoch::FIRST);
    for other in [2, 3] {
        rig.inject(other, 1, promise(asked, nothing, &[]));
    }
    assert_eq!(rig.status(1).role, Role::Preparing, "both are distrusted");
    rig.outputs(1);
    let timed_out = StepDown::PrepareTimeout;
    for _ in 0..20 {
        // Everybody answers heartbeats, so that only the missing promises end the attempt.
        rig.run_losing(ROUND, |e| matches!(e.body, Message::Prepare(_)));
        if rig.status(1).role == Role::Follower {
            break;
        }
    }
    assert_eq!(gave_up(&rig.outputs(1)), [timed_out], "{}", rig.show());
    rig.campaign(1);
    rig.persist(1);
    let asked = rig.status(1).promised;
    rig.inject(3, 1, promise(asked, nothing, &[]));
    assert_eq!(rig.status(1).role, Role::Leading);
}

/// A message that is refused for what it says changes nothing, least of all the promise.
#[test]
fn a_malformed_prepare_raises_no_promise() {
    let mut rig = Rig::new(3);
    let led = ballot(1, 3);
    let held = log(&[(led, "a")]);
    follow(&mut rig, 1, led, &held);
    follow(&mut rig, 2, led, &held);
    rig.inject(3, 2, accept(led, &held, 1, 1));
    assert_eq!(rig.status(2).commit, slot(1));
    rig.outputs(2);
    let question = Prepare {
        ballot: ballot(5, 1),
        acc: led,
        last: slot(1),
        commit: slot(1),
        chain_at_commit: Chain::EMPTY,
    };
    rig.inject(1, 2, Message::Prepare(question));
    assert_eq!(ignored(&rig.outputs(2)), [IgnoreReason::Malformed]);
    assert_eq!(rig.status(2).promised, led);
}

/// However high a number somebody makes up: the next attempt's is one that everybody believes.
#[test]
fn made_up_numbers_do_not_exhaust_the_ballots() {
    for n in [
        Ballot::N_MAX,
        Ballot::N_MAX - 1,
        Ballot::N_MAX - (1 << 20),
        u64::MAX,
    ] {
        let mut rig = Rig::new(3);
        let poison = ballot(n, 2);
        rig.inject(2, 1, prepare(poison));
        rig.inject(2, 1, nack(poison, NackReason::Ballot));
        reply_to(&mut rig, 1, 2, |reply| reply.ballot = poison);
        assert_eq!(rig.status(1).promised, Ballot::bottom(Epoch::FIRST));
        rig.run(ROUND.times(3));
        let ballot = rig.elect(1);
        assert!(ballot.n < 100, "{ballot} after {poison}");
    }
    // What may be true is believed, and exceeded.
    let mut rig = Rig::new(3);
    let high = ballot(Ballot::N_MAX - (1 << 33), 2);
    rig.inject(2, 1, prepare(high));
    rig.persist(1);
    assert_eq!(rig.status(1).promised, high);
    assert_eq!(rig.elect(1).n, high.n + 1);
}

/// At the end of what is believed at once, attempts still go up one by one.
#[test]
fn the_highest_number_that_is_believed_can_be_exceeded() {
    let mut rig = Rig::new(3);
    let mut highest = ballot(1, 2);
    for bit in (0..63).rev() {
        let next = ballot(highest.n + (1 << bit), 2);
        let mut fresh = Rig::new(3);
        fresh.inject(2, 1, prepare(next));
        if fresh.status(1).promised == next {
            highest = next;
        }
    }
    // Those who have not heard of it cannot know that it is true; they need no help, either.
    for heard in [1, 3] {
        rig.inject(2, heard, prepare(highest));
        rig.persist(heard);
    }
    let leader = rig.run_until_led();
    rig.propose(leader, "v");
    rig.run(ROUND.times(10));
    let ballot = rig.status(1).acc;
    assert!(
        ballot.n > highest.n && ballot.n <= Ballot::N_MAX,
        "{ballot}"
    );
    assert!(rig.has(1, "v"), "{}", rig.show());
}

pub(crate) fn nack(ballot: Ballot, reason: NackReason) -> Message {
    Message::Nack(Nack {
        ballot,
        promised: ballot,
        acc: Ballot::bottom(Epoch::FIRST),
        last: Slot::ZERO,
        commit: Slot::ZERO,
        reason,
    })
}

/// `from` answers the round that `to` is in, with an answer that `change` made up.
pub(crate) fn reply_to(
    rig: &mut Rig,
    to: usize,
    from: usize,
    change: impl Fn(&mut HeartbeatReply),
) {
    let question = loop {
        rig.now += Span::from_millis(1);
        rig.wake(to);
        let asked = rig.wire.iter().rev().find_map(|e| match &e.body {
            Message::Heartbeat(question) if e.from == crate::rig::id(to) && !question.data => {
                Some(question.clone())
            }
            _ => None,
        });
        if let Some(question) = asked {
            break question;
        }
    };
    answer(rig, to, from, &question, change);
}

/// `from` answers this question of `to`, with an answer that `change` made up.
pub(crate) fn answer(
    rig: &mut Rig,
    to: usize,
    from: usize,
    question: &Heartbeat,
    change: impl Fn(&mut HeartbeatReply),
) {
    let mut reply = HeartbeatReply {
        round: question.round,
        data: question.data,
        ballot: ballot(0, from),
        leader: Ballot::bottom(Epoch::FIRST),
        happy: false,
        able: true,
        commit: Slot::ZERO,
        priority: 0,
        fresh: None,
    };
    change(&mut reply);
    rig.inject(from, to, Message::HeartbeatReply(reply));
}

/// A node that lost something durable: `damaged` up to what it had promised.
fn damaged_node() -> Rig {
    let mut rig = Rig::new(3);
    let led = ballot(3, 3);
    follow(&mut rig, 2, led, &log(&[(led, "a"), (led, "b")]));
    rig.crash(2, 0);
    let disk = rig.disk_mut(2);
    disk.log.pop();
    disk.meta.damaged = Some(disk.meta.promised);
    rig.start(2);
    rig.persist(2);
    rig.sent(2, 3);
    rig
}

/// It promises, which fences; it says that this is no evidence, and refuses to accept in any
/// ballot in which it may have confirmed what it lost.
#[test]
fn a_damaged_node_fences_but_confirms_nothing() {
    let mut rig = damaged_node();
    let led = ballot(3, 3);
    rig.inject(3, 2, sync(led, &log(&[(led, "a"), (led, "b")])));
    rig.persist(2);
    assert_eq!(nacks(&rig.sent(2, 3)), [NackReason::Damaged]);
    rig.inject(1, 2, prepare(ballot(4, 1)));
    rig.persist(2);
    let promises = rig.sent(2, 1);
    let says_damaged = |m: &Message| matches!(m, Message::Promise(p) if p.damaged);
    assert!(
        promises.len() == 1 && promises.iter().all(says_damaged),
        "{promises:?}"
    );
    assert!(!rig.try_campaign(2), "it must not lead");
}

/// A damaged promise is no evidence: with it alone a candidate has no quorum.
#[test]
fn a_damaged_promise_is_not_counted() {
    let mut rig = Rig::new(3);
    rig.campaign(1);
    rig.persist(1);
    let asked = rig.status(1).promised;
    let nothing = Ballot::bottom(Epoch::FIRST);
    let Message::Promise(mut damaged) = promise(asked, nothing, &[]) else {
        unreachable!("the helper makes promises");
    };
    damaged.damaged = true;
    rig.inject(2, 1, Message::Promise(damaged));
    assert_eq!(rig.status(1).role, Role::Preparing);
    rig.inject(3, 1, promise(asked, nothing, &[]));
    assert_eq!(rig.status(1).role, Role::Leading);
}

/// The whole log of a ballot above all that it may have confirmed makes it whole again.
#[test]
fn a_complete_sync_of_a_higher_ballot_heals() {
    let mut rig = damaged_node();
    let next = ballot(4, 1);
    let held = log(&[(ballot(3, 3), "a"), (ballot(3, 3), "b")]);
    follow(&mut rig, 2, next, &held);
    assert!(!rig.status(2).damaged);
    assert_eq!((rig.disk(2).meta.damaged, texts(&rig, 2).len()), (None, 2));
    rig.campaign(2);
}
