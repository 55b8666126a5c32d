//! The segments of the log: files of a fixed size, written and synced once before they are used.
//! Knows nothing about frames.
//!
//! A write into a file that was only reserved (or grown) changes the file system's own records, so
//! that each sync of it waits for the journal as well. Zeros first, and a sync costs one flush; an
//! old segment that is used again does as well.

use chil_core::DiskId;

use super::block::{self, Kind, Reader};
use super::codec;
use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};

/// Where frames begin. A page of its own: a torn write of the first frame cannot reach the head.
pub(super) const HEAD_LEN: u64 = 4096;
/// Zeros written, and synced, in one step of preparing a segment: a few syncs' worth of time, so
/// that a batch that comes meanwhile waits little.
pub(super) const STEP_LEN: u64 = 256 << 10;

/// The head says whose segment this is, and how long it was made.
const HEAD_BODY_LEN: usize = 16 + 8;

const KIND: Kind = Kind {
    magic: *b"chilwal\0",
    // The first one had no frames that name a snapshot.
    version: 2,
    oldest: 1,
};

/// The file of segment `seq`.
pub(super) fn file_name(seq: u64) -> String {
    format!("wal-{seq:016x}")
}

/// The file of segment `seq` while it is prepared.
pub(super) fn temporary_name(seq: u64) -> String {
    format!("wal-{seq:016x}.tmp")
}

/// What the name of a file in the directory means to the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A segment.
    Segment(u64),
    /// A segment that was never used.
    Temporary,
    /// Nothing.
    Other,
}

impl Named {
    /// Reads a name.
    pub(super) fn of(name: &str) -> Self {
        let Some(rest) = name.strip_prefix("wal-") else {
            return Self::Other;
        };
        let (digits, found): (_, fn(u64) -> Self) = match rest.strip_suffix(".tmp") {
            Some(digits) => (digits, |_| Self::Temporary),
            None => (rest, Self::Segment),
        };
        match u64::from_str_radix(digits, 16) {
            Ok(seq) if digits.len() == 16 => found(seq),
            _ => Self::Other,
        }
    }
}

/// What the checksums of a segment's frames start from.
pub(super) fn seed(disk: DiskId, seq: u64) -> u32 {
    let seed = crc32c::crc32c(&disk.get().to_le_bytes());
    crc32c::crc32c_append(seed, &seq.to_le_bytes())
}

/// A segment in use.
pub(super) struct Segment<F> {
    /// Its number, from 1.
    pub(super) seq: u64,
    /// Its file.
    pub(super) file: F,
    /// Its length.
    pub(super) len: u64,
    /// What its checksums start from.
    pub(super) seed: u32,
}

impl<F: DiskFile> Segment<F> {
    /// Opens segment `seq` and checks its head.
    pub(super) fn open<D: Disk<File = F>>(
        disk: &mut D,
        id: DiskId,
        seq: u64,
    ) -> Result<Self, StorageError> {
        let name = file_name(seq);
        let file = match disk.open(&name, false) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let detail = "the file is missing";
                return Err(StorageError::corrupt(disk, &name, 0, detail));
            }
            opened => opened.context(disk, &name, "open")?,
        };
        let len = file.len().context(disk, &name, "measure")?;
        let cut = || {
            let detail = "the file was cut: it is shorter than it was made";
            StorageError::corrupt(disk, &name, len, detail)
        };
        if len < HEAD_LEN {
            return Err(cut());
        }
        let mut head = vec![0; block::HEADER_LEN + HEAD_BODY_LEN];
        file.read_exact_at(&mut head, 0)
            .context(disk, &name, "read")?;
        let found =
            block::unseal(&KIND, &head).map_err(|broken| broken.into_error(disk, &name, &KIND))?;
        let mut body = Reader(found.body);
        if found.generation != seq || found.body.len() != HEAD_BODY_LEN || body.u128() != id.get() {
            let detail = "this segment belongs elsewhere (another directory or another place)";
            return Err(StorageError::corrupt(disk, &name, 0, detail));
        }
        if len < body.u64() {
            return Err(cut());
        }
        Ok(Self {
            seq,
            file,
            len,
            seed: seed(id, seq),
        })
    }

    /// All of it.
    pub(super) fn read<D: Disk<File = F>>(&self, disk: &D) -> Result<Vec<u8>, StorageError> {
        let name = file_name(self.seq);
        let len = usize::try_from(self.len).map_err(|_| StorageError::Io {
            file: disk.describe(&name),
            what: "read",
            source: std::io::Error::other("the file is larger than this machine's memory"),
        })?;
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, 0)
            .context(disk, &name, "read")?;
        Ok(bytes)
    }

    /// Makes what was written to it durable.
    pub(super) fn sync<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), StorageError> {
        self.file.sync().context(disk, &file_name(self.seq), "sync")
    }

    /// Overwrites `from..to` with zeros, growing the file where needed, and syncs.
    pub(super) fn zero<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        from: u64,
        to: u64,
    ) -> Result<(), StorageError> {
        let name = file_name(self.seq);
        let mut at = from;
        while at < to {
            let step = zeros((to - at).min(STEP_LEN));
            self.file
                .write_all_at(&step, at)
                .context(disk, &name, "write zeros")?;
            at += step.len() as u64;
        }
        self.len = self.len.max(to);
        self.sync(disk)
    }
}

/// A segment on its way: zeros up to here, or bytes of an earlier segment that pass for nothing.
pub(super) struct Growing<F> {
    seq: u64,
    file: F,
    written: u64,
    len: u64,
    /// It was another segment: its head, and zeros in place of its first frame, are all that has
    /// to be written.
    recycled: bool,
}

impl<F: DiskFile> Growing<F> {
    /// Begins segment `seq` of `len` bytes.
    pub(super) fn begin<D: Disk<File = F>>(
        disk: &mut D,
        seq: u64,
        len: u64,
    ) -> Result<Self, StorageError> {
        let name = temporary_name(seq);
        Ok(Self {
            seq,
            file: disk.open(&name, true).context(disk, &name, "create")?,
            written: 0,
            len,
            recycled: false,
        })
    }

    /// Makes segment `seq` of at least `len` bytes of segment `from`, which nothing needs any
    /// more. Its frames stay where they are: their checksums start from another number.
    pub(super) fn recycle<D: Disk<File = F>>(
        disk: &mut D,
        from: u64,
        seq: u64,
        len: u64,
    ) -> Result<Self, StorageError> {
        let name = temporary_name(seq);
        disk.rename(&file_name(from), &name)
            .context(disk, &name, "rename")?;
        // Before its head changes: under its old name it would be damage.
        disk.sync_dir().context(disk, &name, "make durable")?;
        let file = disk.open(&name, false).context(disk, &name, "open")?;
        let found = file.len().context(disk, &name, "measure")?;
        Ok(Self {
            seq,
            file,
            written: 0,
            len: len.max(found),
            recycled: len <= found,
        })
    }

    /// How many bytes of it are there.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// One more piece of zeros, the first with the head, made durable; gives the segment its name
    /// and returns true when it was the last.
    pub(super) fn step<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        id: DiskId,
    ) -> Result<bool, StorageError> {
        let name = temporary_name(self.seq);
        let step = if self.recycled {
            HEAD_LEN + codec::HEADER_LEN as u64
        } else {
            STEP_LEN
        };
        let mut piece = zeros((self.len - self.written).min(step));
        if self.written == 0 {
            let mut body = id.get().to_le_bytes().to_vec();
            body.extend_from_slice(&self.len.to_le_bytes());
            let head = block::seal(&KIND, self.seq, &body);
            piece[..head.len()].copy_from_slice(&head);
        }
        self.file
            .write_all_at(&piece, self.written)
            .context(disk, &name, "write zeros")?;
        self.file.sync().context(disk, &name, "sync")?;
        self.written = if self.recycled {
            self.len
        } else {
            self.written + piece.len() as u64
        };
        if self.written < self.len {
            return Ok(false);
        }
        disk.rename(&name, &file_name(self.seq))
            .context(disk, &name, "rename")?;
        disk.sync_dir().context(disk, &name, "make durable")?;
        Ok(true)
    }
}

fn zeros(len: u64) -> Vec<u8> {
    vec![0; usize::try_from(len).expect("at most STEP_LEN")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(Named::of(&file_name(0x1f)), Named::Segment(0x1f));
        assert_eq!(Named::of(&temporary_name(3)), Named::Temporary);
        for other in ["wal-1", "wal-000000000000000g", "meta-a", "wal-"] {
            assert_eq!(Named::of(other), Named::Other, "{other}");
        }
    }

    #[test]
    fn the_head_fits_before_the_frames() {
        let head = block::seal(&KIND, u64::MAX, &[0; HEAD_BODY_LEN]);
        assert!((head.len() as u64) <= HEAD_LEN);
    }
}
