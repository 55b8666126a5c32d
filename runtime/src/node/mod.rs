//! The loop that drives one replica: awaits one event, makes one input of it, takes what else is
//! ready, and hands the outputs to the ports. Knows no implementation of a port, and nothing
//! about how decisions come about.

mod handover;
mod outputs;
mod pending;
mod requests;
mod snapshots;
mod watchers;

use std::pin::pin;
use std::sync::Arc;

use chil_core::forming::{FormingMessage, HelloReply};
use chil_core::{
    DiskId, Input, Lane, Lsn, Meta, NodeId, Replica, Slot, Span, StateMachine, Time, forming,
};
use chil_proto::Frame;
use tokio::sync::{mpsc, watch};

use crate::apply::{Apply, Ran};
use crate::book::Book;
use crate::error::NodeError;
use crate::introduce::Introduction;
use crate::late::Late;
use crate::metrics::Metrics;
use crate::net::inbox::Inbox;
use crate::net::peer::Links;
use crate::ports::{Clock, Network, SnapshotStorage, Storage};
use crate::request::Request;
use crate::shutdown::{self, Stop, Stopped};
use crate::status::MemberInfo;
use crate::storage::SnapshotDone;

use handover::Handover;
use pending::Pending;
use snapshots::Keeper;
use watchers::Watchers;

/// What never changes about a node while it runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) disk: DiskId,
    pub(crate) address: String,
    pub(crate) started: std::time::SystemTime,
    pub(crate) priority: u32,
    /// How long a round of heartbeats takes.
    pub(crate) round: Span,
}

/// What the loop is given.
pub(crate) struct Parts<S, D, P, N, C> {
    pub(crate) about: About,
    /// What the directory said when it was opened: who belongs to the cluster.
    pub(crate) meta: Meta,
    pub(crate) replica: Replica,
    pub(crate) apply: Apply<S>,
    pub(crate) storage: D,
    pub(crate) snapshots: P,
    pub(crate) links: Links<N, C>,
    pub(crate) clock: C,
    pub(crate) inbox: Inbox,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) stopped: Stopped,
    pub(crate) book: Book,
    /// Runs while peers have not said yet that they belong to the same cluster.
    pub(crate) introduction: Option<Introduction>,
    pub(crate) leader: watch::Sender<Option<MemberInfo>>,
    pub(crate) metrics: Arc<Metrics>,
    /// Who is told how late the loop comes.
    pub(crate) late: Late,
}

/// Everything that the loop owns.
pub(crate) struct NodeLoop<S, D, P, N, C> {
    about: About,
    meta: Meta,
    replica: Replica,
    apply: Apply<S>,
    storage: D,
    keeper: Keeper<S, P>,
    links: Links<N, C>,
    clock: C,
    inbox: Inbox,
    requests: mpsc::Receiver<Request>,
    stopped: Stopped,
    book: Book,
    introduction: Option<Introduction>,
    leader: watch::Sender<Option<MemberInfo>>,
    leader_may_differ: bool,
    metrics: Arc<Metrics>,
    late: Late,
    pending: Pending,
    watchers: Watchers,
    /// Until when the core has nothing to do by itself.
    wake: Time,
    /// Until when what is in flight may finish, once the node shuts down.
    drain_until: Option<Time>,
    handover: Handover,
    /// Why the node must not go on in its cluster.
    refused: Option<String>,
}

enum Event<S> {
    Persisted(Lsn),
    Wake,
    Kept(SnapshotDone<S>),
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

impl<S, D, P, N, C> NodeLoop<S, D, P, N, C>
where
    S: StateMachine,
    D: Storage,
    P: SnapshotStorage<S>,
    N: Network,
    C: Clock,
{
    pub(crate) fn new(parts: Parts<S, D, P, N, C>) -> Self {
        let last_snapshot = parts.replica.snapshot().map_or(0, |id| id.bytes);
        Self {
            about: parts.about,
            meta: parts.meta,
            replica: parts.replica,
            apply: parts.apply,
            storage: parts.storage,
            keeper: Keeper::new(parts.snapshots, last_snapshot),
            links: parts.links,
            clock: parts.clock,
            inbox: parts.inbox,
            requests: parts.requests,
            stopped: parts.stopped,
            book: parts.book,
            introduction: parts.introduction,
            leader: parts.leader,
            leader_may_differ: true,
            metrics: parts.metrics,
            late: parts.late,
            pending: Pending::default(),
            watchers: Watchers::default(),
            wake: Time::ZERO,
            drain_until: None,
            handover: Handover::default(),
            refused: None,
        }
    }

    /// Runs until it is told to stop or cannot go on; then nobody is left waiting.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let outcome = self.turn_until_stopped().await;
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            request.refuse_stopped();
        }
        self.pending.give_up();
        self.apply.give_up();
        self.watchers.give_up();
        self.leader.send_replace(None);
        let (log, snapshots) = (self.storage.close(), self.keeper.close());
        if !shutdown::close(log, snapshots, &self.clock).await {
            tracing::warn!(
                node = self.about.name,
                "the disk or the state machine hangs: the directory stays in use"
            );
        }
        outcome
    }

    async fn turn_until_stopped(&mut self) -> Result<(), NodeError> {
        let clock = self.clock.clone();
        let mut timer = pin!(clock.sleep_until(Time::ZERO));
        let mut armed = Some(Time::ZERO);
        loop {
            let deadline = self.deadline();
            if armed != Some(deadline) {
                timer.set(clock.sleep_until(deadline));
                armed = Some(deadline);
            }
            let behind = self.apply.is_behind();
            self.late.is_due(if deadline == Time::ZERO {
                clock.now()
            } else {
                deadline
            });
            let event = tokio::select! {
                biased;
                completed = self.storage.completed() => {
                    Event::Persisted(completed.map_err(|e| NodeError::Storage(Arc::new(e)))?)
                }
                () = &mut timer => {
                    armed = None;
                    if deadline > Time::ZERO {
                        let now = clock.now();
                        self.late.measured(now, now.since(deadline));
                    }
                    Event::Wake
                }
                kept = self.keeper.completed() => {
                    Event::Kept(kept.map_err(|e| NodeError::Storage(Arc::new(e)))?)
                }
                stop = self.stopped.changed() => Event::Stop(stop),
                frame = self.inbox.next() => Event::Frame(frame),
                Some(request) = self.requests.recv() => Event::Request(request),
                // Lets the host's other tasks run between two slices of execution.
                () = tokio::task::yield_now(), if behind => Event::ApplyMore,
            };
            self.take(event)?;
            if self.stopped.now() == Stop::Now {
                return Ok(());
            }
            self.take_ready();
            if let Some(refused) = self.refused.take() {
                return Err(NodeError::Forming(refused));
            }
            self.drain();
            self.execute()?;
            if self.has_drained(clock.now()) {
                return Ok(());
            }
        }
    }

    /// When the loop has something to do by itself.
    fn deadline(&self) -> Time {
        let hands_over = self.handover.retry_at();
        [self.drain_until, self.apply.next_deadline(), hands_over]
            .into_iter()
            .flatten()
            .fold(self.wake, Time::min)
    }

    fn take(&mut self, event: Event<S>) -> Result<(), NodeError> {
        let now = self.clock.now();
        match event {
            Event::Persisted(lsn) => {
                self.replica.handle(now, Input::Persisted { lsn });
                self.keeper.persisted(lsn);
            }
            Event::Wake => self.woken(now),
            Event::Kept(kept) => self.kept(now, kept)?,
            Event::Stop(Stop::Drain(until)) => {
                self.drain_until = Some(until);
                self.hand_over(now);
            }
            Event::Stop(Stop::Run | Stop::Now) | Event::ApplyMore => {}
            Event::Frame(frame) => self.received(now, frame),
            Event::Request(request) => self.request(now, request),
        }
        Ok(())
    }

    fn woken(&mut self, now: Time) {
        self.replica.handle(now, Input::Wake);
        if self.drain_until.is_some() {
            self.hand_over(now);
        }
        // Rounds end here, and with them a leader may begin or cease to count as one.
        self.leader_may_differ = true;
        self.apply.expire(now);
        let book = &self.book;
        let member = |address: &str| book.peers().any(|peer| peer.address == address);
        self.links.close_idle(LINK_IDLE_MAX, member);
        self.metrics.net.frames(&self.links.counts());
        if let Some(introduction) = &mut self.introduction {
            for (address, hello) in introduction.questions(now) {
                self.links
                    .send(&address, Lane::Bulk, Frame::Forming(hello.into()));
            }
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
            Frame::Forming(message) => {
                if let FormingMessage::HelloReply(reply) = &*message {
                    return self.introduced(reply);
                }
                let answer = forming::answer_formed(&self.meta, &self.about.address, &message);
                if let Some((address, answer)) = answer {
                    self.links
                        .answer(&address, Lane::Bulk, Frame::Forming(answer.into()));
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
                    self.links.expect(&address, &reply.name);
                    self.links.open(&address);
                }
            }
            Ok(None) => {}
            Err(reason) => self.refused = Some(reason),
        }
    }

    /// Executes a slice of what is decided.
    fn execute(&mut self) -> Result<(), NodeError> {
        self.apply.fresh(self.replica.fresh_at());
        let since = self.replica.snapshot().map_or(Slot::ZERO, |id| id.slot);
        let log_bytes = self.replica.log().cost(since, self.apply.applied());
        let wants_snapshot = self.keeper.wants_snapshot(log_bytes);
        let membership = self.replica.membership();
        let before = self.apply.applied();
        let ran = self.apply.run(&self.clock, membership, wants_snapshot)?;
        let Some(Ran {
            applied,
            frozen,
            again,
        }) = ran
        else {
            return Ok(());
        };
        let now = self.clock.now();
        // It may have been reads only.
        if before < applied {
            self.replica.handle(now, Input::Applied { slot: applied });
        }
        if let Some(frozen) = frozen {
            self.keeper.take(frozen);
        }
        self.read_again(now, again);
        self.watchers.executed(self.replica.log(), applied);
        self.drain();
        Ok(())
    }
}
