//! What proposers and readers are told, with a machine that counts commands.

use std::io::{self, Write};

use bytes::Bytes;
use chil_core::{
    Chain, Command, DiskId, EntryKind, Epoch, FrozenState, Member, NodeId, SessionLimits,
    SnapshotPolicy, canonical,
};
use tokio::sync::oneshot::{self, Receiver};

use super::*;
use crate::clock::SystemClock;
use crate::handle::Executed;

/// Replies to each command with the number of commands so far.
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _slot: Slot, _command: &Bytes) -> Bytes {
        self.0 += 1;
        Bytes::from(self.0.to_string())
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        Bytes::from(self.0.to_string())
    }

    fn digest(&self) -> u128 {
        self.0.into()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Count(self.0))
    }

    fn restore(&mut self, from: &mut dyn io::Read) -> io::Result<()> {
        self.0 = canonical::read_u64(from)?;
        canonical::read_end(from)
    }
}

struct Count(u64);

impl FrozenState for Count {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        canonical::write_u64(out, self.0)
    }
}

fn ballot(n: u64) -> Ballot {
    Ballot::new(Epoch::FIRST, n, NodeId::new(1))
}

/// A log of one entry for each origin.
fn log(origins: &[u64]) -> Vec<Entry> {
    let mut chain = Chain::EMPTY;
    let entry = |(i, origin): (usize, &u64)| {
        let kind = EntryKind::Command(Command::sessionless(Bytes::new()));
        let entry = Entry::new(chain, Slot::new(i as u64 + 1), ballot(*origin), kind);
        chain = entry.chain();
        entry
    };
    origins.iter().enumerate().map(entry).collect()
}

fn apply() -> Apply<Counter> {
    Apply::new(Applier::new(Counter(0)))
}

fn membership() -> Membership {
    let member = Member {
        name: "a".to_owned(),
        disk: DiskId::new(1),
        addr: String::new(),
        weight: 1,
    };
    Membership::new(Epoch::FIRST, [member]).unwrap()
}

fn run(apply: &mut Apply<Counter>) -> Option<Ran> {
    apply.run(&SystemClock, &membership(), true).unwrap()
}

fn place(
    apply: &mut Apply<Counter>,
    n: u64,
    first: u64,
    count: usize,
) -> Vec<Receiver<ProposeResult>> {
    let (replies, outcomes): (Vec<_>, Vec<_>) = (0..count).map(|_| oneshot::channel()).unzip();
    let replies = replies.into_iter();
    let replies = replies.map(|reply| ReplyTo::Once(reply, None));
    apply.placed(ballot(n), Slot::new(first), replies);
    outcomes
}

fn read(min_slot: u64) -> (Read, Receiver<ReadResult>) {
    let (reply, answer) = oneshot::channel();
    let read = Read {
        query: Bytes::new(),
        min_slot: Slot::new(min_slot),
        stale: false,
        reply,
        inside: None,
    };
    (read, answer)
}

fn query(apply: &mut Apply<Counter>, index: u64) -> Receiver<ReadResult> {
    let (read, answer) = read(0);
    let again = apply.read(&SystemClock, Slot::new(index), read, None);
    assert!(again.is_none());
    answer
}

#[test]
fn each_proposer_learns_the_outcome_of_its_own_slot() {
    let mut apply = apply();
    let mut outcomes = place(&mut apply, 3, 2, 2);
    // Slot 1 is somebody else's; slot 3 was taken by a later leader's command.
    apply.decided(log(&[1, 3, 4]));
    assert_eq!(run(&mut apply).unwrap().applied, Slot::new(3));
    assert_eq!(
        outcomes[0].try_recv().unwrap(),
        Ok(Executed {
            slot: Slot::new(2),
            reply: Bytes::from_static(b"2")
        })
    );
    let hint = None;
    assert_eq!(
        outcomes[1].try_recv().unwrap(),
        Err(ProposeError::NotLeader { hint })
    );
    assert!(apply.is_idle() && !apply.is_behind());
}

#[test]
fn a_deposed_leader_knows_the_outcome_only_of_what_is_decided() {
    let mut apply = apply();
    let mut outcomes = place(&mut apply, 3, 1, 3);
    apply.decided(log(&[3]));
    apply.deposed(ballot(3));
    for outcome in &mut outcomes[1..] {
        assert_eq!(outcome.try_recv().unwrap(), Err(ProposeError::Unknown));
    }
    run(&mut apply);
    assert!(outcomes[0].try_recv().unwrap().is_ok());
    // The slots may be proposed again, in a later ballot.
    let mut again = place(&mut apply, 5, 2, 1);
    apply.decided(log(&[3, 5]).split_off(1));
    run(&mut apply);
    assert!(again[0].try_recv().unwrap().is_ok());
}

#[test]
fn a_read_waits_until_its_index_is_executed() {
    let mut apply = apply();
    let mut later = query(&mut apply, 2);
    assert!(later.try_recv().is_err());
    apply.decided(log(&[1, 1, 1]));
    run(&mut apply);
    let answer = later.try_recv().unwrap().unwrap();
    assert_eq!(
        (answer.answer, answer.applied),
        (Bytes::from_static(b"3"), Slot::new(3))
    );
    let mut now = query(&mut apply, 3);
    assert!(now.try_recv().unwrap().is_ok());
}

#[test]
fn a_read_waits_for_what_it_wants_to_see_itself() {
    let mut apply = apply();
    let (wants_two, mut answer) = read(2);
    apply.read(&SystemClock, Slot::ZERO, wants_two, None);
    apply.decided(log(&[1]));
    run(&mut apply);
    assert!(answer.try_recv().is_err());
    apply.decided(log(&[1, 1]).split_off(1));
    run(&mut apply);
    assert_eq!(answer.try_recv().unwrap().unwrap().applied, Slot::new(2));
}

#[test]
fn an_answer_that_a_lease_does_not_cover_any_more_is_not_given() {
    let mut apply = apply();
    let now = SystemClock.now();
    let (over, mut unanswered) = read(0);
    let again = apply.read(&SystemClock, Slot::ZERO, over, Some(now));
    assert!(
        again.is_some(),
        "its lease is over: it has to be asked again"
    );
    assert!(unanswered.try_recv().is_err());
    let (covered, mut answer) = read(0);
    let later = now + Span::from_millis(60_000);
    assert!(
        apply
            .read(&SystemClock, Slot::ZERO, covered, Some(later))
            .is_none()
    );
    assert!(answer.try_recv().unwrap().is_ok());
    // One that has to wait for its slot comes back with the slice that executed it.
    let (waits, _answer) = read(1);
    assert!(
        apply
            .read(&SystemClock, Slot::ZERO, waits, Some(now))
            .is_none()
    );
    apply.decided(log(&[1]));
    assert_eq!(run(&mut apply).unwrap().again.len(), 1);
}

#[test]
fn a_stale_read_says_how_old_it_may_be() {
    let mut apply = apply();
    let stale = |apply: &mut Apply<Counter>| {
        let (mut read, mut answer) = read(0);
        read.stale = true;
        apply.read(&SystemClock, Slot::ZERO, read, None);
        answer.try_recv().unwrap().unwrap().age
    };
    assert_eq!(stale(&mut apply), None, "nothing was heard yet");
    apply.fresh(Some(SystemClock.now()));
    assert!(stale(&mut apply).is_some());
}

#[test]
fn the_state_is_frozen_at_a_snapshot_point_if_it_is_wanted() {
    let policy = SnapshotPolicy {
        slots: 2,
        bytes: u64::MAX,
    };
    let applier = Applier::with_limits(Counter(0), policy, SessionLimits::default());
    let mut apply = Apply::new(applier);
    let entries = log(&[1, 1, 1, 1]);
    apply.decided(entries[..1].to_vec());
    assert!(run(&mut apply).unwrap().frozen.is_none());
    apply.decided(entries[1..3].to_vec());
    let frozen = run(&mut apply).unwrap().frozen.expect("slot 2 is a point");
    assert_eq!(frozen.header().slot, Slot::new(2));
    apply.decided(entries[3..].to_vec());
    let unwanted = apply.run(&SystemClock, &membership(), false).unwrap();
    assert!(unwanted.unwrap().frozen.is_none());
}

#[test]
fn reads_take_no_more_than_a_slice_and_all_are_answered_in_the_end() {
    let mut apply = apply();
    apply.decided(log(&[1]));
    run(&mut apply);
    // As if answers had taken that long.
    apply.answering = SLICE;
    let mut answers: Vec<_> = (0..3).map(|_| query(&mut apply, 1)).collect();
    assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
    assert!(apply.is_behind() && !apply.is_idle());
    while apply.is_behind() {
        let ran = run(&mut apply).expect("there is something to do");
        assert_eq!(ran.applied, Slot::new(1));
    }
    for mut answer in answers {
        assert!(answer.try_recv().unwrap().is_ok());
    }
    assert!(apply.is_idle() && run(&mut apply).is_none());
}

#[test]
fn an_installed_snapshot_leaves_outcomes_unknown_and_lets_reads_wait() {
    let entries = log(&[1, 1, 1, 1]);
    // Another node's state after three slots.
    let mut ahead = apply();
    ahead.decided(entries[..3].to_vec());
    run(&mut ahead);
    let mut bytes = Vec::new();
    let frozen = ahead.freeze(&membership()).unwrap().expect("it is there");
    let id = frozen.write_to(&mut bytes).unwrap();

    let mut apply = apply();
    let mut outcomes = place(&mut apply, 1, 2, 3);
    apply.decided(entries[..2].to_vec());
    let mut applier = apply.leave(&id).expect("it is here");
    for outcome in &mut outcomes[..2] {
        assert_eq!(outcome.try_recv().unwrap(), Err(ProposeError::Unknown));
    }
    assert!(apply.leave(&id).is_none(), "it is away");
    apply.decided(entries[3..].to_vec());
    assert!(run(&mut apply).is_none() && !apply.is_behind());
    let mut stale = query(&mut apply, 0);
    assert!(stale.try_recv().is_err(), "there is nobody to ask");
    assert!(apply.freeze(&membership()).unwrap().is_none());

    applier.restore(&id, &mut bytes.as_slice()).unwrap();
    apply.come_back(&SystemClock, applier);
    let answer = stale.try_recv().unwrap().unwrap();
    assert_eq!(
        (answer.answer, answer.applied),
        (Bytes::from_static(b"3"), id.slot)
    );
    assert_eq!(run(&mut apply).unwrap().applied, Slot::new(4));
    let executed = outcomes[2].try_recv().unwrap().unwrap();
    assert_eq!(executed.reply, Bytes::from_static(b"4"));
}
