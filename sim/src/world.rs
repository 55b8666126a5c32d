//! The discrete-event loop: one queue of events, driving every `Replica` by hand, without async.
//! Knows nothing about what is right (the judge does) nor what goes wrong when (the plan does).

use std::collections::VecDeque;

use bytes::Bytes;
use chil_core::forming::FormingInput;
use chil_core::retry::Answer;
use chil_core::{DiskId, Input, Lane, NodeId, Record, Recovered, Refusal, Replica, Time};
use chil_proto::Frame;

use crate::admission::Doors;
use crate::check::looked::looks;
use crate::check::model::Model;
use crate::check::steady_leader::Steady;
use crate::check::{Judge, Verdict, Violation, bounded_memory, ends, no_churn};
use crate::delivery::Outboxes;
use crate::dice::{Concern, Dice};
use crate::faults::store_violation;
use crate::network::Network;
use crate::node::{self, Node};
use crate::plan::{CrashMode, Plan};
use crate::queue::Queue;
use crate::reads::Made;
use crate::report::event::What;
use crate::run::Watch;
use crate::sessions::{Attempt, Caller, callers};
use crate::stats::Stats;
use crate::store::{Start, StoreFailure};
use crate::subject::Subject;
use crate::trace::{Mark, Trace};
use crate::workload::Clients;

/// A cluster, its clients and its network, at one simulated instant.
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// What is replicated.
    pub(crate) subject: Subject,
    /// Simulated time in nanoseconds.
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) disks: Vec<DiskId>,
    pub(crate) network: Network,
    pub(crate) clients: Clients,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    /// The clients that have sessions: the first ones.
    pub(crate) callers: Vec<Caller>,
    /// Their attempts, by number.
    pub(crate) attempts: Vec<Attempt>,
    /// When a leader last began to hand over.
    pub(crate) handed_over_at: u64,
    /// Reads made from leases, by number.
    pub(crate) made: Vec<Made>,
    /// Whom each fault of the plan hit.
    pub(crate) hit: Vec<Option<usize>>,
    /// Whether the faults are over.
    pub(crate) healing: bool,
    /// Who leads, where nobody else may.
    pub(crate) steady: Option<Steady>,
    /// What came to nodes that sleep until further notice.
    pub(crate) parked: Vec<Event>,
    /// For each node, requests of clients that wait until it has time: it handles what comes from
    /// its peers and its disk first, as a node of the runtime does.
    pub(crate) asked: Vec<VecDeque<Event>>,
    /// What nodes let in of what clients ask.
    pub(crate) doors: Doors,
    /// What waits on links that are held.
    pub(crate) outboxes: Outboxes,
    queue: Queue<Event>,
    pub(crate) check_every: u64,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message arrives.
    Arrive {
        from: usize,
        to: usize,
        lane: Lane,
        /// The number of the message.
        id: u64,
        hop: Hop,
    },
    /// A node's deadline passes.
    Wake { node: usize, life: u64 },
    /// A driver drains the inputs that it has gathered.
    Drain { node: usize, life: u64 },
    /// A disk has synced.
    Synced { node: usize, life: u64 },
    /// A node is started.
    Start { node: usize, life: u64 },
    /// A client asks for what the script says.
    Scripted { index: usize },
    /// A client thinks of something.
    Think { client: usize },
    /// A request reaches a node.
    Request { operation: usize },
    /// A client stops waiting.
    Timeout { operation: usize },
    /// The work under way on a snapshot's file is done.
    Worked { node: usize, life: u64 },
    /// A node executes what is decided.
    Apply { node: usize, life: u64 },
    /// A node looks at its clock and answers a read that it has made from its lease.
    Answer { node: usize, life: u64, read: usize },
    /// The time comes that the automaton of a client waits for.
    Call { client: usize },
    /// An attempt of a client reaches its node.
    Attempt { number: usize },
    /// An answer reaches a client.
    Answered {
        number: usize,
        answer: Answer<usize, Refusal>,
    },
    /// A fault of the plan begins or ends.
    Fault { index: usize, begins: bool },
    /// A fault of the plan changes.
    Step { index: usize, step: usize },
    /// Something that came to a slow node earlier has its turn.
    Late(Box<Self>),
    /// A slow node may have time for a request that waits.
    Ask { node: usize },
    /// A link held what was sent on it until now.
    Unheld { from: usize, to: usize, lane: Lane },
    /// A moment that the run waits for.
    Milestone,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) enum Hop {
    Whole(Frame),
    Encoded(Bytes),
}

impl World {
    /// The world at its beginning: every node is about to start for the first time.
    pub(crate) fn new(plan: &Plan, subject: &Subject, watch: Watch) -> Result<Self, Violation> {
        let mut node_dice = Dice::new(plan.seed, Concern::Nodes);
        let metas = node::metas(plan, &mut node_dice);
        let mut nodes = Vec::new();
        for (index, meta) in metas.iter().enumerate() {
            nodes.push(
                Node::new(plan, subject, index, meta).map_err(|f| store_violation(index, f))?,
            );
        }
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        let mut world = Self {
            network: Network::new(plan, watch.script),
            clients: Clients::new(plan, subject, watch.script),
            judge: Judge::new(
                ids.clone(),
                &plan.cluster.weights,
                &metas,
                Model::new(plan.cluster.sessions_max, subject.oracle()),
            ),
            trace: Trace::new(watch.sink, plan.nodes()),
            stats: Stats::default(),
            made: Vec::new(),
            handed_over_at: 0,
            callers: callers(plan, &mut Dice::new(plan.seed, Concern::Callers)),
            attempts: Vec::new(),
            hit: vec![None; plan.faults.len()],
            healing: false,
            steady: plan
                .workload
                .overload
                .then(|| Steady::new(plan.cluster.heartbeat_us * 1_000)),
            parked: Vec::new(),
            asked: plan
                .cluster
                .weights
                .iter()
                .map(|_| VecDeque::new())
                .collect(),
            doors: Doors::new(plan),
            outboxes: Outboxes::new(plan),
            queue: Queue::new(),
            check_every: watch.check_every.max(1),
            now: 0,
            plan: plan.clone(),
            subject: subject.clone(),
            disks: metas.iter().map(|meta| meta.disk).collect(),
            nodes,
            ids,
        };
        if !watch.judged {
            world.judge.look_away();
        }
        for node in 0..plan.nodes() {
            let at = world.nodes[node]
                .own_dice
                .below(plan.cluster.heartbeat_us * 1_000);
            world.schedule(at, Event::Start { node, life: 0 });
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            let begins = true;
            world.schedule(fault.at_us * 1_000, Event::Fault { index, begins });
        }
        world.begin_clients();
        Ok(world)
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// The same for what is due after everything that is scheduled this way.
    pub(crate) fn schedule_behind(&mut self, at: u64, event: Event) {
        self.queue.push_behind(at.max(self.now), event);
    }

    /// Lets things happen until the simulated time is `until`.
    pub(crate) fn run_until(&mut self, until: u64) -> Verdict {
        self.schedule(until, Event::Milestone);
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.judge.reads.tick(at);
            if matches!(event, Event::Milestone) {
                break;
            }
            self.step(event)?;
            self.audit_leases()?;
            let (events, max) = (self.stats.events, self.plan.events_max);
            let found = no_churn::check_events(events, max, self.now / 1_000);
            ends("no_churn", None, found)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Verdict {
        let Some(event) = self.now_or_later(event) else {
            return Ok(());
        };
        match event {
            Event::Arrive {
                from,
                to,
                lane,
                id,
                hop,
            } => self.arrive(from, to, lane, id, hop),
            Event::Wake { node, life } => self.wake(node, life),
            Event::Drain { node, life } => {
                if self.nodes[node].life != life {
                    return Ok(());
                }
                self.nodes[node].drain_due = false;
                self.drain(node)?;
                self.audit_lease(node)
            }
            Event::Synced { node, life } => self.synced(node, life),
            Event::Worked { node, life } => self.worked(node, life),
            Event::Apply { node, life } => self.apply(node, life),
            Event::Answer { node, life, read } => self.answer(node, life, read),
            Event::Start { node, life } => self.start(node, life),
            Event::Scripted { index } => self.scripted(index),
            Event::Think { client } => self.think(client),
            Event::Call { client } => self.wake_caller(client),
            Event::Attempt { number } => self.attempt_arrives(number),
            Event::Answered { number, answer } => self.attempt_answered(number, answer),
            Event::Request { operation } => self.request(operation),
            Event::Timeout { operation } => self.timeout(operation),
            Event::Fault { index, begins } => self.fault(index, begins),
            Event::Step { index, step } => {
                self.fault_step(index, step);
                Ok(())
            }
            Event::Unheld { from, to, lane } => {
                self.unheld(from, to, lane);
                Ok(())
            }
            Event::Late(_) | Event::Ask { .. } | Event::Milestone => Ok(()),
        }
    }

    fn wake(&mut self, node: usize, life: u64) -> Verdict {
        let state = &mut self.nodes[node];
        let is_down = state.replica.is_none() && state.forming.is_none();
        if state.life != life || state.wake_at > self.now || is_down {
            return Ok(());
        }
        state.wake_at = u64::MAX;
        let (deadline, now) = (state.deadline, state.clock.read(self.now));
        if now < deadline {
            self.arm(node, deadline);
            return Ok(());
        }
        self.woke(node, now, now.since(deadline));
        self.stats.events += 1;
        self.trace.mix(Mark::Wake, self.now, node, [0; 4]);
        self.tell(node, || What::Wake);
        if self.nodes[node].forming.is_some() {
            return self.give_forming(node, FormingInput::Wake);
        }
        self.give(node, Input::Wake)
    }

    /// Hands an input to a replica and lets its driver drain it, now or a little later.
    pub(crate) fn give(&mut self, node: usize, input: Input) -> Verdict {
        let now = self.nodes[node].clock.read(self.now);
        let Some(replica) = &mut self.nodes[node].replica else {
            return Ok(());
        };
        replica.handle(now, input);
        let gather = self.plan.cluster.gather_us * 1_000;
        if gather == 0 {
            self.drain(node)?;
            return self.audit_lease(node);
        }
        if !self.nodes[node].drain_due {
            self.nodes[node].drain_due = true;
            let life = self.nodes[node].life;
            self.schedule(self.now + gather, Event::Drain { node, life });
        }
        Ok(())
    }

    /// Schedules a node's wake-up, unless one comes early enough already.
    pub(crate) fn arm(&mut self, node: usize, deadline: Time) {
        let state = &mut self.nodes[node];
        state.deadline = deadline;
        let at = state.clock.when(deadline).max(self.now + 1);
        if at < state.wake_at && at != u64::MAX {
            state.wake_at = at;
            let life = state.life;
            self.schedule(at, Event::Wake { node, life });
        }
    }

    /// Starts a node from what its disk holds.
    fn start(&mut self, node: usize, life: u64) -> Verdict {
        let state = &self.nodes[node];
        if state.life != life || state.replica.is_some() || state.forming.is_some() {
            return Ok(());
        }
        self.stats.events += 1;
        looks("recovery_is_a_prefix");
        let start = match self.nodes[node].store.recover() {
            Ok(start) => start,
            Err(StoreFailure::Power) => {
                let down = self.plan.cluster.heartbeat_us * 1_000;
                return self.crash(node, CrashMode::Power, down);
            }
            Err(failure) => return Err(store_violation(node, failure)),
        };
        match start {
            Start::Unformed => self.start_forming(node),
            Start::Formed(recovered, kept) => self.start_replica(node, *recovered, &kept),
        }
    }

    /// Starts a replica from its durable state, of which the `kept` records are news.
    pub(crate) fn start_replica(
        &mut self,
        node: usize,
        recovered: Recovered,
        kept: &[Record],
    ) -> Verdict {
        for record in kept {
            self.judge.durable(node, record)?;
            self.nodes[node].store.fold(record);
        }
        self.judge.restarts(node);
        let life = self.nodes[node].life;
        self.recall(node, &recovered)?;
        if self.nodes[node].life != life {
            // The power failed while it read.
            return Ok(());
        }
        let last = recovered.last();
        let boot = recovered.meta.boot;
        self.stats.restarts += u64::from(boot > 0);
        let numbers = [boot, last.get(), kept.len() as u64, 0];
        self.trace.mix(Mark::Restart, self.now, node, numbers);
        self.tell(node, || What::Starts {
            text: format!("boot {}, with a log up to {last}", boot + 1),
        });
        let config = node::config(&self.plan, node, &mut self.nodes[node].own_dice);
        self.nodes[node].limits = bounded_memory::limits(&config, &recovered.meta.membership);
        let now = self.nodes[node].clock.read(self.now);
        match Replica::recover(config, recovered, now) {
            Ok(replica) => {
                self.nodes[node].replica = Some(replica);
                self.drain(node)
            }
            Err(error) => Err(Violation {
                check: "recovery_is_a_prefix",
                node: Some(node),
                what: format!("cannot start from what its disk gave back: {error}"),
            }),
        }
    }

    /// Lets a disk begin to sync if there is something to sync.
    pub(crate) fn begin_sync(&mut self, node: usize) -> Verdict {
        match self.nodes[node].store.begin() {
            Ok(false) => Ok(()),
            Ok(true) => {
                let disk = &self.plan.disk;
                let (low, high) = (disk.latency_min_us * 1_000, disk.latency_max_us * 1_000);
                let (extra, until) = self.nodes[node].slow;
                // A slow disk takes no longer than the fault lasts.
                let extra = extra.min(until.saturating_sub(self.now));
                let at = self.now + self.nodes[node].disk_dice.range(low, high) + extra;
                let life = self.nodes[node].life;
                self.schedule(at, Event::Synced { node, life });
                Ok(())
            }
            Err(failure) => self.store_failed(node, failure),
        }
    }

    fn synced(&mut self, node: usize, life: u64) -> Verdict {
        if self.nodes[node].life != life {
            return Ok(());
        }
        self.stats.events += 1;
        let batch = match self.nodes[node].store.finish() {
            Ok(batch) => batch,
            Err(failure) => return self.store_failed(node, failure),
        };
        let Some(lsn) = batch.last().map(|persist| persist.lsn) else {
            return Ok(());
        };
        for record in batch.iter().flat_map(|persist| &persist.records) {
            self.judge.durable(node, record)?;
            self.nodes[node].store.fold(record);
            self.tidy(node, record);
        }
        self.trace
            .mix(Mark::Durable, self.now, node, [lsn.get(), 0, 0, 0]);
        self.tell(node, || What::Durable {
            lsn: lsn.to_string(),
        });
        self.give(node, Input::Persisted { lsn })
    }
}
