//! Reads that rest on a lease: how long it lasts, when there is none, and that a new leader
//! decides nothing while its predecessor may have one. Knows nothing about what is read.

use chil_core::message::TransferNow;
use chil_core::{Ballot, Input, Lease, Message, Output, ReadVia, Role, Slot, Span, Time, Token};

use crate::paper::slot;
use crate::reads::{Answer, answers};
use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

/// Without drift a leader trusts an answer for as long as a new one waits.
const LEASE: Lease = Lease {
    duration_us: 1_000_000,
    drift_ppm: 0,
};

fn leased(lease: Lease) -> Rig {
    Rig::leased(&[1, 1, 1], Some(lease), |_| {})
}

/// Node 1 leads, and its wait is over.
fn led_by_one() -> Rig {
    let mut rig = leased(LEASE);
    rig.elect(1);
    rig.propose(1, "first");
    rig.run(ROUND.times(12));
    rig.wire.clear();
    rig.outputs(1);
    assert_eq!(rig.leader(), Some(1));
    assert_eq!(rig.status(1).commit, slot(1));
    rig
}

/// The end of the lease that the node answers a read with; `None` if it does not answer at once.
fn lease_of(rig: &mut Rig, number: usize) -> Option<Time> {
    rig.outputs(number);
    let asked = rig.read_via(number, ReadVia::Lease);
    let outputs = rig.outputs(number).into_iter();
    let mut ends = outputs.filter_map(|output| match output {
        Output::ReadReady { token, until, .. } if token == asked => until,
        _ => None,
    });
    ends.next()
}

/// Nothing more is sent for such a read: it is answered with the end of the lease.
#[test]
fn a_lease_serves_without_a_message() {
    let mut rig = led_by_one();
    let until = lease_of(&mut rig, 1).expect("it has a lease");
    assert!(rig.now < until && until <= rig.now + LEASE.trust());
    assert!(rig.wire.is_empty(), "{:?}", rig.wire);
}

/// The lease begins when the question leaves, however late the answer is: the acceptor may have
/// promised to somebody else right after it answered.
#[test]
fn a_lease_counts_from_the_sending_not_from_the_answer() {
    let mut rig = led_by_one();
    let sent = rig.now;
    rig.read(1);
    rig.deliver(|e| e.from == id(1) && matches!(e.body, Message::Accept(_)));
    rig.now += Span::from_millis(70);
    rig.deliver(|e| e.to == id(1) && matches!(e.body, Message::Accepted(_)));
    let until = lease_of(&mut rig, 1).expect("it has a lease");
    // Up to a sixteenth less, since not every sending is remembered.
    assert!(until <= sent + LEASE.trust(), "{until} counts from {sent}");
    assert!(
        sent + LEASE.trust().divided(16).times(14) <= until,
        "{until}"
    );
}

/// One answer more makes no quorum of five, nor does that of a member without weight.
#[test]
fn a_lease_needs_a_quorum_of_answers() {
    for weights in [&[1, 1, 1, 1, 1][..], &[1, 1, 1, 0]] {
        let mut rig = Rig::leased(weights, Some(LEASE), |_| {});
        rig.elect(1);
        rig.run(ROUND.times(12));
        let before = lease_of(&mut rig, 1).expect("it has a lease");
        rig.wire.clear();
        let last = weights.len();
        rig.run_losing(ROUND, |e| e.to != id(last) && e.body.name() == "Accept");
        let after = lease_of(&mut rig, 1).expect("it still has one");
        assert!(after <= before, "{weights:?}: {before} {after}");
    }
}

/// A node that is a quorum alone needs nobody's answer.
#[test]
fn a_single_node_has_a_lease_of_its_own() {
    let mut rig = Rig::leased(&[1], Some(LEASE), |_| {});
    rig.run_until_led();
    rig.run(ROUND.times(12));
    assert_eq!(lease_of(&mut rig, 1), Some(rig.now + LEASE.trust()));
}

/// Without a valid lease such a read is one like any other: a probe confirms it.
#[test]
fn a_probe_serves_where_there_is_no_lease() {
    // None in this cluster; or it ended, because nobody answered.
    let mut unleased = Rig::new(3);
    unleased.elect(1);
    unleased.settle();
    let short = Lease {
        duration_us: 20_000,
        drift_ppm: 0,
    };
    let mut ended = leased(short);
    ended.elect(1);
    ended.run(ROUND);
    ended.now += Span::from_millis(20);
    for mut rig in [unleased, ended] {
        rig.outputs(1);
        let token = rig.read_via(1, ReadVia::Lease);
        assert_eq!(answers(&mut rig, 1), []);
        rig.settle();
        assert_eq!(answers(&mut rig, 1), [(token, Answer::Ready(slot(0)))]);
    }
}

/// A round outlasts the lease, so that only that ends: what is told by heartbeats comes too late.
fn outlasting_leases(lease: Lease, drifts: [i64; 3]) -> Rig {
    let mut rig = Rig::leased(&[1, 1, 1], Some(lease), |config| {
        *config = config.clone().with_heartbeat(Span::from_millis(1_000));
    });
    for (number, ppm) in (1..).zip(drifts) {
        rig.drift(number, ppm);
    }
    let first = rig.run_until_led();
    rig.run(Span::from_millis(5_000));
    if first != 1 {
        let token = rig.transfer(first, Some(id(1)));
        rig.run(Span::from_millis(5_000));
        assert_eq!(rig.transfer_end(first, token), Some(Ok(())));
    }
    assert_eq!(rig.leader(), Some(1));
    rig.propose(1, "first");
    rig.run(ROUND);
    rig.outputs(1);
    rig
}

/// A forged word of node 1 makes node 2 campaign, and lead with node 3's help; node 1 learns
/// nothing of it.
fn usurp(rig: &mut Rig) {
    rig.isolate(1);
    let word = TransferNow {
        ballot: rig.status(1).ballot,
        last: rig.status(1).last,
    };
    rig.inject(1, 2, Message::TransferNow(word));
    rig.settle();
    assert_eq!(rig.status(2).role, Role::Leading, "{}", rig.show());
    assert_eq!(rig.status(1).role, Role::Leading);
}

const SHORT: Lease = Lease {
    duration_us: 300_000,
    drift_ppm: 0,
};

/// At its end the lease is over, to the nanosecond.
#[test]
fn a_lease_is_over_when_it_ends() {
    let mut rig = outlasting_leases(SHORT, [0, 0, 0]);
    rig.read(1);
    rig.settle();
    rig.outputs(1);
    let until = rig.now + SHORT.trust();
    assert_eq!(lease_of(&mut rig, 1), Some(until));
    rig.isolate(1);
    let ready = |rig: &Rig, now| {
        let mut replica = rig.replica(1).clone();
        let read = Input::Read {
            token: Token::new(999),
            via: ReadVia::Lease,
        };
        replica.handle(now, read);
        let outputs = std::iter::repeat_with(|| replica.poll_output());
        let mut now = outputs.take_while(|output| !matches!(output, Output::Wait(_)));
        now.any(|output| matches!(output, Output::ReadReady { .. }))
    };
    assert!(ready(&rig, Time::from_nanos(until.nanos() - 1)));
    assert!(!ready(&rig, until));
}

/// The wait is the new leader's; what its promises knew to be decided it may say at once.
#[test]
fn a_new_leader_decides_nothing_new_until_the_old_lease_has_ended() {
    let mut rig = led_by_one();
    rig.propose(1, "undecided");
    rig.wire.clear();
    rig.isolate(1);
    let began = rig.now;
    rig.elect(2);
    let prepared = rig.now;
    rig.propose(2, "second");
    rig.settle();
    rig.read(2);
    rig.settle();
    assert_eq!(rig.status(2).commit, slot(1), "what was known before");
    assert_eq!(answers(&mut rig, 2), []);
    // The driver is woken at the right time, and not a moment earlier is anything decided.
    let until = prepared + LEASE.wait();
    rig.run_losing(until.since(rig.now + Span::from_millis(1)), |_| false);
    assert_eq!(rig.status(2).commit, slot(1));
    assert_eq!(rig.status(3).commit, slot(1));
    rig.run(Span::from_millis(1));
    assert_eq!(rig.now, until);
    assert_eq!(rig.status(2).commit, slot(2));
    rig.settle();
    assert!(began < prepared && matches!(answers(&mut rig, 2)[..], [(_, Answer::Ready(_))]));
}

/// With clocks as wrong as allowed, the slow one the old leader's, no instant is left at which
/// that one has a lease while the new one has decided.
#[test]
fn the_slowest_clock_and_the_fastest_never_overlap() {
    for drift_ppm in [0, 1_000, 50_000, 200_000] {
        let lease = Lease { drift_ppm, ..SHORT };
        let ppm = i64::from(drift_ppm);
        let mut rig = outlasting_leases(lease, [-ppm, ppm, ppm]);
        // Node 3 answers the old leader, and at the same instant promises to the new one.
        rig.read(1);
        rig.settle();
        usurp(&mut rig);
        rig.propose(2, "second");
        rig.settle();
        let (mut served_for, mut decided_for) = (0, 0);
        for _ in 0..400 {
            rig.now += Span::from_millis(1);
            rig.wake(2);
            rig.settle();
            let served = lease_of(&mut rig, 1).is_some();
            let decided = slot(1) < rig.status(2).commit;
            assert!(!(served && decided), "{drift_ppm}: at {}", rig.now);
            served_for += u64::from(served);
            decided_for += u64::from(decided);
        }
        // Nor is more given away than the clocks demand.
        let shared = 300_000_000 / (1_000_000 + u64::from(drift_ppm));
        assert!(served_for + 2 >= shared, "{drift_ppm}: {served_for} ms");
        assert!(
            decided_for + shared + 2 >= 400,
            "{drift_ppm}: {decided_for} ms"
        );
    }
}

/// What the driver took from its clock before it was paused proves nothing afterwards: it looks
/// again before it answers, and then the lease has ended.
#[test]
fn whoever_was_paused_sees_that_its_lease_has_ended() {
    let mut rig = outlasting_leases(SHORT, [0, 0, 0]);
    rig.read(1);
    rig.settle();
    usurp(&mut rig);
    rig.propose(2, "second");
    rig.now += SHORT.wait();
    rig.wake(2);
    rig.settle();
    assert_eq!(rig.status(2).commit, slot(2));
    rig.outputs(1);
    let token = rig.read_late(1, ReadVia::Lease, SHORT.wait());
    let Some(Output::ReadReady {
        token: of, until, ..
    }) = rig.outputs(1).pop()
    else {
        panic!("as far as the replica knows, it has a lease");
    };
    assert_eq!(of, token);
    assert!(until.is_some_and(|until| until <= rig.now), "{until:?}");
}

/// A lease must not serve what only earlier leaders know to be decided: here the new one's own
/// disk holds up what it adopted, while all others have answered.
#[test]
fn a_lease_waits_until_what_was_adopted_is_decided() {
    let mut rig = outlasting_leases(SHORT, [0, 0, 0]);
    rig.propose(1, "adopted");
    rig.deliver(|e| e.to == id(3));
    rig.deliver(|e| e.to == id(2));
    rig.isolate(1);
    let word = TransferNow {
        ballot: rig.status(1).ballot,
        last: slot(2),
    };
    rig.inject(1, 2, Message::TransferNow(word));
    rig.persist(2);
    let with_three = |rig: &mut Rig| {
        for _ in 0..3 {
            rig.deliver(|e| e.to == id(3));
            rig.persist(3);
            rig.deliver(|e| e.to == id(2));
        }
    };
    with_three(&mut rig);
    assert_eq!(rig.status(2).role, Role::Leading);
    rig.now += SHORT.wait();
    rig.wake(2);
    rig.propose(2, "its own");
    with_three(&mut rig);
    assert_eq!(rig.status(2).peers[1].matched, Some(slot(3)));
    assert_eq!(rig.status(2).commit, slot(1));
    assert_eq!(lease_of(&mut rig, 2), None);
    rig.persist(2);
    with_three(&mut rig);
    assert_eq!(rig.status(2).commit, slot(3));
    assert!(lease_of(&mut rig, 2).is_some());
}

/// Once the successor was told to take over there is no lease, nor will there be one in this
/// ballot, whatever is answered still.
#[test]
fn a_lease_ends_before_the_successor_is_told() {
    let mut rig = led_by_one();
    assert!(lease_of(&mut rig, 1).is_some());
    rig.transfer(1, Some(id(2)));
    let told = |e: &chil_core::Envelope| matches!(e.body, Message::TransferNow(_));
    assert!(rig.wire.iter().any(told), "{:?}", rig.wire);
    assert_eq!(lease_of(&mut rig, 1), None);
    rig.wire.retain(|e| !told(e));
    rig.settle();
    assert_eq!(lease_of(&mut rig, 1), None, "it was answered, and has none");
    rig.run_losing(ROUND, told);
    assert_eq!(rig.status(1).role, Role::Leading);
    assert_eq!(lease_of(&mut rig, 1), None);
}

/// While the successor still lacks something, nothing was given up yet.
#[test]
fn a_lease_lasts_while_the_successor_catches_up() {
    let mut rig = led_by_one();
    rig.cut(1, 2);
    rig.propose(1, "missed");
    rig.settle();
    rig.transfer(1, Some(id(2)));
    assert!(lease_of(&mut rig, 1).is_some());
}

/// Who leads again, in a higher ballot, waits again: somebody else may have led in between.
#[test]
fn a_leader_that_comes_again_waits_again() {
    let mut rig = led_by_one();
    let first: Ballot = rig.status(1).ballot;
    let failed = |e: &chil_core::Envelope| matches!(e.body, Message::TransferNow(_));
    rig.transfer(1, Some(id(2)));
    rig.run_losing(ROUND.times(8), failed);
    let second = rig.status(1).ballot;
    assert!(rig.leader() == Some(1) && first < second, "{}", rig.show());
    assert_eq!(lease_of(&mut rig, 1), None);
    rig.run(ROUND.times(10));
    assert!(lease_of(&mut rig, 1).is_some());
    assert_eq!(rig.status(1).ballot, second);
    assert_eq!(rig.status(1).commit, Slot::new(1));
}
