//! Everything that a replica wants done, as data.
//! Knows nothing about how it is done.

use std::fmt;

use bytes::Bytes;

use crate::command::Entry;
use crate::message::{Envelope, NackReason};
use crate::record::Persist;
use crate::snapshot::SnapshotId;
use crate::time::Time;
use crate::types::{Ballot, NodeId, Slot, Token};

/// One effect. `Replica::poll_output` yields them until it yields [`Output::Wait`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this; answer with `Input::Persisted` once it is durable, in order.
    Persist(Persist),
    /// Send this to `envelope.to` on the lane of its body. May be lost.
    Send(Box<Envelope>),
    /// These proposals stand in the leader's log, `tokens[i]` in slot `first + i`. Not yet
    /// decided: the client's answer comes when that slot is executed with origin `ballot`.
    Placed {
        /// The ballot in which they are proposed: their entries' origin.
        ballot: Ballot,
        /// The slot of the first.
        first: Slot,
        /// The proposals, in the order of their slots.
        tokens: Vec<Token>,
    },
    /// The proposal or read was not taken: it has surely had and will have no effect.
    Refused {
        /// Which one.
        token: Token,
        /// Why, and what to do.
        reason: Refusal,
    },
    /// This node no longer leads `ballot`: what was placed in it and was not handed out as decided
    /// has an unknown outcome (it may still be decided). What was decided here was handed out
    /// before, unless too much of it waits for its execution.
    Deposed {
        /// The ballot that ended here.
        ballot: Ballot,
    },
    /// The next decided entries, each exactly once and in order: execute them.
    Decided {
        /// Consecutive entries; the first is the one behind the last of the `Decided` before.
        entries: Vec<Entry>,
    },
    /// The read sees everything that was acknowledged before it began, once the state machine
    /// has executed `index`.
    ReadReady {
        /// Which read.
        token: Token,
        /// The slot to wait for.
        index: Slot,
        /// If set, the read rests on a lease: read the state, and only then look at the clock. At
        /// this instant or later the answer must not be given; ask again with `ReadVia::Leader`.
        until: Option<Time>,
    },
    /// A transfer of leadership has come to its end.
    TransferEnded {
        /// Which one.
        token: Token,
        /// Whether the target leads, as far as this node knows.
        outcome: Result<(), TransferError>,
    },
    /// Read this part of a snapshot file for a peer; answer with `Input::ChunkRead`.
    ReadChunk {
        /// The peer that it is for.
        to: NodeId,
        /// Of which snapshot.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes; the snapshot has them.
        len: u64,
    },
    /// Write this part of a snapshot that is on its way; answer with `Input::ChunkWritten`. Parts
    /// come in order, and the first of a snapshot replaces what was there of any other.
    WriteChunk {
        /// Of which snapshot.
        id: SnapshotId,
        /// Where it belongs: behind everything written so far.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All parts are written: compare the digest, make the file durable under its own name, and
    /// answer with `Input::SnapshotReceived`.
    FinishSnapshot {
        /// Of which snapshot.
        id: SnapshotId,
    },
    /// Replace the state machine's state, and the sessions, by this snapshot, which is durable;
    /// what `Decided` handed out before and is not executed yet is in it. Answer with
    /// `Input::Applied` of its slot.
    Install {
        /// Which one.
        id: SnapshotId,
    },
    /// Something that people may want to know; needs no action.
    Notice(Notice),
    /// Nothing more to do until an input arrives or this instant passes. Always the last.
    Wait(Time),
}

/// Why a proposal or a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another node leads, or none does: ask `hint`, or any node a little later.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this node knows.
        hint: Option<NodeId>,
    },
    /// Too much is in flight already: try again a little later.
    #[error("overloaded: too much is in flight")]
    Overloaded,
    /// The command is larger than the cluster allows.
    #[error("the value has {len} bytes, but at most {max} are allowed")]
    TooLarge {
        /// Its size in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead: ask `hint`, or any node a little later.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this node knows.
        hint: Option<NodeId>,
    },
    /// The target is no member that could lead: unknown, this node itself, of weight 0, or it did
    /// not say that it is able to.
    #[error("the target cannot lead")]
    BadTarget,
    /// Nobody suits: no other member answers heartbeats and is able to lead.
    #[error("no other member is able to lead")]
    NoTarget,
    /// Another transfer is under way.
    #[error("another transfer is under way")]
    Busy,
    /// The target did not come so far in time that it could be told to take over. Nothing was given
    /// up: this node goes on in its ballot.
    #[error("the target did not take over in time")]
    TimedOut,
    /// The transfer had begun, and then the target was told to take over and did not in time, or
    /// this node lost the leadership to somebody else. Who leads next is not known here: it may
    /// still be the target, or this node again.
    #[error("the leadership may have moved, and who leads next is not known")]
    Unclear,
}

/// Why a node stopped leading or preparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepDown {
    /// A higher ballot was promised.
    HigherBallot,
    /// Decided entries arrived from a higher ballot.
    HigherDecision,
    /// No quorum of able nodes answers heartbeats and probes.
    NoQuorum,
    /// Its own disk does not answer in time.
    DiskStalled,
    /// The promises did not come together in time.
    PrepareTimeout,
    /// Leadership was handed over, and the target did not take it in time: a higher ballot keeps
    /// its late attempt out.
    TransferTimeout,
    /// A peer knows of decisions that the promises do not contain: some disk lies.
    LyingDisk,
}

/// Why a message was not processed. None of them changes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoreReason {
    /// It belongs to another cluster.
    WrongCluster,
    /// It is addressed to another node, or to an earlier life of this one.
    WrongAddressee,
    /// Its sender is no member.
    UnknownSender,
    /// Its sender's data directory is not the one that the membership names.
    WrongDisk,
    /// Its sender's boot count went back, or two processes share one boot.
    ClonedDisk,
    /// It is of another epoch.
    WrongEpoch,
    /// Its ballot is not plausible: a number that nobody can have reached, or a foreign owner.
    BadBallot,
    /// Its content contradicts itself.
    Malformed,
    /// It answers something that is over.
    Stale,
}

/// What the core tells people. The runtime makes log lines and metrics of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This node tries to lead.
    Campaigning {
        /// In this ballot.
        ballot: Ballot,
    },
    /// This node leads.
    Leading {
        /// In this ballot.
        ballot: Ballot,
        /// With a log that ended here when it began.
        adopted_last: Slot,
    },
    /// This node no longer leads or prepares.
    SteppedDown {
        /// The ballot that it gave up.
        ballot: Ballot,
        /// Why.
        reason: StepDown,
    },
    /// This node follows another leader than before.
    Following {
        /// The leader's ballot.
        ballot: Ballot,
    },
    /// A peer has been silent for longer than its history explains.
    PeerDown {
        /// The peer.
        node: NodeId,
    },
    /// A silent peer answers again.
    PeerUp {
        /// The peer.
        node: NodeId,
    },
    /// A message was dropped.
    Ignored {
        /// Who said it was its sender.
        from: NodeId,
        /// What it was.
        message: &'static str,
        /// Why.
        reason: IgnoreReason,
    },
    /// A peer refused a message.
    Refused {
        /// The peer.
        by: NodeId,
        /// Why.
        reason: NackReason,
    },
    /// The node lags and fetches decided entries from a peer.
    CatchingUp {
        /// From this node.
        from: NodeId,
        /// What is decided here.
        commit: Slot,
        /// What it wants to reach.
        to: Slot,
    },
    /// The log up to here was dropped: a snapshot stands for it.
    Trimmed {
        /// The last slot dropped.
        to: Slot,
    },
    /// A snapshot is being fetched, or goes on being fetched from another node.
    FetchingSnapshot {
        /// From this node.
        from: NodeId,
        /// Which one.
        id: SnapshotId,
        /// Bytes of it that are here already.
        have: u64,
    },
    /// A snapshot replaces the state up to its slot.
    Installed {
        /// Which one.
        id: SnapshotId,
    },
    /// This leader hands over.
    Transferring {
        /// To this node.
        to: NodeId,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaigning { ballot } => write!(f, "campaigns in {ballot}"),
            Self::Leading {
                ballot,
                adopted_last,
            } => {
                write!(f, "leads in {ballot} from slot {adopted_last}")
            }
            Self::SteppedDown { ballot, reason } => write!(f, "gives up {ballot}: {reason:?}"),
            Self::Following { ballot } => write!(f, "follows {ballot}"),
            Self::PeerDown { node } => write!(f, "peer {node} is down"),
            Self::PeerUp { node } => write!(f, "peer {node} is up"),
            Self::Ignored {
                from,
                message,
                reason,
            } => {
                write!(f, "ignores {message} from {from}: {reason:?}")
            }
            Self::Refused { by, reason } => write!(f, "refused by {by}: {reason:?}"),
            Self::CatchingUp { from, commit, to } => {
                write!(f, "fetches ({commit}, {to}] from {from}")
            }
            Self::Trimmed { to } => write!(f, "drops the log up to {to}"),
            Self::FetchingSnapshot { from, id, have } => {
                write!(f, "fetches {id} from {from}, has {have}")
            }
            Self::Installed { id } => write!(f, "installs {id}"),
            Self::Transferring { to } => write!(f, "hands over to {to}"),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persist(p) => {
                write!(f, "persist {}", p.lsn)?;
                p.records
                    .iter()
                    .try_for_each(|record| write!(f, " [{record}]"))
            }
            Self::Send(e) => write!(f, "send {} {}", e.to, e.body),
            Self::Placed {
                ballot,
                first,
                tokens,
            } => {
                write!(f, "placed {}+{} in {ballot}", first.prev(), tokens.len())
            }
            Self::Refused { token, reason } => write!(f, "refused {token:?}: {reason}"),
            Self::Deposed { ballot } => write!(f, "deposed {ballot}"),
            Self::Decided { entries } => match entries.as_slice() {
                [] => write!(f, "decided nothing"),
                [one] => write!(f, "decided {one}"),
                [first, .., last] => write!(f, "decided {first} .. {last}"),
            },
            Self::ReadReady {
                token,
                index,
                until,
            } => {
                write!(f, "read {token:?} ready at {index}")?;
                until.map_or(Ok(()), |until| write!(f, " until {until}"))
            }
            Self::TransferEnded { token, outcome } => match outcome {
                Ok(()) => write!(f, "transfer {token:?} done"),
                Err(error) => write!(f, "transfer {token:?} failed: {error}"),
            },
            Self::ReadChunk {
                to,
                id,
                offset,
                len,
            } => write!(f, "read {offset}+{len} of {id} for {to}"),
            Self::WriteChunk { id, offset, bytes } => {
                write!(f, "write {offset}+{} of {id}", bytes.len())
            }
            Self::FinishSnapshot { id } => write!(f, "finish {id}"),
            Self::Install { id } => write!(f, "install {id}"),
            Self::Notice(notice) => write!(f, "notice: {notice}"),
            Self::Wait(until) => write!(f, "wait {until}"),
        }
    }
}
