//! A run as data: everything that happened, in order, with what people need to understand it.
//! Knows nothing about how it is shown.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Version of this format.
    pub version: u32,
    /// What was executed.
    pub plan: Plan,
    /// The names of the nodes, by index.
    pub nodes: Vec<String>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What was violated, in a sentence that names the check; the run ended there.
    pub violation: Option<String>,
    /// What then stood in the way of each node, as it says itself: a line a finding.
    pub explained: Vec<String>,
    /// Fingerprint of the run.
    pub hash: String,
}

impl Recording {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 2;
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: that of the event of the simulation that it belongs to. Several things that
    /// one event brings about share it.
    pub n: u64,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// Where; `None` for what happens to the world.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<usize>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A message leaves a node.
    Send {
        /// Tells it from all other messages of the run.
        id: u64,
        /// To whom.
        to: usize,
        /// On which lane: "heartbeat", "quorum" or "bulk".
        lane: String,
        /// Its kind, such as "Accept".
        name: String,
        /// All of it, in a line.
        text: String,
        /// The ballot that it speaks of, if any.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        ballot: Option<String>,
        /// The first and the last slot that it speaks of, if any.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        slots: Option<(u64, u64)>,
        /// When it will arrive, if nothing comes between; twice if it was duplicated, never if it
        /// was lost at once.
        arrives: Vec<u64>,
    },
    /// A message arrives at a node that is up.
    Receive {
        /// The number that it was sent with.
        id: u64,
        /// From whom.
        from: usize,
    },
    /// A message arrives at a node that is down, or whose link was cut meanwhile.
    Miss {
        /// The number that it was sent with.
        id: u64,
        /// From whom.
        from: usize,
    },
    /// A node's deadline passes.
    Wake,
    /// A node's state is another one than before.
    State(State),
    /// A node hands records to its disk.
    Persist {
        /// Where they end in the node's sequence of records: "2:17" is the 17th batch of its
        /// second life.
        lsn: String,
        /// All of them, in a line.
        text: String,
    },
    /// What a node handed to its disk is durable now.
    Durable {
        /// Up to this batch, which is the last one of those that one sync covered.
        lsn: String,
    },
    /// A node knows these slots to be decided.
    Decided {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A fault begins.
    Fault {
        /// Its number in the plan.
        index: usize,
        /// Its kind, one of `FaultKind::NAMES`.
        name: String,
        /// All of it, in a line.
        text: String,
        /// The nodes that it hits, as far as it hits nodes.
        nodes: Vec<usize>,
        /// The links that it hits, as far as it hits links.
        links: Vec<(usize, usize)>,
        /// When it ends.
        until: u64,
    },
    /// A node ends.
    Dies {
        /// What survives.
        mode: String,
    },
    /// A node starts.
    Starts {
        /// From what.
        text: String,
    },
    /// All faults are over.
    Healing,
    /// A client does something, or something is done for it.
    Client {
        /// Which one.
        client: usize,
        /// The number of its operation.
        operation: u64,
        /// How far the operation is.
        step: Step,
        /// What it is, in a line.
        text: String,
        /// The slot that it took effect in, or was read at.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        slot: Option<u64>,
    },
    /// A remark.
    Note {
        /// The remark.
        text: String,
    },
    /// A property did not hold: the run ends.
    Violation {
        /// The check.
        check: String,
        /// What happened, in a sentence.
        text: String,
    },
}

/// How far a client's operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It reaches a node.
    Asked,
    /// It is done, and the client knows.
    Done,
    /// The client does not know what became of it.
    Unknown,
    /// It was not done, and the client knows.
    Failed,
}

/// A node's state as the outside sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// "down", "forming", "following", "campaigning" or "leading".
    pub role: String,
    /// The ballot that it promised.
    pub promised: String,
    /// The ballot of its log.
    pub acc: String,
    /// Whom it takes for the leader.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leader: Option<usize>,
    /// The end of its log in memory.
    pub last: u64,
    /// The end of its log on disk.
    pub durable: u64,
    /// What it knows to be decided.
    pub commit: u64,
    /// What it has executed.
    pub applied: u64,
}
