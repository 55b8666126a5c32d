//! Leslie Lamport, "Paxos Made Simple" (2001): acceptors, proposers and what is chosen.
//! Knows nothing about logs being longer than it takes to show a claim.

use chil_core::message::NackReason;
use chil_core::{Ballot, Message, Role, Slot};

use super::{accepted, ballot, follow, log, nacks, prepare, promise, slot, sync, texts};
use crate::rig::{Rig, id};

/// Section 2.2, P1: "An acceptor must accept the first proposal that it receives."
#[test]
fn p1_the_first_proposal_is_accepted() {
    let mut rig = Rig::new(3);
    let b = ballot(1, 3);
    rig.inject(3, 2, prepare(b));
    rig.persist(2);
    rig.sent(2, 3);
    rig.inject(3, 2, sync(b, &log(&[(b, "a")])));
    rig.persist(2);
    assert_eq!(rig.sent(2, 3), [accepted(b, 1, 1)]);
    assert_eq!(texts(&rig, 2), ["a"]);
}

/// Section 2.2, P1a: "An acceptor can accept a proposal numbered n iff it has not responded to a
/// prepare request having a number greater than n."
#[test]
fn p1a_a_promise_fences_lower_ballots_and_only_those() {
    // Promised, then proposed in: and whether it is accepted.
    for (promised, proposed, is_accepted) in [(2, 1, false), (2, 2, true), (1, 2, true)] {
        let mut rig = Rig::new(3);
        let (p, b) = (ballot(promised, 3), ballot(proposed, 3));
        rig.inject(3, 2, prepare(p));
        if proposed > promised {
            // In chil a proposal follows its own prepare request: see the next test.
            rig.inject(3, 2, prepare(b));
        }
        rig.persist(2);
        rig.sent(2, 3);
        rig.inject(3, 2, sync(b, &log(&[(b, "a")])));
        rig.persist(2);
        let expected: &[&str] = if is_accepted { &["a"] } else { &[] };
        assert_eq!(texts(&rig, 2), expected, "promised {p}, proposed in {b}");
        let refusals = nacks(&rig.sent(2, 3));
        assert_eq!(refusals.is_empty(), is_accepted, "{refusals:?}");
    }
}

/// Deviation: a proposal of a ballot that was never prepared here is refused instead of accepted,
/// because the point up to which the logs agree is unknown. The answer says so, and the leader
/// prepares here, too.
#[test]
fn a_proposal_needs_its_own_prepare_first() {
    let mut rig = Rig::new(3);
    let b = ballot(2, 3);
    rig.inject(3, 2, sync(b, &log(&[(b, "a")])));
    rig.persist(2);
    assert_eq!(nacks(&rig.sent(2, 3)), [NackReason::NeedPrepare]);
    assert!(rig.status(2).promised < b);
    assert!(texts(&rig, 2).is_empty());
}

/// Section 2.2, phase 1 (b): "... then it responds to the request with a promise not to accept
/// any more proposals numbered less than n and with the highest-numbered proposal (if any) that
/// it has accepted."
#[test]
fn phase_1b_a_promise_reports_what_was_accepted_last() {
    let mut rig = Rig::new(3);
    let (old, new) = (ballot(1, 3), ballot(2, 3));
    let second = log(&[(old, "a"), (new, "c")]);
    follow(&mut rig, 2, old, &log(&[(old, "a"), (old, "b")]));
    follow(&mut rig, 2, new, &second);
    rig.inject(1, 2, prepare(ballot(3, 1)));
    rig.persist(2);
    assert_eq!(rig.sent(2, 1), [promise(ballot(3, 1), new, &second)]);
}

/// Section 2.2, phase 1 (b): only a prepare request "with number n greater than that of any
/// prepare request to which it has already responded" is answered with a promise.
#[test]
fn phase_1b_a_lower_prepare_request_gets_no_promise() {
    let mut rig = Rig::new(3);
    rig.inject(3, 2, prepare(ballot(5, 3)));
    rig.inject(1, 2, prepare(ballot(4, 1)));
    rig.persist(2);
    assert_eq!(nacks(&rig.sent(2, 1)), [NackReason::Ballot]);
    assert_eq!(rig.status(2).promised, ballot(5, 3));
}

/// Section 2.2, P2c (a): if "no acceptor in S has accepted any proposal numbered less than n",
/// the proposer is free to choose.
#[test]
fn p2c_without_accepted_proposals_the_leader_is_free() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.propose(1, "mine");
    rig.settle();
    assert_eq!(rig.status(1).commit, slot(1));
    assert!(rig.has(1, "mine"));
}

/// Section 2.2, P2c (b): else "v is the value of the highest-numbered proposal among all
/// proposals numbered less than n accepted by the acceptors in S."
#[test]
fn p2c_the_highest_numbered_accepted_proposal_is_taken_over() {
    // What n1 itself, n2 and n3 of five have accepted, in which ballot; and what is proposed.
    check_adoption(Some((1, "a")), Some((2, "b")), Some((3, "c")), "c");
    check_adoption(Some((3, "a")), Some((2, "b")), Some((1, "c")), "a");
    check_adoption(Some((1, "a")), Some((3, "b")), None, "b");
    check_adoption(None, None, Some((1, "c")), "c");
}

type Held = Option<(u64, &'static str)>;

fn check_adoption(own: Held, second: Held, third: Held, expected: &str) {
    let mut rig = Rig::new(5);
    if let Some((n, text)) = own {
        let b = ballot(n, 4);
        follow(&mut rig, 1, b, &log(&[(b, text)]));
    }
    // So that the ballot that n1 chooses exceeds everything accepted.
    rig.inject(5, 1, prepare(ballot(7, 5)));
    rig.persist(1);
    rig.campaign(1);
    rig.persist(1);
    let b = rig.status(1).promised;
    for (from, held) in [(2, second), (3, third)] {
        let (acc, log) = match held {
            Some((n, text)) => (ballot(n, 5), log(&[(ballot(n, 5), text)])),
            None => (Ballot::bottom(b.epoch), Vec::new()),
        };
        rig.inject(from, 1, promise(b, acc, &log));
    }
    assert_eq!(rig.status(1).role, Role::Leading);
    assert_eq!(texts(&rig, 1), [expected], "{own:?} {second:?} {third:?}");
    // It is proposed in the new ballot, and keeps the origin that it had.
    let sent = rig.sent(1, 3);
    let sync = sent.iter().find_map(|message| match message {
        Message::Accept(accept) => Some(accept),
        _ => None,
    });
    let sync = sync.unwrap_or_else(|| panic!("no sync in {sent:?}"));
    assert_eq!((sync.ballot, sync.sync), (b, Some(slot(1))));
    let adopted = rig.replica(1).log().get(slot(1)).cloned();
    assert!(adopted.is_some_and(|entry| entry.origin() < b));
}

/// Section 2.2, phase 2 (a): the proposer proposes when it has promises "from a majority of
/// acceptors", and a promise counts once however often it arrives.
#[test]
fn phase_2a_a_majority_of_different_acceptors_is_needed() {
    let mut rig = Rig::new(5);
    rig.campaign(1);
    rig.persist(1);
    let b = rig.status(1).promised;
    let empty = promise(b, Ballot::bottom(b.epoch), &[]);
    for _ in 0..3 {
        rig.inject(2, 1, empty.clone());
        assert_eq!(rig.status(1).role, Role::Preparing, "two of five");
    }
    rig.inject(3, 1, empty);
    assert_eq!(rig.status(1).role, Role::Leading);
}

/// Section 2.2, P2: "If a proposal with value v is chosen, then every higher-numbered proposal
/// that is chosen has value v."
#[test]
fn p2_a_chosen_value_stays_under_every_later_leader() {
    let mut rig = Rig::new(3);
    let first = rig.elect(1);
    rig.propose(1, "v");
    rig.settle();
    rig.crash(1, 0);
    let second = rig.elect(2);
    rig.propose(2, "w");
    rig.settle();
    rig.start(1);
    rig.settle();
    let third = rig.elect(3);
    rig.propose(3, "x");
    rig.settle();
    assert!(first < second && second < third);
    assert_eq!(rig.status(3).commit, slot(3));
    assert!(rig.has(3, "v") && rig.has(3, "w") && rig.has(3, "x"));
    let origin = rig.replica(3).log().get(slot(1)).map(|e| e.origin());
    assert_eq!(origin, Some(first));
}

/// Section 2.1: "A process never learns that a value has been chosen unless it actually has
/// been." The proposer's own vote is no exception: it counts when its disk has it.
#[test]
fn nothing_is_learned_before_a_majority_has_accepted() {
    let mut rig = Rig::new(5);
    let b = rig.elect(1);
    rig.propose(1, "v");
    rig.inject(2, 1, accepted(b, 1, 1));
    rig.inject(3, 1, accepted(b, 1, 1));
    assert_eq!(rig.status(1).commit, Slot::ZERO, "its own disk lacks it");
    rig.inject(3, 1, accepted(b, 1, 1));
    assert_eq!(rig.status(1).commit, Slot::ZERO, "an acceptor counts once");
}

/// Section 2.2: an acceptor that ignores a request "because it has already received a prepare
/// request with a higher number ... should probably inform the proposer, who should then abandon
/// its proposal."
#[test]
fn a_leader_that_is_overtaken_is_told_and_gives_up() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.inject(3, 2, prepare(ballot(9, 3)));
    rig.persist(2);
    rig.propose(1, "late");
    rig.deliver(|e| e.to == id(2));
    assert_eq!(rig.status(1).role, Role::Leading);
    rig.deliver(|e| e.from == id(2));
    assert_eq!(rig.status(1).role, Role::Follower);
    // And its next attempt exceeds what it was told of.
    rig.campaign(1);
    assert_eq!(rig.status(1).promised, ballot(10, 1));
}

/// Section 2.4: "Different proposers choose their numbers from disjoint sets of numbers, so two
/// different proposers never issue a proposal with the same number."
#[test]
fn ballots_of_two_proposers_are_never_equal() {
    let mut rig = Rig::new(3);
    rig.campaign(1);
    rig.campaign(2);
    let (one, two) = (rig.status(1).promised, rig.status(2).promised);
    assert_eq!(one.n, two.n);
    assert!(one != two && one.node != two.node);
}

/// Section 3: a new leader first completes what may have been chosen, and proposes its own
/// commands behind that.
#[test]
fn a_new_leader_finishes_what_it_finds() {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.propose(1, "a");
    rig.propose(1, "b");
    // n2 accepts both; nobody learns that they are chosen, and n1 is gone.
    rig.persist(1);
    rig.deliver(|e| e.to == id(2));
    rig.persist(2);
    rig.crash(1, 0);
    rig.wire.clear();
    assert_eq!(rig.status(2).commit, Slot::ZERO);
    rig.elect(2);
    rig.propose(2, "c");
    rig.settle();
    assert_eq!(rig.status(2).commit, slot(3));
    assert!(rig.has(3, "a") && rig.has(3, "b") && rig.has(2, "c"));
}
