//! Lamport, "Paxos Made Simple", section 2.4: what an acceptor must remember, and when.
//! Knows nothing about files: a disk here is a queue of records that are synced or lost.

use chil_core::{Ballot, Message, Role, Span};

use super::{accepted, ballot, follow, log, nacks, prepare, promise, slot, sync};
use crate::rig::{Rig, id};

/// "An acceptor records its intended response in stable storage before actually sending the
/// response": a promise.
#[test]
fn a_promise_waits_for_the_disk() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    rig.inject(3, 2, prepare(b));
    assert!(rig.sent(2, 3).is_empty());
    rig.persist(2);
    assert_eq!(rig.sent(2, 3), [promise(b, Ballot::bottom(b.epoch), &[])]);
}

/// The same: an acceptance.
#[test]
fn an_acceptance_waits_for_the_disk() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.sent(2, 3);
    rig.inject(3, 2, sync(b, &log(&[(b, "a")])));
    assert!(rig.sent(2, 3).is_empty());
    rig.persist(2);
    assert_eq!(rig.sent(2, 3), [accepted(b, 1, 1)]);
}

/// The same, for logs: a promise reports everything accepted in memory, so it waits for all of
/// that. Reporting less would hide a vote that is on its way out.
#[test]
fn a_promise_waits_for_the_log_that_it_reports() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.sent(2, 3);
    let held = log(&[(b, "a")]);
    rig.inject(3, 2, sync(b, &held));
    rig.inject(1, 2, prepare(ballot(2, 1)));
    assert!(rig.sent(2, 1).is_empty());
    rig.persist(2);
    assert_eq!(rig.sent(2, 1), [promise(ballot(2, 1), b, &held)]);
}

/// "Stable storage, preserved during failures": what was promised and accepted is still so
/// after a crash, and what was not synced was never said.
#[test]
fn a_crash_forgets_only_what_was_never_said() {
    let mut rig = Rig::new(3);
    let b = ballot(4, 3);
    follow(&mut rig, 2, b, &log(&[(b, "a")]));
    rig.inject(1, 2, prepare(ballot(5, 1)));
    rig.crash(2, 0);
    assert!(rig.sent(2, 1).is_empty());
    rig.start(2);
    rig.persist(2);
    let status = rig.status(2);
    assert_eq!((status.promised, status.acc, status.last), (b, b, slot(1)));
    rig.inject(1, 2, prepare(ballot(3, 1)));
    assert_eq!(nacks(&rig.sent(2, 1)).len(), 1);
}

/// "Each proposer remembers (in stable storage) the highest-numbered proposal it has tried to
/// issue and begins phase 1 with a higher proposal number than any it has already used."
#[test]
fn a_proposer_never_uses_a_number_twice() {
    let mut rig = Rig::new(3);
    let first = rig.elect(1);
    rig.crash(1, 0);
    rig.start(1);
    rig.persist(1);
    assert_eq!(rig.status(1).role, Role::Follower, "leading is not resumed");
    let second = rig.elect(1);
    assert!(second > first);
    rig.crash(1, 0);
    rig.start(1);
    rig.persist(1);
    rig.campaign(1);
    let tried = rig.status(1).promised;
    assert!(tried > second);
    rig.persist(1);
    let is_prepare = |m: &Message| matches!(m, Message::Prepare(p) if p.ballot == tried);
    assert!(rig.sent(1, 2).iter().any(is_prepare));
    // Every ballot that anybody heard of is remembered by a disk.
    assert_eq!(rig.disk(1).meta.promised, tried);
}

/// A candidate's own promise is a promise: it neither asks nor counts itself before it is kept.
#[test]
fn a_candidate_asks_only_when_its_own_promise_is_kept() {
    let mut rig = Rig::new(3);
    rig.campaign(1);
    let b = rig.status(1).promised;
    rig.inject(2, 1, promise(b, Ballot::bottom(b.epoch), &[]));
    assert!(rig.sent(1, 3).is_empty());
    assert_eq!(rig.status(1).role, Role::Preparing);
    rig.persist(1);
    assert_eq!(rig.status(1).role, Role::Leading);
}

/// No word leaves a process life whose number is not on disk.
#[test]
fn nothing_is_said_before_the_boot_is_kept() {
    let mut rig = Rig::new(3);
    rig.crash(2, 0);
    rig.start(2);
    rig.inject(3, 2, prepare(ballot(1, 3)));
    rig.now += Span::from_millis(300);
    rig.wake(2);
    assert!(rig.wire.iter().all(|e| e.from != id(2)));
    rig.persist(2);
    assert_eq!(rig.sent(2, 3).len(), 1);
    assert_eq!((rig.status(2).boot, rig.disk(2).meta.boot), (2, 2));
}
