//! What a replica says stands in the way: each story is stuck in one way, and that must be said.
//! Knows nothing about who asks.

use chil_core::explain::Topic;
use chil_core::message::{Fetch, TransferNow};
use chil_core::{Entry, Envelope, Finding, Input, Lane, Lease, Message, ReadVia, Role, Span};

use crate::paper::slot;
use crate::rig::{Rig, id};

pub(crate) const ROUND: Span = Span::from_millis(100);

/// What the node says, sentence by sentence.
fn said(rig: &Rig, number: usize) -> Vec<String> {
    let explanation = rig.replica(number).explain();
    for finding in &explanation.findings {
        // Every finding can be shown, and a program can tell it from the others.
        assert!(!finding.to_string().is_empty() && !finding.code().is_empty());
        let named = finding.text(&|node| format!("<{node}>"));
        if let Some(about) = finding.about() {
            assert!(named.contains(&format!("<{about}>")), "{named}");
        }
        let shown = |fact: &(&str, String)| !fact.0.is_empty() && !fact.1.is_empty();
        assert!(finding.facts().iter().all(shown), "{finding:?}");
    }
    explanation
        .findings
        .iter()
        .map(Finding::to_string)
        .collect()
}

fn codes(rig: &Rig, number: usize) -> Vec<&'static str> {
    let findings = rig.replica(number).explain().findings;
    findings.iter().map(Finding::code).collect()
}

fn find(rig: &Rig, number: usize, code: &str) -> Finding {
    let findings = rig.replica(number).explain().findings;
    let found = findings.iter().find(|finding| finding.code() == code);
    found
        .unwrap_or_else(|| panic!("no {code} in {findings:?}"))
        .clone()
}

pub(crate) fn three() -> Rig {
    let mut rig = Rig::new(3);
    rig.elect(1);
    rig.propose(1, "first");
    rig.run(ROUND.times(5));
    rig
}

#[test]
fn nothing_is_said_when_all_is_well() {
    let rig = three();
    for number in rig.numbers() {
        assert_eq!(said(&rig, number), [] as [&str; 0]);
    }
}

#[test]
fn too_few_that_answer_are_named() {
    let mut rig = Rig::weighted(&[1, 1, 1, 0]);
    rig.run_until_led();
    rig.run(ROUND.times(5));
    rig.crash(2, 0);
    rig.crash(3, 0);
    rig.run(ROUND.times(10));
    assert_eq!(
        find(&rig, 1, "no-quorum"),
        Finding::NoQuorum {
            weight: 1,
            total: 3,
            silent: vec![id(2), id(3)],
            unable: vec![],
        }
    );
    let Finding::Silent { peer, silence } = find(&rig, 1, "peer-silent") else {
        panic!("another finding under this code");
    };
    assert_eq!(peer, id(2));
    let silence = silence.expect("it answered once");
    assert!(
        ROUND.times(8) < silence && silence < ROUND.times(11),
        "{silence}"
    );
    let first = &said(&rig, 1)[0];
    assert_eq!(
        first,
        "nobody leads: those that answer and could help weigh 1 of 3, more than half is needed; \
         n2 and n3 do not answer"
    );
    // The member without weight says why it does not try, too.
    assert!(codes(&rig, 4).contains(&"weightless"));
}

#[test]
fn whoever_answers_but_could_not_help_is_named() {
    let mut rig = Rig::new(3);
    for number in [2, 3] {
        rig.crash(number, 0);
    }
    let promised = rig.disk(2).meta.promised;
    rig.disk_mut(2).meta.damaged = Some(promised);
    rig.start(2);
    rig.persist(2);
    rig.run(ROUND.times(5));
    assert_eq!(
        find(&rig, 1, "no-quorum"),
        Finding::NoQuorum {
            weight: 1,
            total: 3,
            silent: vec![id(3)],
            unable: vec![id(2)],
        }
    );
    assert_eq!(
        find(&rig, 1, "peer-unable"),
        Finding::Unable { peer: id(2) }
    );
    assert_eq!(find(&rig, 1, "peer-silent").about(), Some(id(3)));
    assert_eq!(find(&rig, 2, "damaged"), Finding::Damaged { promised });
    assert!(said(&rig, 1).contains(&"n3 has never answered".to_owned()));
}

/// The node would lead, but a peer is content with a leader that this node does not hear.
#[test]
fn a_peer_with_a_leader_of_its_own_is_named() {
    let mut rig = three();
    rig.cut(1, 2);
    rig.cut(2, 1);
    rig.run(ROUND.times(10));
    assert_eq!(rig.leader(), Some(1), "node 3 and the leader suffice");
    let content = Finding::PeerContent {
        peer: id(3),
        leader: id(1),
    };
    assert_eq!(find(&rig, 2, "peer-content"), content);
    assert_eq!(find(&rig, 2, "peer-content").topic(), Topic::Leader);
}

#[test]
fn a_turn_that_is_waited_for_is_said() {
    let mut rig = three();
    rig.crash(1, 0);
    let mut waited = false;
    while rig.leader().is_none() {
        rig.run(Span::from_millis(1));
        let findings = rig.replica(2).explain().findings;
        let turn = findings.iter().find_map(|finding| match finding {
            Finding::WaitsForTurn { remaining } => Some(*remaining),
            _ => None,
        });
        waited |= turn.is_some_and(|remaining| remaining < ROUND.times(2));
    }
    assert!(waited);
    assert!(!codes(&rig, 2).contains(&"waits-for-turn"));
}

#[test]
fn a_campaign_names_whose_promise_is_missing() {
    let mut rig = Rig::weighted(&[1, 1, 1, 1, 1]);
    rig.campaign(1);
    let Finding::Campaigning {
        missing,
        own_promise,
        ..
    } = find(&rig, 1, "campaigning")
    else {
        panic!("another finding under this code");
    };
    assert_eq!(missing, [id(2), id(3), id(4), id(5)]);
    assert!(own_promise, "its disk has not moved");
    rig.persist(1);
    rig.deliver(|e| e.to == id(3));
    rig.persist(3);
    rig.deliver(|e| e.to == id(1));
    let Finding::Campaigning {
        ballot,
        missing,
        own_promise,
        rounds_left,
    } = find(&rig, 1, "campaigning")
    else {
        panic!("another finding under this code");
    };
    assert_eq!(missing, [id(2), id(4), id(5)]);
    assert!(!own_promise && rounds_left > 0);
    assert_eq!(ballot, rig.status(1).ballot);
    assert!(said(&rig, 1)[0].contains("n2, n4 and n5 have not promised"));
}

#[test]
fn a_disk_that_hangs_is_said() {
    let mut rig = three();
    rig.propose(1, "second");
    for _ in 0..30 {
        rig.now += ROUND;
        rig.wake(1);
        rig.wire.clear();
    }
    let Finding::DiskSlow { waiting, stalled } = find(&rig, 1, "disk-stalled") else {
        panic!("another finding under this code");
    };
    assert!(stalled && ROUND.times(29) < waiting, "{waiting}");
    assert!(
        said(&rig, 1)
            .iter()
            .any(|line| line.contains("it does not lead"))
    );
}

#[test]
fn proposals_name_who_has_not_confirmed_them() {
    let mut rig = three();
    rig.cut(1, 3);
    rig.propose(1, "second");
    rig.propose(1, "third");
    rig.deliver(|e| e.to == id(2));
    rig.now += Span::from_millis(70);
    rig.handle(1, Input::Wake);
    let Finding::Proposals {
        entries,
        waiting,
        missing,
        own_disk,
        weight,
        total,
        full,
        bytes,
    } = find(&rig, 1, "proposals-pending")
    else {
        panic!("another finding under this code");
    };
    assert_eq!((entries, weight, total, full), (2, 0, 3, false));
    assert!(bytes > 2 * Entry::OVERHEAD as u64);
    assert_eq!(waiting, Span::from_millis(70));
    assert_eq!((missing, own_disk), (vec![id(2), id(3)], true), "no disk");
    let text = said(&rig, 1).join(" ");
    assert!(text.contains("n2 and n3 have not confirmed; it is not on this node's own disk"));
    rig.persist(1);
    let Finding::Proposals {
        missing,
        own_disk,
        weight,
        ..
    } = find(&rig, 1, "proposals-pending")
    else {
        panic!("another finding under this code");
    };
    assert_eq!((missing, own_disk, weight), (vec![id(2), id(3)], false, 1));
    assert!(!said(&rig, 1).join(" ").contains("own disk"));
    rig.settle();
    assert!(!codes(&rig, 1).contains(&"proposals-pending"));
    // Node 3 still lacks them.
    let Finding::Lagging { peer, slots, .. } = find(&rig, 1, "peer-lagging") else {
        panic!("another finding under this code");
    };
    assert_eq!((peer, slots), (id(3), 2));
}

/// Its own disk is all that a leader with the majority of the weight waits for.
#[test]
fn a_proposal_that_waits_for_the_own_disk_only_says_so() {
    let mut rig = Rig::weighted(&[3, 1, 1]);
    rig.elect(1);
    rig.settle();
    rig.propose(1, "first");
    for _ in 0..2 {
        rig.deliver(|_| true);
        rig.persist(2);
        rig.persist(3);
    }
    let Finding::Proposals {
        missing, own_disk, ..
    } = find(&rig, 1, "proposals-pending")
    else {
        panic!("another finding under this code");
    };
    assert_eq!((missing, own_disk), (vec![], true));
}

/// Heartbeats have a connection of their own: who answers there only is not silent, and must be
/// told from a peer that merely lags.
#[test]
fn a_peer_that_answers_heartbeats_only_is_named() {
    let mut rig = three();
    let deaf = |a: usize, b: usize| {
        move |e: &Envelope| {
            let between = [e.from, e.to] == [id(a), id(b)] || [e.from, e.to] == [id(b), id(a)];
            between && e.body.lane() == Lane::Quorum
        }
    };
    rig.run_losing(ROUND.times(6), deaf(1, 3));
    assert_eq!(rig.leader(), Some(1), "node 2 and the leader suffice");
    let Finding::DataSilent { peer, rounds } = find(&rig, 1, "peer-data-silent") else {
        panic!("another finding under this code");
    };
    assert_eq!(peer, id(3));
    assert!((4..=6).contains(&rounds), "{rounds}");
    assert!(!codes(&rig, 1).contains(&"peer-silent"));
    let text = said(&rig, 1).join(" ");
    assert!(text.contains("n3 answers heartbeats, but has answered nothing on the lane that"));
    rig.run(ROUND.times(3));
    assert_eq!(said(&rig, 1), [] as [&str; 0]);
    // Without a leader: that is why nobody takes over.
    rig.crash(1, 0);
    rig.run_losing(ROUND.times(12), deaf(2, 3));
    assert_eq!(rig.leader(), None);
    for (number, other) in [(2, 3), (3, 2)] {
        let silent = find(&rig, number, "peer-data-silent");
        assert_eq!(
            (silent.about(), silent.topic()),
            (Some(id(other)), Topic::Peer)
        );
    }
    // Who answers nothing at all is silent, and no more is known.
    rig.crash(3, 0);
    rig.run(ROUND.times(12));
    assert!(!codes(&rig, 2).contains(&"peer-data-silent"));
}

/// Who refuses, fetches, or waits for its disk is there: only what has to be answered at once says
/// that a lane is dead.
#[test]
fn a_peer_that_works_is_not_called_silent() {
    let mut rig = three();
    rig.crash(3, 0);
    let promised = rig.disk(3).meta.promised;
    rig.disk_mut(3).meta.damaged = Some(promised);
    rig.start(3);
    rig.persist(3);
    rig.run(ROUND.times(10));
    assert!(rig.status(3).damaged, "it refuses all of this ballot");
    assert!(!codes(&rig, 1).contains(&"peer-data-silent"));
    // The sync of a peer's log takes long to write.
    let mut rig = three();
    rig.crash(3, 0);
    rig.elect(2);
    rig.start(3);
    rig.persist(3);
    let unwritten = |e: &Envelope| e.from == id(3) && matches!(e.body, Message::Accepted(_));
    rig.run_losing(ROUND.times(12), unwritten);
    assert_eq!(rig.leader(), Some(2));
    find(&rig, 2, "peer-unsynced");
    assert!(!codes(&rig, 2).contains(&"peer-data-silent"));
    // What it says there counts, whatever it is: here, that it fetches what is decided.
    let mut rig = three();
    for _ in 0..10 {
        let fetch = Message::Fetch(Fetch {
            prev: slot(1),
            to: slot(2),
        });
        rig.inject(3, 1, fetch);
        rig.run_losing(ROUND, unwritten);
    }
    assert!(!codes(&rig, 1).contains(&"peer-data-silent"));
}

#[test]
fn a_full_window_and_overload_are_said() {
    let mut rig = crate::limits::small();
    rig.elect(1);
    rig.settle();
    rig.cut(1, 2);
    for n in 0..4 {
        rig.propose(1, &format!("k{n}"));
    }
    let Finding::Proposals { full, .. } = find(&rig, 1, "proposals-pending") else {
        panic!("another finding under this code");
    };
    assert!(full);
    let full = |finding: &Finding| matches!(finding, Finding::Lagging { peer, window_full: true, .. } if *peer == id(2));
    assert!(
        rig.replica(1).explain().findings.iter().any(full),
        "{:?}",
        said(&rig, 1)
    );
}

#[test]
fn a_peer_that_does_not_promise_or_sync_is_named() {
    let mut rig = Rig::new(3);
    rig.cut(1, 3);
    rig.elect(1);
    rig.run_losing(ROUND.times(4), |e| e.body.name() == "Prepare");
    let Finding::Unpromised {
        peer,
        ballot,
        retries,
    } = find(&rig, 1, "peer-unpromised")
    else {
        panic!("another finding under this code");
    };
    assert_eq!((peer, ballot), (id(3), rig.status(1).ballot));
    assert!(retries > 0);
    rig.heal();
    rig.run_losing(ROUND.times(8), |e| {
        e.to == id(3) && e.body.name() == "Accept"
    });
    let Finding::Unsynced {
        peer, unanswered, ..
    } = find(&rig, 1, "peer-unsynced")
    else {
        panic!("another finding under this code");
    };
    assert_eq!(peer, id(3));
    assert!(unanswered.is_some());
    // It says itself what it waits for.
    let Finding::NotSynced { ballot, .. } = find(&rig, 3, "not-synced") else {
        panic!("another finding under this code");
    };
    assert_eq!(ballot, rig.status(1).ballot);
}

#[test]
fn a_lease_that_is_let_end_is_said() {
    let lease = Lease {
        duration_us: 5_000_000,
        drift_ppm: 0,
    };
    let mut rig = Rig::leased(&[1, 1, 1], Some(lease), |_| {});
    rig.elect(1);
    rig.propose(1, "first");
    rig.settle();
    let read = rig.read(1);
    let Finding::Deferring { remaining } = find(&rig, 1, "lease-wait") else {
        panic!("another finding under this code");
    };
    assert!(Span::from_millis(4_000) < remaining && remaining <= lease.wait());
    assert!(codes(&rig, 1).contains(&"reads-unproven"), "{read:?}");
    rig.run(lease.wait() + Span::from_millis(10));
    assert!(codes(&rig, 1).is_empty(), "{:?}", said(&rig, 1));
}

#[test]
fn reads_name_who_has_not_answered() {
    let mut rig = three();
    rig.read(1);
    let unproven = |reads, missing: &[usize]| Finding::ReadsUnproven {
        reads,
        missing: missing.iter().map(|&number| id(number)).collect(),
    };
    assert_eq!(find(&rig, 1, "reads-unproven"), unproven(1, &[2, 3]));
    rig.read(1);
    assert_eq!(find(&rig, 1, "reads-unproven"), unproven(2, &[2, 3]));
    rig.settle();
    rig.read_via(2, ReadVia::Follower);
    rig.run_losing(ROUND.times(2), |e| e.body.name() == "ReadIndex");
    let Finding::ReadsAsked {
        reads,
        leader,
        rounds,
    } = find(&rig, 2, "reads-asked")
    else {
        panic!("another finding under this code");
    };
    assert_eq!((reads, leader), (1, id(1)));
    assert!((1..=2).contains(&rounds), "{rounds}");
}

#[test]
fn reads_that_wait_for_what_was_adopted_are_said() {
    let mut rig = three();
    rig.propose(1, "adopted");
    rig.deliver(|e| e.to == id(2));
    rig.persist(2);
    rig.isolate(1);
    rig.campaign(2);
    rig.persist(2);
    rig.deliver(|e| e.to == id(3));
    rig.persist(3);
    rig.deliver(|e| e.to == id(2));
    assert_eq!(rig.status(2).role, Role::Leading);
    rig.read(2);
    assert_eq!(
        find(&rig, 2, "reads-before-adoption"),
        Finding::ReadsBeforeAdoption {
            reads: 1,
            commit: slot(1),
            adopted_last: slot(2),
        }
    );
}

#[test]
fn a_transfer_under_way_is_said() {
    let mut rig = three();
    rig.propose(1, "undecided");
    rig.transfer(1, Some(id(2)));
    let handing = |slots, undecided, told| Finding::HandingOver {
        to: id(2),
        slots,
        undecided,
        told,
    };
    assert_eq!(find(&rig, 1, "handing-over"), handing(1, 1, false));
    let told = |e: &Envelope| matches!(e.body, Message::TransferNow(TransferNow { .. }));
    for _ in 0..5 {
        rig.wire.retain(|e| !told(e));
        rig.deliver(|_| true);
        for number in rig.numbers() {
            rig.persist(number);
        }
    }
    assert_eq!(find(&rig, 1, "handing-over"), handing(0, 0, true));
}
