//! Blocks: a stream of bytes cut into pieces that can be checked one by one, and the digest of it all.
//! Knows nothing about what the bytes say.
//!
//! A block is 4 bytes (its length, and in the highest bit whether it is the last one), so many
//! bytes, and 8 bytes of checksum: XXH3-64 of the block's number (8 bytes), the first 4 bytes and
//! the contents. All blocks but the last have [`BLOCK`] bytes of contents, and the last has at
//! least one, so that equal streams give equal blocks.

use std::io::{self, ErrorKind, Read, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::SnapshotError;

/// Contents of a block.
pub(super) const BLOCK: usize = 64 << 10;
/// Number and length, in front of the contents in memory; only the length is written.
const FRONT: usize = 12;
const NUMBER: usize = 8;
const LAST: u32 = 1 << 31;

/// How many bytes a stream had, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) bytes: u64,
    pub(super) digest: u128,
}

/// Length and XXH3-128 of what passes by.
struct Sealer {
    bytes: u64,
    digest: Xxh3,
}

impl Sealer {
    fn new() -> Self {
        Self {
            bytes: 0,
            digest: Xxh3::new(),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }

    fn seal(&self) -> Seal {
        Seal {
            bytes: self.bytes,
            digest: self.digest.digest128(),
        }
    }
}

/// Cuts what is written to it into blocks.
pub(super) struct BlockWriter<'a> {
    out: &'a mut dyn Write,
    sealer: Sealer,
    number: u64,
    /// [`FRONT`] and the contents so far.
    block: Vec<u8>,
}

impl<'a> BlockWriter<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let mut block = Vec::with_capacity(FRONT + BLOCK + 8);
        block.resize(FRONT, 0);
        Self {
            out,
            sealer: Sealer::new(),
            number: 0,
            block,
        }
    }

    /// Writes the last block.
    pub(super) fn finish(mut self) -> io::Result<Seal> {
        self.write_block(LAST)?;
        self.out.flush()?;
        Ok(self.sealer.seal())
    }

    fn write_block(&mut self, last: u32) -> io::Result<()> {
        let word = (self.block.len() - FRONT) as u32 | last;
        let front = self
            .number
            .to_be_bytes()
            .into_iter()
            .chain(word.to_be_bytes());
        for (to, byte) in self.block.iter_mut().zip(front) {
            *to = byte;
        }
        let checksum = xxh3_64(&self.block);
        self.block.extend_from_slice(&checksum.to_be_bytes());
        let (_, written) = self.block.split_at(NUMBER);
        self.out.write_all(written)?;
        self.sealer.update(written);
        self.number += 1;
        self.block.truncate(FRONT);
        Ok(())
    }
}

impl Write for BlockWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block is written once more comes: until then it may be the last.
        if self.block.len() == FRONT + BLOCK && !bytes.is_empty() {
            self.write_block(0)?;
        }
        let room = FRONT + BLOCK - self.block.len();
        let (now, _) = bytes.split_at(bytes.len().min(room));
        self.block.extend_from_slice(now);
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Yields the contents of blocks, each checked before any of it is handed out.
pub(super) struct BlockReader<'a> {
    from: &'a mut dyn Read,
    sealer: Sealer,
    number: u64,
    /// [`FRONT`], contents and checksum of the block at hand.
    block: Vec<u8>,
    /// How far it was handed out, and where its contents end.
    at: usize,
    end: usize,
    was_last: bool,
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(from: &'a mut dyn Read) -> Self {
        Self {
            from,
            sealer: Sealer::new(),
            number: 0,
            block: Vec::new(),
            at: 0,
            end: 0,
            was_last: false,
        }
    }

    /// Bytes of all blocks read so far.
    pub(super) const fn offset(&self) -> u64 {
        self.sealer.bytes
    }

    /// Reads the next block; `false` behind the last one.
    pub(super) fn next_block(&mut self) -> Result<bool, SnapshotError> {
        if self.was_last {
            return Ok(false);
        }
        let mut word = [0; FRONT - NUMBER];
        self.fill(&mut word)?;
        let is_last = u32::from_be_bytes(word) & LAST != 0;
        let len = (u32::from_be_bytes(word) & !LAST) as usize;
        let fits = if is_last { 1..=BLOCK } else { BLOCK..=BLOCK };
        if !fits.contains(&len) {
            return Err(self.damaged());
        }
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        block.extend_from_slice(&self.number.to_be_bytes());
        block.extend_from_slice(&word);
        block.resize(FRONT + len + 8, 0);
        let (_, rest) = block.split_at_mut(FRONT);
        self.fill(rest)?;
        let (body, checksum) = block.split_at(FRONT + len);
        if xxh3_64(body).to_be_bytes() != *checksum {
            return Err(self.damaged());
        }
        let (_, read) = block.split_at(NUMBER);
        self.sealer.update(read);
        self.block = block;
        (self.at, self.end) = (FRONT, FRONT + len);
        self.number += 1;
        self.was_last = is_last;
        Ok(true)
    }

    /// What was read, provided that the last block was, and that nothing follows it.
    pub(super) fn finish(&mut self) -> Result<Seal, SnapshotError> {
        match self.from.read_exact(&mut [0]) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(SnapshotError::Io(error)),
            Err(_) if self.was_last => Ok(self.sealer.seal()),
            _ => Err(self.damaged()),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        self.from.read_exact(bytes).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                self.damaged()
            } else {
                SnapshotError::Io(error)
            }
        })
    }

    fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged {
            offset: self.offset(),
        }
    }
}

impl Read for BlockReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end && !self.next_block().map_err(io::Error::other)? {
            return Ok(0);
        }
        let Some(mut contents) = self.block.get(self.at..self.end) else {
            return Ok(0);
        };
        let read = contents.read(into)?;
        self.at += read;
        Ok(read)
    }
}
