//! What happens at the limits of messages, windows and queues: it takes longer, and still comes
//! right. Knows nothing about the limits' values: here they are as small as they can be.

use bytes::Bytes;
use chil_core::message::{Learn, NackReason};
use chil_core::{
    Command, Config, Entry, Envelope, Input, Message, Output, Refusal, Role, Slot, Span, Token,
};

use crate::paper::{accepted, ballot, follow, learn, log, nacks, prepare, slot, texts};
use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

/// A batch holds one value, a message three: the window of two and the one that comes on top.
pub(crate) fn smallest(config: &mut Config) {
    config.value_bytes_max = 64;
    let entry = config.value_bytes_max + Entry::OVERHEAD as u64;
    config.in_flight_bytes_max = 2 * entry;
    config.message_bytes_max = 3 * entry;
    config.batch_bytes_max = entry;
    config.peer_window_bytes_max = entry;
}

/// Three nodes with these limits.
pub(crate) fn small() -> Rig {
    Rig::configured(&[1, 1, 1], smallest)
}

fn names(messages: &[Message]) -> Vec<&'static str> {
    messages.iter().map(Message::name).collect()
}

/// A sync that does not fit a message is preceded by what is decided, a piece at a time.
#[test]
fn a_sync_that_is_too_large_is_preceded_by_decided_entries() {
    let mut rig = small();
    rig.crash(3, 0);
    rig.elect(1);
    for n in 0..12 {
        rig.propose(1, &format!("k{n}"));
        rig.settle();
    }
    // A later leader adopts all that, and meets a node that has nothing of it.
    rig.start(3);
    rig.persist(3);
    rig.cut(1, 3);
    rig.cut(3, 1);
    rig.campaign(2);
    let mut sent = Vec::new();
    for _ in 0..100 {
        for number in rig.numbers() {
            rig.persist(number);
        }
        let to_three = rig.wire.iter().filter(|e| e.from == id(2) && e.to == id(3));
        sent.extend(to_three.map(|e| e.body.clone()));
        rig.deliver(|_| true);
    }
    let seen = names(&sent);
    let learns = seen.iter().filter(|name| **name == "Learn").count();
    assert!(learns >= 3, "{seen:?}");
    let syncs = sent
        .iter()
        .enumerate()
        .filter(|(_, m)| matches!(m, Message::Accept(accept) if accept.sync.is_some()));
    let last_learn = seen.iter().rposition(|name| *name == "Learn");
    assert_eq!(syncs.clone().count(), 1, "{seen:?}");
    assert!(
        syncs.map(|(at, _)| Some(at)).all(|at| at > last_learn),
        "{seen:?}"
    );
    let led = rig.status(2).ballot;
    assert_eq!(
        (rig.status(2).role, rig.status(3).acc),
        (Role::Leading, led)
    );
    assert!(rig.has(3, "k11"), "{}", rig.show());
}

/// A promise whose log does not fit a message reports only what is undecided there: the candidate
/// fetches what is decided before that, and adopts then, not earlier.
#[test]
fn a_promise_that_is_too_large_is_preceded_by_decided_entries() {
    let mut rig = small();
    rig.crash(3, 0);
    rig.elect(1);
    for n in 0..12 {
        rig.propose(1, &format!("k{n}"));
        rig.settle();
    }
    rig.run(ROUND);
    rig.propose(1, "undecided");
    rig.deliver(|_| true);
    rig.persist(2);
    rig.crash(1, 0);
    rig.start(3);
    rig.persist(3);
    rig.wire.clear();
    rig.campaign(3);
    rig.persist(3);
    rig.deliver(|_| true);
    rig.persist(2);
    rig.deliver(|_| true);
    assert_eq!(
        rig.status(3).role,
        Role::Preparing,
        "not before it has the rest"
    );
    assert_eq!(names(&rig.sent(3, 2)), ["Fetch"]);
    rig.run(ROUND.times(3));
    assert_eq!(rig.status(3).role, Role::Leading, "{}", rig.show());
    assert!(
        rig.has(3, "k11") && rig.has(3, "undecided"),
        "{}",
        rig.show()
    );
}

/// Pieces of the decided log follow each other at once, even from a node that owns the promised
/// ballot but leads no more. Whatever brings nothing new asks for nothing.
#[test]
fn the_next_piece_is_asked_for_at_once_and_once() {
    let mut rig = Rig::new(5);
    let led = ballot(1, 3);
    let all = log(&[(led, "a"), (led, "b"), (led, "c")]);
    for voter in [1, 4, 5] {
        follow(&mut rig, voter, led, &all);
    }
    rig.inject(3, 2, prepare(led));
    rig.persist(2);
    // The candidate has its time to come to lead; then it is no leader to be told anything.
    for _ in 0..300 {
        rig.now += Span::from_millis(1);
        rig.wake(2);
    }
    rig.sent(2, 3);
    let piece = |upto: usize| {
        let Message::Learn(learned) = learn(led, &all, upto) else {
            unreachable!("the helper makes Learns");
        };
        Message::Learn(Learn {
            commit: slot(3),
            ..learned
        })
    };
    rig.inject(3, 2, piece(1));
    assert_eq!(names(&rig.sent(2, 3)), ["Fetch"]);
    rig.inject(3, 2, piece(1));
    assert!(!names(&rig.sent(2, 3)).contains(&"Fetch"));
    rig.inject(3, 2, piece(2));
    assert_eq!(names(&rig.sent(2, 3)), ["Fetch"]);
    // With all of it there, only the sync is missing, should its owner still lead.
    rig.inject(3, 2, piece(3));
    assert_eq!(nacks(&rig.sent(2, 3)).len(), 1);
    assert_eq!(texts(&rig, 2), ["a", "b", "c"]);
}

/// A leader that works is not asked for the next piece, but told where its peer stands: it goes
/// on from there by itself, and a question beside that would fetch everything twice.
#[test]
fn a_leader_that_works_is_told_instead_of_asked() {
    let mut rig = Rig::new(3);
    let lost =
        |e: &Envelope| e.to == id(2) && matches!(e.body, Message::Accept(_) | Message::Learn(_));
    rig.run_losing(ROUND.times(10), lost);
    let leader = rig.leader().expect("two of three are synced");
    assert_ne!(leader, 2);
    for text in ["a", "b", "c"] {
        rig.propose(leader, text);
    }
    rig.run_losing(ROUND.times(2), lost);
    let (ours, theirs) = (rig.status(2), rig.status(leader));
    assert!(ours.happy && ours.promised == theirs.ballot && ours.acc < ours.promised);
    rig.sent(2, leader);
    let all = rig.replica(leader).log().entries(slot(0), slot(3));
    let Message::Learn(learned) = learn(theirs.ballot, &all, 1) else {
        unreachable!("the helper makes Learns");
    };
    let commit = slot(3);
    rig.inject(leader, 2, Message::Learn(Learn { commit, ..learned }));
    let answers = rig.sent(2, leader);
    assert_eq!(
        (answers.len(), nacks(&answers)),
        (1, vec![NackReason::NeedSync])
    );
}

/// Who catches up over others tells the leader whose sync it waits for: that one does not know,
/// and asks a peer that was away ever more rarely.
#[test]
fn a_leader_is_told_by_whoever_has_caught_up_over_others() {
    let mut rig = Rig::new(3);
    let lost =
        |e: &Envelope| e.to == id(2) && matches!(e.body, Message::Accept(_) | Message::Learn(_));
    rig.run_losing(ROUND.times(10), lost);
    let leader = rig.leader().expect("two of three are synced");
    let other = 4 - leader;
    for text in ["a", "b", "c"] {
        rig.propose(leader, text);
    }
    rig.run_losing(ROUND.times(2), lost);
    rig.sent(2, leader);
    let led = rig.status(leader).ballot;
    let all = rig.replica(leader).log().entries(slot(0), slot(3));
    rig.inject(other, 2, learn(led, &all, 3));
    assert_eq!(nacks(&rig.sent(2, leader)), [NackReason::NeedSync]);
    // A copy brings nothing new, and starts nothing.
    rig.inject(other, 2, learn(led, &all, 3));
    assert_eq!(nacks(&rig.sent(2, leader)), []);
}

/// From end to end: whoever owns the promised ballot has lost its quorum, and nobody can
/// lead, but what it knows to be decided arrives all the same, much faster than a piece a round.
#[test]
fn catching_up_from_a_deposed_leader_takes_no_round_a_piece() {
    let mut rig = Rig::configured(&[1, 1, 0], smallest);
    rig.campaign(1);
    rig.persist(1);
    rig.deliver(|_| true);
    rig.persist(3);
    rig.isolate(3);
    rig.settle();
    for n in 0..30 {
        rig.propose(1, &format!("k{n}"));
        rig.settle();
    }
    rig.crash(2, 0);
    rig.run(ROUND.times(15));
    assert_eq!(rig.leader(), None, "{}", rig.show());
    assert_eq!(rig.status(3).promised, rig.status(1).promised);
    rig.heal();
    rig.run(ROUND.times(6));
    assert!(rig.has(3, "k29"), "{}", rig.show());
}

/// Reads that wait for a probe are bounded; those beyond are refused at once.
#[test]
fn too_many_reads_are_refused() {
    let mut rig = Rig::configured(&[1, 1, 1], |config| config.reads_queued_max = 2);
    rig.elect(1);
    rig.settle();
    rig.outputs(1);
    // The first one's probe is under way; two more may wait for the next.
    let served = [rig.read(1), rig.read(1), rig.read(1)];
    let refused = rig.read(1);
    let expected = Output::Refused {
        token: refused,
        reason: Refusal::Overloaded,
    };
    assert_eq!(rig.outputs(1), [expected]);
    rig.settle();
    let is_served = |output: &Output| matches!(output, Output::ReadReady { token, .. } if served.contains(token));
    assert_eq!(rig.outputs(1).iter().filter(|o| is_served(o)).count(), 3);
}

/// Reads end with the leadership, whether their probe was under way or not.
#[test]
fn reads_are_refused_when_the_leader_steps_down() {
    let mut rig = Rig::new(3);
    let led = rig.elect(1);
    rig.settle();
    rig.outputs(1);
    let (probed, queued) = (rig.read(1), rig.read(1));
    rig.inject(2, 1, prepare(ballot(led.n + 1, 2)));
    let outputs = rig.outputs(1);
    for token in [probed, queued] {
        let reason = Refusal::NotLeader { hint: None };
        let refused = Output::Refused { token, reason };
        assert_eq!(
            outputs.iter().filter(|o| **o == refused).count(),
            1,
            "{outputs:?}"
        );
    }
    rig.inject(3, 1, accepted(led, 0, 1_000));
    let ready = |output: &Output| matches!(output, Output::ReadReady { .. });
    assert!(!rig.outputs(1).iter().any(ready));
    assert_eq!(rig.status(1).commit, Slot::ZERO);
}

/// A value may be as large as the limit says, and not a byte larger: the refusal names both.
#[test]
fn a_value_above_the_limit_is_refused_with_both_sizes() {
    let mut rig = small();
    rig.elect(1);
    rig.settle();
    rig.outputs(1);
    let before = rig.status(1).last;
    for (len, placed) in [(64, 1), (65, 0)] {
        let token = Token::new(len);
        let payload = Bytes::from(vec![0; usize::try_from(len).unwrap()]);
        let command = Command::sessionless(payload);
        rig.handle(1, Input::Propose { token, command });
        let refused = Output::Refused {
            token,
            reason: Refusal::TooLarge { len, max: 64 },
        };
        let outputs = rig.outputs(1);
        assert_eq!(outputs.contains(&refused), placed == 0, "{outputs:?}");
    }
    assert_eq!(rig.status(1).last, before.next());
}
