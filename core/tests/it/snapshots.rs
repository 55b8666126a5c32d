//! A log that begins behind a snapshot: trimming it, and installing a snapshot in its place.
//! Knows nothing about what is in a snapshot, nor how one travels in parts.

use chil_core::message::{Accept, Learn, NackReason, Offer};
use chil_core::{Config, Message, Output, Record, Role, Slot, SnapshotId, Span};

use crate::paper::{ballot, log, nacks, prepare, slot};
use crate::rig::Rig;
use crate::rig::snapshots::PART;

const ROUND: Span = Span::from_millis(100);

/// Three nodes that keep nothing behind a snapshot.
fn rig() -> Rig {
    rig_with(|_| {})
}

fn rig_with(adjust: impl Fn(&mut Config)) -> Rig {
    Rig::configured(&[1, 1, 1], |config| {
        config.chunk_bytes_max = PART;
        config.chunks_in_flight_max = 2;
        config.log_tail_bytes = 0;
        config.log_keep_bytes_max = 0;
        adjust(config);
    })
}

pub(crate) fn decide(rig: &mut Rig, leader: usize, count: u64) {
    for n in 0..count {
        rig.propose(leader, &format!("k{n}"));
        rig.settle();
    }
}

/// Node 1 leads, node 3 was away while ten slots were decided and trimmed everywhere else.
pub(crate) fn one_is_behind() -> (Rig, SnapshotId) {
    one_is_behind_with(|_| {})
}

/// The same with other limits.
pub(crate) fn one_is_behind_with(adjust: impl Fn(&mut Config)) -> (Rig, SnapshotId) {
    let mut rig = rig_with(adjust);
    rig.elect(2);
    rig.elect(1);
    decide(&mut rig, 1, 2);
    rig.crash(3, 0);
    decide(&mut rig, 1, 8);
    rig.run(ROUND);
    assert_eq!(rig.snapshot(2).map(|id| id.slot), Some(slot(10)));
    let id = rig.snapshot(1).expect("something is executed");
    rig.settle();
    assert_eq!(rig.status(1).base, id.slot);
    (rig, id)
}

pub(crate) fn installed(rig: &mut Rig, number: usize) -> Vec<SnapshotId> {
    let outputs = rig.outputs(number);
    let ids = outputs.iter().filter_map(|output| match output {
        Output::Install { id } => Some(*id),
        _ => None,
    });
    ids.collect()
}

#[test]
fn a_node_that_was_away_goes_on_from_a_snapshot() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    let mut parts = 0;
    for _ in 0..2_000 {
        rig.now += Span::from_millis(1);
        parts += rig
            .wire
            .iter()
            .filter(|e| matches!(e.body, Message::Chunk(_)))
            .count();
        rig.deliver(|_| true);
        for number in rig.numbers() {
            rig.wake(number);
            rig.persist(number);
        }
    }
    let expected = usize::try_from(id.bytes.div_ceil(PART)).expect("a few");
    assert_eq!(parts, expected, "each part travels once");
    assert_eq!(installed(&mut rig, 3), [id]);
    // Behind it come entries, in the leader's ballot as for everybody.
    rig.propose(1, "more");
    rig.run(ROUND.times(3));
    assert!(rig.has(3, "k0") && rig.has(3, "k7") && rig.has(3, "more"));
    assert_eq!(rig.state(3), rig.state(1));
    assert_eq!(rig.status(3).acc, rig.status(1).ballot);
    assert_eq!(rig.disk(3).base, id.slot);
}

/// The next life begins where the snapshot ends, and is handed only what lies behind it.
#[test]
fn a_restart_begins_with_the_snapshot() {
    let (mut rig, id) = one_is_behind();
    rig.propose(1, "tail");
    rig.settle();
    rig.crash(1, usize::MAX);
    rig.outputs(1);
    rig.start(1);
    rig.persist(1);
    let status = rig.status(1);
    assert_eq!((status.applied, status.base), (id.slot, id.slot));
    assert_eq!(status.last, id.slot.next());
    assert!(rig.has(1, "k7"), "restored");
    rig.run(ROUND.times(30));
    let first = rig.outputs(1).into_iter().find_map(|output| match output {
        Output::Decided { entries } => entries.first().map(chil_core::Entry::slot),
        _ => None,
    });
    assert_eq!(first, Some(id.slot.next()));
}

/// Whatever a crash leaves of the records of an installation is a state that recovers.
#[test]
fn an_installation_is_one_atomic_record() {
    for kept in 0..6 {
        let (mut rig, id) = one_is_behind();
        // A log that nobody else has, of a ballot that is over, conflicts with the snapshot.
        let disk = rig.disk_mut(3);
        (disk.acc, disk.commit) = (ballot(1, 2), slot(0));
        let lost: Vec<_> = (0..12).map(|_| (disk.acc, "lost")).collect();
        disk.log = log(&lost);
        assert!(disk.last() > id.slot);
        rig.start(3);
        rig.persist(3);
        for _ in 0..2_000 {
            rig.now += Span::from_millis(1);
            rig.deliver(|_| true);
            for number in rig.numbers() {
                rig.wake(number);
            }
            rig.persist(1);
            rig.persist(2);
            if rig.status(3).snapshot == Some(id) {
                break;
            }
            rig.persist(3);
        }
        assert_eq!(rig.status(3).snapshot, Some(id), "kept {kept}");
        rig.crash(3, kept);
        let disk = rig.disk(3);
        if disk.meta.snap.is_some() {
            assert_eq!((disk.base, disk.last()), (id.slot, id.slot), "kept {kept}");
        } else {
            assert!(disk.last() > id.slot, "nothing of it, kept {kept}");
        }
        rig.start(3);
        rig.run(ROUND.times(40));
        let leader = rig.run_until_led();
        rig.propose(leader, "last");
        rig.run(ROUND.times(10));
        assert_eq!(rig.state(3), rig.state(1), "kept {kept}");
    }
}

/// A log that agrees with the snapshot keeps what lies behind it: those may be votes that count.
#[test]
fn what_agrees_with_the_snapshot_stays() {
    let mut rig = rig();
    let led = rig.elect(1);
    for n in 0..4 {
        rig.propose(1, &format!("k{n}"));
    }
    // Node 3 accepts all of it durably, but does not hear that it is decided.
    rig.deliver(|e| matches!(e.body, Message::Accept(_)));
    rig.persist(3);
    rig.isolate(3);
    rig.settle();
    decide(&mut rig, 1, 1);
    assert_eq!(
        (rig.status(3).last, rig.status(3).commit),
        (slot(4), slot(0))
    );
    let full = rig.snapshot(2).expect("made");
    rig.cut(1, 2);
    rig.heal();
    rig.cut(1, 3);
    // A snapshot of slot 3, as if that had been the time to make one.
    let early = rig.snapshot_at(2, 3, full);
    rig.inject(2, 3, offer(early, led));
    for _ in 0..20 {
        rig.deliver(|_| true);
        rig.persist(3);
    }
    let status = rig.status(3);
    assert_eq!((status.snapshot, status.commit), (Some(early), slot(3)));
    assert_eq!(
        (status.last, status.acc),
        (slot(4), led),
        "its vote for slot 4 stays"
    );
    assert_eq!((rig.disk(3).base, rig.disk(3).last()), (slot(3), slot(4)));
}

pub(crate) fn offer(id: SnapshotId, decided_in: chil_core::Ballot) -> Message {
    Message::Offer(Offer {
        id,
        decided_in,
        commit: id.slot,
    })
}

/// Whoever is offered what it has already, but not on its disk yet, says nothing: what it could
/// say would be answered with the same offer, as fast as messages travel.
#[test]
fn an_offer_of_what_is_on_its_way_to_the_disk_is_answered_once_it_is_there() {
    let mut rig = Rig::new(3);
    let ballot = rig.elect(1);
    let decide = |rig: &mut Rig, text| {
        rig.propose(1, text);
        for _ in 0..4 {
            rig.persist(1);
            rig.persist(2);
            rig.deliver(|_| true);
        }
    };
    decide(&mut rig, "a");
    let id = rig.snapshot(1).expect("something is executed");
    decide(&mut rig, "b");
    let status = rig.status(3);
    assert!(
        status.durable < id.slot && id.slot <= status.commit,
        "{}",
        rig.show()
    );
    let is_accepted = |message: &Message| matches!(message, Message::Accepted(_));
    rig.sent(3, 1);
    rig.inject(1, 3, offer(id, ballot));
    assert!(!rig.sent(3, 1).iter().any(is_accepted));
    rig.persist(3);
    assert!(rig.sent(3, 1).iter().any(is_accepted));
}

/// While somebody fetches a snapshot, the entries behind it stay, within the budget.
#[test]
fn the_log_behind_a_snapshot_under_way_is_kept() {
    for (budget, kept) in [(1 << 20, true), (0, false)] {
        let mut rig = Rig::configured(&[1, 1, 1], |config| {
            config.chunk_bytes_max = PART;
            config.chunks_in_flight_max = 1;
            config.log_tail_bytes = 0;
            config.log_keep_bytes_max = budget;
        });
        rig.elect(1);
        rig.crash(3, 0);
        decide(&mut rig, 1, 5);
        let old = rig.snapshot(1).expect("made");
        rig.run(ROUND.times(20));
        assert_eq!(rig.status(1).base, old.slot, "nobody needs more");
        rig.start(3);
        while rig.partial(3).is_none() {
            rig.run(Span::from_millis(1));
        }
        decide(&mut rig, 1, 5);
        rig.snapshot(1);
        rig.persist(1);
        let base = rig.status(1).base;
        assert_eq!(base == old.slot, kept, "budget {budget}: base {base}");
        rig.run(ROUND.times(40));
        assert_eq!(rig.state(3), rig.state(1), "{}", rig.show());
    }
}

/// A peer that is up and slow keeps the leader's log, as long as the budget allows it.
#[test]
fn the_log_is_kept_for_a_slow_peer_within_the_budget() {
    for (budget, kept) in [(1 << 20, true), (300, false)] {
        let mut rig = Rig::configured(&[1, 1, 1], |config| {
            config.log_tail_bytes = 0;
            config.log_keep_bytes_max = budget;
        });
        rig.elect(1);
        rig.run(ROUND.times(3));
        let before = rig.status(1).last;
        for n in 0..6 {
            rig.propose(1, &format!("v{n}"));
            // Everybody hears everything, but node 3's disk does not move.
            for _ in 0..4 {
                rig.deliver(|_| true);
                rig.persist(1);
                rig.persist(2);
            }
        }
        let last = rig.status(1).commit;
        assert_eq!(last.get(), before.get() + 6);
        rig.snapshot(1);
        let base = rig.status(1).base;
        assert_eq!(base <= before, kept, "budget {budget}: base {base}");
        assert!(base < last || !kept);
        rig.run(ROUND.times(20));
        assert_eq!(rig.state(3), rig.state(1), "{}", rig.show());
    }
}

/// Its place in the ballot does not change what a peer lacks: entries that were trimmed come as
/// a snapshot, also to one that was synced long ago.
#[test]
fn a_synced_peer_whose_next_entries_were_trimmed_gets_a_snapshot() {
    let mut rig = rig();
    rig.elect(1);
    decide(&mut rig, 1, 2);
    rig.cut(1, 3);
    decide(&mut rig, 1, 5);
    let id = rig.snapshot(1).expect("made");
    rig.settle();
    rig.heal();
    rig.run(ROUND.times(10));
    assert_eq!(installed(&mut rig, 3), [id]);
    rig.propose(1, "more");
    rig.run(ROUND.times(3));
    assert!(rig.has(3, "more"), "{}", rig.show());
}

/// Whoever had the rest of a snapshot may be gone, and those that are left may have an older one:
/// what does not get on is given up for that, long before hope is lost.
#[test]
fn an_older_snapshot_is_better_than_one_that_nobody_sends() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    rig.isolate(2);
    let later = SnapshotId {
        slot: slot(id.slot.get() + 2),
        ..id
    };
    let led = rig.status(1).ballot;
    rig.settle();
    rig.inject(2, 3, offer(later, led));
    assert_eq!(rig.status(3).fetching.map(|(id, _)| id), Some(later));
    rig.run(ROUND.times(20));
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// While an installation is on its way to the disk, the durable log is still the old one: an offer
/// that comes again must not be answered with it, or offer and answer would go back and forth as
/// fast as the network carries them.
#[test]
fn an_offer_of_what_is_being_installed_starts_no_conversation() {
    let mut rig = rig();
    let led = rig.elect(1);
    decide(&mut rig, 1, 2);
    rig.cut(1, 3);
    decide(&mut rig, 1, 5);
    let id = rig.snapshot(1).expect("made");
    rig.settle();
    rig.heal();
    rig.inject(1, 3, offer(id, led));
    for _ in 0..20 {
        rig.deliver(|_| true);
    }
    assert_eq!(installed(&mut rig, 3), [id]);
    assert!(rig.disk(3).last() < id.slot, "not durable yet");
    rig.sent(3, 1);
    rig.inject(1, 3, offer(id, led));
    assert_eq!(rig.sent(3, 1), [], "{}", rig.show());
    while rig.persist(3) {}
    let answers = rig.sent(3, 1);
    let whole = |m: &Message| matches!(m, Message::Accepted(m) if m.last == id.slot);
    assert!(answers.iter().any(whole), "{answers:?}");
}

/// A candidate whose log ends before the best one begins stays a candidate, fetches the
/// snapshot, and adopts only then.
#[test]
fn a_candidate_fetches_what_was_trimmed_before_it_leads() {
    let (mut rig, id) = one_is_behind();
    rig.propose(1, "tail");
    rig.settle();
    rig.crash(1, usize::MAX);
    rig.start(3);
    rig.persist(3);
    rig.campaign(3);
    for _ in 0..200 {
        for number in [2, 3] {
            rig.persist(number);
        }
        rig.deliver(|_| true);
        if rig.status(3).role == Role::Leading {
            break;
        }
    }
    assert_eq!(rig.status(3).role, Role::Leading, "{}", rig.show());
    assert_eq!(rig.status(3).snapshot, Some(id));
    assert!(rig.status(3).last > id.slot, "the tail was adopted");
    rig.run(ROUND.times(10));
    rig.propose(3, "after");
    rig.run(ROUND.times(5));
    assert!(rig.has(3, "tail") && rig.has(2, "after"));
}

/// As with decided entries: what a snapshot says was decided by a later ballot than any promised
/// here, so a late sync of an earlier one must not get in.
#[test]
fn installing_fences_older_ballots() {
    let (mut rig, id) = one_is_behind();
    let led = rig.status(1).ballot;
    rig.start(3);
    rig.persist(3);
    rig.isolate(1);
    let mut other = rig.envelope(2, 3, offer(id, led)).body;
    if let Message::Offer(offer) = &mut other {
        offer.commit = id.slot;
    }
    rig.inject(2, 3, other);
    rig.run(Span::from_millis(60));
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
    assert!(rig.disk(3).meta.promised >= led);
    // A sync of an older ballot that did not know of any of it.
    let stale = ballot(led.n - 1, 2);
    rig.sent(3, 2);
    rig.inject(2, 3, prepare(stale));
    assert_eq!(nacks(&rig.sent(3, 2)), [NackReason::Ballot]);
}

#[test]
fn what_was_trimmed_is_not_compared_any_more() {
    let (mut rig, id) = one_is_behind();
    let b = rig.status(1).ballot;
    let before = rig.status(2);
    // Duplicates from before: entries, a probe, and decided entries that lie before the base.
    let early = log(&[(b, "k0"), (b, "k1")]);
    let accept = |entries: Vec<chil_core::Entry>| {
        Message::Accept(Accept {
            ballot: b,
            sync: None,
            prev: Slot::ZERO,
            prev_chain: chil_core::Chain::EMPTY,
            entries,
            commit: slot(1),
            seq: 1,
        })
    };
    rig.inject(1, 2, accept(early.clone()));
    rig.inject(1, 2, accept(Vec::new()));
    rig.inject(
        1,
        2,
        Message::Learn(Learn {
            decided_in: b,
            prev: Slot::ZERO,
            prev_chain: chil_core::Chain::EMPTY,
            entries: early,
            commit: slot(2),
        }),
    );
    let after = rig.status(2);
    assert_eq!(
        (after.base, after.last, after.commit),
        (id.slot, before.last, before.commit)
    );
}

/// Nothing of the log goes before a snapshot that stands for it is named durably.
#[test]
fn trimming_follows_the_snapshot_in_the_order_of_records() {
    let mut rig = rig();
    rig.elect(1);
    decide(&mut rig, 1, 3);
    let id = rig.snapshot(1).expect("made");
    assert_eq!(rig.pending(1), 1);
    let records = rig.take_pending(1);
    let trim = records.iter().position(|r| matches!(r, Record::Trim(_)));
    let meta = records.iter().position(
        |r| matches!(r, Record::Meta(meta) if meta.snap.is_some_and(|snap| snap.id == id)),
    );
    assert!(meta.is_some() && meta < trim, "{records:?}");
    let stated = records.iter().take(trim.unwrap_or(0)).any(|record| {
        matches!(record, Record::Log(change) if change.entries.is_empty() && change.commit == id.slot)
    });
    assert!(stated, "what the log says is stated again: {records:?}");
}
