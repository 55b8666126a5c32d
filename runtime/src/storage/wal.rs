//! The writing end of the log: transactions become frames in one buffer, a sync writes and flushes it.
//! Knows nothing about recovery, nor about what was promised to whom.
//!
//! Nothing that was written is ever written over: a cut is a record that says so. Frames never
//! cross segments; one that does not fit goes to the next segment, which is as large as it takes.

use std::collections::VecDeque;

use chil_core::{DiskId, LogChange, Lsn, Slot, SnapshotMark};

use super::codec::{self, Payload, Seal, Snap, Stamp};
use super::directory;
use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};
use super::segment::{self, Growing, HEAD_LEN, Segment};

/// What is buffered beyond this is written before the sync asks for it.
const BUFFER_LEN_MAX: usize = 4 << 20;

/// Segments that are kept to be used again.
const SPARE_MAX: usize = 2;

/// The log, as its writer sees it.
///
/// `synced <= frames`; the buffer holds what belongs at `end - buffer.len() .. end` of the current
/// segment; `current.seq <= last_seq`; `held` ends with the current segment, `spare` lies before it.
pub(super) struct Wal<F> {
    id: DiskId,
    segment_len: u64,
    current: Segment<F>,
    end: u64,
    buffer: Vec<u8>,
    /// Whether the current segment has writes that are not durable.
    dirty: bool,
    /// Segments that were filled since the last sync.
    filled: Vec<Segment<F>>,
    /// The segments that recovery would read.
    held: VecDeque<Held>,
    /// Segments that a trim gave up: some are used again, the others removed in idle times.
    spare: VecDeque<u64>,
    /// The last segment that exists.
    last_seq: u64,
    growing: Option<Growing<F>>,
    /// The disk was full when the next segment was worked on: not again before the log ends here.
    grow_from: u64,
    frames: u64,
    synced: u64,
    lsn: Lsn,
    generation: u64,
}

/// A segment that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Its number.
    pub(super) seq: u64,
    /// The highest slot in it.
    pub(super) reach: Slot,
}

impl Held {
    const fn new(seq: u64) -> Self {
        Self {
            seq,
            reach: Slot::ZERO,
        }
    }
}

/// Where recovery found the end of the log.
pub(super) struct End<F> {
    /// The segment that goes on.
    pub(super) segment: Segment<F>,
    /// The position in it.
    pub(super) at: u64,
    /// The last segment that exists.
    pub(super) last_seq: u64,
    /// The segments in use, the last of them that which goes on.
    pub(super) held: VecDeque<Held>,
    /// Frames so far, all durable.
    pub(super) frames: u64,
    /// The last persist with a record in log or metadata.
    pub(super) lsn: Lsn,
    /// Generation of the metadata.
    pub(super) generation: u64,
}

impl<F: DiskFile> Wal<F> {
    /// Makes the first segment of a new log.
    pub(super) fn create<D: Disk<File = F>>(
        disk: &mut D,
        id: DiskId,
        segment_len: u64,
    ) -> Result<Self, StorageError> {
        let mut growing = Growing::begin(disk, 1, segment_len)?;
        while !growing.step(disk, id)? {}
        let end = End {
            segment: Segment::open(disk, id, 1)?,
            at: HEAD_LEN,
            last_seq: 1,
            held: VecDeque::from([Held::new(1)]),
            frames: 0,
            lsn: Lsn::default(),
            generation: 0,
        };
        Ok(Self::go_on(id, segment_len, end))
    }

    /// Goes on where recovery found the end.
    pub(super) fn go_on(id: DiskId, segment_len: u64, end: End<F>) -> Self {
        Self {
            id,
            segment_len,
            current: end.segment,
            end: end.at,
            buffer: Vec::new(),
            dirty: false,
            filled: Vec::new(),
            held: end.held,
            spare: VecDeque::new(),
            last_seq: end.last_seq,
            growing: None,
            grow_from: 0,
            frames: end.frames,
            synced: end.frames,
            lsn: end.lsn,
            generation: end.generation,
        }
    }

    /// Frames that are durable.
    pub(super) const fn synced(&self) -> u64 {
        self.synced
    }

    /// The last persist that was written.
    pub(super) const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Everything from now on belongs to persist `lsn`.
    ///
    /// # Panics
    /// If it does not follow: durability has one order.
    pub(super) fn begin(&mut self, lsn: Lsn) {
        assert!(
            self.lsn < lsn,
            "persist {lsn} is written after {}",
            self.lsn
        );
        self.lsn = lsn;
    }

    /// Every frame from now on attests to this generation of the metadata.
    pub(super) const fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Writes one transaction.
    pub(super) fn append<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        change: &LogChange,
    ) -> Result<(), StorageError> {
        let seal = Seal {
            keep: change.keep,
            count: change.entries.len() as u64,
            acc: change.acc,
            commit: change.commit,
            commit_in: change.commit_in,
        };
        let Some((last, rest)) = change.entries.split_last() else {
            return self.put(disk, &Payload::Seal(seal));
        };
        for entry in rest {
            self.put(disk, &Payload::Entry(entry.clone()))?;
        }
        self.put(disk, &Payload::Last(last.clone(), seal))
    }

    /// Repeats in the log that the metadata, durable by now, names this snapshot.
    pub(super) fn append_snap<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        mark: &SnapshotMark,
    ) -> Result<(), StorageError> {
        self.put(disk, &Payload::Snap(Snap::of(mark)))
    }

    /// Gives up the first segments, as far as nothing in them reaches `to`. What was written
    /// before is durable then: it states again what else those segments said. The segment that
    /// holds `to` stays, because only an entry says what chain it ends.
    pub(super) fn trim<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        to: Slot,
    ) -> Result<(), StorageError> {
        self.sync(disk)?;
        let unneeded = self.held.iter().take_while(|held| held.reach < to).count();
        let unneeded = unneeded.min(self.held.len() - 1);
        self.spare
            .extend(self.held.drain(..unneeded).map(|held| held.seq));
        Ok(())
    }

    /// Writes a frame for the sake of what every frame attests.
    pub(super) fn append_mark<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
    ) -> Result<(), StorageError> {
        self.put(disk, &Payload::Mark)
    }

    fn put<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        payload: &Payload,
    ) -> Result<(), StorageError> {
        let len = payload.frame_len() as u64;
        if self.end + len > self.current.len {
            self.next_segment(disk, HEAD_LEN + len)?;
        } else if self.buffer.len() > BUFFER_LEN_MAX {
            self.flush(disk)?;
        }
        self.frames += 1;
        let stamp = Stamp {
            index: self.frames,
            lsn: self.lsn,
            synced: self.synced,
            generation: self.generation,
        };
        codec::encode(&mut self.buffer, self.current.seed, &stamp, payload);
        self.end += len;
        if let Some(held) = self.held.back_mut() {
            held.reach = held.reach.max(payload.reach());
        }
        Ok(())
    }

    /// Makes everything written durable: one write and one sync a segment.
    pub(super) fn sync<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), StorageError> {
        self.flush(disk)?;
        for segment in &mut self.filled {
            segment.sync(disk)?;
        }
        self.filled.clear();
        if self.dirty {
            self.current.sync(disk)?;
            self.dirty = false;
        }
        self.synced = self.frames;
        Ok(())
    }

    fn flush<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), StorageError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let at = self.end - self.buffer.len() as u64;
        // Zeros behind the last frame say that the next one was not begun: a segment that was
        // another one before has its bytes there.
        let room = usize::try_from(self.current.len - self.end).unwrap_or(usize::MAX);
        let zeros = room.min(codec::HEADER_LEN);
        self.buffer.resize(self.buffer.len() + zeros, 0);
        self.current.file.write_all_at(&self.buffer, at).context(
            disk,
            &segment::file_name(self.current.seq),
            "write",
        )?;
        self.buffer.clear();
        self.dirty = true;
        Ok(())
    }

    /// Goes on in the next segment, with at least `len_min` bytes.
    fn next_segment<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        len_min: u64,
    ) -> Result<(), StorageError> {
        self.flush(disk)?;
        let seq = self.current.seq + 1;
        while self.last_seq < seq {
            self.grow(disk)?;
        }
        let mut next = Segment::open(disk, self.id, seq)?;
        if next.len < len_min {
            let from = next.len;
            next.zero(disk, from, len_min)?;
        }
        let filled = std::mem::replace(&mut self.current, next);
        if std::mem::take(&mut self.dirty) {
            self.filled.push(filled);
        }
        self.end = HEAD_LEN;
        self.grow_from = 0;
        self.held.push_back(Held::new(seq));
        Ok(())
    }

    /// Whether [`Wal::prepare`] has something to do.
    pub(super) fn preparation_due(&self) -> bool {
        self.growth_due() || self.spare.len() > SPARE_MAX
    }

    /// One bounded step: towards the next segment, or of removing what was trimmed.
    pub(super) fn prepare<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), StorageError> {
        if self.growth_due() {
            let grown = self.grow(disk);
            if grown.as_ref().is_err_and(StorageError::is_full_write) {
                // There is room in the current segment, and a snapshot that was being written
                // fills the disk only until it gives up.
                self.grow_from = self.end + self.current.len / 16;
                return Ok(());
            }
            return grown;
        }
        if self.spare.len() > SPARE_MAX
            && let Some(seq) = self.spare.pop_front()
        {
            return directory::remove_segments(disk, &[seq]);
        }
        self.grow(disk)
    }

    /// Whether the next segment should be worked on now, to be there when the current one is full:
    /// from its first quarter on, twice as fast as it fills.
    fn growth_due(&self) -> bool {
        let due = self.end.saturating_sub(self.current.len / 4) * 2;
        let done = self.growing.as_ref().map_or(0, Growing::written);
        self.last_seq == self.current.seq && done < due && self.grow_from <= self.end
    }

    /// One bounded step towards the next segment.
    fn grow<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<(), StorageError> {
        let seq = self.last_seq + 1;
        let mut growing = match self.growing.take() {
            Some(growing) => growing,
            None => match self.spare.pop_front() {
                Some(from) => Growing::recycle(disk, from, seq, self.segment_len)?,
                None => Growing::begin(disk, seq, self.segment_len)?,
            },
        };
        let grown = growing.step(disk, self.id);
        if matches!(grown, Ok(true)) {
            self.last_seq = seq;
        } else {
            self.growing = Some(growing);
        }
        grown.map(|_| ())
    }
}
