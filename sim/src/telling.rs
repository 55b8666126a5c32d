//! What the world tells of itself: events as data, for timelines and diagrams.
//! Knows nothing about how they are shown; nothing of it changes a run.

use bytes::Bytes;
use chil_core::retry::Ask;
use chil_core::{Ballot, Entry, Lane, Message, Output, Replica, Role, Slot};

use crate::check::Violation;
use crate::network::Arrivals;
use crate::node::name;
use crate::plan::FaultKind;
use crate::report::event::{Event, State as NodeState, Step, What};
use crate::workload::{State, node_of};
use crate::world::World;

impl World {
    /// Tells what happens at a node.
    pub(crate) fn tell(&mut self, node: usize, what: impl FnOnce() -> What) {
        self.tell_at(Some(node), what);
    }

    /// Tells what happens to the world.
    pub(crate) fn tell_all(&mut self, what: impl FnOnce() -> What) {
        self.tell_at(None, what);
    }

    fn tell_at(&mut self, node: Option<usize>, what: impl FnOnce() -> What) {
        if self.trace.is_told() {
            let (n, at, what) = (self.stats.events, self.now, what());
            self.trace.tell(Event { n, at, node, what });
        }
    }

    /// Tells what a replica wants done, but for messages, which have a fate.
    pub(crate) fn tell_output(&mut self, node: usize, output: &Output) {
        if !self.trace.is_told() {
            return;
        }
        let what = match output {
            Output::Send(_) | Output::Wait(_) => return,
            Output::Persist(persist) => {
                let records = persist.records.iter();
                let records: Vec<String> = records.map(|record| format!("[{record}]")).collect();
                What::Persist {
                    lsn: persist.lsn.to_string(),
                    text: self.trace.named(records.join(" ")),
                }
            }
            Output::Decided { entries } => {
                let slot = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.slot().get());
                What::Decided {
                    first: slot(entries.first()),
                    last: slot(entries.last()),
                }
            }
            other => What::Note {
                text: self.trace.named(other),
            },
        };
        self.tell(node, || what);
    }

    /// Tells what becomes of a message.
    pub(crate) fn tell_send(
        &mut self,
        node: usize,
        to: usize,
        id: u64,
        message: &Message,
        fate: Arrivals,
    ) {
        if !self.trace.is_told() {
            return;
        }
        let what = What::Send {
            id,
            to,
            lane: lane_name(message.lane()),
            name: message.name().to_owned(),
            text: self.trace.named(message),
            ballot: ballot(message).map(|ballot| self.trace.named(ballot)),
            slots: slots(message),
            arrives: fate.times(),
        };
        self.tell(node, || what);
    }

    /// Tells what a fault hits.
    pub(crate) fn tell_fault(&mut self, index: usize, kind: &FaultKind, until: u64) {
        if !self.trace.is_told() {
            return;
        }
        let (nodes, links) = match kind {
            FaultKind::Crash { node, .. }
            | FaultKind::Absence { node }
            | FaultKind::Transfer { node, .. }
            | FaultKind::CrashInDisk { node, .. }
            | FaultKind::Isolate { node, .. }
            | FaultKind::SlowDisk { node, .. }
            | FaultKind::SlowNode { node, .. }
            | FaultKind::Pause { node }
            | FaultKind::ClockJump { node } => (vec![self.target(*node)], Vec::new()),
            FaultKind::Blackout => ((0..self.nodes.len()).collect(), Vec::new()),
            FaultKind::Cut { links }
            | FaultKind::CutLanes { links, .. }
            | FaultKind::Flap { links, .. }
            | FaultKind::Clog { links } => (Vec::new(), links.clone()),
            FaultKind::Swizzle { clogs, .. } => (clogs.clone(), Vec::new()),
        };
        let name = FaultKind::NAMES[kind.index()];
        let text = fault_words(kind, &nodes, &links);
        self.tell_all(|| What::Fault {
            index,
            name: name.to_owned(),
            text,
            nodes,
            links,
            until,
        });
    }

    /// Tells that a client's operation reaches a node.
    pub(crate) fn tell_asked(&mut self, operation: usize) {
        if !self.trace.is_told() {
            return;
        }
        let op = &self.clients.operations[operation];
        let text = self.subject.describe(&op.request);
        let (node, client) = (op.node, op.client);
        self.tell(node, || What::Client {
            client,
            operation: operation as u64,
            step: Step::Asked,
            text,
            slot: None,
        });
    }

    /// Tells that an attempt of a client with a session reaches a node.
    pub(crate) fn tell_attempt(&mut self, number: usize) {
        if !self.trace.is_told() {
            return;
        }
        let attempt = &self.attempts[number];
        let (client, node) = (attempt.client, attempt.node);
        let Ask::Propose(command) = &attempt.ask else {
            let text = format!("client {client} asks for a session (attempt {number})");
            return self.tell(node, || What::Note { text });
        };
        let Some(operation) = attempt.operation else {
            return;
        };
        let op = &self.clients.operations[operation];
        let (seq, text) = (command.seq, self.subject.describe(&op.request));
        self.tell(node, || What::Client {
            client,
            operation: operation as u64,
            step: Step::Asked,
            text: format!("{text} (request {seq} of its session, attempt {number})"),
            slot: None,
        });
    }

    /// Tells what came of a client's operation.
    pub(crate) fn tell_end(
        &mut self,
        operation: usize,
        state: State,
        slot: Option<Slot>,
        reply: Option<&Bytes>,
    ) {
        if !self.trace.is_told() {
            return;
        }
        let op = &self.clients.operations[operation];
        let mut text = self.subject.describe(&op.request);
        if let Some(reply) = reply {
            text.push_str(" → ");
            text.push_str(&self.subject.describe_reply(&op.request, reply));
        }
        let (node, client) = (op.node, op.client);
        self.tell(node, || What::Client {
            client,
            operation: operation as u64,
            step: match state {
                State::Done => Step::Done,
                State::Unknown => Step::Unknown,
                State::Dropped => Step::Failed,
                State::Trying | State::Given => Step::Asked,
            },
            text,
            slot: slot.map(Slot::get),
        });
    }

    /// Tells what was violated.
    pub(crate) fn tell_violation(&mut self, violation: &Violation) {
        if !self.trace.is_told() {
            return;
        }
        let (check, text) = (
            violation.check.to_owned(),
            self.trace.named(&violation.what),
        );
        self.tell_at(violation.node, || What::Violation { check, text });
    }

    /// Tells a node's state if it has changed.
    pub(crate) fn tell_state(&mut self, node: usize) {
        if !self.trace.is_told() {
            return;
        }
        let Some(status) = self.nodes[node].replica.as_ref().map(Replica::status) else {
            return;
        };
        let state = NodeState {
            role: match status.role {
                Role::Follower => "following",
                Role::Preparing => "campaigning",
                Role::Leading => "leading",
            }
            .to_owned(),
            promised: self.trace.named(status.promised),
            acc: self.trace.named(status.acc),
            leader: node_of(&self.ids, status.leader),
            last: status.last.get(),
            durable: status.durable.get(),
            commit: status.commit.get(),
            applied: self.nodes[node].applier.applied().get(),
        };
        let (n, now) = (self.stats.events, self.now);
        self.trace.tell_state(n, now, node, state);
    }

    /// Tells that a node is down, with what was durable.
    pub(crate) fn tell_down(&mut self, node: usize) {
        self.tell_without("down", node);
    }

    /// Tells that a node looks for its cluster.
    pub(crate) fn tell_forming(&mut self, node: usize) {
        self.tell_without("forming", node);
    }

    fn tell_without(&mut self, role: &str, node: usize) {
        if !self.trace.is_told() {
            return;
        }
        let durable = &self.judge.ghost.nodes[node];
        let state = NodeState {
            role: role.to_owned(),
            promised: self.trace.named(durable.promised),
            acc: self.trace.named(durable.acc),
            leader: None,
            last: durable.durable.last().get(),
            durable: durable.durable.last().get(),
            commit: 0,
            applied: 0,
        };
        let (n, now) = (self.stats.events, self.now);
        self.trace.tell_state(n, now, node, state);
    }
}

/// Nodes in this order, for people.
fn names(nodes: &[usize]) -> String {
    let names = nodes.iter().map(|node| name(*node));
    names.collect::<Vec<_>>().join(" ")
}

/// A fault, for people: what, whom it hits, and how hard.
fn fault_words(kind: &FaultKind, nodes: &[usize], links: &[(usize, usize)]) -> String {
    let links = links.iter();
    let links: Vec<String> = links
        .map(|(from, to)| format!("{}→{}", name(*from), name(*to)))
        .collect();
    let whom = match (kind, nodes) {
        (FaultKind::Blackout, _) => "everybody".to_owned(),
        (FaultKind::Swizzle { .. }, _) => names(nodes),
        (_, [node]) => name(*node),
        _ => links.join(" "),
    };
    let how = match kind {
        FaultKind::CrashInDisk { operations, .. } => format!(", after {operations} more"),
        FaultKind::SlowDisk { extra_us, .. } => format!(", {extra_us} µs more a sync"),
        FaultKind::Isolate {
            inbound_only: true, ..
        } => ", what it sends gets out".to_owned(),
        FaultKind::Transfer { to: Some(to), .. } => format!(" to {}", name(*to)),
        FaultKind::CutLanes { lanes, .. } => {
            let lanes = lanes.iter().map(|lane| lane_name(Lane::from(*lane)));
            format!(", {}", lanes.collect::<Vec<_>>().join(" and "))
        }
        FaultKind::Flap { down_us, up_us, .. } => {
            format!(", {down_us} µs down and {up_us} µs up in turns")
        }
        FaultKind::Swizzle { frees, .. } => format!(", freed as {}", names(frees)),
        FaultKind::SlowNode { handle_us, .. } => {
            format!(", {handle_us} µs for whatever it handles")
        }
        FaultKind::Crash { .. }
        | FaultKind::Blackout
        | FaultKind::Absence { .. }
        | FaultKind::Transfer { to: None, .. }
        | FaultKind::Cut { .. }
        | FaultKind::Isolate { .. }
        | FaultKind::Clog { .. }
        | FaultKind::Pause { .. }
        | FaultKind::ClockJump { .. } => String::new(),
    };
    format!("{} {whom}{how}", FaultKind::NAMES[kind.index()])
}

/// A lane, for people.
pub(crate) fn lane_name(lane: Lane) -> String {
    match lane {
        Lane::Heartbeat => "heartbeat",
        Lane::Quorum => "quorum",
        Lane::Bulk => "bulk",
    }
    .to_owned()
}

/// The ballot that a message speaks of.
const fn ballot(message: &Message) -> Option<Ballot> {
    match message {
        Message::Prepare(m) => Some(m.ballot),
        Message::Promise(m) => Some(m.ballot),
        Message::Accept(m) => Some(m.ballot),
        Message::Accepted(m) => Some(m.ballot),
        Message::Nack(m) => Some(m.promised),
        Message::Learn(m) => Some(m.decided_in),
        Message::HeartbeatReply(m) => Some(m.ballot),
        Message::TransferNow(m) => Some(m.ballot),
        Message::Fetch(_)
        | Message::Heartbeat(_)
        | Message::Offer(_)
        | Message::FetchChunk(_)
        | Message::Chunk(_)
        | Message::ReadIndex(_)
        | Message::ReadIndexReply(_) => None,
    }
}

/// The first and the last slot that a message speaks of.
fn slots(message: &Message) -> Option<(u64, u64)> {
    let of = |entries: &[Entry]| {
        let (first, last) = (entries.first()?, entries.last()?);
        Some((first.slot().get(), last.slot().get()))
    };
    let one = |slot: Slot| Some((slot.get(), slot.get()));
    match message {
        Message::Promise(m) => of(&m.suffix),
        Message::Accept(m) => of(&m.entries),
        Message::Learn(m) => of(&m.entries),
        Message::Accepted(m) => one(m.last),
        Message::Fetch(m) => Some((m.prev.get() + 1, m.to.get())),
        Message::Offer(m) => one(m.id.slot),
        Message::FetchChunk(m) => one(m.id.slot),
        Message::Chunk(m) => one(m.id.slot),
        Message::ReadIndexReply(m) => m.index.and_then(one),
        Message::Prepare(_)
        | Message::Nack(_)
        | Message::Heartbeat(_)
        | Message::HeartbeatReply(_)
        | Message::ReadIndex(_)
        | Message::TransferNow(_) => None,
    }
}
