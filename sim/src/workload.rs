//! Clients: what they ask for, whom they ask, and what became of it.
//! Knows nothing about consensus; an operation ends as done, unknown, or never taken.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::{NodeId, Slot};

use crate::check::linearizable::Seen;
use crate::dice::{Concern, Dice, Draw, Lot};
use crate::plan::{LostAnswer, Plan, Scripted};
use crate::subject::{Request, Subject, Workload};

/// Answers to clients with sessions that are lost, and that come twice, of a million.
const LOST_PPM: u32 = 20_000;
const TWICE_PPM: u32 = 20_000;
/// Reads that go to any node, of a million.
const WANDERING_READS_PPM: u32 = 250_000;

/// All clients of a run and all their operations.
pub(crate) struct Clients {
    plan: crate::plan::WorkloadPlan,
    nodes: usize,
    dice: Dice,
    /// What requests are drawn by, and from.
    requests: Box<dyn Workload>,
    request_dice: Dice,
    seed: u64,
    /// Messages of each client so far, and answers to it.
    travels: Vec<u64>,
    answers: Vec<u64>,
    /// What was asked for, if that is to be written down.
    record: Option<Vec<Scripted>>,
    /// What befell answers, if that is to be written down.
    lost: Option<Vec<LostAnswer>>,
    /// What befalls answers, if it is written down and not drawn.
    script: Option<BTreeMap<(usize, u64), bool>>,
    /// For each client, whom it asks first.
    leader: Vec<usize>,
    in_flight: Vec<usize>,
    /// For each client, the last slot whose outcome it has seen.
    seen: Vec<Slot>,
    /// Clients that wait for their window, or have nothing more to ask.
    idle: Vec<bool>,
    pub(crate) operations: Vec<Operation>,
    /// How many operations may begin; raised for the healing phase.
    budget: u64,
    closed: bool,
    /// How many bytes a request may have.
    request_limit: u64,
}

/// One thing that a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    /// What the state machine is asked for.
    pub(crate) request: Request,
    /// How it is asked for.
    pub(crate) what: What,
    pub(crate) began: u64,
    /// Where it is being tried.
    pub(crate) node: usize,
    /// How often it was sent elsewhere.
    pub(crate) hops: u64,
    /// What a read that is being tried has to see at least.
    pub(crate) floor: Slot,
    pub(crate) state: State,
    /// When the client had the answer, and which.
    pub(crate) answer: Option<(u64, Bytes)>,
}

impl Operation {
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self.what, What::Read(_))
    }

    /// Whether it has come to an end that is good enough when all is well since `since`.
    pub(crate) const fn is_over(&self, since: u64, has_session: bool) -> bool {
        match self.state {
            State::Done => true,
            // Whoever led then may have lost it: that it is unknown is an answer.
            State::Unknown | State::Dropped if self.began < since => true,
            // The answer that says so is one: a session may expire when all is well.
            State::Unknown => has_session,
            State::Trying | State::Given | State::Dropped => false,
        }
    }

    /// What the client saw, if that has to have an order in real time. `number` is its own.
    pub(crate) fn seen(&self, number: usize) -> Option<Seen> {
        let is_stale = matches!(self.what, What::Read(How::Stale { .. }));
        let had_effect = match self.state {
            State::Done => true,
            State::Trying | State::Given | State::Unknown => !self.is_read(),
            State::Dropped => false,
        };
        (had_effect && !is_stale).then(|| Seen {
            number,
            request: self.request.clone(),
            began: self.began,
            ended: self.answer.clone(),
        })
    }

    /// What the state machine gets to see.
    pub(crate) fn payload(&self) -> Bytes {
        self.request.bytes().clone()
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// To execute a command.
    Write,
    /// To answer a query.
    Read(How),
}

/// What kind of read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The leader asks a quorum.
    Leader,
    /// The leader answers from its lease.
    Lease,
    /// Whoever is asked asks the leader.
    Follower,
    /// Whoever is asked answers from what it has executed, which is this at least.
    Stale {
        /// The last slot that the client has seen.
        min_slot: Slot,
    },
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On its way to a node, or to be tried again.
    Trying,
    /// Given to a node; nothing may be known about it when that node dies.
    Given,
    /// Took effect.
    Done,
    /// May have taken effect, or may yet.
    Unknown,
    /// Given up before it took effect.
    Dropped,
}

impl Clients {
    pub(crate) fn new(plan: &Plan, subject: &Subject, record: bool) -> Self {
        let mut dice = Dice::new(plan.seed, Concern::Clients);
        let count = plan.workload.clients;
        Self {
            leader: (0..count).map(|_| dice.index(plan.nodes())).collect(),
            in_flight: vec![0; count],
            seen: vec![Slot::ZERO; count],
            idle: vec![false; count],
            operations: Vec::new(),
            budget: plan.workload.operations_max,
            closed: false,
            request_limit: subject.request_limit(plan),
            requests: subject.workload(plan),
            request_dice: Dice::new(plan.seed, Concern::Workload),
            seed: plan.seed,
            travels: vec![0; count],
            answers: vec![0; count],
            record: record.then(Vec::new),
            lost: record.then(Vec::new),
            script: plan.script.as_ref().map(|script| {
                let answers = script.answers.iter();
                answers.map(|a| ((a.client, a.nth), a.twice)).collect()
            }),
            nodes: plan.nodes(),
            plan: plan.workload.clone(),
            dice,
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Begins an operation of `client` if its window allows, and returns which; else the client
    /// is idle.
    pub(crate) fn begin(&mut self, client: usize, now: u64) -> Option<usize> {
        if !self.may_begin(client) {
            self.idle[client] = true;
            return None;
        }
        self.budget -= 1;
        self.in_flight[client] += 1;
        let number = self.operations.len();
        let mut draw = Draw::new(&mut self.request_dice, client, number as u64);
        let request = self.requests.request(&mut draw);
        let what = match &request {
            Request::Command(_) => What::Write,
            Request::Query(_) => What::Read(self.how(client)),
        };
        // Some readers ask whoever they like: a node that only believes that it leads must not
        // answer them. Whoever need not be the leader is asked by all.
        let wanders = match what {
            What::Write => false,
            What::Read(How::Leader | How::Lease) => self.dice.chance(WANDERING_READS_PPM),
            What::Read(How::Follower | How::Stale { .. }) => true,
        };
        let node = if wanders {
            self.dice.index(self.nodes)
        } else {
            self.leader[client]
        };
        if let Some(record) = &mut self.record {
            record.push(Scripted::new(now, client, node, &request, what));
        }
        self.fits(&request);
        self.push(client, request, what, now, node);
        Some(number)
    }

    /// Nodes refuse for ever what is larger than they take: nothing of it would be tested, and where
    /// clients have sessions nobody would notice.
    fn fits(&self, request: &Request) {
        let (bytes, most) = (request.bytes().len(), self.request_limit);
        assert!(
            bytes as u64 <= most,
            "the workload asks for {bytes} bytes in one request, and {most} are said to be the most: \
             raise that with Chaos::request_bytes_max (in a plan: cluster.value_bytes_max), or ask \
             for less"
        );
    }

    /// Begins the operation that a script says, and returns which it is; `None` when it comes so
    /// late that nobody would wait for its end.
    pub(crate) fn begin_scripted(&mut self, scripted: &Scripted, now: u64) -> Option<usize> {
        if self.closed {
            return None;
        }
        let number = self.operations.len();
        let (request, what) = scripted.request(self.seen[scripted.client]);
        self.fits(&request);
        self.in_flight[scripted.client] += 1;
        self.push(scripted.client, request, what, now, scripted.node);
        Some(number)
    }

    fn push(&mut self, client: usize, request: Request, what: What, now: u64, node: usize) {
        self.operations.push(Operation {
            client,
            request,
            what,
            began: now,
            node,
            hops: 0,
            floor: Slot::ZERO,
            state: State::Trying,
            answer: None,
        });
    }

    /// What was asked for and what befell answers, if that was to be written down.
    pub(crate) fn recorded(&mut self) -> (Vec<Scripted>, Vec<LostAnswer>) {
        let requests = self.record.take().unwrap_or_default();
        (requests, self.lost.take().unwrap_or_default())
    }

    /// Begins this write at this node beyond what the first client does of itself, and returns
    /// which operation it is.
    pub(crate) fn place(&mut self, node: usize, now: u64, command: Bytes) -> usize {
        let number = self.operations.len();
        if let Some(in_flight) = self.in_flight.first_mut() {
            *in_flight += 1;
        }
        self.operations.push(Operation {
            client: 0,
            request: Request::Command(command),
            what: What::Write,
            began: now,
            node,
            hops: 0,
            floor: Slot::ZERO,
            state: State::Trying,
            answer: None,
        });
        number
    }

    fn may_begin(&self, client: usize) -> bool {
        !self.closed && self.budget > 0 && self.in_flight[client] < self.plan.window
    }

    /// Whether a client that was idle has something to do again; it is not idle from then on.
    pub(crate) fn wakes(&mut self, client: usize) -> bool {
        let wakes = self.idle[client] && self.may_begin(client);
        self.idle[client] &= !wakes;
        wakes
    }

    /// Clients know what they have read.
    pub(crate) fn learns(&mut self, query: &Bytes, answer: &Bytes) {
        self.requests.learns(query, answer);
    }

    fn how(&mut self, client: usize) -> How {
        let plan = &self.plan;
        let (lease, follower, stale) = (
            plan.lease_read_ppm,
            plan.follower_read_ppm,
            plan.stale_read_ppm,
        );
        if self.dice.chance(stale) {
            let min_slot = self.seen[client];
            How::Stale { min_slot }
        } else if self.dice.chance(follower) {
            How::Follower
        } else if self.dice.chance(lease) {
            How::Lease
        } else {
            How::Leader
        }
    }

    /// A client has seen the outcome of this slot.
    pub(crate) fn sees(&mut self, client: usize, slot: Slot) {
        let seen = &mut self.seen[client];
        *seen = slot.max(*seen);
    }

    /// The pause before a client's next operation, in nanoseconds.
    pub(crate) fn think(&mut self) -> u64 {
        let (low, high) = (self.plan.think_min_us, self.plan.think_max_us);
        self.dice.range(low * 1_000, high * 1_000).max(1_000)
    }

    /// The time that a message of a client, or to it, takes, in nanoseconds.
    pub(crate) fn travel(&mut self, client: usize) -> u64 {
        let travels = &mut self.travels[client];
        *travels += 1;
        let name = [client as u64, *travels, 0, 0];
        Lot::new(self.seed, Concern::Clients, name).range(10_000, 200_000)
    }

    /// How often an answer reaches its client.
    pub(crate) fn copies(&mut self, client: usize, calm: bool) -> u32 {
        let answers = &mut self.answers[client];
        *answers += 1;
        let nth = *answers;
        let twice = match &self.script {
            _ if calm => None,
            Some(script) => script.get(&(client, nth)).copied(),
            None => {
                let mut lot = Lot::new(self.seed, Concern::Answers, [client as u64, nth, 0, 0]);
                if lot.chance(LOST_PPM) {
                    Some(false)
                } else {
                    lot.chance(TWICE_PPM).then_some(true)
                }
            }
        };
        if let (Some(twice), Some(lost)) = (twice, &mut self.lost) {
            lost.push(LostAnswer { client, nth, twice });
        }
        twice.map_or(1, |twice| u32::from(twice) * 2)
    }

    pub(crate) const fn timeout(&self) -> u64 {
        self.plan.timeout_us * 1_000
    }

    /// The operation was not taken: whom to ask next.
    pub(crate) fn redirect(&mut self, operation: usize, hint: Option<usize>) {
        let operation = &mut self.operations[operation];
        operation.hops += 1;
        let next = hint.unwrap_or((operation.node + 1) % self.nodes);
        operation.node = next;
        operation.state = State::Trying;
        self.leader[operation.client] = next;
    }

    /// The operation was answered by the node that it was given to.
    pub(crate) fn end(&mut self, operation: usize, state: State) {
        let operation = &mut self.operations[operation];
        operation.state = state;
        if state == State::Done {
            self.leader[operation.client] = operation.node;
        }
        let in_flight = &mut self.in_flight[operation.client];
        *in_flight = in_flight.saturating_sub(1);
    }

    /// Allows so many more operations, at a pace that fits into `span` nanoseconds.
    pub(crate) fn refill(&mut self, operations: u64, span: u64) {
        self.budget = operations;
        self.closed = false;
        let pace = span * self.count() as u64 / operations.max(1) / 1_000;
        self.plan.think_min_us = pace / 2;
        self.plan.think_max_us = pace.max(1);
    }

    /// What no node has taken so far.
    pub(crate) fn trying(&self) -> Vec<usize> {
        let operations = self.operations.iter().enumerate();
        let trying = operations.filter(|(_, op)| op.state == State::Trying);
        trying.map(|(number, _)| number).collect()
    }

    /// No operation begins any more.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }
}

/// Which node a hint names.
pub(crate) fn node_of(ids: &[NodeId], hint: Option<NodeId>) -> Option<usize> {
    ids.iter().position(|id| Some(*id) == hint)
}
