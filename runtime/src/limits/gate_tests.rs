//! Tests of the gate: its bounds, whom they leave room, and that no place is ever lost.
//! Knows nothing about sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chil_core::{Span, Time};
use proptest::prelude::*;

use super::bucket::Rate;
use super::gate::{ConnectionLimits, Counts, Gate, GateReason, Ticket, Who};

fn address(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
}

/// Small bounds, and no rate.
const SMALL: ConnectionLimits = ConnectionLimits {
    clients: 4,
    peers: 6,
    per_peer: 3,
    per_address: 3,
    per_identity: 2,
    handshakes: 8,
    handshake_rate: Rate::NONE,
    addresses_tracked: 4,
    late_max: Span::ZERO,
};

fn enter(gate: &mut Gate, from: IpAddr, who: Who<'_>) -> Result<Ticket, GateReason> {
    let is_peer = matches!(who, Who::Peer(_));
    let mut ticket = gate.arrive(Time::ZERO, from, is_peer)?;
    match gate.identified(&mut ticket, who) {
        Ok(_) => Ok(ticket),
        Err(reason) => {
            gate.left(ticket);
            Err(reason)
        }
    }
}

#[test]
fn a_flood_of_handshakes_leaves_room_for_others_and_for_peers() {
    let limits = ConnectionLimits {
        per_address: 100,
        handshakes: 16,
        ..SMALL
    };
    let mut gate = Gate::new(limits);
    let mut held = Vec::new();
    let mut flood_of = |gate: &mut Gate, n, is_peer| loop {
        match gate.arrive(Time::ZERO, address(n), is_peer) {
            Ok(ticket) => held.push(ticket),
            Err(reason) => break reason,
        }
    };
    let mut flood = |gate: &mut Gate, n| flood_of(gate, n, false);
    assert_eq!(flood(&mut gate, 1), GateReason::Address);
    assert_eq!(
        gate.counts().handshakes,
        4,
        "half of what strangers may have"
    );
    assert_eq!(flood(&mut gate, 2), GateReason::Address);
    assert_eq!(flood(&mut gate, 3), GateReason::Address);
    assert_eq!(flood(&mut gate, 4), GateReason::Handshakes);
    assert_eq!(gate.counts().handshakes, 8, "half of all places");
    // Somebody may share the address of a peer, and leaves room for the other peers all the same.
    let mut flood = |gate: &mut Gate, n| flood_of(gate, n, true);
    assert_eq!(flood(&mut gate, 1), GateReason::Address);
    assert_eq!(gate.counts().handshakes, 12, "half of what is left");
    assert_eq!(flood(&mut gate, 2), GateReason::Address);
    assert_eq!(flood(&mut gate, 3), GateReason::Address);
    assert_eq!(flood(&mut gate, 4), GateReason::Handshakes);
    assert_eq!(gate.counts().handshakes, 16);
    gate.check();
    held.into_iter().for_each(|ticket| gate.left(ticket));
    gate.check();
    assert_eq!(gate.counts(), Counts::default());
}

#[test]
fn handshakes_begin_no_faster_than_the_rate_and_one_address_gets_half() {
    let rate = Rate {
        per_second: 10,
        burst: Span::from_millis(1_000),
    };
    let limits = ConnectionLimits {
        handshake_rate: rate,
        per_address: 100,
        handshakes: 1_000,
        ..SMALL
    };
    let mut gate = Gate::new(limits);
    let mut begin = |now, n, is_peer| {
        let mut granted = 0;
        while let Ok(ticket) = gate.arrive(now, address(n), is_peer) {
            gate.left(ticket);
            granted += 1;
        }
        granted
    };
    assert_eq!(begin(Time::ZERO, 1, false), 5);
    assert_eq!(begin(Time::ZERO, 2, false), 5);
    assert_eq!(begin(Time::ZERO, 3, false), 0);
    let of_peers = [1, 3, 4].map(|n| begin(Time::ZERO, n, true));
    assert_eq!(of_peers, [5, 5, 0], "peers have a rate of their own");
    assert_eq!(begin(Time::from_nanos(200_000_000), 1, false), 1);
}

#[test]
fn one_network_of_64_bits_is_one_address_and_mapped_ones_are_of_version_4() {
    let mut gate = Gate::new(SMALL);
    let v6 = |low| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, low));
    let held: Vec<_> = (0..3)
        .map(|low| enter(&mut gate, v6(low), Who::Anybody))
        .collect();
    assert!(held.iter().all(Result::is_ok));
    let another = enter(&mut gate, v6(9), Who::Anybody);
    assert_eq!(another.unwrap_err(), GateReason::Address);

    let mut gate = Gate::new(SMALL);
    let IpAddr::V4(v4) = address(1) else {
        unreachable!("it is one of version 4")
    };
    let mapped = IpAddr::V6(v4.to_ipv6_mapped());
    let held: Vec<_> = (0..3)
        .map(|_| enter(&mut gate, mapped, Who::Anybody))
        .collect();
    assert!(held.iter().all(Result::is_ok));
    let another = enter(&mut gate, address(1), Who::Anybody);
    assert_eq!(another.unwrap_err(), GateReason::Address);
}

#[test]
fn clients_are_bounded_by_name_and_in_all_and_operators_get_in_all_the_same() {
    let mut gate = Gate::new(ConnectionLimits {
        addresses_tracked: 64,
        ..SMALL
    });
    let mut held = Vec::new();
    for (n, name) in [(1, "a"), (2, "a"), (3, "b"), (4, "c")] {
        held.push(enter(&mut gate, address(n), Who::Client(name)).unwrap());
    }
    let refused = enter(&mut gate, address(5), Who::Client("d")).unwrap_err();
    assert_eq!(refused, GateReason::Clients);
    gate.left(held.pop().unwrap());
    let refused = enter(&mut gate, address(5), Who::Client("a")).unwrap_err();
    assert_eq!(refused, GateReason::Identity);
    held.push(enter(&mut gate, address(5), Who::Client("d")).unwrap());
    let mut operator = |gate: &mut Gate, name, n| {
        let entered = enter(gate, address(n), Who::Operator(name));
        entered.map(|ticket| held.push(ticket))
    };
    for (name, first, reason) in [
        ("o", 10, GateReason::Identity),
        ("p", 20, GateReason::Clients),
    ] {
        for n in 0..8 {
            assert_eq!(operator(&mut gate, name, first + n), Ok(()));
            gate.check();
        }
        let refused = operator(&mut gate, name, first + 8).unwrap_err();
        assert_eq!(refused, reason, "one name does not take all");
    }
}

#[test]
fn operators_take_the_places_of_their_own_last() {
    let mut gate = Gate::new(SMALL);
    let mut held = Vec::new();
    for (n, name) in [(1, "o"), (2, "o"), (3, "p")] {
        held.push(enter(&mut gate, address(n), Who::Operator(name)).unwrap());
    }
    let refused = enter(&mut gate, address(4), Who::Operator("o")).unwrap_err();
    assert_eq!(
        refused,
        GateReason::Identity,
        "one tool does not take them all"
    );
    held.push(enter(&mut gate, address(4), Who::Client("a")).unwrap());
    let refused = enter(&mut gate, address(5), Who::Client("b")).unwrap_err();
    assert_eq!(refused, GateReason::Clients);
    held.push(enter(&mut gate, address(5), Who::Operator("p")).unwrap());
    gate.check();
    held.into_iter().for_each(|ticket| gate.left(ticket));
    assert_eq!(gate.counts(), Counts::default());
}

#[test]
fn one_link_more_of_a_peer_takes_the_place_of_its_oldest() {
    let mut gate = Gate::new(SMALL);
    let link = |gate: &mut Gate, name| {
        let mut ticket = gate.arrive(Time::ZERO, address(1), true).unwrap();
        let evicted = gate.identified(&mut ticket, Who::Peer(name));
        (ticket, evicted)
    };
    let (first, evicted) = link(&mut gate, "n1");
    assert_eq!(evicted, Ok(None));
    let held = [
        link(&mut gate, "n1"),
        link(&mut gate, "n1"),
        link(&mut gate, "n2"),
    ];
    assert!(held.iter().all(|(_, evicted)| *evicted == Ok(None)));
    let (fourth, evicted) = link(&mut gate, "n1");
    assert_eq!(evicted, Ok(Some(first.id())));
    gate.check();
    gate.left(first);
    gate.check();
    assert_eq!(gate.counts().peers, 4);
    let (fifth, evicted) = link(&mut gate, "n1");
    assert_eq!(evicted, Ok(Some(held[0].0.id())));
    [fourth, fifth]
        .into_iter()
        .for_each(|ticket| gate.left(ticket));
    held.into_iter().for_each(|(ticket, _)| gate.left(ticket));
    gate.check();
    assert_eq!(gate.counts(), Counts::default());
}

#[test]
fn while_a_node_comes_late_strangers_wait_a_little_and_peers_never() {
    let limits = ConnectionLimits {
        late_max: Span::from_millis(10),
        ..SMALL
    };
    let ms = |ms: u64| Time::from_nanos(ms * 1_000_000);
    let mut gate = Gate::new(limits);
    let wait = |gate: &mut Gate, at, known_peer| {
        let ticket = gate.arrive(at, address(1), known_peer).unwrap();
        let wait = ticket.wait();
        gate.left(ticket);
        wait
    };
    gate.measured(ms(0), Span::from_millis(10));
    assert_eq!(wait(&mut gate, ms(0), false), Span::ZERO, "within bounds");
    gate.measured(ms(0), Span::from_millis(50));
    assert_eq!(wait(&mut gate, ms(20), false), Span::from_millis(30));
    assert_eq!(wait(&mut gate, ms(20), true), Span::ZERO, "a peer");
    assert_eq!(wait(&mut gate, ms(50), false), Span::ZERO, "it is over");
    gate.measured(ms(60), Span::from_millis(9_000));
    let longest = wait(&mut gate, ms(60), false);
    assert_eq!(longest, Span::from_millis(500), "nobody waits for ever");
    gate.measured(ms(70), Span::from_millis(1));
    assert_eq!(wait(&mut gate, ms(70), false), Span::ZERO, "in time again");
    gate.check();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive(u8, bool),
    Identify(usize, u8),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u8..8, any::<bool>()).prop_map(|(from, peer)| Step::Arrive(from, peer)),
        3 => (any::<usize>(), 0_u8..12).prop_map(|(at, who)| Step::Identify(at, who)),
        2 => any::<usize>().prop_map(Step::Leave),
    ]
}

fn who(n: u8) -> Who<'static> {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    match n {
        0..4 => Who::Peer(NAMES[usize::from(n)]),
        4..8 => Who::Client(NAMES[usize::from(n - 4)]),
        8..10 => Who::Anybody,
        _ => Who::Operator(NAMES[usize::from(n - 10)]),
    }
}

proptest! {
    /// Whatever comes and goes, the numbers add up, and all places are there again in the end.
    #[test]
    fn no_place_is_ever_lost(steps in prop::collection::vec(step(), 1..200)) {
        let mut gate = Gate::new(SMALL);
        let (mut shaking, mut inside): (Vec<Ticket>, Vec<Ticket>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Arrive(from, is_peer) => {
                    shaking.extend(gate.arrive(Time::ZERO, address(from), is_peer));
                }
                Step::Identify(at, n) if !shaking.is_empty() => {
                    let mut ticket = shaking.swap_remove(at % shaking.len());
                    match gate.identified(&mut ticket, who(n)) {
                        Ok(evicted) => {
                            inside.push(ticket);
                            if let Some(id) = evicted {
                                let at = inside.iter().position(|ticket| ticket.id() == id);
                                gate.left(inside.swap_remove(at.expect("it is inside")));
                            }
                        }
                        Err(_) => gate.left(ticket),
                    }
                }
                Step::Leave(at) if !inside.is_empty() => {
                    gate.left(inside.swap_remove(at % inside.len()));
                }
                Step::Identify(..) | Step::Leave(_) => {}
            }
            gate.check();
            let counts = gate.counts();
            prop_assert_eq!(counts.handshakes, shaking.len());
            prop_assert_eq!(counts.peers + counts.clients, inside.len());
        }
        shaking.into_iter().chain(inside).for_each(|ticket| gate.left(ticket));
        gate.check();
        prop_assert_eq!(gate.counts(), Counts::default());
        // What was refused before finds room now.
        let (a, b) = (address(1), address(2));
        prop_assert!(enter(&mut gate, a, Who::Client("a")).is_ok());
        prop_assert!(enter(&mut gate, b, Who::Peer("a")).is_ok());
    }
}
