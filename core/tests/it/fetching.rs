//! A snapshot that travels in parts: lost, late and wrong ones, sources that go, full disks.
//! Knows nothing about what is in it, nor about what installing it does.

use chil_core::message::{Chunk, Offer};
use chil_core::{Message, NodeId, Output, Refusal, Role, SnapshotId, Span};

use crate::rig::Rig;
use crate::rig::snapshots::PART;
use crate::snapshots::{decide, installed, offer, one_is_behind, one_is_behind_with};

const ROUND: Span = Span::from_millis(100);

/// What is fetched is fetched once: after a crash of the receiver, and from another node when
/// the first one is gone.
#[test]
fn a_transfer_goes_on_from_its_last_part_and_from_another_node() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none_or(|partial| partial.have < 2 * PART) {
        rig.run(Span::from_millis(1));
    }
    let have = rig.partial(3).expect("begun").have;
    assert!(have < id.bytes, "not at once");
    rig.crash(3, usize::MAX);
    rig.start(3);
    rig.isolate(1);
    rig.trace.clear();
    for _ in 0..60 {
        rig.run(ROUND);
        if rig.status(3).snapshot == Some(id) {
            break;
        }
    }
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
    let again = rig
        .trace
        .iter()
        .any(|line| line.contains("n3 send") && line.contains("FetchChunk 0+"));
    assert!(!again, "the first part was asked for again");
}

#[test]
fn a_source_that_falls_silent_is_replaced() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.status(3).fetching.is_none() {
        rig.run(Span::from_millis(1));
    }
    // It still leads, but sends no parts any more.
    let mute =
        |e: &chil_core::Envelope| e.from == NodeId::new(1) && matches!(e.body, Message::Chunk(_));
    rig.run_losing(ROUND.times(20), mute);
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// A link that was bad for long makes the node patient; whoever offers the same snapshot
/// meanwhile is there now, and is asked at once.
#[test]
fn whoever_offers_what_is_awaited_is_asked() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none() {
        rig.run(Span::from_millis(1));
    }
    let parts = |e: &chil_core::Envelope| matches!(e.body, Message::Chunk(_));
    rig.run_losing(ROUND.times(40), parts);
    assert_eq!(rig.status(3).snapshot, None);
    let (source, from) = source_and_other(&rig);
    rig.cut(source, 3);
    rig.cut(3, source);
    rig.run_losing(ROUND.times(2), parts);
    let led = rig.status(from).promised;
    rig.inject(from, 3, offer(id, led));
    rig.run(ROUND);
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// Whom n3 has asked for a part last, and who else is there.
fn source_and_other(rig: &Rig) -> (usize, usize) {
    match rig.trace.iter().rev().find(|l| l.contains("FetchChunk")) {
        Some(line) if line.contains("n3 send n1") => (1, 2),
        _ => (2, 1),
    }
}

/// A bad link makes a node patient with its source. Who is silent altogether is not waited for when
/// somebody else has something newer; who only sends no parts is.
#[test]
fn a_source_that_is_gone_is_not_waited_for() {
    for gone in [false, true] {
        let (mut rig, id) = one_is_behind();
        rig.start(3);
        while rig.partial(3).is_none() {
            rig.run(Span::from_millis(1));
        }
        let parts = |e: &chil_core::Envelope| matches!(e.body, Message::Chunk(_));
        rig.run_losing(ROUND.times(60), parts);
        // The link is good again, and the wait as long as before.
        let have = rig.partial(3).expect("begun").have;
        while rig.partial(3).is_some_and(|partial| partial.have == have) {
            rig.run(Span::from_millis(1));
        }
        let (source, other) = source_and_other(&rig);
        if gone {
            rig.cut(source, 3);
            rig.cut(3, source);
        }
        rig.run_losing(ROUND.times(5), parts);
        let newer = SnapshotId {
            slot: id.slot.next(),
            digest: 1,
            ..id
        };
        let led = rig.status(other).promised;
        rig.inject(other, 3, offer(newer, led));
        let fetched = rig.status(3).fetching.map(|(id, _)| id);
        assert_eq!(
            fetched,
            Some(if gone { newer } else { id }),
            "{}",
            rig.show()
        );
    }
}

/// Wrong bytes are found by the digest, thrown away, and fetched again.
#[test]
fn a_snapshot_with_a_wrong_byte_is_never_installed() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none() {
        rig.run(Span::from_millis(1));
    }
    rig.spoil(3);
    let before = rig.partial(3).expect("begun").have;
    rig.run(Span::from_millis(50));
    assert_eq!(rig.partial(3), None, "thrown away, had {before}");
    assert_eq!(installed(&mut rig, 3), []);
    rig.run(ROUND.times(30));
    assert_eq!(installed(&mut rig, 3), [id]);
}

#[test]
fn a_full_disk_holds_a_transfer_up_and_no_more() {
    let (mut rig, id) = one_is_behind();
    rig.fill_disk(3, true);
    rig.start(3);
    rig.run(ROUND.times(30));
    assert_eq!(rig.status(3).snapshot, None);
    assert_eq!(rig.status(1).role, Role::Leading);
    rig.fill_disk(3, false);
    rig.run(ROUND.times(80));
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// Who keeps something newer by now says so, and that is fetched instead.
#[test]
fn a_snapshot_that_is_gone_is_replaced_by_a_newer_one() {
    let (mut rig, old) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none() {
        rig.run(Span::from_millis(1));
    }
    for number in [1, 2] {
        rig.forget(number, old);
    }
    decide(&mut rig, 1, 3);
    rig.run(ROUND);
    for number in [1, 2] {
        rig.snapshot(number);
    }
    assert_eq!(rig.status(3).snapshot, None);
    rig.run(ROUND.times(30));
    let newer = rig.status(1).snapshot.expect("made");
    assert!(newer.slot > old.slot);
    assert_eq!(rig.status(3).snapshot, Some(newer), "{}", rig.show());
    assert_eq!(rig.state(3), rig.state(1));
}

/// The driver keeps what this node has given up for another one: when that comes again, its file
/// is further than the node remembers.
#[test]
fn a_transfer_that_was_left_for_another_goes_on_where_its_file_is() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none_or(|partial| partial.have < 3 * PART) {
        rig.run(Span::from_millis(1));
    }
    let have = rig.partial(3).expect("begun").have;
    rig.crash(3, usize::MAX);
    rig.start(3);
    rig.persist(3);
    rig.isolate(3);
    // Something newer is offered first, by somebody who is gone before the first part.
    let newer = SnapshotId {
        slot: id.slot.next(),
        digest: 1,
        ..id
    };
    let led = rig.status(1).ballot;
    rig.inject(2, 3, offer(newer, led));
    assert_eq!(rig.status(3).fetching, Some((newer, 0)));
    rig.run(ROUND.times(400));
    assert_eq!(rig.status(3).fetching, None, "given up");
    rig.heal();
    rig.run(ROUND.times(30));
    assert_eq!(
        rig.status(3).snapshot,
        Some(id),
        "had {have}: {}",
        rig.show()
    );
}

/// Under load there is always a newer one: what is on its way is finished all the same.
#[test]
fn a_newer_snapshot_does_not_end_a_transfer_that_gets_on() {
    let (mut rig, old) = one_is_behind();
    rig.cut(2, 3);
    rig.cut(3, 2);
    rig.start(3);
    let mut round = 0;
    while rig.status(3).snapshot.is_none() && round < 300 {
        // A part a round at most, and a new snapshot in each.
        let parts = std::cell::Cell::new(0);
        rig.run_losing(ROUND, |e| {
            let is_part = matches!(e.body, Message::Chunk(_));
            parts.set(parts.get() + u64::from(is_part));
            is_part && parts.get() > 1
        });
        round += 1;
        rig.propose(1, &format!("r{round}"));
        rig.run_losing(Span::from_millis(5), |e| {
            matches!(e.body, Message::Chunk(_))
        });
        rig.snapshot(1);
    }
    assert!(round > 5, "it took {round} rounds only");
    assert_eq!(installed(&mut rig, 3).first(), Some(&old), "{}", rig.show());
}

/// What is said about snapshots is believed only as far as it makes sense.
#[test]
fn senseless_messages_about_snapshots_change_nothing() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    rig.persist(3);
    rig.wire.clear();
    let led = rig.status(1).ballot;
    let empty = SnapshotId { bytes: 0, ..id };
    let ahead = Message::Offer(Offer {
        id,
        decided_in: led,
        commit: id.slot.prev(),
    });
    let unasked = Message::Chunk(Chunk {
        id,
        offset: 0,
        bytes: vec![1].into(),
    });
    for message in [offer(empty, led), ahead, unasked] {
        rig.inject(1, 3, message);
        assert_eq!(rig.status(3).fetching, None);
    }
    // A leader holds everything that was decided below its ballot.
    let newer = SnapshotId {
        slot: rig.status(1).last.next(),
        ..id
    };
    rig.inject(2, 1, offer(newer, led));
    assert_eq!(rig.status(1).fetching, None);
}

/// What has come whole needs nobody any more: a candidate waits for its own disk alone, however
/// long that takes and whoever is gone meanwhile.
#[test]
fn a_candidate_that_has_it_all_waits_for_its_disk() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    rig.persist(3);
    rig.hold(3);
    rig.campaign(3);
    while !rig.is_held(3) {
        rig.run(Span::from_millis(1));
    }
    let (source, _) = source_and_other(&rig);
    rig.crash(source, usize::MAX);
    rig.run(ROUND.times(80));
    assert_eq!(rig.status(3).role, Role::Preparing, "{}", rig.show());
    rig.finish(3);
    rig.run(ROUND);
    assert_eq!(rig.status(3).role, Role::Leading, "{}", rig.show());
    assert_eq!(rig.status(3).snapshot, Some(id));
}

/// A candidate that cannot write what it fetches is not one that gets on: it gives up, and
/// whoever has the log already leads.
#[test]
fn a_candidate_whose_disk_is_full_lets_another_lead() {
    let (mut rig, _) = one_is_behind();
    rig.crash(1, usize::MAX);
    rig.fill_disk(3, true);
    rig.start(3);
    rig.persist(3);
    rig.campaign(3);
    rig.run(ROUND.times(80));
    assert_eq!(rig.leader(), Some(2), "{}", rig.show());
}

/// The same if what it fetches is wrong each time.
#[test]
fn a_candidate_that_fetches_wrong_bytes_lets_another_lead() {
    let (mut rig, _) = one_is_behind();
    rig.crash(1, usize::MAX);
    rig.start(3);
    rig.persist(3);
    rig.spoil_all(3);
    rig.campaign(3);
    rig.run(ROUND.times(80));
    assert_eq!(rig.leader(), Some(2), "{}", rig.show());
}

/// Whose snapshot turned out to be wrong is not asked again while somebody else has it.
#[test]
fn wrong_bytes_are_fetched_from_somebody_else_next() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    while rig.partial(3).is_none() {
        rig.run(Span::from_millis(1));
    }
    rig.spoil(3);
    rig.trace.clear();
    for _ in 0..40 {
        rig.run(ROUND);
        if rig.status(3).snapshot == Some(id) {
            break;
        }
    }
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
    let sources: Vec<&String> = rig
        .trace
        .iter()
        .filter(|line| line.contains("n3 notice: fetches snapshot"))
        .collect();
    assert!(
        sources.iter().all(|line| line.contains("from n2")),
        "{sources:?}"
    );
}

/// A part that got lost is asked for alone: the others are on their way, or here already.
#[test]
fn only_the_part_that_is_missing_is_asked_for_again() {
    let (mut rig, id) = one_is_behind();
    rig.start(3);
    let lost = std::cell::Cell::new(false);
    rig.run_losing(ROUND.times(8), |e| {
        let first = matches!(&e.body, Message::Chunk(chunk) if chunk.offset == 0);
        first && !lost.replace(true)
    });
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
    let asked = rig.trace.iter();
    let asked = asked.filter(|line| line.starts_with("n3 send n1 FetchChunk"));
    let parts = usize::try_from(id.bytes.div_ceil(PART)).expect("a few");
    assert_eq!(asked.count(), parts + 1, "each once, and one again");
}

/// One loss of several parts costs one wait, not one for each of them.
#[test]
fn parts_that_got_lost_together_are_asked_for_together() {
    let (mut rig, id) = one_is_behind_with(|config| config.chunks_in_flight_max = 6);
    rig.start(3);
    let lost = std::cell::RefCell::new(std::collections::BTreeSet::new());
    rig.run_losing(ROUND.times(6), |e| match &e.body {
        Message::Chunk(chunk) => chunk.offset < 5 * PART && lost.borrow_mut().insert(chunk.offset),
        _ => false,
    });
    assert_eq!(lost.borrow().len(), 5, "each of them once");
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// Whoever asks for larger parts than its peer gives learns that from the first one, and waits for
/// nothing that does not come.
#[test]
fn a_source_with_smaller_parts_costs_no_waiting() {
    let (mut rig, id) = one_is_behind_with(|config| {
        if config.node == NodeId::new(3) {
            config.chunk_bytes_max = 2 * PART;
        }
    });
    rig.start(3);
    while rig.status(3).fetching.is_none() {
        rig.run(Span::from_millis(1));
    }
    assert!(id.bytes > 2 * PART, "more than one of the larger ones");
    rig.run(ROUND.times(2));
    assert_eq!(rig.status(3).snapshot, Some(id), "{}", rig.show());
}

/// What is decided faster than it is executed does not pile up without end.
#[test]
fn a_leader_that_executes_nothing_takes_nothing_more() {
    let mut rig = Rig::configured(&[1, 1, 1], |config| config.unapplied_bytes_max = 1_000);
    rig.elect(1);
    rig.hold_execution(1);
    let mut refused = 0;
    for n in 0..20 {
        rig.propose(1, &format!("v{n}"));
        rig.settle();
        let outputs = rig.outputs(1);
        refused += outputs
            .iter()
            .filter(|o| {
                matches!(
                    o,
                    Output::Refused {
                        reason: Refusal::Overloaded,
                        ..
                    }
                )
            })
            .count();
    }
    assert!((5..20).contains(&refused), "{refused} refused");
    let commit = rig.status(1).commit;
    rig.release_execution(1);
    rig.propose(1, "again");
    rig.settle();
    assert_eq!(rig.status(1).applied, commit.next(), "{}", rig.show());
}
