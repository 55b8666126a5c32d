//! A cluster of replicas in one thread, driven step by step: who hears what, whose disk syncs,
//! who crashes. Knows nothing about the protocol but what must be durable before it is said.

mod effects;
mod requests;
pub(crate) mod snapshots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use chil_core::kv::KeyValue;
use chil_core::message::HeartbeatReply;
use chil_core::{
    Applier, Ballot, ClusterId, Config, DiskId, Envelope, Epoch, Input, Lease, Member, Membership,
    Message, Meta, NodeId, Output, Persist, Recovered, Replica, Role, SessionLimits, Slot, Span,
    Status, Time,
};

use crate::ghost::Ghost;

/// Nodes are called by their numbers, from 1.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) now: Time,
    /// What was sent and neither delivered nor dropped, in the order of sending.
    pub(crate) wire: VecDeque<Envelope>,
    /// What happened since it was last taken, one line an output; heartbeats are left out.
    pub(crate) trace: Vec<String>,
    pub(crate) ghost: Ghost,
    nodes: Vec<Node>,
    cuts: BTreeSet<(usize, usize)>,
    requests: requests::Requests,
    snapshots: snapshots::Snapshots,
    /// Nodes whose state machines are slower than anything else.
    held: BTreeSet<usize>,
}

#[derive(Debug)]
struct Node {
    config: Config,
    /// `None` while crashed.
    replica: Option<Replica>,
    disk: Recovered,
    pending: VecDeque<Persist>,
    applier: Applier<KeyValue>,
    wake_at: Time,
    /// By how many millionths its clock runs fast.
    drift_ppm: i64,
    outputs: Vec<Output>,
    /// What it handed out as decided in this life.
    decided: Vec<chil_core::Entry>,
    /// What its driver answers next.
    answers: VecDeque<Input>,
}

impl Rig {
    /// A freshly formed cluster of `count` nodes of weight 1, all started.
    pub(crate) fn new(count: usize) -> Self {
        Self::weighted(&vec![1; count])
    }

    /// The same with these weights.
    pub(crate) fn weighted(weights: &[u32]) -> Self {
        Self::configured(weights, |_| {})
    }

    /// The same, and everybody's limits adjusted.
    pub(crate) fn configured(weights: &[u32], adjust: impl Fn(&mut Config)) -> Self {
        Self::leased(weights, None, adjust)
    }

    /// The same, with leases if there is one.
    pub(crate) fn leased(
        weights: &[u32],
        lease: Option<Lease>,
        adjust: impl Fn(&mut Config),
    ) -> Self {
        let members: BTreeMap<NodeId, Member> = (1..)
            .zip(weights)
            .map(|(number, &weight)| {
                let member = Member {
                    name: format!("n{number}"),
                    disk: DiskId::new(u128::from(number)),
                    addr: String::new(),
                    weight,
                };
                (NodeId::new(number), member)
            })
            .collect();
        let membership = Membership {
            epoch: Epoch::FIRST,
            members,
            protocol: Membership::PROTOCOL,
            lease,
            sessions: SessionLimits::default(),
        };
        let node = |id: u64| {
            let (node, disk) = (NodeId::new(id), DiskId::new(u128::from(id)));
            let meta = Meta::format(ClusterId::new(1), node, disk, membership.clone());
            let mut config = Config::new(node, 1, id);
            adjust(&mut config);
            Node {
                config,
                replica: None,
                disk: Recovered::formatted(meta),
                pending: VecDeque::new(),
                applier: Applier::new(KeyValue::default()),
                wake_at: Time::ZERO,
                drift_ppm: 0,
                outputs: Vec::new(),
                decided: Vec::new(),
                answers: VecDeque::new(),
            }
        };
        let mut rig = Self {
            now: Time::ZERO,
            wire: VecDeque::new(),
            trace: Vec::new(),
            ghost: Ghost::new(weights),
            nodes: (1..=weights.len() as u64).map(node).collect(),
            cuts: BTreeSet::new(),
            requests: requests::Requests::default(),
            snapshots: snapshots::Snapshots::default(),
            held: BTreeSet::new(),
        };
        for number in rig.numbers() {
            rig.start(number);
            rig.persist(number);
        }
        rig.wire.clear();
        rig.trace.clear();
        rig
    }

    /// The numbers of all nodes.
    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.nodes.len()
    }

    pub(crate) fn is_up(&self, number: usize) -> bool {
        self.nodes[number - 1].replica.is_some()
    }

    pub(crate) fn replica(&self, number: usize) -> &Replica {
        let replica = self.nodes[number - 1].replica.as_ref();
        replica.unwrap_or_else(|| panic!("n{number} is down"))
    }

    pub(crate) fn status(&self, number: usize) -> Status {
        self.replica(number).status()
    }

    /// What would survive a crash of the node now.
    pub(crate) fn disk(&self, number: usize) -> &Recovered {
        &self.nodes[number - 1].disk
    }

    /// The same, to be changed while the node is down.
    pub(crate) fn disk_mut(&mut self, number: usize) -> &mut Recovered {
        assert!(!self.is_up(number), "n{number} is up");
        &mut self.nodes[number - 1].disk
    }

    /// Digest of the node's state machine, and the last slot that it executed.
    pub(crate) fn state(&self, number: usize) -> (Slot, u128) {
        let applier = &self.nodes[number - 1].applier;
        (applier.applied(), applier.digest())
    }

    /// Whether the node's state machine has a value for `key`.
    pub(crate) fn has(&self, number: usize, key: &str) -> bool {
        let machine = self.nodes[number - 1].applier.machine();
        machine.get(key.as_bytes()).is_some()
    }

    /// Everything that the node put out since it was last asked, but messages and persists.
    pub(crate) fn outputs(&mut self, number: usize) -> Vec<Output> {
        std::mem::take(&mut self.nodes[number - 1].outputs)
    }

    /// The node that leads in the highest ballot, if one does.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leading = self.numbers().filter(|&n| self.is_up(n));
        leading
            .filter(|&n| self.status(n).role == Role::Leading)
            .max_by_key(|&n| self.status(n).ballot)
    }

    // ---- what can happen

    /// Hands one input to a node and takes in everything that it wants done.
    pub(crate) fn handle(&mut self, number: usize, input: Input) {
        let now = self.local(number);
        self.handle_at(number, now, input);
    }

    /// The same when the node's clock was last looked at `now`.
    pub(crate) fn handle_at(&mut self, number: usize, now: Time, input: Input) {
        if let Some(replica) = &mut self.nodes[number - 1].replica {
            replica.handle(now, input);
            self.drain(number);
        }
    }

    /// Hands over all of them before the node's outputs are looked at.
    pub(crate) fn handle_all(&mut self, number: usize, inputs: Vec<Input>) {
        let now = self.local(number);
        if let Some(replica) = &mut self.nodes[number - 1].replica {
            for input in inputs {
                replica.handle(now, input);
            }
        }
        self.drain(number);
    }

    /// The node's clock from now on runs fast by so many millionths, or slow.
    pub(crate) fn drift(&mut self, number: usize, ppm: i64) {
        assert_eq!(self.now, Time::ZERO, "a clock must not jump");
        self.nodes[number - 1].drift_ppm = ppm;
    }

    /// What the node's clock shows.
    pub(crate) fn local(&self, number: usize) -> Time {
        let ppm = self.nodes[number - 1].drift_ppm;
        let rate = u64::try_from(1_000_000 + ppm).expect("no clock runs backwards");
        Time::from_nanos(self.now.nanos() / 1_000_000 * rate)
    }

    /// Syncs everything that the node has submitted. Returns whether there was anything.
    pub(crate) fn persist(&mut self, number: usize) -> bool {
        let mut any = false;
        while self.persist_one(number) {
            any = true;
        }
        any
    }

    /// The records that the node waits for, in their order; they never reach its disk.
    pub(crate) fn take_pending(&mut self, number: usize) -> Vec<chil_core::Record> {
        let pending = std::mem::take(&mut self.nodes[number - 1].pending);
        pending
            .into_iter()
            .flat_map(|persist| persist.records)
            .collect()
    }

    /// How many `Persist`s the node waits for.
    pub(crate) fn pending(&self, number: usize) -> usize {
        self.nodes[number - 1].pending.len()
    }

    /// Syncs the node's oldest `Persist`.
    pub(crate) fn persist_one(&mut self, number: usize) -> bool {
        let Some(persist) = self.nodes[number - 1].pending.pop_front() else {
            return false;
        };
        self.write(number, &persist, persist.records.len());
        self.handle(number, Input::Persisted { lsn: persist.lsn });
        true
    }

    /// Delivers what is on the wire now and passes `which`; answers stay there. Returns how many.
    pub(crate) fn deliver(&mut self, which: impl Fn(&Envelope) -> bool) -> usize {
        let now = self.take(which);
        let count = now.len();
        for envelope in now {
            let (from, to) = (number(envelope.from), number(envelope.to));
            if !self.cuts.contains(&(from, to)) {
                self.handle(to, Input::Received(Box::new(envelope)));
            }
        }
        count
    }

    /// Delivers and syncs until nothing moves any more. No time passes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut moved = self.deliver(|e| !is_heartbeat(&e.body)) > 0;
            for number in self.numbers() {
                moved |= self.persist(number);
            }
            if !moved {
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.wire);
    }

    /// Everything works while `span` passes: messages take a millisecond, disks no time.
    pub(crate) fn run(&mut self, span: Span) {
        self.run_losing(span, |_| false);
    }

    /// The same, but what is `lost` never arrives.
    pub(crate) fn run_losing(&mut self, span: Span, lost: impl Fn(&Envelope) -> bool) {
        let until = self.now + span;
        while self.now < until {
            self.now += Span::from_millis(1);
            self.wire.retain(|envelope| !lost(envelope));
            self.deliver(|_| true);
            for number in self.numbers() {
                self.wake(number);
                self.persist(number);
            }
        }
    }

    /// Runs until some node leads and everybody who hears it follows, but not for ever.
    pub(crate) fn run_until_led(&mut self) -> usize {
        for _ in 0..100 {
            self.run(Span::from_millis(100));
            if let Some(leader) = self.leader()
                && self.status(leader).happy
            {
                return leader;
            }
        }
        panic!("nobody leads after 100 rounds");
    }

    /// Wakes the node if its deadline has passed.
    pub(crate) fn wake(&mut self, number: usize) {
        if self.nodes[number - 1].wake_at <= self.local(number) {
            self.handle(number, Input::Wake);
        }
    }

    /// Time passes for this node alone, and everybody else seems to it to be without a leader,
    /// until it asks for promises. Its `Prepare`s wait for its disk.
    pub(crate) fn campaign(&mut self, number: usize) {
        let campaigns = self.try_campaign(number);
        assert!(
            campaigns,
            "n{number} does not campaign: {:?}",
            self.status(number)
        );
    }

    /// The same; false if it does not ask within ten rounds.
    pub(crate) fn try_campaign(&mut self, number: usize) -> bool {
        let before = self.status(number).promised;
        for _ in 0..1_000 {
            self.now += Span::from_millis(1);
            self.wake(number);
            if self.status(number).promised > before {
                return true;
            }
            let is_asked =
                |e: &Envelope| e.from == id(number) && matches!(e.body, Message::Heartbeat(_));
            for envelope in self.take(is_asked) {
                let Message::Heartbeat(question) = envelope.body else {
                    continue;
                };
                let reply = HeartbeatReply {
                    round: question.round,
                    data: question.data,
                    ballot: Ballot::new(Epoch::FIRST, 0, envelope.to),
                    leader: Ballot::bottom(Epoch::FIRST),
                    happy: false,
                    able: true,
                    commit: Slot::ZERO,
                    priority: 0,
                    fresh: None,
                };
                let from = self::number(envelope.to);
                self.inject(from, number, Message::HeartbeatReply(reply));
            }
        }
        false
    }

    /// Makes the node lead, with everybody's help. No further time passes.
    pub(crate) fn elect(&mut self, number: usize) -> Ballot {
        self.campaign(number);
        self.settle();
        let status = self.status(number);
        assert_eq!(status.role, Role::Leading, "n{number}: {status:?}");
        status.ballot
    }

    /// The node gets `message`, as if `from` had sent it.
    pub(crate) fn inject(&mut self, from: usize, to: usize, message: Message) {
        let envelope = self.envelope(from, to, message);
        self.handle(to, Input::Received(Box::new(envelope)));
    }

    /// `message` with the identity that `from` has now.
    pub(crate) fn envelope(&self, from: usize, to: usize, message: Message) -> Envelope {
        Envelope {
            cluster: ClusterId::new(1),
            from: id(from),
            from_disk: DiskId::new(from as u128),
            boot: self.nodes[from - 1].disk.meta.boot,
            run: 1,
            to: id(to),
            to_boot: 0,
            epoch: Epoch::FIRST,
            body: message,
        }
    }

    /// Takes what `from` sent to `to` off the wire, but heartbeats.
    pub(crate) fn sent(&mut self, from: usize, to: usize) -> Vec<Message> {
        let matches = |e: &Envelope| e.from == id(from) && e.to == id(to) && !is_heartbeat(&e.body);
        self.take(matches).into_iter().map(|e| e.body).collect()
    }

    fn take(&mut self, which: impl Fn(&Envelope) -> bool) -> Vec<Envelope> {
        let (taken, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.wire).into_iter().partition(which);
        self.wire = rest;
        taken.into()
    }

    /// Nothing gets from `from` to `to` any more.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Nothing gets through between the node and the others, either way.
    pub(crate) fn isolate(&mut self, number: usize) {
        for other in self.numbers().filter(|&other| other != number) {
            self.cut(number, other);
            self.cut(other, number);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// The node is gone, with everything that was not synced but for the first `kept` records.
    pub(crate) fn crash(&mut self, number: usize, kept: usize) {
        self.forget_requests(number);
        let pending = std::mem::take(&mut self.nodes[number - 1].pending);
        let mut left = kept;
        for persist in &pending {
            let records = left.min(persist.records.len());
            self.write(number, persist, records);
            left -= records;
        }
        let node = &mut self.nodes[number - 1];
        node.replica = None;
        node.outputs.clear();
        node.answers.clear();
        node.decided.clear();
        node.applier = Applier::new(KeyValue::default());
    }

    /// The node comes back with what its disk holds.
    pub(crate) fn start(&mut self, number: usize) {
        let (now, applier) = (self.local(number), self.state_on_disk(number));
        let node = &mut self.nodes[number - 1];
        assert!(node.replica.is_none(), "n{number} is up already");
        node.applier = applier;
        let replica = Replica::recover(node.config.clone(), node.disk.clone(), now);
        node.replica = Some(replica.expect("the disk holds a state that was written"));
        self.drain(number);
    }

    /// Where every node stands, one line each.
    pub(crate) fn show(&self) -> String {
        let mut out = String::new();
        for number in self.numbers() {
            let line = match &self.nodes[number - 1].replica {
                None => format!("n{number} down"),
                Some(replica) => {
                    let s = replica.status();
                    let base = match s.base.get() {
                        0 => String::new(),
                        base => format!(" base={base}"),
                    };
                    format!(
                        "n{number} {:?} promised={} acc={} last={} commit={} applied={}{base}",
                        s.role, s.promised, s.acc, s.last, s.commit, s.applied
                    )
                }
            };
            writeln!(out, "{line}").expect("a string takes everything");
        }
        out
    }
}

pub(crate) fn id(number: usize) -> NodeId {
    NodeId::new(number as u64)
}

pub(crate) fn number(id: NodeId) -> usize {
    usize::try_from(id.get()).expect("the rig's ids are small")
}

/// Whether a message belongs to the rounds of heartbeats, whatever lane it travels on.
pub(crate) const fn is_heartbeat(message: &Message) -> bool {
    matches!(message, Message::Heartbeat(_) | Message::HeartbeatReply(_))
}
