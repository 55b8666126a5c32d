//! Tests of the queue to a peer: what it leaves out, and that it counts everything.
//! Knows nothing about connections.

use std::collections::VecDeque;

use bytes::Bytes;
use chil_core::message::{Accept, Accepted, Heartbeat, HeartbeatReply};
use chil_core::{
    Ballot, Chain, ClusterId, Command, DiskId, Entry, EntryKind, Envelope, Epoch, Message, NodeId,
    Slot,
};
use chil_proto::Frame;
use proptest::prelude::*;

use super::outbox::{Bounds, Counts, DropReason, Outbox, Parcel};

fn ballot(n: u64) -> Ballot {
    Ballot::new(Epoch::FIRST, n, NodeId::new(1))
}

fn frame(body: Message) -> Frame {
    Frame::Envelope(Box::new(Envelope {
        cluster: ClusterId::new(1),
        from: NodeId::new(1),
        from_disk: DiskId::new(1),
        boot: 1,
        run: 1,
        to: NodeId::new(2),
        to_boot: 0,
        epoch: Epoch::FIRST,
        body,
    }))
}

fn accepted(n: u64, last: u64, seq: u64) -> Frame {
    frame(Message::Accepted(Accepted {
        ballot: ballot(n),
        last: Slot::new(last),
        seq,
    }))
}

fn heartbeat(round: u64) -> Frame {
    frame(Message::Heartbeat(Heartbeat {
        round,
        data: false,
        happy: true,
    }))
}

fn reply(round: u64) -> Frame {
    frame(Message::HeartbeatReply(HeartbeatReply {
        round,
        data: false,
        ballot: ballot(0),
        leader: ballot(1),
        happy: true,
        able: true,
        commit: Slot::ZERO,
        priority: 0,
        fresh: None,
    }))
}

fn accept(seq: u64, payload: Option<usize>) -> Frame {
    let entry = |len| {
        let kind = EntryKind::Command(Command::sessionless(Bytes::from(vec![0; len])));
        Entry::new(Chain::EMPTY, Slot::new(1), ballot(1), kind)
    };
    frame(Message::Accept(Accept {
        ballot: ballot(1),
        sync: None,
        prev: Slot::ZERO,
        prev_chain: Chain::EMPTY,
        entries: payload.map(entry).into_iter().collect(),
        commit: Slot::ZERO,
        seq,
    }))
}

/// What is left of `pushed` in the end.
fn what_is_left(bounds: Bounds, pushed: Vec<Frame>) -> (Vec<Frame>, Counts) {
    let mut outbox = Outbox::new(bounds);
    for frame in pushed {
        outbox.push(frame);
        outbox.check();
    }
    let mut frames = Vec::new();
    while let Some(frame) = outbox.pop() {
        frames.push(frame);
        outbox.check();
    }
    (frames, outbox.counts())
}

/// What is left of `pushed`, and how many were superseded and dropped.
fn check(pushed: Vec<Frame>, left: &[Frame], superseded: u64, dropped: u64) {
    let (frames, counts) = what_is_left(Bounds::default(), pushed);
    assert_eq!(frames, left);
    let of_all = (counts.dropped(DropReason::Superseded), counts.lost());
    assert_eq!(of_all, (superseded, dropped));
}

#[test]
fn a_later_heartbeat_takes_the_place_of_an_earlier_one() {
    let pushed = vec![heartbeat(1), reply(7), heartbeat(2), reply(8), heartbeat(3)];
    check(pushed, &[reply(8), heartbeat(3)], 3, 0);
    // A late answer to an earlier round says nothing about the later one.
    check(vec![reply(8), reply(7)], &[reply(8), reply(7)], 0, 0);
}

#[test]
fn acknowledgements_are_cumulative_within_a_ballot() {
    check(
        vec![accepted(1, 5, 1), accepted(1, 9, 2)],
        &[accepted(1, 9, 2)],
        1,
        0,
    );
    let two = [accepted(1, 5, 1), accepted(2, 9, 2)];
    check(two.to_vec(), &two, 0, 0);
}

#[test]
fn only_news_of_a_commit_is_superseded_never_entries() {
    check(
        vec![accept(1, None), accept(2, None)],
        &[accept(2, None)],
        1,
        0,
    );
    let entries = [accept(1, Some(10)), accept(2, None)];
    check(entries.to_vec(), &entries, 0, 0);
}

#[test]
fn the_oldest_make_room_and_a_huge_one_still_fits() {
    let half = usize::try_from(Bounds::default().bytes / 2).unwrap();
    let frames = [
        accept(1, Some(half)),
        accept(2, Some(half)),
        accept(3, Some(1)),
    ];
    check(frames.to_vec(), &frames[1..], 0, 1);
    let huge = [accept(1, Some(1)), accept(2, Some(3 * half))];
    check(huge.to_vec(), &huge[1..], 0, 1);
    let many = (0..Bounds::default().messages as u64 + 2).map(|i| accept(i, Some(0)));
    let many: Vec<_> = many.collect();
    check(many.clone(), &many[2..], 0, 2);
}

/// No room but for three.
const THREE: Bounds = Bounds {
    messages: 3,
    bytes: u64::MAX,
};

#[test]
fn without_room_go_first_what_is_said_again_then_older_ballots_then_the_oldest() {
    let entries = |n| accept(n, Some(1));
    // What is near the end is superseded at once, what is further away when room is needed.
    let bounds = Bounds {
        messages: 6,
        bytes: u64::MAX,
    };
    let mut pushed = vec![accepted(1, 5, 1)];
    pushed.extend((1..5).map(entries));
    pushed.push(accepted(1, 9, 2));
    let (left, counts) = what_is_left(bounds, pushed.clone());
    assert_eq!((left, counts.lost()), (pushed.clone(), 0));
    pushed.push(entries(6));
    let (left, counts) = what_is_left(bounds, pushed.clone());
    assert_eq!(left, pushed[1..]);
    assert_eq!(counts.dropped(DropReason::Superseded), 1);

    let pushed = [heartbeat(1), accepted(1, 5, 1), reply(1), accepted(2, 5, 1)];
    let (left, counts) = what_is_left(THREE, pushed.to_vec());
    assert_eq!(left, [heartbeat(1), reply(1), accepted(2, 5, 1)]);
    assert_eq!(counts.dropped(DropReason::StaleBallot), 1);

    let pushed = [entries(1), entries(2), entries(3), entries(4)];
    let (left, counts) = what_is_left(THREE, pushed.to_vec());
    assert_eq!(left, pushed[1..]);
    assert_eq!((counts.dropped(DropReason::Full), counts.lost()), (1, 1));
}

#[test]
fn each_reason_is_counted_for_itself() {
    let mut outbox = Outbox::new(THREE);
    outbox.push(accept(1, Some(1)));
    outbox.push(accept(2, Some(1)));
    outbox.clear(DropReason::Unreachable);
    outbox.push(accept(3, Some(1)));
    outbox.clear(DropReason::Closed);
    outbox.push(accept(4, Some(1)));
    assert!(outbox.pop().is_some() && outbox.is_empty());
    let mut counts = outbox.counts();
    counts.add(&outbox.counts());
    let all = DropReason::ALL.map(|why| counts.dropped(why));
    assert_eq!((counts.sent, all), (2, [0, 0, 0, 4, 2]));
    let mut codes = DropReason::ALL.map(DropReason::code);
    codes.sort_unstable();
    assert!(codes.windows(2).all(|two| two[0] != two[1]));
}

/// A message of one of two kinds, or of none, that is worth all earlier ones of no higher rank.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Toy {
    nth: usize,
    cost: u64,
    kind: Option<u8>,
    rank: u8,
    ballot: Option<u64>,
}

impl Parcel for Toy {
    fn cost(&self) -> u64 {
        self.cost
    }

    fn kind(&self) -> Option<u8> {
        self.kind
    }

    fn supersedes(&self, older: &Self) -> bool {
        assert_eq!(self.kind, older.kind, "only those of one kind are compared");
        self.rank >= older.rank
    }

    fn ballot(&self) -> Option<Ballot> {
        self.ballot.map(ballot)
    }
}

fn toy() -> impl Strategy<Value = Option<Toy>> {
    let toy = (
        1_u64..9,
        prop::option::of(0_u8..2),
        0_u8..3,
        prop::option::of(0_u64..3),
    );
    let toy = toy.prop_map(|(cost, kind, rank, ballot)| Toy {
        nth: 0,
        cost,
        kind,
        rank,
        ballot,
    });
    prop::option::weighted(0.8, toy)
}

proptest! {
    /// Whatever comes and goes: the bounds hold, all is counted, the order stays, the newest is
    /// kept, and what is left out as superseded is so by something that is still to be sent.
    #[test]
    fn all_that_is_not_sent_is_counted_with_a_reason_that_holds(
        messages in 1_usize..8,
        bytes in 1_u64..30,
        steps in prop::collection::vec(toy(), 1..100),
    ) {
        let mut outbox = Outbox::new(Bounds { messages, bytes });
        let mut waiting: VecDeque<Toy> = VecDeque::new();
        let (mut pushed, mut sent) = (0, 0);
        for (nth, step) in steps.into_iter().enumerate() {
            let Some(toy) = step else {
                let (got, expected) = (outbox.pop(), waiting.pop_front());
                sent += u64::from(got.is_some());
                prop_assert_eq!(got, expected);
                continue;
            };
            let toy = Toy { nth, ..toy };
            let before = outbox.counts();
            outbox.push(toy.clone());
            pushed += 1;
            outbox.check();
            let after = outbox.counts();
            let by = |why| after.dropped(why) - before.dropped(why);
            let mut copy = outbox.clone();
            let kept: VecDeque<Toy> = std::iter::from_fn(|| copy.pop()).collect();
            prop_assert_eq!(kept.back(), Some(&toy));
            prop_assert!(kept.iter().is_sorted_by_key(|toy| toy.nth));
            waiting.push_back(toy);
            let gone: Vec<Toy> = waiting.iter().filter(|toy| !kept.contains(toy)).cloned().collect();
            let is_said_again = |old: &&Toy| waiting.iter().any(|new| {
                new.nth > old.nth && new.kind.is_some() && new.kind == old.kind && new.supersedes(old)
            });
            let newest = waiting.iter().filter_map(|toy| toy.ballot).max();
            let is_stale = |toy: &&Toy| toy.ballot.is_some() && toy.ballot < newest;
            let again = gone.iter().filter(is_said_again).count() as u64;
            let stale = gone.iter().filter(is_stale).count() as u64;
            prop_assert!(by(DropReason::Superseded) <= again);
            prop_assert!(by(DropReason::StaleBallot) <= stale);
            let all: u64 = DropReason::ALL.into_iter().map(by).sum();
            prop_assert_eq!(all, gone.len() as u64);
            // So few that all are looked through each time: nothing else goes while these stay.
            if by(DropReason::Full) > 0 {
                prop_assert_eq!(kept.iter().filter(is_said_again).count(), 0);
                let newest = kept.iter().filter_map(|toy| toy.ballot).max();
                let is_stale = |toy: &&Toy| toy.ballot.is_some() && toy.ballot < newest;
                prop_assert_eq!(kept.iter().rev().skip(1).filter(is_stale).count(), 0);
            }
            waiting = kept;
        }
        let counts = outbox.counts();
        let said = counts.lost() + counts.dropped(DropReason::Superseded);
        prop_assert_eq!((counts.sent, pushed), (sent, sent + said + outbox.len() as u64));
    }
}
