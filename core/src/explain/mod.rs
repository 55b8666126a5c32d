//! What stands in the way of a replica: why nobody leads, why a peer is behind, what proposals and
//! reads wait for. Knows nothing about how it was found out, nor what members are called.

mod text;

use std::fmt;

use crate::time::Span;
use crate::types::{Ballot, NodeId, Slot};

/// Everything that stands in the way of something now, the most important first. At most a few
/// for each member.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Explanation {
    /// None when nothing stands in the way of anything.
    pub findings: Vec<Finding>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Who leads, and why nobody does.
    Leader,
    /// This node's own disk, state machine and standing.
    Local,
    /// What proposals and reads wait for.
    Pending,
    /// Why a peer is behind, or silent.
    Peer,
}

/// One thing that stands in the way of something. Spans end where the replica last heard of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nobody leads, and this node cannot: too few answer that could help.
    NoQuorum {
        /// Weight of this node and of those that answer and are able.
        weight: u64,
        /// Weight of all members; more than half of it is needed.
        total: u64,
        /// Who does not answer.
        silent: Vec<NodeId>,
        /// Who answers, but could not help: damaged, or with a disk that hangs.
        unable: Vec<NodeId>,
    },
    /// This node does not try to lead because a peer has a leader that works.
    PeerContent {
        /// The peer.
        peer: NodeId,
        /// Its leader, which this node does not hear, or not as a leader.
        leader: NodeId,
    },
    /// Nobody leads, and this node will try.
    WaitsForTurn {
        /// In so long, unless somebody else does before.
        remaining: Span,
    },
    /// Nobody leads as far as is known; what to do is decided when the heartbeat round ends.
    RoundUnderWay {
        /// In so long.
        remaining: Span,
    },
    /// This node asks for promises.
    Campaigning {
        /// In this ballot.
        ballot: Ballot,
        /// Who counts and has not promised; without this node.
        missing: Vec<NodeId>,
        /// Whether its own promise still waits for its disk.
        own_promise: bool,
        /// Rounds after which it gives up.
        rounds_left: u64,
    },
    /// Enough have promised, but the best log among theirs begins behind what is decided here.
    AdoptionLacks {
        /// In this ballot.
        ballot: Ballot,
        /// What is decided here, and what comes behind it is fetched.
        commit: Slot,
    },
    /// The leader hands over, and so proposes nothing.
    HandingOver {
        /// To this member.
        to: NodeId,
        /// So many slots it still lacks.
        slots: u64,
        /// So many slots are not decided yet.
        undecided: u64,
        /// Whether it was told to take over.
        told: bool,
    },
    /// This node lost something durable: until a later leader's log replaces its own it neither
    /// leads nor votes.
    Damaged {
        /// What it had promised when that was found.
        promised: Ballot,
    },
    /// This node's disk does not finish.
    DiskSlow {
        /// Its oldest write has been under way for so long.
        waiting: Span,
        /// Whether that is too long to lead.
        stalled: bool,
    },
    /// This node has no weight: it never leads.
    Weightless,
    /// This node has not written down its start, and says nothing before.
    Starting,
    /// This node's state machine has not executed everything that it was handed.
    Executing {
        /// The last slot executed.
        applied: Slot,
        /// The last slot decided.
        commit: Slot,
    },
    /// This node fetches a snapshot.
    FetchingSnapshot {
        /// Up to this slot.
        slot: Slot,
        /// Bytes that are here.
        have: u64,
        /// Bytes that it has.
        bytes: u64,
        /// Whether parts arrive.
        gets_on: bool,
    },
    /// This node has not what its leader says to be decided, or was not synced by it yet.
    NotSynced {
        /// The leader's ballot.
        ballot: Ballot,
        /// What is decided here.
        commit: Slot,
        /// The highest that a peer said to be decided.
        heard: Slot,
    },
    /// Proposals are not decided yet.
    Proposals {
        /// How many.
        entries: u64,
        /// With so many bytes.
        bytes: u64,
        /// Nothing was decided for so long, while there was something to decide.
        waiting: Span,
        /// Who else counts and has not confirmed the first of them.
        missing: Vec<NodeId>,
        /// Whether this node's own disk has not confirmed it either.
        own_disk: bool,
        /// Weight of those that have.
        weight: u64,
        /// Weight of all members; more than half of it is needed.
        total: u64,
        /// Whether more are refused as overload.
        full: bool,
    },
    /// A new leader lets the lease of the one before end.
    Deferring {
        /// Nothing is decided for so long.
        remaining: Span,
    },
    /// Reads wait for the proof that this node still leads.
    ReadsUnproven {
        /// How many.
        reads: u64,
        /// Who counts and has not answered the probe; empty if none was sent yet.
        missing: Vec<NodeId>,
    },
    /// Reads wait until what this leader adopted is decided.
    ReadsBeforeAdoption {
        /// How many.
        reads: u64,
        /// What is decided.
        commit: Slot,
        /// What was adopted.
        adopted_last: Slot,
    },
    /// Reads wait for the leader's answer to this follower's question.
    ReadsAsked {
        /// How many.
        reads: u64,
        /// Who was asked.
        leader: NodeId,
        /// Rounds for which it has not answered.
        rounds: u64,
    },
    /// A peer does not answer heartbeats.
    Silent {
        /// The peer.
        peer: NodeId,
        /// For so long; `None` if it never has.
        silence: Option<Span>,
    },
    /// A peer answers, but says that it could neither lead nor help: damaged, or its disk hangs.
    Unable {
        /// The peer.
        peer: NodeId,
    },
    /// A peer answers heartbeats, but nothing on the lane that decides: its connection for that is
    /// broken one way or the other, or it is stuck.
    DataSilent {
        /// The peer.
        peer: NodeId,
        /// For so many rounds in a row.
        rounds: u64,
    },
    /// A peer has not promised this leader's ballot.
    Unpromised {
        /// The peer.
        peer: NodeId,
        /// The ballot.
        ballot: Ballot,
        /// How often it was asked again in a row.
        retries: u32,
    },
    /// A peer has promised, and has not confirmed the sync, or the decided entries before it.
    Unsynced {
        /// The peer.
        peer: NodeId,
        /// Where its log ended when it said so.
        last: Slot,
        /// What it knew to be decided.
        commit: Slot,
        /// The last message to it is unanswered for so long; `None` if none is under way.
        unanswered: Option<Span>,
    },
    /// A peer fetches a snapshot from this leader.
    SendingSnapshot {
        /// The peer.
        peer: NodeId,
        /// Up to this slot.
        slot: Slot,
        /// Up to here it was asked for.
        sent: u64,
        /// Bytes that it has.
        bytes: u64,
        /// The last part was asked for so long ago.
        idle: Span,
    },
    /// A peer lacks entries of this leader.
    Lagging {
        /// The peer.
        peer: NodeId,
        /// So many.
        slots: u64,
        /// Of these so many bytes are sent and not confirmed.
        in_flight: u64,
        /// Whether that is all that may be under way: nothing more is sent before an answer.
        window_full: bool,
        /// Nothing was confirmed for so long.
        unanswered: Span,
    },
}

impl Finding {
    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::NoQuorum { .. }
            | Self::PeerContent { .. }
            | Self::WaitsForTurn { .. }
            | Self::RoundUnderWay { .. }
            | Self::Campaigning { .. }
            | Self::AdoptionLacks { .. }
            | Self::HandingOver { .. } => Topic::Leader,
            Self::Damaged { .. }
            | Self::DiskSlow { .. }
            | Self::Weightless
            | Self::Starting
            | Self::Executing { .. }
            | Self::FetchingSnapshot { .. }
            | Self::NotSynced { .. } => Topic::Local,
            Self::Proposals { .. }
            | Self::Deferring { .. }
            | Self::ReadsUnproven { .. }
            | Self::ReadsBeforeAdoption { .. }
            | Self::ReadsAsked { .. } => Topic::Pending,
            Self::Silent { .. }
            | Self::Unable { .. }
            | Self::DataSilent { .. }
            | Self::Unpromised { .. }
            | Self::Unsynced { .. }
            | Self::SendingSnapshot { .. }
            | Self::Lagging { .. } => Topic::Peer,
        }
    }

    /// The member that it is about, if it is about one other than this node.
    #[must_use]
    pub const fn about(&self) -> Option<NodeId> {
        match self {
            Self::PeerContent { peer, .. }
            | Self::Silent { peer, .. }
            | Self::Unable { peer }
            | Self::DataSilent { peer, .. }
            | Self::Unpromised { peer, .. }
            | Self::Unsynced { peer, .. }
            | Self::SendingSnapshot { peer, .. }
            | Self::Lagging { peer, .. } => Some(*peer),
            Self::HandingOver { to, .. } => Some(*to),
            Self::ReadsAsked { leader, .. } => Some(*leader),
            Self::NoQuorum { .. }
            | Self::WaitsForTurn { .. }
            | Self::RoundUnderWay { .. }
            | Self::Campaigning { .. }
            | Self::AdoptionLacks { .. }
            | Self::Damaged { .. }
            | Self::DiskSlow { .. }
            | Self::Weightless
            | Self::Starting
            | Self::Executing { .. }
            | Self::FetchingSnapshot { .. }
            | Self::NotSynced { .. }
            | Self::Proposals { .. }
            | Self::Deferring { .. }
            | Self::ReadsUnproven { .. }
            | Self::ReadsBeforeAdoption { .. } => None,
        }
    }

    /// A name for programs: lower case words with hyphens, which keep their meaning.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoQuorum { .. } => "no-quorum",
            Self::PeerContent { .. } => "peer-content",
            Self::WaitsForTurn { .. } => "waits-for-turn",
            Self::RoundUnderWay { .. } => "round-under-way",
            Self::Campaigning { .. } => "campaigning",
            Self::AdoptionLacks { .. } => "adoption-lacks",
            Self::HandingOver { .. } => "handing-over",
            Self::Damaged { .. } => "damaged",
            Self::DiskSlow { stalled: true, .. } => "disk-stalled",
            Self::DiskSlow { .. } => "disk-slow",
            Self::Weightless => "weightless",
            Self::Starting => "starting",
            Self::Executing { .. } => "executing",
            Self::FetchingSnapshot { .. } => "fetching-snapshot",
            Self::NotSynced { .. } => "not-synced",
            Self::Proposals { .. } => "proposals-pending",
            Self::Deferring { .. } => "lease-wait",
            Self::ReadsUnproven { .. } => "reads-unproven",
            Self::ReadsBeforeAdoption { .. } => "reads-before-adoption",
            Self::ReadsAsked { .. } => "reads-asked",
            Self::Silent { .. } => "peer-silent",
            Self::Unable { .. } => "peer-unable",
            Self::DataSilent { .. } => "peer-data-silent",
            Self::Unpromised { .. } => "peer-unpromised",
            Self::Unsynced { .. } => "peer-unsynced",
            Self::SendingSnapshot { .. } => "peer-fetches-snapshot",
            Self::Lagging { .. } => "peer-lagging",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&|node| node.to_string()))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings = self.findings.iter();
        findings.try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
