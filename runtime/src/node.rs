//! The loop that drives one replica: awaits one event, makes one input of it, takes what else is
//! ready, and hands the outputs to the ports. Knows no implementation of a port, and nothing
//! about how decisions come about.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chil_core::forming::{FormingMessage, HelloReply};
use chil_core::{
    DiskId, Envelope, Input, Lane, Lsn, Meta, NodeId, Output, ReadVia, Refusal, Replica, Span,
    StateMachine, Time, Token, forming,
};
use chil_proto::Frame;
use tokio::sync::{mpsc, watch};

use crate::apply::{Apply, Read, ReplyTo};
use crate::book::Book;
use crate::error::{NodeError, ProposeError, ReadError, Rejection};
use crate::handle::Consistency;
use crate::introduce::Introduction;
use crate::net::inbox::Inbox;
use crate::net::peer::Links;
use crate::ports::{Clock, Network, Storage};
use crate::request::Request;
use crate::shutdown::{self, Stop, Stopped};
use crate::status::{MemberInfo, NodeStatus, Phase};
use crate::telemetry;

/// What never changes about a node while it runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) disk: DiskId,
    pub(crate) address: String,
    pub(crate) started: std::time::SystemTime,
}

/// Everything that the loop owns.
pub(crate) struct NodeLoop<S, D, N, C> {
    pub(crate) about: About,
    /// What the directory said when it was opened: who belongs to the cluster.
    pub(crate) meta: Meta,
    pub(crate) replica: Replica,
    pub(crate) apply: Apply<S>,
    pub(crate) storage: D,
    pub(crate) links: Links<N, C>,
    pub(crate) clock: C,
    pub(crate) inbox: Inbox,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) stopped: Stopped,
    pub(crate) book: Book,
    /// Runs while peers have not said yet that they belong to the same cluster.
    pub(crate) introduction: Option<Introduction>,
    pub(crate) leader: watch::Sender<Option<MemberInfo>>,
    pub(crate) leader_may_differ: bool,
    pub(crate) pending: Pending,
    /// Until when the core has nothing to do by itself.
    pub(crate) wake: Time,
    /// Until when what is in flight may finish, once the node shuts down.
    pub(crate) drain_until: Option<Time>,
    /// Why the node must not go on in its cluster.
    pub(crate) refused: Option<String>,
}

/// What the core was handed and has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: u64,
    proposals: HashMap<Token, ReplyTo>,
    reads: HashMap<Token, Read>,
}

enum Event {
    Persisted(Lsn),
    Wake,
    Stop(Stop),
    Frame(Frame),
    Request(Request),
    ApplyMore,
}

/// Frames, and as many requests, that one turn takes in before it drains the outputs: enough to
/// batch whatever arrived during a sync, small enough that completions and timers never wait.
const TURN_MAX: usize = 512;
/// How long a link to an address that is no member's is kept: for answers to those who form.
const LINK_IDLE_MAX: Span = Span::from_millis(10_000);
/// What an overloaded proposer is told to wait: a few syncs, by which the window has moved.
const RETRY_AFTER: Duration = Duration::from_millis(5);

impl<S: StateMachine, D: Storage, N: Network, C: Clock> NodeLoop<S, D, N, C> {
    /// Runs until it is told to stop or cannot go on; then nobody is left waiting.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let outcome = self.turn_until_stopped().await;
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            request.refuse_stopped();
        }
        for reply in std::mem::take(&mut self.pending.proposals).into_values() {
            reply.send(Err(ProposeError::Unknown));
        }
        for read in std::mem::take(&mut self.pending.reads).into_values() {
            drop(read.reply.send(Err(ReadError::Stopped)));
        }
        self.apply.give_up();
        self.leader.send_replace(None);
        if !shutdown::close(self.storage, &self.clock).await {
            tracing::warn!(
                node = self.about.name,
                "the disk hangs: its directory stays in use"
            );
        }
        outcome
    }

    async fn turn_until_stopped(&mut self) -> Result<(), NodeError> {
        let clock = self.clock.clone();
        let mut timer = pin!(clock.sleep_until(Time::ZERO));
        let mut armed = Some(Time::ZERO);
        loop {
            let deadline = self
                .drain_until
                .map_or(self.wake, |until| until.min(self.wake));
            if armed != Some(deadline) {
                timer.set(clock.sleep_until(deadline));
                armed = Some(deadline);
            }
            let behind = self.apply.is_behind();
            let event = tokio::select! {
                biased;
                completed = self.storage.completed() => {
                    Event::Persisted(completed.map_err(|e| NodeError::Storage(Arc::new(e)))?)
                }
                () = &mut timer => {
                    armed = None;
                    Event::Wake
                }
                stop = self.stopped.changed() => Event::Stop(stop),
                frame = self.inbox.next() => Event::Frame(frame),
                Some(request) = self.requests.recv() => Event::Request(request),
                // Lets the host's other tasks run between two slices of execution.
                () = tokio::task::yield_now(), if behind => Event::ApplyMore,
            };
            self.take(event);
            if self.stopped.now() == Stop::Now {
                return Ok(());
            }
            self.take_ready();
            if let Some(refused) = self.refused.take() {
                return Err(NodeError::Forming(refused));
            }
            self.drain();
            if let Some(slot) = self.apply.run(&clock)? {
                self.replica.handle(clock.now(), Input::Applied { slot });
                self.drain();
            }
            if let Some(until) = self.drain_until
                && (self.is_idle() || until <= clock.now())
            {
                return Ok(());
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Persisted(lsn) => self.replica.handle(now, Input::Persisted { lsn }),
            Event::Wake => {
                self.replica.handle(now, Input::Wake);
                // Rounds end here, and with them a leader may begin or cease to count as one.
                self.leader_may_differ = true;
                let book = &self.book;
                let member = |address: &str| book.peers().any(|peer| peer == address);
                self.links.close_idle(LINK_IDLE_MAX, member);
                if let Some(introduction) = &mut self.introduction {
                    for (address, hello) in introduction.questions(now) {
                        self.links.send(&address, Lane::Bulk, Frame::Forming(hello));
                    }
                }
            }
            Event::Stop(Stop::Drain(until)) => self.drain_until = Some(until),
            Event::Stop(Stop::Run | Stop::Now) | Event::ApplyMore => {}
            Event::Frame(frame) => self.received(now, frame),
            Event::Request(request) => self.request(now, request),
        }
    }

    /// Takes in what else has arrived meanwhile: what is decided together is synced together.
    fn take_ready(&mut self) {
        // The clock is read anew for each: leases count from it, and what was read before this
        // process was paused would be older than what came meanwhile.
        for _ in 0..TURN_MAX {
            let Some(frame) = self.inbox.ready() else {
                break;
            };
            self.received(self.clock.now(), frame);
        }
        for _ in 0..TURN_MAX {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            self.request(self.clock.now(), request);
        }
    }

    fn received(&mut self, now: Time, frame: Frame) {
        match frame {
            Frame::Envelope(envelope) => self.replica.handle(now, Input::Received(envelope)),
            Frame::Forming(FormingMessage::HelloReply(reply)) => {
                self.introduced(&reply);
            }
            Frame::Forming(message) => {
                let answer = forming::answer_formed(&self.meta, &self.about.address, &message);
                if let Some((address, answer)) = answer {
                    self.links
                        .send(&address, Lane::Bulk, Frame::Forming(answer));
                }
            }
        }
    }

    /// A listed peer says who it is: perhaps a member that has moved, perhaps none.
    fn introduced(&mut self, reply: &HelloReply) {
        let Some(introduction) = &mut self.introduction else {
            return;
        };
        match introduction.answered(reply) {
            Ok(Some(address)) => {
                let node = NodeId::from_name(&reply.name);
                if node.is_some_and(|node| self.book.found(node, &address)) {
                    tracing::info!(node = self.about.name, peer = reply.name, address, "moved");
                    self.links.open(&address);
                }
            }
            Ok(None) => {}
            Err(reason) => self.refused = Some(reason),
        }
    }

    fn request(&mut self, now: Time, request: Request) {
        if self.drain_until.is_some() && !matches!(request, Request::Status(_)) {
            return request.refuse_stopped();
        }
        match request {
            Request::Propose { command, reply } => {
                let token = self.pending.token();
                self.pending.proposals.insert(token, reply);
                self.replica.handle(now, Input::Propose { token, command });
            }
            Request::Read { consistency, read } => {
                let via = match consistency {
                    Consistency::Stale => return self.apply.answer(read),
                    Consistency::Linearizable => ReadVia::Leader,
                    Consistency::Lease => ReadVia::Lease,
                    Consistency::Follower => ReadVia::Follower,
                };
                let token = self.pending.token();
                self.pending.reads.insert(token, read);
                self.replica.handle(now, Input::Read { token, via });
            }
            Request::Status(reply) => drop(reply.send(self.status())),
        }
    }

    /// Does what the core wants done, until it waits.
    fn drain(&mut self) {
        loop {
            match self.replica.poll_output() {
                Output::Persist(persist) => self.storage.submit(persist),
                Output::Send(envelope) => self.send(envelope),
                Output::Placed {
                    ballot,
                    first,
                    tokens,
                } => {
                    let replies = tokens.iter().map(|token| self.pending.proposal(*token));
                    self.apply.placed(ballot, first, replies);
                }
                Output::Refused { token, reason } => self.refused(token, reason),
                Output::Deposed { ballot } => self.apply.deposed(ballot),
                Output::Decided { entries } => self.apply.decided(entries),
                Output::ReadReady { token, index, .. } => {
                    if let Some(read) = self.pending.reads.remove(&token) {
                        self.apply.read(index, read);
                    }
                }
                Output::TransferEnded { .. }
                | Output::ReadChunk { .. }
                | Output::WriteChunk { .. }
                | Output::FinishSnapshot { .. }
                | Output::Install { .. } => {}
                Output::Notice(notice) => {
                    self.leader_may_differ = true;
                    telemetry::tell(&self.about.name, &self.book, &notice);
                }
                Output::Wait(until) => {
                    self.wake = until;
                    break;
                }
            }
        }
        if std::mem::take(&mut self.leader_may_differ) {
            self.publish_leader();
        }
    }

    fn send(&mut self, envelope: Box<Envelope>) {
        let Some(address) = self.book.address(envelope.to) else {
            tracing::debug!(to = %envelope.to, "nobody knows where this node is");
            return;
        };
        let lane = envelope.body.lane();
        self.links.send(address, lane, Frame::Envelope(envelope));
    }

    fn refused(&mut self, token: Token, reason: Refusal) {
        if let Some(reply) = self.pending.proposals.remove(&token) {
            reply.send(Err(match reason {
                Refusal::NotLeader { hint } => ProposeError::NotLeader {
                    hint: hint
                        .and_then(|node| self.book.address(node))
                        .map(str::to_owned),
                },
                Refusal::Overloaded => ProposeError::Overloaded {
                    retry_after: RETRY_AFTER,
                },
                Refusal::TooLarge { len, max } => {
                    ProposeError::Rejected(Rejection::TooLarge { len, max })
                }
            }));
        } else if let Some(read) = self.pending.reads.remove(&token) {
            drop(
                read.reply.send(Err(match reason {
                    Refusal::NotLeader { hint } => ReadError::NotLeader {
                        hint: hint
                            .and_then(|node| self.book.address(node))
                            .map(str::to_owned),
                    },
                    Refusal::Overloaded | Refusal::TooLarge { .. } => ReadError::Overloaded {
                        retry_after: RETRY_AFTER,
                    },
                })),
            );
        }
    }

    fn is_idle(&self) -> bool {
        let pending = &self.pending;
        pending.proposals.is_empty() && pending.reads.is_empty() && self.apply.is_idle()
    }

    fn publish_leader(&self) {
        let leader = self.replica.status().leader;
        let leader = leader.and_then(|node| self.book.member(node).cloned());
        self.leader.send_if_modified(|now| {
            let changed = *now != leader;
            *now = leader;
            changed
        });
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.about.node,
            name: self.about.name.clone(),
            disk: self.about.disk,
            address: self.about.address.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started: self.about.started,
            phase: Phase::Member,
            replica: Some(self.replica.status()),
            members: self.book.members(),
            applied: self.apply.applied(),
            digest: self.apply.digest(),
            links: self.links.status(),
        }
    }
}

impl Pending {
    fn token(&mut self) -> Token {
        self.next += 1;
        Token::new(self.next)
    }

    fn proposal(&mut self, token: Token) -> ReplyTo {
        let reply = self.proposals.remove(&token);
        reply.expect("the core places each proposal once")
    }
}
