//! One snapshot file: what it is called, writing it in large pieces, reading it as a stream.
//! Knows nothing about what a snapshot says, nor about which of them are needed.

use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use chil_core::{Chain, Slot, SnapshotId};

use super::disk::DiskFile;

/// A snapshot while it is being taken.
pub(super) const TEMPORARY: &str = "snap.tmp";

/// What is gathered before it is written.
const PIECE_LEN: usize = 256 << 10;
/// What is written before it is synced. The log shares the disk: it must not have to wait until
/// hundreds of megabytes are through.
pub(super) const SYNC_LEN: u64 = 4 << 20;

/// The file of a snapshot that is whole and durable.
pub(super) fn name(id: &SnapshotId) -> String {
    format!("snap-{:016x}-{:032x}", id.slot.get(), id.digest)
}

/// The file of a snapshot that is on its way here. It names all of the id: nothing else may have
/// heard of it yet.
pub(super) fn partial_name(id: &SnapshotId) -> String {
    let (slot, chain) = (id.slot.get(), id.chain.get());
    format!(
        "part-{slot:016x}-{chain:032x}-{:016x}-{:032x}",
        id.bytes, id.digest
    )
}

/// What the name of a file in the directory means to snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A whole snapshot of this slot.
    Whole(Slot),
    /// One on its way.
    Partial(SnapshotId),
    /// One that was never finished.
    Temporary,
    /// Nothing.
    Other,
}

impl Named {
    /// Reads a name.
    pub(super) fn of(name: &str) -> Self {
        if name == TEMPORARY {
            return Self::Temporary;
        }
        whole(name)
            .map(Self::Whole)
            .or_else(|| partial(name).map(Self::Partial))
            .unwrap_or(Self::Other)
    }
}

fn whole(name: &str) -> Option<Slot> {
    let (slot, digest) = name.strip_prefix("snap-")?.split_once('-')?;
    let slot = Slot::new(number(slot, 16)?.try_into().ok()?);
    number(digest, 32).map(|_| slot)
}

fn partial(name: &str) -> Option<SnapshotId> {
    let mut numbers = name.strip_prefix("part-")?.split('-');
    let mut next = |digits| number(numbers.next()?, digits);
    let id = SnapshotId {
        slot: Slot::new(next(16)?.try_into().ok()?),
        chain: Chain::new(next(32)?),
        bytes: next(16)?.try_into().ok()?,
        digest: next(32)?,
    };
    (partial_name(&id) == name).then_some(id)
}

fn number(text: &str, digits: usize) -> Option<u128> {
    (text.len() == digits).then(|| u128::from_str_radix(text, 16).ok())?
}

/// Appends to a file in large pieces, every few of them made durable.
pub(super) struct Sink<'a, F> {
    file: &'a mut F,
    /// Where what is gathered belongs.
    at: u64,
    synced: u64,
    piece: Vec<u8>,
    /// Called between two pieces; an error ends the writing.
    between: &'a mut dyn FnMut() -> io::Result<()>,
}

impl<'a, F: DiskFile> Sink<'a, F> {
    /// Begins at the start of `file`.
    pub(super) fn new(file: &'a mut F, between: &'a mut dyn FnMut() -> io::Result<()>) -> Self {
        Self {
            file,
            at: 0,
            synced: 0,
            piece: Vec::with_capacity(PIECE_LEN),
            between,
        }
    }

    /// Writes the rest and makes all of it durable.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_piece()?;
        self.file.sync()
    }

    fn write_piece(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.piece, self.at)?;
        self.at += self.piece.len() as u64;
        self.piece.clear();
        if self.at - self.synced >= SYNC_LEN {
            self.file.sync()?;
            self.synced = self.at;
        }
        (self.between)()
    }
}

impl<F: DiskFile> Write for Sink<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE_LEN {
            self.write_piece()?;
        }
        let len = bytes.len().min(PIECE_LEN - self.piece.len());
        self.piece.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    /// Does nothing: [`Sink::finish`] does.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file from its beginning, as a stream.
#[derive(Debug)]
pub(super) struct Source<'a, F> {
    file: &'a F,
    at: u64,
    left: u64,
}

impl<'a, F: DiskFile> Source<'a, F> {
    /// The first `len` bytes of `file`, or all of it if it has less.
    pub(super) fn new(file: &'a F, len: u64) -> io::Result<BufReader<Self>> {
        let left = len.min(file.len()?);
        let source = Self { file, at: 0, left };
        Ok(BufReader::with_capacity(PIECE_LEN, source))
    }
}

impl<F: DiskFile> Read for Source<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        self.file.read_exact_at(&mut into[..len], self.at)?;
        self.at += len as u64;
        self.left -= len as u64;
        Ok(len)
    }
}

/// A stream that ends with an error once nobody wants the rest any more.
#[derive(Debug)]
pub(super) struct Unless<'a, R> {
    pub(super) stopped: &'a AtomicBool,
    pub(super) from: R,
}

impl<R: Read> Read for Unless<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        go_on(self.stopped)?;
        self.from.read(into)
    }
}

/// An error if the work is not wanted any more.
pub(super) fn go_on(stopped: &AtomicBool) -> io::Result<()> {
    if stopped.load(Ordering::Acquire) {
        return Err(io::Error::other("the node ends"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let id = SnapshotId {
            slot: Slot::new(0x1f),
            chain: Chain::new(u128::MAX - 1),
            bytes: 77,
            digest: 5,
        };
        assert_eq!(Named::of(&name(&id)), Named::Whole(id.slot));
        assert_eq!(Named::of(&partial_name(&id)), Named::Partial(id));
        assert_eq!(Named::of(TEMPORARY), Named::Temporary);
        let whole = name(&id);
        for other in [
            &whole[..whole.len() - 1],
            &format!("{whole}0"),
            "part-1",
            "snap-",
            "meta-a",
        ] {
            assert_eq!(Named::of(other), Named::Other, "{other}");
        }
        assert_eq!(Named::of(&format!("{}-0", partial_name(&id))), Named::Other);
    }
}
