//! The replica: routes inputs to handlers and hands their outputs to the driver.
//! Knows nothing about the world behind either; every decision is made in a handler's file.

mod acceptor;
mod asking;
mod campaign;
mod catch_up;
mod check;
mod election;
mod explaining;
mod freshness;
mod holding;
mod identity;
mod incoming;
mod leader;
mod learner;
mod lease;
mod outbox;
mod priority;
mod progress;
mod reader;
mod registers;
mod rounds;
mod sending;
mod state_sync;
mod takeover;
mod transfer;
mod trimming;

use crate::config::{Config, ConfigError};
use crate::input::Input;
use crate::log::{Log, linked};
use crate::message::Message;
use crate::output::{Notice, Output, StepDown};
use crate::quorum::Weights;
use crate::record::{Meta, Recovered};
use crate::snapshot::{PartialSnapshot, SnapshotId};
use crate::status::{PeerStatus, Role as RoleName, Status};
use crate::time::Time;
use crate::types::{Ballot, NodeId, Slot};

use campaign::Preparing;
use election::Election;
use freshness::Freshness;
pub use holding::Holding;
use identity::Peer;
use incoming::Incoming;
use leader::Leading;
use outbox::{LogHead, Mark, Outbox};
use priority::Preference;
use reader::Reader;
use registers::Registers;
use transfer::Transfer;

/// One member of the cluster, as a state machine.
///
/// **One or more `handle`s are followed by draining `poll_output` to `Wait`, and every `Persist`
/// is answered by `Persisted` only once it is on disk.** What can merge, such as the `Accept`s to
/// one peer, is built when polled: a queue of inputs costs one message a peer, not one a command.
///
/// Always: `log.base <= snapshot <= delivered`, `applied <= delivered <= commit <= log.last`,
/// `acc <= meta.promised`, and what is durable never exceeds what is in memory but for what a truncation under way removes.
#[derive(Clone, Debug)]
pub struct Replica {
    config: Config,
    weights: Weights,
    /// This node's position in `weights`.
    me: usize,
    now: Time,

    meta: Meta,
    log: Log,
    /// The ballot of the last sync: the log is accepted in it.
    acc: Ballot,
    commit: Slot,
    /// Highest ballot by which `commit` was learned.
    commit_in: Ballot,
    /// What the driver was handed to execute.
    delivered: Slot,
    /// What the driver says is executed.
    applied: Slot,

    role: Role,
    election: Election,
    reader: Reader,
    registers: Registers,
    /// Leadership that this node gives, or gave, away.
    transfer: Option<Transfer>,
    preference: Preference,
    freshness: Freshness,
    peers: Vec<Peer>,
    /// Highest `seq` of an `Accept` in the promised ballot.
    seq_seen: u64,
    /// A snapshot that is being fetched.
    incoming: Option<Incoming>,
    /// The last one whose bytes were not what its id says, and who sent the last of them.
    unsound: Option<(SnapshotId, usize)>,
    /// What is left of one whose transfer was interrupted.
    partial: Option<PartialSnapshot>,
    /// Parts of snapshots that the driver is reading for each member, by position.
    serving: Vec<u32>,
    /// An `Accepted` is owed to the owner of the promised ballot.
    accepted_due: bool,
    outbox: Outbox,
}

/// What the replica is doing, with the state that only this role has.
#[derive(Clone, Debug)]
enum Role {
    Follower,
    Preparing(Box<Preparing>),
    Leading(Box<Leading>),
}

/// Why a replica cannot start from what was recovered. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory belongs to another node.
    #[error("the data belongs to node {found}, but this is node {expected}")]
    OtherNode {
        /// Whose data it is.
        found: NodeId,
        /// Who was to be started.
        expected: NodeId,
    },
    /// The node is not in the membership that its own directory records.
    #[error("node {0} is not a member of its own cluster")]
    NotAMember(NodeId),
    /// The log does not link up, begins behind its snapshot, or ends before what is decided.
    #[error("the log contradicts itself: of {entries} entries up to slot {commit} not all link up")]
    BrokenLog {
        /// How many entries there are.
        entries: u64,
        /// What is recorded as decided.
        commit: Slot,
    },
}

impl Replica {
    /// A replica that goes on from what its disk held. Its first output persists a new boot
    /// count, and no message leaves before that is durable.
    ///
    /// # Errors
    /// If configuration and disk do not fit together.
    pub fn recover(config: Config, recovered: Recovered, now: Time) -> Result<Self, RecoverError> {
        config.check()?;
        let Recovered {
            mut meta,
            acc,
            commit,
            commit_in,
            base,
            base_chain,
            log: entries,
            partial,
        } = recovered;
        if meta.node != config.node {
            return Err(RecoverError::OtherNode {
                found: meta.node,
                expected: config.node,
            });
        }
        let weights = Weights::new(&meta.membership);
        let me = weights
            .position(meta.node)
            .ok_or(RecoverError::NotAMember(meta.node))?;
        let count = entries.len() as u64;
        let last = Slot::new(base.get() + count);
        // The driver begins with the state that the snapshot holds.
        let snap = meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot);
        let bounded = base <= snap && snap <= commit && commit <= last;
        if !bounded || !linked(base, base_chain, &entries) {
            return Err(RecoverError::BrokenLog {
                entries: count,
                commit,
            });
        }
        let mut log = Log::behind(base, base_chain);
        entries.into_iter().for_each(|entry| log.append(entry));
        meta.boot += 1;
        // A sync that became durable without the promise before it would be a torn order of
        // writes; a promise as high as `acc` is what must have been there.
        meta.promised = meta.promised.max(acc).max(commit_in);
        let mark = Mark {
            acc,
            last: log.last(),
        };
        let mut replica = Self {
            election: Election::new(&config, &meta, weights.ids().len(), now),
            reader: Reader::new(meta.boot),
            transfer: None,
            preference: Preference::default(),
            freshness: Freshness::default(),
            registers: Registers::new(config.registers_per_second_max, now),
            outbox: Outbox::new(meta.boot, mark),
            incoming: None,
            unsound: None,
            partial,
            serving: vec![0; weights.ids().len()],
            role: Role::Follower,
            seq_seen: 0,
            accepted_due: false,
            delivered: snap,
            applied: snap,
            peers: weights.ids().iter().map(|&id| Peer::new(id)).collect(),
            config,
            weights,
            me,
            now,
            meta,
            log,
            acc,
            commit,
            commit_in,
        };
        replica.touch_meta();
        // Of a snapshot and the trim behind it, the crash may have left the snapshot.
        replica.trim();
        Ok(replica)
    }

    /// Takes in one event. `now` must not go back from one call to the next, and must have been
    /// read from the clock when the event had already happened: leases are counted from it.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Received(envelope) => {
                if let Some((from, body)) = self.admit(*envelope) {
                    self.on_message(from, body);
                }
            }
            Input::Propose { token, command } => self.on_propose(token, command),
            Input::Register { token, nonce } => self.on_register(token, nonce),
            Input::Read { token, via } => self.on_read(token, via),
            Input::Persisted { lsn } => {
                self.outbox.persisted(lsn, self.now);
                self.on_durable();
            }
            Input::Applied { slot } => {
                assert!(
                    slot <= self.delivered,
                    "applied {slot} > delivered {}",
                    self.delivered
                );
                self.applied = self.applied.max(slot);
                self.freshness.executed(self.applied);
            }
            Input::Transfer { token, to } => self.on_transfer(token, to),
            Input::SnapshotTaken { id } => self.on_snapshot_taken(id),
            Input::ChunkRead {
                to,
                id,
                offset,
                bytes,
            } => self.on_chunk_read(to, id, offset, bytes),
            Input::ChunkWritten { id, have } => self.on_chunk_written(id, have),
            Input::SnapshotReceived { id, sound } => self.on_snapshot_received(id, sound),
            Input::Wake => {}
        }
        self.on_time();
        self.advance_transfer();
    }

    fn on_message(&mut self, from: usize, body: Message) {
        self.note_data_heard(from, &body);
        match body {
            Message::Prepare(m) => self.on_prepare(from, &m),
            Message::Promise(m) => self.on_promise(from, m),
            Message::Accept(m) => self.on_accept(from, m),
            Message::Accepted(m) => self.on_accepted(from, &m),
            Message::Nack(m) => self.on_nack(from, &m),
            Message::Learn(m) => self.on_learn(from, &m),
            Message::Fetch(m) => self.on_fetch(from, &m),
            Message::Heartbeat(m) => self.on_heartbeat(from, &m),
            Message::HeartbeatReply(m) => self.on_heartbeat_reply(from, m),
            Message::Offer(m) => self.on_offer(from, &m),
            Message::FetchChunk(m) => self.on_fetch_chunk(from, &m),
            Message::Chunk(m) => self.on_chunk(from, m),
            Message::ReadIndex(m) => self.on_read_index(from, &m),
            Message::ReadIndexReply(m) => self.on_read_index_reply(from, &m),
            Message::TransferNow(m) => self.on_transfer_now(from, &m),
        }
    }

    /// More is durable than before: whatever counts on it is looked at again.
    fn on_durable(&mut self) {
        let mark = self.outbox.durable_mark();
        match &mut self.role {
            Role::Follower => self.accepted_due |= mark.acc == self.meta.promised,
            Role::Preparing(_) => self.try_adopt(),
            Role::Leading(leading) => {
                if mark.acc == leading.ballot {
                    // The leader's own vote is its own disk's word, never its proposal.
                    leading.matched_at(self.me, mark.last);
                    self.try_commit();
                }
            }
        }
    }

    /// The next thing to do; [`Output::Wait`] when there is nothing more until an input.
    pub fn poll_output(&mut self) -> Output {
        // First, since a node that is a quorum alone serves its reads with it.
        self.start_reads();
        if let Some(effect) = self.outbox.poll_effect() {
            return effect;
        }
        let head = self.head();
        if let Some(persist) = self.outbox.poll_persist(self.now, &self.log, head) {
            return Output::Persist(persist);
        }
        if let Some((to, body)) = self.poll_message() {
            return Output::Send(Box::new(self.envelope(to, body)));
        }
        if let Some(entries) = self.poll_decided() {
            return Output::Decided { entries };
        }
        Output::Wait(self.deadline())
    }

    fn poll_message(&mut self) -> Option<(usize, Message)> {
        if let Some(message) = self.outbox.poll_message() {
            return Some(message);
        }
        if let Some(message) = self.poll_accepted() {
            return Some(message);
        }
        self.poll_leader()
    }

    /// The log of this replica, for checks and for people.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// The membership that this replica votes in.
    #[must_use]
    pub const fn membership(&self) -> &crate::Membership {
        &self.meta.membership
    }

    /// No ballot below this is answered any more: who owns it leads, if anybody does.
    #[must_use]
    pub const fn promised(&self) -> Ballot {
        self.meta.promised
    }

    /// What this replica is to the others at this moment.
    #[must_use]
    pub const fn role(&self) -> RoleName {
        match &self.role {
            Role::Follower => RoleName::Follower,
            Role::Preparing(_) => RoleName::Preparing,
            Role::Leading(_) => RoleName::Leading,
        }
    }

    /// The state as plain data.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            cluster: self.meta.cluster,
            node: self.meta.node,
            epoch: self.meta.membership.epoch,
            boot: self.meta.boot,
            role: self.role(),
            ballot: self.own_ballot(),
            promised: self.meta.promised,
            acc: self.acc,
            leader: self.leader_hint(),
            happy: self.election.is_happy(),
            damaged: self.meta.damaged.is_some(),
            applied: self.applied,
            commit: self.commit,
            last: self.log.last(),
            durable: self.outbox.durable_mark().last.min(self.log.last()),
            fresh_at: self.fresh_at(),
            base: self.log.base(),
            log_bytes: self.log.cost(self.log.base(), self.log.last()),
            snapshot: self.meta.snap.map(|snap| snap.id),
            fetching: self.incoming.as_ref().map(Incoming::progress),
            peers: self.peer_statuses(),
        }
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let matched = |position| match &self.role {
            Role::Leading(leading) => Some(leading.matched(position)),
            Role::Follower | Role::Preparing(_) => None,
        };
        self.others()
            .map(|position| PeerStatus {
                node: self.id(position),
                weight: u32::try_from(self.weights.weight(position)).unwrap_or(u32::MAX),
                priority: self.peer(position).priority,
                up: self.peer(position).is_up(self.now, &self.config),
                commit: self.peer(position).commit,
                matched: matched(position),
            })
            .collect()
    }

    /// Positions of all members but this one.
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |&position| position != me)
    }

    fn id(&self, position: usize) -> NodeId {
        self.peer(position).id
    }

    fn epoch(&self) -> crate::Epoch {
        self.meta.membership.epoch
    }

    const fn head(&self) -> LogHead {
        LogHead {
            acc: self.acc,
            commit: self.commit,
            commit_in: self.commit_in,
        }
    }

    fn touch_meta(&mut self) {
        let head = self.head();
        self.outbox.meta_changed(&self.meta, &self.log, head);
    }

    /// The ballot that this node prepares or leads, else the bottom one of its own.
    fn own_ballot(&self) -> Ballot {
        match &self.role {
            Role::Follower => Ballot::new(self.epoch(), 0, self.meta.node),
            Role::Preparing(preparing) => preparing.ballot,
            Role::Leading(leading) => leading.ballot,
        }
    }

    /// Raises the promise, which ends every lower ballot here.
    fn promise(&mut self, ballot: Ballot, reason: StepDown) {
        assert!(
            ballot > self.meta.promised,
            "{ballot} does not exceed {}",
            self.meta.promised
        );
        self.step_down(reason);
        self.meta.promised = ballot;
        self.seq_seen = 0;
        self.accepted_due = false;
        self.outbox.drop_held();
        self.touch_meta();
    }

    /// Stops leading or preparing; does nothing for a follower.
    fn step_down(&mut self, reason: StepDown) {
        let ballot = self.own_ballot();
        match std::mem::replace(&mut self.role, Role::Follower) {
            Role::Follower => return,
            Role::Preparing(_) => {
                if reason == StepDown::PrepareTimeout {
                    self.election.failed();
                    // Perhaps too few were left because a suspicion was wrong.
                    self.election.trust_all();
                }
            }
            Role::Leading(leading) => {
                if reason == StepDown::NoQuorum && !leading.settled {
                    self.election.failed();
                }
                // Whoever waits for what is decided here shall learn its outcome.
                while let Some(entries) = self.poll_decided() {
                    self.outbox.effect(Output::Decided { entries });
                }
                self.outbox.effect(Output::Deposed { ballot });
                self.refuse_reads();
            }
        }
        self.election.deposed();
        self.outbox.notice(Notice::SteppedDown { ballot, reason });
    }
}
