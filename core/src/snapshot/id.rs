//! Which snapshot a set of bytes is, and what a node remembers of the one that its log begins behind.
//! Knows nothing about what the bytes say, nor about where they are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::Chain;
use crate::types::{Ballot, Slot};

/// Names a snapshot: equal ids, equal bytes, on whichever node they were made. It can be so
/// because a snapshot is a function of the log up to `slot`, in one canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId {
    /// Everything up to here is in it.
    pub slot: Slot,
    /// Chain of the log at `slot`.
    pub chain: Chain,
    /// Length in bytes.
    pub bytes: u64,
    /// XXH3-128 of all of them: finds mistakes and rot, not adversaries.
    pub digest: u128,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest >> 96;
        write!(
            f,
            "snapshot {} ({} bytes, {digest:08x})",
            self.slot, self.bytes
        )
    }
}

/// The snapshot that stands for the beginning of a node's log, as its metadata records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMark {
    /// Which one.
    pub id: SnapshotId,
    /// Highest ballot by which its slot was learned to be decided.
    pub decided_in: Ballot,
}

/// A snapshot on its way that a crash interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialSnapshot {
    /// Which one.
    pub id: SnapshotId,
    /// The first so many bytes are there, and sound as far as can be told.
    pub have: u64,
}
