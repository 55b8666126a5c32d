//! Reads of leaders and followers: which probe confirms them, and that everybody gets an answer.
//! Knows nothing about leases, nor about what is read.

use chil_core::message::{ReadIndex, ReadIndexReply};
use chil_core::output::IgnoreReason;
use chil_core::{Message, Notice, Output, ReadVia, Refusal, Slot, Span, Token};

use crate::paper::{accept, ballot, follow, prepare, slot};
use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ready(Slot),
    NotLeader(Option<chil_core::NodeId>),
    Overloaded,
}

/// What the node has answered since it was last asked.
pub(crate) fn answers(rig: &mut Rig, number: usize) -> Vec<(Token, Answer)> {
    let outputs = rig.outputs(number).into_iter();
    let answers = outputs.filter_map(|output| match output {
        Output::ReadReady { token, index, .. } => Some((token, Answer::Ready(index))),
        Output::Refused { token, reason } => match reason {
            Refusal::NotLeader { hint } => Some((token, Answer::NotLeader(hint))),
            Refusal::Overloaded => Some((token, Answer::Overloaded)),
            Refusal::TooLarge { .. } => None,
        },
        _ => None,
    });
    answers.collect()
}

/// Node 1 leads three, everybody follows it, and one command is decided.
pub(crate) fn led_by_one() -> Rig {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.propose(1, "first");
    rig.run(ROUND.times(3));
    assert_eq!(rig.status(2).leader, Some(id(1)));
    for number in rig.numbers() {
        rig.outputs(number);
    }
    rig.wire.clear();
    rig
}

fn questions(messages: &[Message]) -> Vec<u64> {
    let tokens = messages.iter().filter_map(|message| match message {
        Message::ReadIndex(question) => Some(question.token),
        _ => None,
    });
    tokens.collect()
}

/// The probe must be sent after the read came: what answers an earlier one proves nothing, since
/// somebody else may lead by now.
#[test]
fn a_probe_that_was_sent_before_the_read_does_not_confirm_it() {
    let mut rig = led_by_one();
    let first = rig.read(1);
    // Its probe is on the wire. Another read arrives, and only then the answers.
    let second = rig.read(1);
    rig.deliver(|e| e.to != id(1));
    rig.deliver(|e| e.to == id(1));
    assert_eq!(answers(&mut rig, 1), [(first, Answer::Ready(slot(1)))]);
    rig.settle();
    assert_eq!(answers(&mut rig, 1), [(second, Answer::Ready(slot(1)))]);
}

/// A follower asks once for all reads that wait, executes as far as it is told, and keeps those
/// that came after the question for the next one.
#[test]
fn one_question_serves_the_reads_that_came_before_it() {
    let mut rig = led_by_one();
    let first = rig.read_via(2, ReadVia::Follower);
    let later = [
        rig.read_via(2, ReadVia::Follower),
        rig.read_via(2, ReadVia::Follower),
    ];
    let asked = rig.sent(2, 1);
    assert_eq!(questions(&asked).len(), 1, "{asked:?}");
    for question in asked {
        rig.inject(2, 1, question);
    }
    assert_eq!(answers(&mut rig, 2), []);
    // The leader probes after the question arrived; its answer and the next question follow.
    rig.deliver(|e| e.from == id(1));
    rig.deliver(|e| e.to == id(1));
    rig.deliver(|e| matches!(e.body, Message::ReadIndexReply(_)));
    assert_eq!(answers(&mut rig, 2), [(first, Answer::Ready(slot(1)))]);
    rig.settle();
    let all = later.map(|token| (token, Answer::Ready(slot(1))));
    assert_eq!(answers(&mut rig, 2), all);
}

/// A leader that probes already answers a follower's question with the next probe only.
#[test]
fn a_followers_question_waits_for_a_probe_of_its_own() {
    let mut rig = led_by_one();
    rig.read(1);
    rig.read_via(2, ReadVia::Follower);
    rig.deliver(|e| matches!(e.body, Message::ReadIndex(_)));
    rig.deliver(|e| e.from == id(1));
    rig.deliver(|e| e.to == id(1));
    let replied = |rig: &Rig| {
        let mut wire = rig.wire.iter();
        wire.any(|e| matches!(e.body, Message::ReadIndexReply(_)))
    };
    assert!(!replied(&rig), "{:?}", rig.wire);
    rig.deliver(|e| e.from == id(1));
    rig.deliver(|e| e.to == id(1));
    assert!(replied(&rig), "{:?}", rig.wire);
}

/// The same question twice is answered as often, at most; a newer one replaces an older one.
#[test]
fn a_leader_keeps_one_question_of_each_follower() {
    let mut rig = led_by_one();
    rig.read(1);
    for token in [7, 9, 8, 7] {
        rig.inject(2, 1, Message::ReadIndex(ReadIndex { token }));
    }
    rig.settle();
    let is_reply = |line: &&String| line.contains("send n2 ReadIndexReply");
    let replies: Vec<&String> = rig.trace.iter().filter(is_reply).collect();
    assert_eq!(replies, ["n1 send n2 ReadIndexReply 9 index=1"]);
}

/// Without a leader nobody can be asked, and a leader needs to ask nobody else.
#[test]
fn a_follower_without_a_leader_refuses() {
    let mut rig = Rig::new(3);
    let token = rig.read_via(2, ReadVia::Follower);
    let refused = answers(&mut rig, 2);
    assert_eq!(refused, [(token, Answer::NotLeader(None))]);
    let mut rig = led_by_one();
    let token = rig.read_via(1, ReadVia::Follower);
    rig.settle();
    assert_eq!(answers(&mut rig, 1), [(token, Answer::Ready(slot(1)))]);
    // What needs the leader itself is sent there.
    for via in [ReadVia::Leader, ReadVia::Lease] {
        let token = rig.read_via(3, via);
        let refused = answers(&mut rig, 3);
        assert_eq!(refused, [(token, Answer::NotLeader(Some(id(1))))]);
    }
}

/// What was lost is asked again each round, under the same number: all its reads came before.
#[test]
fn a_lost_question_is_asked_again() {
    let mut rig = led_by_one();
    let token = rig.read_via(2, ReadVia::Follower);
    let asked = questions(&rig.sent(2, 1));
    rig.run(ROUND.times(2));
    assert!(
        rig.trace
            .iter()
            .any(|line| line.contains("n2 send n1 ReadIndex"))
    );
    assert_eq!(answers(&mut rig, 2), [(token, Answer::Ready(slot(1)))]);
    assert_eq!(
        asked,
        [(1 << 32) + 1],
        "numbered behind the life's beginning"
    );
}

/// A leader that hears of it and never answers is given up after some rounds.
#[test]
fn a_question_that_nobody_answers_is_given_up() {
    let mut rig = led_by_one();
    let token = rig.read_via(2, ReadVia::Follower);
    rig.run_losing(ROUND.times(8), |e| matches!(e.body, Message::ReadIndex(_)));
    let given_up = (token, Answer::NotLeader(Some(id(1))));
    assert_eq!(answers(&mut rig, 2), [given_up]);
}

/// The reads outlive a change of leaders: whoever leads next is asked. Somebody who does not lead
/// says so.
#[test]
fn the_next_leader_is_asked() {
    let mut rig = led_by_one();
    rig.run(ROUND.times(5));
    rig.outputs(2);
    let token = rig.read_via(2, ReadVia::Follower);
    let question = rig.sent(2, 1).remove(0);
    rig.elect(3);
    // The old one answers that it no longer leads, before node 2 has noticed.
    rig.inject(2, 1, question);
    let reply = rig.sent(1, 2);
    let says_so = |m: &Message| {
        matches!(
            m,
            Message::ReadIndexReply(ReadIndexReply { index: None, .. })
        )
    };
    assert!(reply.iter().any(says_so), "{reply:?}");
    rig.run(ROUND.times(4));
    assert_eq!(rig.status(2).leader, Some(id(3)));
    assert_eq!(answers(&mut rig, 2), [(token, Answer::Ready(slot(1)))]);
}

/// An answer to a question of before must not serve what is asked now: it knows less.
#[test]
fn a_late_answer_serves_nothing_newer() {
    let mut rig = led_by_one();
    rig.read_via(2, ReadVia::Follower);
    rig.settle();
    let late = rig
        .trace
        .iter()
        .filter(|line| line.contains("ReadIndexReply"))
        .count();
    assert_eq!(late, 1);
    rig.propose(1, "second");
    rig.settle();
    rig.outputs(2);
    rig.read_via(2, ReadVia::Follower);
    let reply = ReadIndexReply {
        token: (1 << 32) + 1,
        index: Some(slot(1)),
    };
    rig.inject(1, 2, Message::ReadIndexReply(reply.clone()));
    let stale = |output: &Output| {
        let reason = IgnoreReason::Stale;
        matches!(output, Output::Notice(Notice::Ignored { reason: r, .. }) if *r == reason)
    };
    assert!(rig.outputs(2).iter().any(stale));
    // Nor in the next life, whose first question has another number.
    rig.crash(2, 0);
    rig.start(2);
    rig.persist(2);
    rig.run(ROUND.times(3));
    rig.outputs(2);
    rig.read_via(2, ReadVia::Follower);
    rig.inject(1, 2, Message::ReadIndexReply(reply));
    assert!(rig.outputs(2).iter().any(stale));
}

/// A follower that comes to lead says itself what it was asked as a follower.
#[test]
fn a_follower_that_comes_to_lead_serves_what_it_asked_for() {
    let mut rig = led_by_one();
    let token = rig.read_via(2, ReadVia::Follower);
    rig.wire.clear();
    let now_leads = rig.transfer(1, Some(id(2)));
    rig.wire
        .retain(|e| !matches!(e.body, Message::ReadIndex(_)));
    rig.settle();
    assert_eq!(rig.leader(), Some(2));
    let ready = answers(&mut rig, 2);
    assert_eq!(ready, [(token, Answer::Ready(slot(1)))]);
    assert_eq!(rig.transfer_end(1, now_leads), Some(Ok(())));
}

/// A node that lost something durable does not know what it has executed: it serves no reads.
#[test]
fn a_damaged_node_serves_no_reads() {
    let mut rig = led_by_one();
    rig.crash(2, 0);
    let promised = rig.disk(2).meta.promised;
    rig.disk_mut(2).meta.damaged = Some(promised);
    rig.start(2);
    rig.persist(2);
    rig.run(ROUND.times(3));
    rig.outputs(2);
    assert!(rig.status(2).damaged);
    let token = rig.read_via(2, ReadVia::Follower);
    let refused = answers(&mut rig, 2);
    assert_eq!(refused, [(token, Answer::NotLeader(Some(id(1))))]);
}

/// The queue of reads is bounded.
#[test]
fn too_many_reads_are_refused_as_overload() {
    let mut rig = Rig::configured(&[1, 1, 1], |config| config.reads_queued_max = 2);
    rig.elect(1);
    rig.settle();
    rig.outputs(1);
    // The first is probed for at once; two wait.
    let tokens: Vec<Token> = (0..4).map(|_| rig.read(1)).collect();
    assert_eq!(answers(&mut rig, 1), [(tokens[3], Answer::Overloaded)]);
    rig.settle();
    assert_eq!(answers(&mut rig, 1).len(), 3);
}

/// An acceptor answers for a ballot only while it has promised nothing higher, also when it took
/// in the probe before: a leader that hears it would else take itself for the only one.
#[test]
fn a_probe_is_not_answered_after_a_higher_promise() {
    let mut rig = Rig::new(3);
    let (old, new) = (ballot(1, 3), ballot(2, 1));
    follow(&mut rig, 2, old, &[]);
    let received = |rig: &Rig, from, message| {
        let envelope = rig.envelope(from, 2, message);
        chil_core::Input::Received(Box::new(envelope))
    };
    let is_answer = |message: &Message| matches!(message, Message::Accepted(_));
    let probe = received(&rig, 3, accept(old, &[], 0, 0));
    rig.handle_all(2, vec![probe.clone()]);
    assert!(rig.sent(2, 3).iter().any(is_answer));
    let higher = received(&rig, 1, prepare(new));
    rig.handle_all(2, vec![probe, higher]);
    rig.persist(2);
    let sent = rig.sent(2, 3);
    assert!(!sent.iter().any(is_answer), "{sent:?}");
}
