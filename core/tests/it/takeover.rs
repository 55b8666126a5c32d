//! When a node takes over, and how long it waits before: who answers, what they say, and how far
//! behind it lies. Knows nothing about logs beyond their length.

use chil_core::message::HeartbeatReply;
use chil_core::{Config, Envelope, Lane, Message, Role, Slot, Span};

use crate::paper::slot;
use crate::rig::{Rig, id, number};
use crate::trouble::{answer, reply_to};

const ROUND: Span = Span::from_millis(100);

/// Heartbeats alone keep nobody in office: a leader whose other messages get nowhere gives up,
/// and one that the rest can work with follows.
#[test]
fn a_leader_whose_data_gets_nowhere_gives_up() {
    let mut rig = Rig::new(3);
    let deaf = rig.run_until_led();
    rig.propose(deaf, "before");
    rig.run(ROUND.times(5));
    let lost =
        |e: &Envelope| e.body.lane() != Lane::Heartbeat && (e.from == id(deaf) || e.to == id(deaf));
    let rounds = u64::from(Config::new(id(1), 0, 0).probe_rounds_max);
    rig.run_losing(ROUND.times(rounds + 2), lost);
    assert_eq!(rig.status(deaf).role, Role::Follower, "{}", rig.show());
    rig.run_losing(ROUND.times(40), lost);
    let next = rig.leader().expect("two of three still hear each other");
    assert_ne!(next, deaf);
    rig.propose(next, "after");
    rig.run_losing(ROUND.times(5), lost);
    assert!(rig.has(next, "after"), "{}", rig.show());
}

/// A leader that nobody follows any more, and that only hears of the higher one from others, has
/// nothing to overbid; but it must not go on taking in what it cannot decide.
#[test]
fn a_leader_whose_quorum_follows_a_higher_one_gives_up() {
    let mut rig = Rig::new(3);
    rig.elect(2);
    rig.isolate(2);
    let higher = rig.elect(3);
    rig.heal();
    rig.cut(2, 3);
    rig.cut(3, 2);
    assert_eq!(rig.status(2).role, Role::Leading);
    let pair = |a: usize, b: usize, e: &Envelope| e.from == id(a) && e.to == id(b);
    let lost = |e: &Envelope| e.body.lane() != Lane::Heartbeat && (pair(1, 2, e) || pair(2, 1, e));
    rig.run_losing(ROUND.times(20), lost);
    assert_eq!(rig.status(2).role, Role::Follower, "{}", rig.show());
    assert_eq!(rig.status(3).ballot, higher, "{}", rig.show());
}

/// How many milliseconds pass before node 1 tries, if the others answer every round as `change`
/// says; `None` if it does not within the time of 100 rounds.
fn waits(rig: &mut Rig, change: impl Fn(&mut HeartbeatReply)) -> Option<u64> {
    let (start, before) = (rig.now, rig.status(1).promised);
    while rig.now < start + ROUND.times(100) {
        rig.now += Span::from_millis(1);
        rig.wake(1);
        if rig.status(1).promised > before {
            return Some(rig.now.since(start).nanos() / 1_000_000);
        }
        let wire = std::mem::take(&mut rig.wire);
        for envelope in wire.into_iter().filter(|e| e.from == id(1)) {
            if let Message::Heartbeat(question) = envelope.body {
                answer(rig, 1, number(envelope.to), &question, &change);
            }
        }
    }
    None
}

/// Peers that can help nobody do not count for whether a quorum is there.
#[test]
fn peers_that_are_not_able_are_not_counted() {
    let unable = waits(&mut Rig::new(3), |reply| reply.able = false);
    assert_eq!(unable, None);
    let able = waits(&mut Rig::new(3), |reply| reply.able = true);
    assert!(able.is_some_and(|millis| millis < 400), "{able:?}");
}

/// Who lies far behind what others know to be decided tries later, so that a better one comes
/// first; but it tries, whatever they say.
#[test]
fn a_node_that_lies_far_behind_waits_longer() {
    let lag_limit = Config::new(id(1), 0, 0).lag_limit;
    let after = |commit: u64| {
        let waited = waits(&mut Rig::new(3), |reply| reply.commit = slot(commit));
        waited.unwrap_or_else(|| panic!("it never tries behind {commit}"))
    };
    let (level, near, behind) = (after(0), after(lag_limit - 1), after(2 * lag_limit));
    let (far, absurd) = (after(100 * lag_limit), after(u64::MAX));
    assert_eq!(level, near);
    // Two turns of three members, a quarter of an interval each.
    assert!(behind >= level + 120, "{level} {behind}");
    assert!(
        far > behind && absurd == far && far < 1_500,
        "{behind} {far} {absurd}"
    );
}

/// What a peer once said to be decided does not delay a takeover for ever: only the answers to
/// the present round count.
#[test]
fn a_commit_that_is_not_repeated_is_forgotten() {
    let mut rig = Rig::new(3);
    reply_to(&mut rig, 1, 2, |reply| reply.commit = Slot::new(u64::MAX));
    assert_eq!(rig.status(1).peers[0].commit, Slot::new(u64::MAX));
    let waited = waits(&mut rig, |_| {});
    assert!(waited.is_some_and(|millis| millis < 400), "{waited:?}");
    assert_eq!(rig.status(1).peers[0].commit, Slot::ZERO);
}

/// A round waits for a peer that has just fallen silent, until the silence is improbable or three
/// intervals are over; for one that is given up it does not wait.
#[test]
fn a_round_waits_for_a_silent_peer_three_intervals_at_most() {
    // The detector gives nobody up: only the bound ends the round.
    let patient = |config: &mut Config| config.phi_pause = ROUND.times(1_000);
    let mut rig = Rig::configured(&[1, 1, 1], patient);
    rig.run_until_led();
    rig.isolate(2);
    let rounds = rounds_of(&mut rig, ROUND.times(30));
    assert!(
        (9..=11).contains(&rounds),
        "{rounds} rounds in 30 intervals"
    );
    rig.heal();
    rig.run(ROUND.times(10));
    let rounds = rounds_of(&mut rig, ROUND.times(30));
    assert!(
        (29..=31).contains(&rounds),
        "{rounds} rounds in 30 intervals"
    );
    // With the usual detector a silent peer costs one longer round.
    let mut rig = Rig::new(3);
    rig.run_until_led();
    rig.run(ROUND.times(10));
    rig.isolate(2);
    let rounds = rounds_of(&mut rig, ROUND.times(30));
    assert!(
        (27..=30).contains(&rounds),
        "{rounds} rounds in 30 intervals"
    );
}

/// How many rounds node 1 begins within `span`.
fn rounds_of(rig: &mut Rig, span: Span) -> usize {
    let until = rig.now + span;
    let mut rounds = std::collections::BTreeSet::new();
    while rig.now < until {
        rig.run(Span::from_millis(1));
        let asked = rig.wire.iter().filter(|e| e.from == id(1));
        rounds.extend(asked.filter_map(|e| match &e.body {
            Message::Heartbeat(question) => Some(question.round),
            _ => None,
        }));
    }
    rounds.len()
}
