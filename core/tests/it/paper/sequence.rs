//! Sequence Paxos (OmniPaxos, EuroSys '23, section 4): one growing log instead of one value.
//! Knows nothing about how leaders are found.

use chil_core::message::{Accept, NackReason};
use chil_core::{Chain, Message, Output, Role, Slot, Span, Token};

use super::{
    accept, accepted, ballot, follow, learn, log, nacks, prepare, promise, slot, sync, texts,
};
use crate::rig::{Rig, id};

/// Validity (SC1): decided logs hold proposed commands only; and integrity (SC3): a log that a
/// server decided is extended, never changed.
#[test]
fn decided_logs_hold_what_was_proposed_and_only_grow() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    let mut decided = Vec::new();
    for text in ["a", "b", "c", "d"] {
        rig.propose(1, text);
        rig.settle();
        for output in rig.outputs(1) {
            if let Output::Decided { entries } = output {
                decided.extend(entries);
            }
        }
        let log = rig.replica(1).log();
        assert_eq!(decided, log.entries(Slot::ZERO, rig.status(1).commit));
        assert!(rig.has(1, text));
    }
    assert_eq!(decided.len(), 4);
}

/// Uniform agreement (SC2): of two decided logs one is a prefix of the other, whoever crashed.
#[test]
fn decided_logs_are_prefixes_of_each_other() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    for (text, gone) in [("a", 2), ("b", 3)] {
        rig.crash(gone, 0);
        rig.propose(1, text);
        rig.settle();
        rig.start(gone);
        rig.settle();
    }
    assert_eq!(rig.status(1).commit, slot(2));
    for number in [2, 3] {
        let commit = rig.status(number).commit;
        let chain = |number| rig.replica(number).log().chain_at(commit);
        assert_eq!(chain(number), chain(1), "{}", rig.show());
    }
}

/// Of logs accepted in the same ballot the longest is adopted: it has the others as prefixes.
#[test]
fn the_longest_log_of_the_highest_ballot_is_adopted() {
    let mut rig = Rig::new(3);
    let old = ballot(1, 3);
    let long = log(&[(old, "a"), (old, "b"), (old, "c")]);
    follow(&mut rig, 1, old, &long[..1]);
    rig.campaign(1);
    rig.persist(1);
    let b = rig.status(1).promised;
    rig.inject(2, 1, promise(b, old, &long));
    assert_eq!(texts(&rig, 1), ["a", "b", "c"]);
}

/// Preparing changes no log: what was accepted must still be there when the next one asks.
#[test]
fn a_promise_leaves_the_log_alone() {
    let mut rig = Rig::new(3);
    let old = ballot(1, 3);
    follow(&mut rig, 2, old, &log(&[(old, "a"), (old, "b")]));
    rig.inject(1, 2, prepare(ballot(2, 1)));
    rig.persist(2);
    assert_eq!(texts(&rig, 2), ["a", "b"]);
    assert_eq!(rig.status(2).acc, old);
}

/// The sync of a ballot takes effect whole: one that stops short of the adopted log is none.
#[test]
fn half_a_sync_is_no_sync() {
    let mut rig = Rig::new(3);
    let (old, b) = (ballot(1, 3), ballot(2, 3));
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.sent(2, 3);
    let whole = log(&[(old, "a"), (old, "b")]);
    let half = Accept {
        ballot: b,
        sync: Some(slot(2)),
        prev: Slot::ZERO,
        prev_chain: Chain::EMPTY,
        entries: whole[..1].to_vec(),
        commit: Slot::ZERO,
        seq: 1,
    };
    rig.inject(3, 2, Message::Accept(half));
    rig.persist(2);
    assert!(rig.status(2).acc < b && texts(&rig, 2).is_empty());
    assert!(rig.sent(2, 3).is_empty());
    rig.inject(3, 2, sync(b, &whole));
    rig.persist(2);
    assert_eq!(rig.sent(2, 3), [accepted(b, 2, 1)]);
}

/// Nothing of a ballot is accepted before its sync: how far the logs agree is not known.
#[test]
fn entries_need_the_sync_of_their_ballot_first() {
    let mut rig = Rig::new(3);
    let b = ballot(2, 3);
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.sent(2, 3);
    rig.inject(3, 2, accept(b, &log(&[(b, "a")]), 0, 1));
    rig.persist(2);
    assert_eq!(nacks(&rig.sent(2, 3)), [NackReason::NeedSync]);
    assert_eq!(
        (rig.status(2).commit, rig.status(2).last),
        (slot(0), slot(0))
    );
}

/// A sync replaces what an earlier ballot left behind and nobody decided.
#[test]
fn a_sync_removes_a_stale_tail() {
    let mut rig = Rig::new(3);
    let (old, b) = (ballot(1, 1), ballot(2, 3));
    follow(&mut rig, 2, old, &log(&[(old, "a"), (old, "stale")]));
    follow(&mut rig, 2, b, &log(&[(b, "x")]));
    assert_eq!(texts(&rig, 2), ["x"]);
    assert_eq!(
        rig.disk(2).last(),
        slot(1),
        "in one transaction with the ballot"
    );
}

/// Repeated and reordered messages of a ballot never shorten what was acknowledged in it.
#[test]
fn an_old_message_of_the_ballot_cuts_nothing() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    let long = log(&[(b, "a"), (b, "b"), (b, "c")]);
    follow(&mut rig, 2, b, &long[..1]);
    rig.inject(3, 2, accept(b, &long, 1, 0));
    rig.persist(2);
    rig.sent(2, 3);
    for old in [sync(b, &long[..1]), accept(b, &long[..2], 1, 0)] {
        rig.inject(3, 2, old);
        rig.persist(2);
        assert_eq!(texts(&rig, 2), ["a", "b", "c"]);
        assert_eq!(rig.sent(2, 3), [accepted(b, 3, 2)]);
    }
}

/// Entries are accepted in order without holes: a gap is refused, and named.
#[test]
fn a_gap_is_refused_with_the_end_of_the_log() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    let long = log(&[(b, "a"), (b, "b"), (b, "c")]);
    follow(&mut rig, 2, b, &long[..1]);
    rig.inject(3, 2, accept(b, &long, 2, 0));
    rig.persist(2);
    let gap = rig.sent(2, 3).into_iter().find_map(|m| match m {
        Message::Nack(nack) => Some((nack.reason, nack.last)),
        _ => None,
    });
    assert_eq!(gap, Some((NackReason::Gap, slot(1))));
    assert_eq!(texts(&rig, 2), ["a"]);
}

/// A follower believes a commit only as far as its own log reaches in that ballot.
#[test]
fn a_follower_decides_no_further_than_it_holds() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    let long = log(&[(b, "a"), (b, "b")]);
    follow(&mut rig, 1, b, &long);
    follow(&mut rig, 2, b, &long[..1]);
    rig.inject(3, 2, accept(b, &long[..1], 1, 2));
    assert_eq!(rig.status(2).commit, slot(1));
}

/// What older ballots accepted counts for nothing until it is accepted in the leader's own:
/// only then is it safe to call it decided.
#[test]
fn votes_of_older_ballots_do_not_count() {
    let mut rig = Rig::new(3);
    let old = ballot(1, 3);
    let held = log(&[(old, "a")]);
    follow(&mut rig, 1, old, &held);
    rig.campaign(1);
    rig.persist(1);
    let b = rig.status(1).promised;
    rig.inject(2, 1, promise(b, old, &held));
    assert_eq!(rig.status(1).role, Role::Leading);
    rig.persist(1);
    assert_eq!(rig.status(1).commit, Slot::ZERO, "one vote in {b}");
    rig.inject(2, 1, accepted(old, 1, 1));
    assert_eq!(rig.status(1).commit, Slot::ZERO, "an acceptance in {old}");
    rig.wire.clear();
    follow(&mut rig, 2, b, &held);
    rig.inject(2, 1, accepted(b, 1, 1));
    assert_eq!(rig.status(1).commit, slot(1));
}

/// A promise that comes after the leader began is answered with a sync like the others.
#[test]
fn a_late_promise_gets_its_sync() {
    let mut rig = Rig::new(3);
    rig.campaign(1);
    rig.persist(1);
    rig.deliver(|e| e.to == id(2));
    rig.persist(2);
    rig.deliver(|e| e.from == id(2));
    assert_eq!(rig.status(1).role, Role::Leading);
    rig.propose(1, "a");
    rig.settle();
    assert_eq!(rig.status(3).acc, rig.status(1).ballot);
    assert_eq!(rig.status(3).last, slot(1));
}

/// A decided prefix may be learned in any role. It is no acceptance, so the ballot of the log
/// stays; and what may be an acknowledged vote behind it stays, too.
#[test]
fn learning_is_not_accepting() {
    let mut rig = Rig::new(5);
    let (old, b) = (ballot(1, 3), ballot(2, 3));
    let long = log(&[(old, "a"), (old, "b")]);
    for voter in [1, 4, 5] {
        follow(&mut rig, voter, b, &long[..1]);
    }
    follow(&mut rig, 2, old, &long);
    rig.inject(1, 2, learn(b, &long, 1));
    rig.persist(2);
    assert_eq!(rig.status(2).commit, slot(1));
    assert_eq!(rig.status(2).acc, old, "not accepted in {b}");
    assert_eq!(texts(&rig, 2).len(), 2, "the tail agrees so far: it stays");
}

/// Where a learned prefix differs, everything behind goes: it cannot be decided any more. And
/// the ballot that decided is promised, which fences the leaders that do not know.
#[test]
fn learning_removes_what_conflicts_and_fences_older_leaders() {
    let mut rig = Rig::new(5);
    let (old, b) = (ballot(1, 1), ballot(2, 3));
    let decided = log(&[(b, "x"), (b, "y")]);
    for voter in [1, 4, 5] {
        follow(&mut rig, voter, b, &decided);
    }
    let stale = log(&[(old, "a"), (old, "b"), (old, "c")]);
    follow(&mut rig, 2, old, &stale);
    rig.inject(4, 2, learn(b, &decided, 1));
    rig.persist(2);
    assert_eq!(texts(&rig, 2), ["x"]);
    assert_eq!((rig.status(2).acc, rig.status(2).promised), (old, b));
    rig.sent(2, 1);
    rig.inject(1, 2, sync(old, &stale));
    assert_eq!(nacks(&rig.sent(2, 1)), [NackReason::Ballot]);
}

/// A sync may be older than what was learned meanwhile: what is decided stays.
#[test]
fn a_delayed_sync_keeps_what_was_learned_since() {
    let mut rig = Rig::new(5);
    let b = ballot(1, 3);
    let long = log(&[(b, "a"), (b, "b")]);
    for voter in [1, 4, 5] {
        follow(&mut rig, voter, b, &long);
    }
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.inject(1, 2, learn(b, &long, 2));
    assert_eq!(rig.status(2).commit, slot(2));
    rig.inject(3, 2, sync(b, &long[..1]));
    rig.persist(2);
    assert_eq!(texts(&rig, 2), ["a", "b"]);
    assert_eq!((rig.status(2).commit, rig.status(2).acc), (slot(2), b));
}

/// A server that was away catches up over what is decided, then over the sync.
#[test]
fn a_server_that_was_away_catches_up() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let away = rig.numbers().find(|&n| n != leader).expect("three nodes");
    rig.crash(away, 0);
    for text in 0..50 {
        rig.propose(leader, &text.to_string());
    }
    rig.run(Span::from_millis(200));
    rig.start(away);
    rig.run(Span::from_millis(1_000));
    assert_eq!(rig.state(away), rig.state(leader));
    assert_eq!(rig.state(away).0, slot(50));
}

/// A read sees what was acknowledged before it: it is served when a majority has confirmed the
/// leader since the read came, and not before everything adopted is decided in its ballot.
#[test]
fn a_read_waits_for_a_confirmation_that_is_younger() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.propose(1, "a");
    rig.settle();
    rig.outputs(1);
    let token = rig.read(1);
    assert_eq!(ready(&rig.outputs(1)), None);
    rig.settle();
    assert_eq!(ready(&rig.outputs(1)), Some((token, slot(1))));
    // The next leader adopts a slot that nobody knows to be decided: it must not answer yet.
    rig.propose(1, "b");
    rig.persist(1);
    rig.deliver(|e| e.to == id(2));
    rig.persist(2);
    rig.crash(1, 0);
    rig.wire.clear();
    rig.campaign(2);
    rig.persist(2);
    rig.deliver(|e| e.to == id(3));
    rig.persist(3);
    rig.deliver(|e| e.from == id(3));
    assert_eq!(rig.status(2).role, Role::Leading);
    let token = rig.read(2);
    assert_eq!(rig.status(2).commit, slot(1));
    assert_eq!(ready(&rig.outputs(2)), None);
    rig.settle();
    assert_eq!(ready(&rig.outputs(2)), Some((token, slot(2))));
}

fn ready(outputs: &[Output]) -> Option<(Token, Slot)> {
    outputs.iter().find_map(|output| match output {
        Output::ReadReady { token, index, .. } => Some((*token, *index)),
        _ => None,
    })
}
