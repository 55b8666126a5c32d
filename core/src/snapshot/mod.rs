//! Snapshots: what names one, what it consists of, and how its bytes are written, checked and read.
//! Knows nothing about files, nor about when a node keeps, sends or installs one.
//!
//! A snapshot is a function of the log up to its slot, in one canonical encoding, so that the
//! snapshots that two nodes make of a slot are the same bytes, and a transfer that began at one
//! node goes on at another.
//!
//! The bytes are blocks with a checksum each (see `block`); their contents, one behind the other,
//! are the header (`header`), the sessions, and the machine's own bytes up to the end. Everything
//! streams: nothing here holds more than one block.

mod block;
mod error;
mod frozen;
mod header;
mod id;
mod reader;
mod restored;
#[cfg(test)]
mod tests;

pub use error::SnapshotError;
pub use frozen::FrozenSnapshot;
pub use header::SnapshotHeader;
pub use id::{PartialSnapshot, SnapshotId, SnapshotMark};
pub(crate) use reader::SnapshotReader;
pub use reader::{good_prefix, inspect, verify};
pub use restored::RestoredMember;

/// Where in the log snapshots are taken: behind every so many slots or bytes since the last such
/// point, whichever comes first.
///
/// The points depend on the log and this alone, not on when a node was started or what it was
/// doing. Give all members the same: otherwise their snapshots are of different slots, and a
/// transfer that one of them began has to begin anew at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Slots from one point to the next, at most; 0 counts as 1.
    pub slots: u64,
    /// Bytes of entries ([`Entry::cost`](crate::Entry::cost)) from one point to the next: the
    /// entry that reaches it ends there.
    pub bytes: u64,
}

impl SnapshotPolicy {
    /// No points at all.
    pub const NEVER: Self = Self {
        slots: u64::MAX,
        bytes: u64::MAX,
    };
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            slots: 65_536,
            bytes: 64 << 20,
        }
    }
}
