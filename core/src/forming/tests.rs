//! Forming, one claim a test, in a network that delivers everything in order unless told not to.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::membership::Lease;
use crate::session::SessionLimits;
use crate::time::Span;
use crate::types::DiskId;

/// A few nodes by address, and what travels between them.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) wire: VecDeque<(String, FormingMessage)>,
    pub(super) notices: Vec<String>,
}

pub(super) enum Node {
    Forming(Box<Forming>),
    Formed(Box<Meta>),
    Refused(String),
}

pub(super) const INTERVAL: Span = Span::from_millis(100);

pub(super) fn config(name: &str, disk: u128, peers: &[&str]) -> FormingConfig {
    FormingConfig {
        name: name.to_owned(),
        disk: DiskId::new(disk),
        advertise_addr: format!("{name}:7000"),
        weight: 1,
        peers: peers
            .iter()
            .map(|name| peer(&format!("{name}:7000"), 1))
            .collect(),
        single_node: false,
        lease: None,
        sessions: SessionLimits::default(),
        interval: INTERVAL,
        seed: 1,
    }
}

fn peer(addr: &str, weight: u32) -> FormingPeer {
    FormingPeer {
        addr: addr.to_owned(),
        name: None,
        weight,
    }
}

impl World {
    fn start(&mut self, config: FormingConfig) {
        let addr = config.advertise_addr.clone();
        let forming = Forming::new(config, self.now).expect("a valid configuration");
        self.nodes
            .insert(addr.clone(), Node::Forming(Box::new(forming)));
        self.drain(&addr);
    }

    /// Carries out what the node at `addr` wants done.
    fn drain(&mut self, addr: &str) {
        let Some(Node::Forming(forming)) = self.nodes.get_mut(addr) else {
            return;
        };
        let end = loop {
            match forming.poll_output() {
                FormingOutput::Send { to_addr, message } => self.wire.push_back((to_addr, message)),
                FormingOutput::Notice(notice) => self.notices.push(notice.to_string()),
                FormingOutput::Formed { meta } => break Node::Formed(meta),
                FormingOutput::Refused { reason } => break Node::Refused(reason),
                FormingOutput::Wait(_) => return,
            }
        };
        self.nodes.insert(addr.to_owned(), end);
    }

    fn deliver(&mut self, addr: &str, message: FormingMessage) {
        match self.nodes.get_mut(addr) {
            Some(Node::Forming(forming)) => {
                forming.handle(self.now, FormingInput::Received(message));
                self.drain(addr);
            }
            Some(Node::Formed(meta)) => self.wire.extend(answer_formed(meta, addr, &message)),
            Some(Node::Refused(_)) | None => {}
        }
    }

    fn deliver_all(&mut self) {
        while let Some((addr, message)) = self.wire.pop_front() {
            self.deliver(&addr, message);
        }
    }

    /// Lets time pass for everybody, with everything delivered, `rounds` times.
    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.deliver_all();
            self.now += INTERVAL.times(2);
            for addr in self.nodes.keys().cloned().collect::<Vec<_>>() {
                if let Some(Node::Forming(forming)) = self.nodes.get_mut(&addr) {
                    forming.handle(self.now, FormingInput::Wake);
                    self.drain(&addr);
                }
            }
        }
        self.deliver_all();
    }

    fn meta(&self, addr: &str) -> &Meta {
        match &self.nodes[addr] {
            Node::Formed(meta) => meta,
            Node::Forming(forming) => panic!("{addr} waits: {:?}", forming.explain()),
            Node::Refused(reason) => panic!("{addr} was refused: {reason}"),
        }
    }

    fn waits_for(&self, addr: &str) -> Vec<String> {
        match &self.nodes[addr] {
            Node::Forming(forming) => forming.explain().iter().map(ToString::to_string).collect(),
            Node::Formed(_) | Node::Refused(_) => Vec::new(),
        }
    }

    fn refusal(&self, addr: &str) -> &str {
        match &self.nodes[addr] {
            Node::Refused(reason) => reason,
            Node::Formed(_) | Node::Forming(_) => panic!("{addr} was not refused"),
        }
    }
}

fn three() -> World {
    let mut world = World::default();
    world.start(config("a", 1, &["b", "c"]));
    world.start(config("b", 2, &["a", "c"]));
    world.start(config("c", 3, &["a", "b"]));
    world
}

#[test]
fn three_nodes_form_one_cluster() {
    let mut world = three();
    world.run(3);
    let meta = world.meta("a:7000").clone();
    assert_eq!(meta.membership.members.len(), 3);
    assert_eq!(meta.cluster, meta.membership.cluster_id());
    for addr in ["b:7000", "c:7000"] {
        assert_eq!(world.meta(addr).cluster, meta.cluster);
        assert_eq!(world.meta(addr).membership, meta.membership);
    }
}

#[test]
fn all_nodes_may_be_given_the_same_list() {
    let mut world = World::default();
    for (name, disk) in [("a", 1), ("b", 2), ("c", 3)] {
        let mut config = config(name, disk, &["a", "b", "c"]);
        config.peers[1].weight = 3;
        world.start(config);
    }
    world.run(3);
    let weights = world.meta("b:7000").membership.members.values();
    let mut weights: Vec<_> = weights.map(|m| (m.name.as_str(), m.weight)).collect();
    weights.sort_unstable();
    assert_eq!(weights, [("a", 1), ("b", 3), ("c", 1)]);
}

#[test]
fn a_node_recognises_itself_behind_another_spelling_of_its_address() {
    let mut world = World::default();
    for (name, disk) in [("a", 1), ("b", 2)] {
        world.start(config(name, disk, &["a", "b"]));
    }
    let mut third = config("c", 3, &["a", "b"]);
    third.peers.push(peer("localhost:7000", 1));
    world.start(third);
    let mut a = config("a", 1, &["b", "c"]);
    a.seed = 9;
    world.start(a);
    world.start(config("b", 2, &["a", "c"]));
    // What is sent to localhost comes back to the only node that says so.
    for _ in 0..4 {
        for (addr, _) in &mut world.wire {
            if addr == "localhost:7000" {
                "c:7000".clone_into(addr);
            }
        }
        world.run(1);
    }
    assert_eq!(world.meta("c:7000").membership.members.len(), 3);
    assert_eq!(world.meta("a:7000").cluster, world.meta("c:7000").cluster);
}

#[test]
fn a_missing_peer_is_waited_for_and_named() {
    let mut world = World::default();
    world.start(config("a", 1, &["b", "c"]));
    world.start(config("b", 2, &["a", "c"]));
    world.run(20);
    assert_eq!(world.waits_for("a:7000"), ["no answer from c:7000 yet"]);
    let told = world
        .notices
        .iter()
        .filter(|n| n.contains("no answer from c:7000"))
        .count();
    assert_eq!(told, 2, "each of the two nodes says it once");
    world.start(config("c", 3, &["a", "b"]));
    world.run(3);
    assert_eq!(world.meta("a:7000").cluster, world.meta("c:7000").cluster);
}

#[test]
fn leases_that_differ_are_reported_and_equal_ones_are_part_of_the_cluster() {
    let lease = Some(Lease {
        duration_us: 500_000,
        drift_ppm: 1_000,
    });
    let mut world = World::default();
    world.start(config("a", 1, &["b"]));
    let mut b = config("b", 2, &["a"]);
    b.lease = lease;
    world.start(b);
    world.run(5);
    assert_eq!(
        world.waits_for("a:7000"),
        [
            "'b' was told to use a lease of 500000 us with 1000 ppm for reads, \
          but this node no lease: tell all nodes the same"
        ]
    );
    let mut a = config("a", 1, &["b"]);
    (a.lease, a.seed) = (lease, 2);
    world.start(a);
    world.run(3);
    for addr in ["a:7000", "b:7000"] {
        let meta = world.meta(addr);
        assert_eq!(meta.membership.lease, lease);
        assert_eq!(meta.cluster, meta.membership.cluster_id());
    }
    // Who comes back with an empty list of settings is told, not taken in.
    let mut forgetful = config("b", 2, &["a"]);
    forgetful.seed = 3;
    world.start(forgetful);
    world.run(2);
    let refusal = world.refusal("b:7000");
    assert!(refusal.contains("uses a lease of 500000 us"), "{refusal}");
}

#[test]
fn limits_of_sessions_that_differ_are_reported_and_equal_ones_are_part_of_the_cluster() {
    let mut world = World::default();
    world.start(config("a", 1, &["b"]));
    let mut b = config("b", 2, &["a"]);
    b.sessions.sessions_max = 7;
    world.start(b);
    world.run(5);
    let waits = world.waits_for("a:7000");
    assert!(
        waits[0].starts_with("'b' was told to keep 7 sessions with"),
        "{waits:?}"
    );
    let mut a = config("a", 1, &["b"]);
    (a.sessions.sessions_max, a.seed) = (7, 2);
    world.start(a);
    world.run(3);
    for addr in ["a:7000", "b:7000"] {
        let meta = world.meta(addr);
        assert_eq!(meta.membership.sessions.sessions_max, 7);
        assert_eq!(meta.cluster, meta.membership.cluster_id());
    }
    let mut forgetful = config("b", 2, &["a"]);
    forgetful.seed = 3;
    world.start(forgetful);
    world.run(2);
    let refusal = world.refusal("b:7000");
    assert!(refusal.contains("which keeps 7 sessions"), "{refusal}");
}

#[test]
fn a_lease_that_no_clock_could_keep_is_refused() {
    let mut config = config("a", 1, &["b"]);
    config.lease = Some(Lease {
        duration_us: 0,
        drift_ppm: 0,
    });
    let error = Forming::new(config, Time::ZERO).unwrap_err();
    assert!(error.to_string().contains("cannot be used"), "{error}");
}

#[test]
fn a_cluster_without_room_for_a_session_is_refused() {
    let mut config = config("a", 1, &["b"]);
    config.sessions.sessions_max = 0;
    let error = Forming::new(config, Time::ZERO).unwrap_err();
    assert!(error.to_string().contains("at least one"), "{error}");
}

#[test]
fn lists_that_differ_are_reported_with_both_sides() {
    let mut world = World::default();
    world.start(config("a", 1, &["b"]));
    let mut b = config("b", 2, &["a"]);
    b.peers[0].weight = 2;
    world.start(b);
    world.run(5);
    assert_eq!(
        world.waits_for("a:7000"),
        [
            "the peer lists of 'a' and 'b' differ: only 'b' has 'a' with weight 2, \
          only 'a' has 'a' with weight 1"
        ]
    );
    // Corrected and restarted, it forms.
    world.start(FormingConfig {
        seed: 2,
        ..config("b", 2, &["a"])
    });
    world.run(4);
    assert_eq!(world.meta("a:7000").cluster, world.meta("b:7000").cluster);
}

#[test]
fn a_wrong_name_at_an_address_is_reported() {
    let mut world = three();
    let mut a = config("a", 1, &["b", "c"]);
    a.peers[0].name = Some("bee".to_owned());
    a.seed = 2;
    world.start(a);
    world.run(3);
    assert_eq!(
        world.waits_for("a:7000"),
        ["'b' answers at b:7000, but the peer list expects 'bee' there"]
    );
}

#[test]
fn a_cluster_of_one_has_to_be_asked_for() {
    let lonely = config("a", 1, &[]);
    let refused = Forming::new(lonely.clone(), Time::ZERO).map(|_| ());
    assert_eq!(refused, Err(FormingConfigError::NoPeers));
    let mut world = World::default();
    world.start(FormingConfig {
        single_node: true,
        ..lonely
    });
    assert_eq!(world.meta("a:7000").membership.members.len(), 1);
    let with_self = FormingConfig {
        single_node: true,
        ..config("a", 1, &["a"])
    };
    world.start(with_self);
    assert_eq!(world.meta("a:7000").membership.members.len(), 1);
    let both = FormingConfig {
        single_node: true,
        ..config("a", 1, &["b"])
    };
    let refused = Forming::new(both, Time::ZERO).map(|_| ());
    assert_eq!(refused, Err(FormingConfigError::SingleWithPeers(1)));
}

#[test]
fn contradictions_in_the_list_are_refused_at_once() {
    let check = |config: FormingConfig| Forming::new(config, Time::ZERO).map(|_| ());
    assert_eq!(
        check(config("a", 1, &["b", "b"])),
        Err(FormingConfigError::Twice("b:7000".to_owned()))
    );
    assert_eq!(
        check(config("a", 1, &["a", "b", "A"])),
        Err(FormingConfigError::SelfTwice(
            "a:7000".to_owned(),
            "A:7000".to_owned()
        ))
    );
    let mut named = config("a", 1, &["b", "c"]);
    for peer in &mut named.peers {
        peer.name = Some("x".to_owned());
    }
    assert_eq!(
        check(named.clone()),
        Err(FormingConfigError::Twice("x".to_owned()))
    );
    named.peers[0].addr = "A:7000".to_owned();
    assert!(matches!(
        check(named),
        Err(FormingConfigError::ForeignName { .. })
    ));
    let mut weightless = config("a", 1, &["b"]);
    weightless.weight = 0;
    weightless.peers[0].weight = 0;
    assert_eq!(check(weightless), Err(FormingConfigError::NoVoter));
    assert_eq!(
        check(FormingConfig {
            interval: Span::ZERO,
            ..config("a", 1, &["b"])
        }),
        Err(FormingConfigError::NoInterval)
    );
}

#[test]
fn a_node_that_crashed_before_it_was_formed_joins_the_others() {
    let mut world = three();
    world.run(3);
    let cluster = world.meta("b:7000").cluster;
    world.start(FormingConfig {
        seed: 2,
        ..config("a", 1, &["b", "c"])
    });
    world.run(2);
    assert_eq!(world.meta("a:7000").cluster, cluster);
}

#[test]
fn one_formed_member_is_not_believed_alone() {
    let mut world = three();
    world.run(3);
    world.start(FormingConfig {
        seed: 2,
        ..config("a", 1, &["b", "c"])
    });
    let away = world.nodes.remove("c:7000").expect("a node");
    world.run(5);
    let waits = world.waits_for("a:7000").join("; ");
    assert!(waits.contains("no answer from c:7000 yet"), "{waits}");
    assert!(
        waits.contains("according to b, whose weight is 1 of 3"),
        "{waits}"
    );
    world.nodes.insert("c:7000".to_owned(), away);
    world.run(2);
    assert_eq!(world.meta("a:7000").cluster, world.meta("b:7000").cluster);
}

#[test]
fn a_wiped_or_unlisted_node_is_refused_with_the_reason() {
    let mut world = three();
    world.run(3);
    world.start(config("a", 99, &["b", "c"]));
    world.run(2);
    let reason = world.refusal("a:7000");
    assert!(
        reason.contains("this directory is new or another's"),
        "{reason}"
    );
    world.start(config("d", 4, &["b", "c"]));
    world.run(2);
    let reason = world.refusal("d:7000");
    assert!(reason.contains("'d' is no member of it"), "{reason}");
}

#[test]
fn a_formed_node_confirms_nothing() {
    let mut world = three();
    world.run(3);
    let confirm = FormingMessage::Confirm(Confirm {
        name: "a".to_owned(),
        disk: DiskId::new(1),
        addr: "a:7000".to_owned(),
        candidate: world.meta("b:7000").cluster,
        nonce: 5,
    });
    assert_eq!(
        answer_formed(world.meta("b:7000"), "b:7000", &confirm),
        None
    );
}

#[test]
fn what_was_confirmed_for_an_earlier_candidate_does_not_count() {
    // Node a alone, everything it hears is said by the test.
    let mut a = Forming::new(config("a", 1, &["b"]), Time::ZERO).expect("valid");
    let ask = |a: &mut Forming| {
        let (mut hello, mut confirm) = (None, None);
        loop {
            match a.poll_output() {
                FormingOutput::Send {
                    message: FormingMessage::Hello(m),
                    ..
                } => hello = Some(m),
                FormingOutput::Send {
                    message: FormingMessage::Confirm(m),
                    ..
                } => confirm = Some(m),
                FormingOutput::Formed { .. } => panic!("formed on an outdated confirmation"),
                FormingOutput::Wait(_) => return (hello, confirm),
                FormingOutput::Send { .. }
                | FormingOutput::Notice(_)
                | FormingOutput::Refused { .. } => {}
            }
        }
    };
    let hello = ask(&mut a).0.expect("a question");
    let reply = |disk: u128, round: u64| {
        let listed = |name: &str| Listed {
            name: Some(name.to_owned()),
            addr: format!("{name}:7000"),
            weight: 1,
        };
        FormingInput::Received(FormingMessage::HelloReply(HelloReply {
            name: "b".to_owned(),
            disk: DiskId::new(disk),
            addr: "b:7000".to_owned(),
            nonce: hello.nonce,
            round,
            state: HelloState::Forming {
                list: vec![listed("a"), listed("b")],
                lease: None,
                sessions: SessionLimits::default(),
            },
        }))
    };
    a.handle(Time::ZERO, reply(2, 1));
    let first = ask(&mut a).1.expect("a request to confirm");
    // b is wiped, and wiped back: the same candidate again, but another nonce.
    let mut now = Time::ZERO;
    for (round, disk) in [(2, 3), (3, 2)] {
        now += INTERVAL.times(2);
        a.handle(now, FormingInput::Wake);
        a.handle(now, reply(disk, round));
    }
    let second = ask(&mut a).1.expect("a request to confirm");
    assert_eq!(first.candidate, second.candidate);
    assert_ne!(first.nonce, second.nonce);
    let confirmed = |nonce| {
        FormingInput::Received(FormingMessage::Confirmed(Confirmed {
            name: "b".to_owned(),
            disk: DiskId::new(2),
            candidate: first.candidate,
            nonce,
        }))
    };
    a.handle(now, confirmed(first.nonce));
    ask(&mut a);
    // A delayed answer about the wiped disk changes nothing either: its round is over.
    a.handle(now, reply(3, 2));
    a.handle(now, confirmed(second.nonce));
    assert!(matches!(a.poll_output(), FormingOutput::Formed { .. }));
    assert_eq!(a.poll_output(), FormingOutput::Wait(Time::MAX));
}
