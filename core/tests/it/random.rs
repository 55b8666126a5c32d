//! Random sequences of events on a few replicas, with every invariant checked after each.
//! Knows nothing about which sequences matter: proptest draws them and shrinks those that fail.

use chil_core::{Config, Entry, Envelope, Input, Lease, ReadVia, Role, Slot, Span};
use proptest::prelude::*;

use crate::rig::Rig;
use crate::rig::snapshots::PART;

/// The weights of the clusters. Sequences name nodes up to [`NODES`]; what exceeds wraps around.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        4 => Just(vec![1, 1, 1]),
        1 => Just(vec![3, 1, 1, 1]),
        1 => Just(vec![1, 1, 0]),
        1 => Just(vec![1, 1, 1, 1, 1]),
    ]
}

const NODES: usize = 5;

/// How large messages, batches, what is in flight, and a peer's window may be: in half of all
/// cases so small that little fits, and each in its own proportion.
fn limits() -> impl Strategy<Value = Option<[u64; 4]>> {
    let extra = prop_oneof![Just(0_u64), 0..1_000_u64];
    let all = [extra.clone(), extra.clone(), extra.clone(), extra];
    prop_oneof![Just(None), all.prop_map(Some)]
}

/// The least that [`Config::check`] allows, and that much more.
fn limit(config: &mut Config, [message, batch, in_flight, window]: [u64; 4]) {
    config.value_bytes_max = 64;
    let entry = config.value_bytes_max + Entry::OVERHEAD as u64;
    config.in_flight_bytes_max = entry + in_flight;
    config.message_bytes_max = config.in_flight_bytes_max + entry + message;
    config.batch_bytes_max = config.message_bytes_max.min(1 + batch);
    config.peer_window_bytes_max = config.batch_bytes_max + window;
}

/// Bytes of the log that stay behind a snapshot, and at most for peers that lag.
fn budgets() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        2 => Just((0, 0)),
        1 => (0..1_000_u64, 0..2_000_u64),
        1 => Just((1 << 20, 1 << 20)),
    ]
}

/// Leases of the cluster, with the clock of each node slow, right or fast as far as they allow.
fn leases() -> impl Strategy<Value = Option<(Lease, [i64; NODES])>> {
    let lease =
        (50_000..1_500_000_u64, 0..100_000_u32).prop_map(|(duration_us, drift_ppm)| Lease {
            duration_us,
            drift_ppm,
        });
    let clocks = proptest::array::uniform5(-1..=1_i64);
    proptest::option::of((lease, clocks))
}

fn via() -> impl Strategy<Value = ReadVia> {
    prop_oneof![
        Just(ReadVia::Leader),
        Just(ReadVia::Lease),
        Just(ReadVia::Follower)
    ]
}

/// One thing that happens. Numbers that name nothing at the time do nothing.
#[derive(Clone, Debug)]
enum Step {
    Propose(usize),
    /// By a driver whose clock is so many units of 10 ms late.
    Read(usize, ReadVia, u64),
    /// To this node, if it is one.
    Transfer(usize, Option<usize>),
    /// The message at this place of the wire arrives.
    Deliver(usize),
    /// The same, and it stays there to arrive once more.
    Repeat(usize),
    Lose(usize),
    /// Everything on the wire arrives, in order.
    DeliverAll,
    PersistOne(usize),
    Persist(usize),
    /// With this many of its unsynced records kept.
    Crash(usize, usize),
    Start(usize),
    /// In units of 10 ms, for everybody.
    Elapse(u64),
    /// The node has reason to take over.
    Campaign(usize),
    /// The node makes a snapshot of what it has executed.
    Snapshot(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 1..=NODES;
    let place = 0..12_usize;
    prop_oneof![
        8 => node.clone().prop_map(Step::Propose),
        3 => (node.clone(), via(), prop_oneof![3 => Just(0), 1 => 0..40_u64])
            .prop_map(|(n, via, late)| Step::Read(n, via, late)),
        1 => (node.clone(), proptest::option::of(node.clone()))
            .prop_map(|(n, to)| Step::Transfer(n, to)),
        10 => place.clone().prop_map(Step::Deliver),
        2 => place.clone().prop_map(Step::Repeat),
        2 => place.prop_map(Step::Lose),
        8 => Just(Step::DeliverAll),
        4 => node.clone().prop_map(Step::PersistOne),
        6 => node.clone().prop_map(Step::Persist),
        1 => (node.clone(), 0..4_usize).prop_map(|(n, kept)| Step::Crash(n, kept)),
        2 => node.clone().prop_map(Step::Start),
        2 => (1..40_u64).prop_map(Step::Elapse),
        2 => node.clone().prop_map(Step::Campaign),
        3 => node.prop_map(Step::Snapshot),
    ]
}

fn take(rig: &mut Rig, step: &Step, proposed: &mut u64) {
    let count = rig.numbers().count();
    let of = |node: usize| (node - 1) % count + 1;
    match *step {
        Step::Propose(node) => {
            *proposed += 1;
            rig.propose(of(node), &format!("v{proposed}"));
        }
        Step::Read(node, via, late) => {
            if rig.is_up(of(node)) {
                rig.read_late(of(node), via, Span::from_millis(10 * late));
            }
        }
        Step::Transfer(node, to) => {
            if rig.is_up(of(node)) {
                rig.transfer(of(node), to.map(crate::rig::id));
            }
        }
        Step::Deliver(place) => {
            if let Some(envelope) = rig.wire.remove(place) {
                arrive(rig, envelope);
            }
        }
        Step::Repeat(place) => {
            if let Some(envelope) = rig.wire.get(place).cloned() {
                arrive(rig, envelope);
            }
        }
        Step::Lose(place) => {
            rig.wire.remove(place);
        }
        Step::DeliverAll => {
            rig.deliver(|_| true);
        }
        Step::PersistOne(node) => {
            rig.persist_one(of(node));
        }
        Step::Persist(node) => {
            rig.persist(of(node));
        }
        Step::Crash(node, kept) => {
            if rig.is_up(of(node)) {
                rig.crash(of(node), kept);
            }
        }
        Step::Start(node) => {
            if !rig.is_up(of(node)) {
                rig.start(of(node));
            }
        }
        Step::Elapse(tens) => {
            rig.now += Span::from_millis(10 * tens);
            for node in rig.numbers() {
                rig.wake(node);
            }
        }
        Step::Snapshot(node) => {
            rig.snapshot(of(node));
        }
        Step::Campaign(node) => {
            let node = of(node);
            if rig.is_up(node) && rig.status(node).role == Role::Follower {
                rig.try_campaign(node);
            }
        }
    }
}

fn arrive(rig: &mut Rig, envelope: Envelope) {
    let to = crate::rig::number(envelope.to);
    rig.handle(to, Input::Received(Box::new(envelope)));
}

proptest! {
    /// Safety at every step; then, when all is well again, one leader, one log, one state.
    /// `PROPTEST_CASES` says how many, 256 by default.
    #[test]
    fn any_order_of_events_is_safe_and_heals(
        weights in weights(),
        limits in limits(),
        (tail, keep) in budgets(),
        leases in leases(),
        priorities in proptest::array::uniform5(0..3_u32),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut rig = Rig::leased(&weights, leases.map(|(lease, _)| lease), |config| {
            let number = crate::rig::number(config.node);
            config.priority = priorities[number - 1];
            config.chunk_bytes_max = PART;
            config.chunks_in_flight_max = 2;
            config.log_tail_bytes = tail;
            config.log_keep_bytes_max = tail.max(keep);
            if let Some(limits) = limits {
                limit(config, limits);
            }
        });
        if let Some((lease, clocks)) = leases {
            for node in rig.numbers() {
                rig.drift(node, clocks[node - 1] * i64::from(lease.drift_ppm));
            }
        }
        let mut proposed = 0;
        for step in &steps {
            take(&mut rig, step, &mut proposed);
        }
        let decided = rig.ghost.chosen();
        for node in rig.numbers() {
            if !rig.is_up(node) {
                rig.start(node);
            }
        }
        rig.run(Span::from_millis(4_000));
        let mut leader = rig.run_until_led();
        for _ in 0..10 {
            // A leader may just be handing over, and a new one may have to wait.
            rig.propose(leader, "last");
            rig.run(Span::from_millis(1_000));
            if rig.has(leader, "last") {
                break;
            }
            leader = rig.run_until_led();
        }
        prop_assert_eq!(rig.unanswered(), [], "{}", rig.show());
        let (applied, digest) = rig.state(leader);
        prop_assert!(applied > decided && applied > Slot::ZERO, "{}", rig.show());
        prop_assert!(rig.has(leader, "last"), "{}", rig.show());
        for node in rig.numbers() {
            prop_assert_eq!(rig.state(node), (applied, digest), "{}", rig.show());
        }
    }
}
