//! Ballot leader election (OmniPaxos, EuroSys '23, sections 2 and 5): who comes to lead, and
//! when nobody may. Knows nothing about logs.

use chil_core::{Ballot, Envelope, Lane, Role, Slot, Span};

use super::{ballot, prepare};
use crate::rig::{Rig, id};

const ROUND: Span = Span::from_millis(100);

/// Completeness: as long as a server is connected to a majority, somebody is elected, within a
/// few rounds.
#[test]
fn a_connected_majority_elects_a_leader() {
    for count in [1, 2, 3, 5, 7] {
        let mut rig = Rig::new(count);
        rig.run(ROUND.times(10));
        let leader = rig.leader().expect("somebody leads");
        rig.propose(leader, "v");
        rig.run(ROUND);
        assert_eq!(rig.status(leader).commit, Slot::new(1), "{}", rig.show());
    }
}

/// Monotonic unique ballots: each elected ballot exceeds all before it, and has one owner.
#[test]
fn elected_ballots_only_grow() {
    let mut rig = Rig::new(3);
    let mut before = Ballot::default();
    for _ in 0..6 {
        let leader = rig.run_until_led();
        let elected = rig.status(leader).ballot;
        assert!(
            elected > before && elected.node == id(leader),
            "{elected} after {before}"
        );
        before = elected;
        rig.crash(leader, 0);
        rig.run(ROUND.times(2));
        rig.start(leader);
        rig.run(ROUND.times(10));
    }
}

/// Only a server that is connected to a majority may try. One that is cut off makes no ballots,
/// and so disturbs nobody when it comes back.
#[test]
fn a_server_that_is_cut_off_raises_no_ballot() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let away = other_than(&rig, leader);
    let promised = rig.status(away).promised;
    rig.isolate(away);
    rig.run(ROUND.times(50));
    assert_eq!(rig.status(away).promised, promised);
    assert_eq!(rig.status(away).role, Role::Follower);
    let elected = rig.status(leader).ballot;
    rig.heal();
    rig.run(ROUND.times(20));
    assert_eq!(rig.leader(), Some(leader));
    assert_eq!(
        rig.status(leader).ballot,
        elected,
        "a working leader is left alone"
    );
}

/// A leader that loses its majority gives up instead of waiting for ever.
#[test]
fn a_leader_without_a_majority_gives_up() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    rig.isolate(leader);
    rig.run(ROUND.times(15));
    assert_eq!(rig.status(leader).role, Role::Follower);
    let next = rig.leader().expect("the other two elect one of them");
    assert_ne!(next, leader);
}

/// Section 2, quorum loss: all lose every link but the one to a single server, the leader
/// included. That server, the only one that reaches a majority, must come to lead.
#[test]
fn quorum_loss_the_only_connected_server_takes_over() {
    let mut rig = Rig::new(5);
    let leader = rig.run_until_led();
    let hub = other_than(&rig, leader);
    only_links_of(&mut rig, hub);
    check_progress(&mut rig, Some(hub));
}

/// Section 2, constrained election: the leader is gone, and the only server that still reaches
/// a majority has the shortest log. It must be able to lead all the same.
#[test]
fn constrained_election_a_short_log_does_not_prevent_leading() {
    let mut rig = Rig::new(5);
    let leader = rig.run_until_led();
    let hub = other_than(&rig, leader);
    rig.isolate(hub);
    rig.propose(leader, "missed by the hub");
    rig.run(ROUND);
    rig.heal();
    rig.isolate(leader);
    only_links_of(&mut rig, hub);
    check_progress(&mut rig, Some(hub));
    assert!(rig.has(hub, "missed by the hub"));
}

/// Section 2, chained: two servers lose only the link between them. The leader must not change
/// for ever.
#[test]
fn chained_a_broken_link_between_two_does_not_oscillate() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let end = other_than(&rig, leader);
    rig.cut(leader, end);
    rig.cut(end, leader);
    check_progress(&mut rig, None);
    let settled = rig.leader().map(|n| rig.status(n).ballot);
    rig.run(ROUND.times(50));
    assert_eq!(rig.leader().map(|n| rig.status(n).ballot), settled);
}

/// A link that works in one direction only is no link: only answers to the present round count.
#[test]
fn a_one_way_link_counts_as_none() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    for other in rig.numbers().filter(|&n| n != leader) {
        rig.cut(other, leader);
    }
    rig.run(ROUND.times(20));
    assert_eq!(rig.status(leader).role, Role::Follower);
    check_progress(&mut rig, None);
}

fn other_than(rig: &Rig, leader: usize) -> usize {
    let mut others = rig.numbers().filter(|&n| n != leader);
    others.next().expect("more than one node")
}

/// Cuts every link that does not end at `hub`.
fn only_links_of(rig: &mut Rig, hub: usize) {
    for a in rig.numbers() {
        for b in rig.numbers() {
            if a != b && a != hub && b != hub {
                rig.cut(a, b);
            }
        }
    }
}

fn check_progress(rig: &mut Rig, expected: Option<usize>) {
    rig.run(ROUND.times(30));
    let leader = rig.leader().expect("somebody leads");
    if let Some(expected) = expected {
        assert_eq!(leader, expected, "{}", rig.show());
    }
    let before = rig.status(leader).commit;
    rig.propose(leader, "after");
    rig.run(ROUND.times(5));
    assert!(rig.status(leader).commit > before, "{}", rig.show());
    assert!(rig.has(leader, "after"));
}

/// With weights: one heavy server and any other are a majority, the many light ones are not.
#[test]
fn a_majority_is_one_of_weight() {
    let mut rig = Rig::weighted(&[3, 1, 1]);
    rig.run_until_led();
    rig.crash(2, 0);
    rig.crash(3, 0);
    rig.run(ROUND.times(20));
    assert_eq!(rig.leader(), Some(1), "3 of 5 alone");
    rig.crash(1, 0);
    rig.start(2);
    rig.start(3);
    rig.run(ROUND.times(30));
    assert_eq!(rig.leader(), None, "2 of 5 together");
}

/// With weights: a server of weight 0 never leads, but holds everything.
#[test]
fn a_server_without_weight_never_leads() {
    let mut rig = Rig::weighted(&[0, 1]);
    let leader = rig.run_until_led();
    assert_eq!(leader, 2);
    rig.propose(2, "v");
    rig.run(ROUND.times(3));
    assert!(rig.has(1, "v"));
    rig.crash(2, 0);
    rig.run(ROUND.times(30));
    assert_eq!(rig.leader(), None);
}

/// A candidate that died with the highest promise must not block the leader that needs whoever
/// gave it: who promised is unhappy until a higher ballot leads.
#[test]
fn a_dead_candidates_promise_does_not_block_the_others() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let helper = other_than(&rig, leader);
    let dead = 6 - leader - helper;
    rig.inject(dead, helper, prepare(ballot(99, dead)));
    rig.persist(helper);
    rig.crash(dead, 0);
    rig.run(ROUND.times(20));
    let next = rig.leader().expect("two of three are enough");
    assert!(rig.status(next).ballot > ballot(99, dead), "{}", rig.show());
    rig.propose(next, "v");
    rig.run(ROUND.times(2));
    assert!(rig.has(helper, "v"));
}

/// A leader whose disk hangs steps down, although everybody still hears it.
#[test]
fn a_leader_with_a_stalled_disk_steps_down() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    rig.propose(leader, "v");
    let until = rig.now + Span::from_millis(4_000);
    while rig.now < until {
        rig.now += Span::from_millis(1);
        rig.deliver(|_| true);
        for number in rig.numbers() {
            rig.wake(number);
            if number != leader {
                rig.persist(number);
            }
        }
    }
    assert_eq!(rig.status(leader).role, Role::Follower);
    let next = rig.leader().expect("another one leads");
    assert_ne!(next, leader);
}

/// A server that only heartbeats reach tries, fails, and then lets the others go first: else it
/// would depose, again and again, whoever a majority has just elected.
#[test]
fn a_server_without_a_quorum_lane_does_not_keep_the_others_from_leading() {
    for deaf in 1..=3 {
        let mut rig = Rig::new(3);
        let gets_through = |e: &Envelope| {
            e.body.lane() == Lane::Heartbeat || (e.from != id(deaf) && e.to != id(deaf))
        };
        let until = rig.now + ROUND.times(100);
        while rig.now < until {
            rig.now += Span::from_millis(1);
            rig.wire.retain(gets_through);
            rig.deliver(|_| true);
            for number in rig.numbers() {
                rig.wake(number);
                rig.persist(number);
            }
        }
        let leader = rig.leader().expect("the other two are a majority");
        let led = rig.status(leader);
        assert_ne!(leader, deaf, "{}", rig.show());
        assert!(led.happy && led.ballot.n <= 3, "{led:?}");
    }
}

/// Disks that are slow, but within the limit, delay an election; they must not prevent it.
#[test]
fn slow_disks_do_not_prevent_an_election() {
    for latency in [100, 400, 500, 700, 900] {
        let mut rig = Rig::new(3);
        run_on_slow_disks(&mut rig, Span::from_millis(latency), ROUND.times(200));
        let leader = rig.leader();
        let leader = leader.unwrap_or_else(|| panic!("{latency} ms: nobody leads"));
        rig.propose(leader, "v");
        run_on_slow_disks(&mut rig, Span::from_millis(latency), ROUND.times(30));
        assert!(rig.has(leader, "v"), "{latency} ms: {}", rig.show());
    }
}

/// Every sync takes `latency`, and covers what was submitted before it began.
fn run_on_slow_disks(rig: &mut Rig, latency: Span, span: Span) {
    let mut under_way = vec![None; rig.numbers().count()];
    let until = rig.now + span;
    while rig.now < until {
        rig.now += Span::from_millis(1);
        rig.deliver(|_| true);
        for number in rig.numbers() {
            rig.wake(number);
            match under_way[number - 1] {
                None if rig.pending(number) > 0 => {
                    under_way[number - 1] = Some((rig.now + latency, rig.pending(number)));
                }
                Some((done, count)) if done <= rig.now => {
                    for _ in 0..count {
                        rig.persist_one(number);
                    }
                    under_way[number - 1] = None;
                }
                None | Some(_) => {}
            }
        }
    }
}
