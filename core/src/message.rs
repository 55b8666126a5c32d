//! Messages between nodes, one struct each: who sends it, when, what its receiver may conclude,
//! and what must be durable before it leaves. Knows nothing about bytes or connections.

use std::fmt;

use bytes::Bytes;

use crate::command::{Chain, Entry};
use crate::snapshot::SnapshotId;
use crate::time::Span;
use crate::types::{Ballot, ClusterId, DiskId, Epoch, NodeId, Slot};

/// A message with the identity of its sender and the addressee it is meant for.
///
/// Everything here is compared on receipt; a mismatch is dropped and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The cluster both belong to.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The sender's data directory.
    pub from_disk: DiskId,
    /// How often the sender's directory has been started; at least 1.
    pub boot: u64,
    /// Drawn at random by the sending process: two runs of one boot betray a copied directory.
    pub run: u64,
    /// The addressee.
    pub to: NodeId,
    /// The addressee's boot count as the sender last heard it; 0 when it has not.
    pub to_boot: u64,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The message itself.
    pub body: Message,
}

/// Which of a link's connections carries a message, so that bulk never delays heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats and their replies.
    Heartbeat,
    /// Everything that decides.
    Quorum,
    /// Catch-up.
    Bulk,
}

impl Lane {
    /// All lanes, in order of urgency.
    pub const ALL: [Self; 3] = [Self::Heartbeat, Self::Quorum, Self::Bulk];
}

/// All messages between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Phase 1a.
    Prepare(Prepare),
    /// Phase 1b.
    Promise(Promise),
    /// Phase 2a.
    Accept(Accept),
    /// Phase 2b.
    Accepted(Accepted),
    /// A refusal that says where the refuser stands.
    Nack(Nack),
    /// Decided entries.
    Learn(Learn),
    /// A request for decided entries.
    Fetch(Fetch),
    /// A heartbeat round's question.
    Heartbeat(Heartbeat),
    /// Its answer.
    HeartbeatReply(HeartbeatReply),
    /// A snapshot stands for what was asked for.
    Offer(Offer),
    /// A request for a part of a snapshot.
    FetchChunk(FetchChunk),
    /// A part of a snapshot.
    Chunk(Chunk),
    /// A follower's question for its reads.
    ReadIndex(ReadIndex),
    /// Its answer.
    ReadIndexReply(ReadIndexReply),
    /// The leader's word that the addressee may take over at once.
    TransferNow(TransferNow),
}

impl Message {
    /// The lane it travels on.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Heartbeat(Heartbeat { data: false, .. })
            | Self::HeartbeatReply(HeartbeatReply { data: false, .. }) => Lane::Heartbeat,
            Self::Heartbeat(_)
            | Self::HeartbeatReply(_)
            | Self::Prepare(_)
            | Self::Promise(_)
            | Self::Accept(_)
            | Self::Accepted(_)
            | Self::Nack(_)
            | Self::ReadIndex(_)
            | Self::ReadIndexReply(_)
            | Self::TransferNow(_) => Lane::Quorum,
            Self::Learn(_)
            | Self::Fetch(_)
            | Self::Offer(_)
            | Self::FetchChunk(_)
            | Self::Chunk(_) => Lane::Bulk,
        }
    }

    /// Its name, for traces and counters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "Prepare",
            Self::Promise(_) => "Promise",
            Self::Accept(_) => "Accept",
            Self::Accepted(_) => "Accepted",
            Self::Nack(_) => "Nack",
            Self::Learn(_) => "Learn",
            Self::Fetch(_) => "Fetch",
            Self::Heartbeat(_) => "Heartbeat",
            Self::HeartbeatReply(_) => "HeartbeatReply",
            Self::Offer(_) => "Offer",
            Self::FetchChunk(_) => "FetchChunk",
            Self::Chunk(_) => "Chunk",
            Self::ReadIndex(_) => "ReadIndex",
            Self::ReadIndexReply(_) => "ReadIndexReply",
            Self::TransferNow(_) => "TransferNow",
        }
    }
}

/// "Promise me ballot `ballot`": from a candidate to all members, and again until they answer.
///
/// Durable first: the candidate's own promise of `ballot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// The ballot asked for; its owner is the sender.
    pub ballot: Ballot,
    /// The ballot of the candidate's last sync.
    pub acc: Ballot,
    /// End of the candidate's log, so that a promise carries only what it lacks.
    pub last: Slot,
    /// The slot up to which the candidate knows the log to be decided.
    pub commit: Slot,
    /// Chain of the candidate's log at `commit`.
    pub chain_at_commit: Chain,
}

/// "I take nothing below `ballot` any more, and this is what I have accepted."
///
/// Reports the log in memory; leaves only when the promise and all of that log are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The ballot promised.
    pub ballot: Ballot,
    /// The ballot of the promiser's last sync.
    pub acc: Ballot,
    /// End of the promiser's log.
    pub last: Slot,
    /// Chain of the promiser's log at `last`.
    pub chain_at_last: Chain,
    /// What the promiser knows to be decided.
    pub commit: Slot,
    /// `suffix` begins behind this slot.
    pub from: Slot,
    /// The entries `from+1 ..= last`; empty when the candidate's log is at least as good.
    pub suffix: Vec<Entry>,
    /// The promiser lost something durable: this fences, but is no evidence and never counted.
    pub damaged: bool,
}

/// "Accept these in `ballot`": from the leader only. Without entries it is a heartbeat, the news
/// of a commit, or the probe of a read.
///
/// Durable first: the leader's promise of `ballot`. Not its own copy of `entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// In the first message of a ballot: the end of the log that the leader adopted. It carries
    /// everything in `(prev, adopted_last]` and takes effect whole or not at all.
    pub sync: Option<Slot>,
    /// `entries` begin behind this slot.
    pub prev: Slot,
    /// Chain of the leader's log at `prev`.
    pub prev_chain: Chain,
    /// Entries `prev+1 ..`.
    pub entries: Vec<Entry>,
    /// What the leader knows to be decided.
    pub commit: Slot,
    /// Number of this message, rising within a ballot; the answer repeats it.
    pub seq: u64,
}

/// "My log in `ballot` is durable up to `last`": cumulative.
///
/// Durable first: the transaction that set `acc := ballot` and every entry up to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The ballot accepted in.
    pub ballot: Ballot,
    /// Durable end of the log.
    pub last: Slot,
    /// Highest `seq` received in this ballot; acknowledges a probe at once, without the disk.
    pub seq: u64,
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NackReason {
    /// A higher ballot is promised.
    Ballot,
    /// The ballot is new here: it needs a `Prepare` first.
    NeedPrepare,
    /// Nothing was synced in this ballot yet, or not from a point that fits.
    NeedSync,
    /// The entries begin behind the end of the log.
    Gap,
    /// Something durable was lost here, or the sender's directory is a copy or an older state.
    Damaged,
}

/// A refusal with the position of its sender. Never changes what is known to be accepted.
///
/// Durable first: nothing (it promises nothing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The ballot of the refused message.
    pub ballot: Ballot,
    /// What the refuser has promised.
    pub promised: Ballot,
    /// The ballot of its last sync.
    pub acc: Ballot,
    /// The end of its log.
    pub last: Slot,
    /// What it knows to be decided.
    pub commit: Slot,
    /// Why.
    pub reason: NackReason,
}

/// Decided entries; any node that holds them may send them.
///
/// Durable first: nothing (what is decided is durable in a quorum).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    /// Highest ballot by which the sender learned its `commit`.
    pub decided_in: Ballot,
    /// `entries` begin behind this slot.
    pub prev: Slot,
    /// Chain of the sender's log at `prev`.
    pub prev_chain: Chain,
    /// Decided entries `prev+1 ..`; may be empty.
    pub entries: Vec<Entry>,
    /// What the sender knows to be decided: more can be fetched up to here.
    pub commit: Slot,
}

/// "Send me what is decided in `(prev, to]`": answered with one `Learn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The asker's `commit`.
    pub prev: Slot,
    /// How far it wants to get.
    pub to: Slot,
}

/// Opens the asker's heartbeat round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Number of the round; the high 32 bits are the boot count.
    pub round: u64,
    /// Whether it travels on the quorum lane: an asker without a leader sends it on both, since
    /// heartbeats alone would hide that nothing else gets through.
    pub data: bool,
    /// Whether the asker has a leader that works. Who thought otherwise asks anew at once.
    pub happy: bool,
}

/// Answers a heartbeat (OmniPaxos, EuroSys '23, section 5: ballot leader election).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The round answered.
    pub round: u64,
    /// Whether it was asked, and so travels, on the quorum lane.
    pub data: bool,
    /// The replier's *own* ballot: the one that it prepares or leads, else `(epoch, 0, self)`.
    pub ballot: Ballot,
    /// The leader that the replier follows: used to compute happiness, never adopted.
    pub leader: Ballot,
    /// Whether the replier has a leader that works.
    pub happy: bool,
    /// Whether it could help a leader: undamaged, of weight above 0, with a disk that moves.
    pub able: bool,
    /// What it knows to be decided.
    pub commit: Slot,
    /// How much it is wanted as leader: among nodes that could lead, the highest should.
    pub priority: u32,
    /// So long before the answer nothing was acknowledged anywhere beyond `commit`, as an accept
    /// quorum has confirmed to this leader; `None` from whoever does not lead, or knows none.
    pub fresh: Option<Span>,
}

/// "What you need is not in my log any more, but in this snapshot": from a leader or from whoever
/// was sent a [`Fetch`] or a [`FetchChunk`]. The addressee fetches it in parts if it is ahead of
/// what it knows to be decided.
///
/// Durable first: the snapshot, under its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which snapshot.
    pub id: SnapshotId,
    /// Highest ballot by which the sender learned that its slot is decided.
    pub decided_in: Ballot,
    /// What the sender knows to be decided.
    pub commit: Slot,
}

/// "Send me this part of your snapshot": answered with a [`Chunk`], or with an [`Offer`] of what
/// the addressee keeps instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchChunk {
    /// Which snapshot; any node that keeps it has the same bytes.
    pub id: SnapshotId,
    /// From where.
    pub offset: u64,
    /// How many bytes at most.
    pub len: u64,
}

/// A part of a snapshot: to whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which snapshot.
    pub id: SnapshotId,
    /// Where in it the bytes belong.
    pub offset: u64,
    /// The bytes; not empty.
    pub bytes: Bytes,
}

/// "How far must I have executed to serve the reads that wait here?": from a follower to the
/// leader that it follows, sent after the reads arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadIndex {
    /// Number of the question, rising within a process life.
    pub token: u64,
}

/// Answers [`ReadIndex`] once a probe that was sent after it is answered by an accept quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadIndexReply {
    /// As in the question.
    pub token: u64,
    /// The slot to wait for; `None` from a node that does not lead: ask somebody else.
    pub index: Option<Slot>,
}

/// "Your log is as long as mine: campaign now": from a leader that hands over, to its successor.
/// The sender proposes nothing more in this ballot and has given up its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferNow {
    /// The sender's ballot.
    pub ballot: Ballot,
    /// The end of its log.
    pub last: Slot,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match self {
            Self::Prepare(m) => {
                write!(
                    f,
                    " {} acc={} last={} commit={}",
                    m.ballot, m.acc, m.last, m.commit
                )
            }
            Self::Promise(m) => {
                write!(
                    f,
                    " {} acc={} last={} commit={}",
                    m.ballot, m.acc, m.last, m.commit
                )?;
                write!(f, " suffix={}+{}", m.from, m.suffix.len())?;
                if m.damaged {
                    write!(f, " DAMAGED")
                } else {
                    Ok(())
                }
            }
            Self::Accept(m) => {
                write!(f, " {} {}+{}", m.ballot, m.prev, m.entries.len())?;
                if let Some(adopted) = m.sync {
                    write!(f, " sync={adopted}")?;
                }
                write!(f, " commit={} seq={}", m.commit, m.seq)
            }
            Self::Accepted(m) => write!(f, " {} last={} seq={}", m.ballot, m.last, m.seq),
            Self::Nack(m) => write!(
                f,
                " {:?} of {}: promised={} acc={} last={} commit={}",
                m.reason, m.ballot, m.promised, m.acc, m.last, m.commit
            ),
            Self::Learn(m) => {
                write!(f, " {}+{} in {}", m.prev, m.entries.len(), m.decided_in)?;
                write!(f, " commit={}", m.commit)
            }
            Self::Fetch(m) => write!(f, " ({}, {}]", m.prev, m.to),
            Self::Heartbeat(m) => {
                write!(f, " round={}", m.round & 0xffff_ffff)?;
                write!(f, "{}", if m.data { " data" } else { "" })?;
                write!(f, "{}", if m.happy { "" } else { " unhappy" })
            }
            Self::HeartbeatReply(m) => {
                let lane = if m.data { " data" } else { "" };
                write!(f, " round={}{lane}", m.round & 0xffff_ffff)?;
                write!(f, " own={}", m.ballot)?;
                write!(f, " leader={} commit={}", m.leader, m.commit)?;
                write!(f, "{}", if m.happy { " happy" } else { " unhappy" })?;
                if m.able { Ok(()) } else { write!(f, " unable") }
            }
            Self::Offer(m) => write!(f, " {} in {} commit={}", m.id, m.decided_in, m.commit),
            Self::FetchChunk(m) => write!(f, " {}+{} of {}", m.offset, m.len, m.id),
            Self::Chunk(m) => write!(f, " {}+{} of {}", m.offset, m.bytes.len(), m.id),
            Self::ReadIndex(m) => write!(f, " {}", m.token & 0xffff_ffff),
            Self::ReadIndexReply(m) => {
                write!(f, " {} ", m.token & 0xffff_ffff)?;
                match m.index {
                    Some(index) => write!(f, "index={index}"),
                    None => write!(f, "does not lead"),
                }
            }
            Self::TransferNow(m) => write!(f, " {} last={}", m.ballot, m.last),
        }
    }
}
