//! A frozen state, and how it becomes the bytes of a snapshot.
//! Knows nothing about where they go.

use std::fmt;
use std::io::{self, Write};

use super::block::BlockWriter;
use super::{SnapshotHeader, SnapshotId};
use crate::session::FrozenSessions;
use crate::state_machine::FrozenState;

/// The whole replicated state at one slot, detached from the machine that goes on. It shares
/// memory with it, so what the machine changes meanwhile is kept twice: write it soon, drop it.
pub struct FrozenSnapshot {
    header: SnapshotHeader,
    sessions: FrozenSessions,
    machine: Box<dyn FrozenState>,
}

impl FrozenSnapshot {
    pub(crate) fn new(
        mut header: SnapshotHeader,
        sessions: FrozenSessions,
        machine: Box<dyn FrozenState>,
    ) -> Self {
        for member in header.membership.members.values_mut() {
            member.addr.clear();
        }
        Self {
            header,
            sessions,
            machine,
        }
    }

    /// What it says about itself.
    #[must_use]
    pub const fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Writes it, in pieces of some 64 KiB, and says what it is called.
    ///
    /// # Errors
    /// As `out` does, and as the machine's [`FrozenState::write_to`] does.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<SnapshotId> {
        let mut blocks = BlockWriter::new(out);
        self.header.write_to(&mut blocks)?;
        self.sessions.write_to(&mut blocks)?;
        self.machine.write_to(&mut blocks)?;
        let seal = blocks.finish()?;
        Ok(SnapshotId {
            slot: self.header.slot,
            chain: self.header.chain,
            bytes: seal.bytes,
            digest: seal.digest,
        })
    }
}

impl fmt::Debug for FrozenSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenSnapshot")
            .field("slot", &self.header.slot)
            .field("chain", &self.header.chain)
            .finish_non_exhaustive()
    }
}
