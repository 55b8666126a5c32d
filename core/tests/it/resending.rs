//! What a leader sends again, and what it does not: refusals arrive twice, late, or for nothing.
//! Knows nothing about elections: node 1 leads in every test.

use chil_core::message::{Accept, Nack, NackReason};
use chil_core::{Ballot, Envelope, Message, Role, Slot, Span};

use crate::paper::{accepted, ballot, follow, log, promise, slot};
use crate::rig::Rig;

const ROUND: Span = Span::from_millis(100);

/// Node 1 leads with node 2's help; node 3 hears nothing of it.
fn led() -> (Rig, Ballot) {
    let mut rig = Rig::new(3);
    rig.isolate(3);
    let led = rig.elect(1);
    rig.wire.clear();
    (rig, led)
}

fn accepts(rig: &mut Rig, to: usize) -> Vec<Accept> {
    let sent = rig.sent(1, to).into_iter();
    let accepts = sent.filter_map(|message| match message {
        Message::Accept(accept) => Some(accept),
        _ => None,
    });
    accepts.collect()
}

fn refusal(ballot: Ballot, acc: Ballot, last: u64, reason: NackReason) -> Message {
    Message::Nack(Nack {
        ballot,
        promised: ballot,
        acc,
        last: slot(last),
        commit: Slot::ZERO,
        reason,
    })
}

/// Entries that nobody acknowledges are sent again, after pauses that double up to eight times.
#[test]
fn the_pause_before_sending_again_doubles() {
    let (mut rig, _) = led();
    rig.propose(1, "a");
    let lost = |m: &Envelope| matches!(m.body, Message::Accept(_));
    let mut sent_at = Vec::new();
    let start = rig.now;
    while rig.now < start + ROUND.times(100) {
        let carries = accepts(&mut rig, 2).iter().any(|m| !m.entries.is_empty());
        if carries {
            sent_at.push(rig.now.since(start).nanos() / ROUND.nanos());
        }
        rig.inject(2, 1, accepted(rig.status(1).ballot, 0, 0));
        rig.run_losing(Span::from_millis(1), lost);
    }
    let pauses: Vec<u64> = sent_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(rig.status(1).role, Role::Leading);
    assert!(pauses.len() >= 4, "{sent_at:?}");
    assert!(
        pauses.windows(2).all(|pair| pair[0] <= pair[1] + 1),
        "{pauses:?}"
    );
    let resend = 2;
    assert!(
        pauses
            .iter()
            .all(|&pause| (resend..=8 * resend + 1).contains(&pause))
    );
    assert!(pauses.last() >= Some(&(8 * resend)), "{pauses:?}");
}

/// A gap is filled from where it begins, once: the refusals of what was under way behind it
/// arrive, too, and say the same.
#[test]
fn a_gap_that_is_reported_twice_is_filled_once() {
    let (mut rig, led) = led();
    for text in ["a", "b", "c"] {
        rig.propose(1, text);
    }
    assert_eq!(accepts(&mut rig, 2).len(), 3);
    for _ in 0..3 {
        rig.inject(2, 1, refusal(led, led, 0, NackReason::Gap));
    }
    let again = accepts(&mut rig, 2);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((again[0].prev, again[0].entries.len()), (slot(0), 3));
    // Of what is acknowledged nothing is sent again, however late the refusal comes.
    rig.inject(2, 1, accepted(led, 3, again[0].seq));
    rig.now += ROUND.times(10);
    rig.inject(2, 1, refusal(led, led, 0, NackReason::Gap));
    assert!(accepts(&mut rig, 2).iter().all(|m| m.entries.is_empty()));
}

/// A network that reorders makes one window report many gaps, in any order. They must not send the
/// whole window again for each: every copy of it would report as many.
#[test]
fn many_gaps_of_one_window_send_it_again_once() {
    let (mut rig, led) = led();
    for text in ["a", "b", "c", "d"] {
        rig.propose(1, text);
    }
    assert_eq!(accepts(&mut rig, 2).len(), 4);
    for last in [0, 2, 1, 2, 0, 1, 2] {
        rig.inject(2, 1, refusal(led, led, last, NackReason::Gap));
    }
    let again = accepts(&mut rig, 2);
    assert_eq!((again.len(), again[0].prev), (1, slot(0)), "{again:?}");
    // What it says after it has seen that is news, if it is not about an earlier moment.
    rig.inject(2, 1, accepted(led, 1, again[0].seq));
    for last in [1, 3, 2, 3, 1] {
        rig.inject(2, 1, refusal(led, led, last, NackReason::Gap));
    }
    let again = accepts(&mut rig, 2);
    assert_eq!((again.len(), again[0].prev), (1, slot(1)), "{again:?}");
}

/// A sync that is refused at the position that the peer itself reported begins at its commit
/// next: what is decided surely agrees. Further copies of the refusal start nothing.
#[test]
fn a_sync_that_is_refused_twice_begins_at_what_is_decided() {
    let mut rig = Rig::new(3);
    let old = ballot(1, 3);
    let held = log(&[(old, "a"), (old, "b")]);
    follow(&mut rig, 1, old, &held);
    rig.isolate(3);
    rig.campaign(1);
    rig.persist(1);
    let led = rig.status(1).promised;
    rig.sent(1, 2);
    rig.inject(2, 1, promise(led, old, &held));
    let first = accepts(&mut rig, 2);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((first[0].sync, first[0].prev), (Some(slot(2)), slot(2)));
    rig.inject(2, 1, refusal(led, old, 2, NackReason::NeedSync));
    let second = accepts(&mut rig, 2);
    assert_eq!(second.len(), 1, "{second:?}");
    assert_eq!((second[0].sync, second[0].prev), (Some(slot(2)), slot(0)));
    assert_eq!(second[0].entries, held);
    rig.inject(2, 1, refusal(led, old, 2, NackReason::NeedSync));
    assert_eq!(accepts(&mut rig, 2), []);
}
