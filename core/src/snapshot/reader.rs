//! Reading a snapshot: as a stream for who restores it, or only to check it.
//! Knows nothing about what the sessions and the machine hold.

use std::io::{self, Read};

use super::block::BlockReader;
use super::{SnapshotError, SnapshotHeader, SnapshotId};
use crate::canonical::{read_end, read_u64};
use crate::session::Sessions;

/// A snapshot's contents in their order: header, sessions, then as a stream the machine.
pub(crate) struct SnapshotReader<'a>(BlockReader<'a>);

impl<'a> SnapshotReader<'a> {
    pub(crate) fn new(from: &'a mut dyn Read) -> Self {
        Self(BlockReader::new(from))
    }

    pub(crate) fn header(&mut self) -> Result<SnapshotHeader, SnapshotError> {
        SnapshotHeader::read_from(&mut self.0)
    }

    pub(crate) fn sessions(&mut self, header: &SnapshotHeader) -> Result<Sessions, SnapshotError> {
        Ok(Sessions::read_from(
            &mut self.0,
            header.slot,
            header.membership.sessions,
        )?)
    }

    /// The id of what was read, which must be all of it.
    pub(crate) fn finish(mut self, header: &SnapshotHeader) -> Result<SnapshotId, SnapshotError> {
        read_end(&mut self.0)?;
        self.id(header)
    }

    fn id(&mut self, header: &SnapshotHeader) -> Result<SnapshotId, SnapshotError> {
        let seal = self.0.finish()?;
        Ok(SnapshotId {
            slot: header.slot,
            chain: header.chain,
            bytes: seal.bytes,
            digest: seal.digest,
        })
    }
}

impl Read for SnapshotReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

/// Reads a whole snapshot: says what it says about itself, and what its bytes are called.
///
/// # Errors
/// If it is no snapshot, cut off, or damaged. That its sessions and its machine can be restored
/// is not checked.
pub fn verify(from: &mut dyn Read) -> Result<(SnapshotHeader, SnapshotId), SnapshotError> {
    inspect(from).map(|(header, id, _)| (header, id))
}

/// As [`verify`], and says how many sessions it holds.
///
/// # Errors
/// As [`verify`].
pub fn inspect(from: &mut dyn Read) -> Result<(SnapshotHeader, SnapshotId, u64), SnapshotError> {
    let mut reader = SnapshotReader::new(from);
    let header = reader.header()?;
    // What the sessions begin with.
    let sessions = read_u64(&mut reader.0)?;
    while reader.0.next_block()? {}
    let id = reader.id(&header)?;
    Ok((header, id, sessions))
}

/// How many bytes from the beginning are whole, sound blocks: what of an interrupted transfer
/// need not be fetched again. Their digest can be judged only once all are there.
///
/// # Errors
/// As `from` does.
pub fn good_prefix(from: &mut dyn Read) -> io::Result<u64> {
    let mut blocks = BlockReader::new(from);
    loop {
        match blocks.next_block() {
            Ok(true) => {}
            Err(SnapshotError::Io(error)) => return Err(error),
            // All others say that this block is not as it should be.
            Ok(false) | Err(_) => return Ok(blocks.offset()),
        }
    }
}
