//! Reads the log back: where it ends, and whether that end is a torn write or a loss.
//! Knows nothing about writing, except that frames are numbered and never written over, nor about
//! what they say: that is `replay`'s.
//!
//! The log ends at the first place where the next frame is not. If anything attests that a frame
//! beyond the end was durable (the stamp of a later frame, or the metadata), something that may
//! have been promised is gone: that is corruption. Else it is a write that a crash tore; several
//! such in flight are normal. Then the log is cut at its last whole transaction, and the frames
//! behind are overwritten with zeros, so that they cannot come back behind a later record.
//!
//! The log begins with the first segment, or, once it was trimmed, with any later one: trimming
//! removes segments only after everything before it was synced, so the first frame of what is left
//! was durable, and says how many there were before.

use std::collections::VecDeque;

use chil_core::{DiskId, Lsn, Meta, Recovered, Slot, SnapshotMark};

use super::codec::{Frame, HEADER_LEN, Header, Stamp};
use super::directory::{self, Run};
use super::disk::Disk;
use super::error::StorageError;
use super::replay::{Replay, Unfit};
use super::segment::{self, HEAD_LEN, Segment};
use super::wal::{End, Held};

/// What the log says, and where it ends. Nothing is changed before [`Replayed::settle`].
pub(super) struct Replayed {
    id: DiskId,
    run: Run,
    /// The state; its metadata is what was given.
    pub(super) state: Recovered,
    /// See [`Replay::unrepeated`].
    pub(super) unrepeated: Option<SnapshotMark>,
    /// The last whole transaction ends here.
    cut: Place,
    /// Frames up to there.
    frames: u64,
    lsn: Lsn,
    /// What all frames attest, also those behind the cut.
    evidence: Evidence,
    /// Segments up to here have nothing that was not durable before this start.
    durable_seq: u64,
    /// The segments that were read, up to the one with the cut.
    held: VecDeque<Held>,
}

/// A position in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seq: u64,
    offset: u64,
}

/// The highest that any frame says was durable.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    synced: u64,
    generation: u64,
}

impl Evidence {
    fn add(&mut self, stamp: &Stamp) {
        self.synced = self.synced.max(stamp.synced);
        self.generation = self.generation.max(stamp.generation);
    }
}

impl Replayed {
    /// Reads the segments of `run`. `attested` is what the metadata says of the log: frames that
    /// were durable before it.
    pub(super) fn read<D: Disk>(
        disk: &mut D,
        id: DiskId,
        run: Run,
        meta: Meta,
        attested: u64,
    ) -> Result<Self, StorageError> {
        let mut reading = Reading::new(id, run, meta);
        let mut bytes = reading.begin(disk)?;
        let last_seq = reading.run.last;
        let stopped = loop {
            let offset = reading.segment(disk, &bytes)?;
            let seq = reading.seq;
            if seq == last_seq {
                break Place { seq, offset };
            }
            let next = reading.load(disk, seq + 1)?;
            if reading.goes_on_in(&next, seq + 1) {
                bytes = next;
                reading.seq = seq + 1;
                continue;
            }
            reading.survey(&bytes, offset, seq);
            reading.survey(&next, HEAD_LEN, seq + 1);
            break if is_unwritten(&bytes, offset) && !is_unwritten(&next, HEAD_LEN) {
                // The next frame did not fit here: the place where it is missing is the next one.
                Place {
                    seq: seq + 1,
                    offset: HEAD_LEN,
                }
            } else {
                Place { seq, offset }
            };
        };
        if reading.seq == last_seq {
            reading.survey(&bytes, stopped.offset, last_seq);
        }
        for seq in reading.seq + 2..=last_seq {
            let bytes = reading.load(disk, seq)?;
            reading.survey(&bytes, HEAD_LEN, seq);
        }
        reading.verdict(disk, stopped, attested)
    }

    /// What is attested of the metadata.
    pub(super) const fn generation(&self) -> u64 {
        self.evidence.generation
    }

    /// Cuts what is torn, makes the rest durable (after the kill of a process, what was read may
    /// be in the page cache only), and removes what an interrupted trim has left.
    pub(super) fn settle<D: Disk>(
        self,
        disk: &mut D,
        lsn: Lsn,
        generation: u64,
    ) -> Result<(Recovered, End<D::File>), StorageError> {
        for seq in self.durable_seq + 1..=self.cut.seq {
            Segment::open(disk, self.id, seq)?.sync(disk)?;
        }
        for seq in self.cut.seq..=self.run.last {
            let mut segment = Segment::open(disk, self.id, seq)?;
            let from = if seq == self.cut.seq {
                self.cut.offset
            } else {
                HEAD_LEN
            };
            let bytes = segment.read(disk)?;
            if let Some(end) = clear_to(&bytes, from, segment.seed) {
                segment.zero(disk, from, end)?;
            }
        }
        directory::remove_segments(disk, &self.run.below)?;
        let end = End {
            segment: Segment::open(disk, self.id, self.cut.seq)?,
            at: self.cut.offset,
            last_seq: self.run.last,
            held: self.held,
            frames: self.frames,
            lsn: self.lsn.max(lsn),
            generation,
        };
        Ok((self.state, end))
    }
}

/// The segments while they are being read.
struct Reading {
    id: DiskId,
    run: Run,
    /// The segment that is being read.
    seq: u64,
    replay: Replay,
    /// Frames read, the last of them being this one.
    index: u64,
    lsn: Lsn,
    cut: Place,
    cut_index: u64,
    cut_lsn: Lsn,
    evidence: Evidence,
    /// What was read of each segment, in order.
    read: Vec<Read>,
}

/// What was read of a segment.
struct Read {
    /// Its last frame.
    index: u64,
    /// The highest slot in it.
    reach: Slot,
}

impl Reading {
    fn new(id: DiskId, run: Run, meta: Meta) -> Self {
        Self {
            id,
            seq: run.first,
            replay: Replay::new(meta, run.first > 1),
            index: 0,
            lsn: Lsn::default(),
            cut: Place {
                seq: run.first,
                offset: HEAD_LEN,
            },
            run,
            cut_index: 0,
            cut_lsn: Lsn::default(),
            evidence: Evidence::default(),
            read: Vec::new(),
        }
    }

    fn load<D: Disk>(&self, disk: &mut D, seq: u64) -> Result<Vec<u8>, StorageError> {
        Segment::open(disk, self.id, seq)?.read(disk)
    }

    /// Reads the first segment; its first frame says how many there were before.
    fn begin<D: Disk>(&mut self, disk: &mut D) -> Result<Vec<u8>, StorageError> {
        let bytes = self.load(disk, self.seq)?;
        if self.seq == 1 {
            return Ok(bytes);
        }
        let frames = &bytes[usize_of(HEAD_LEN)..];
        match Header::read(frames, segment::seed(self.id, self.seq)) {
            Some(header) => self.index = header.stamp.index.saturating_sub(1),
            None if is_unwritten(&bytes, HEAD_LEN) => {
                return Err(missing(disk, self.seq - 1, ""));
            }
            None => {
                let detail = "the first record of this segment is damaged";
                return Err(corrupt(disk, self.cut, detail));
            }
        }
        self.cut_index = self.index;
        Ok(bytes)
    }

    /// Whether a segment begins with the frame that is due.
    fn goes_on_in(&self, bytes: &[u8], seq: u64) -> bool {
        Header::read(&bytes[usize_of(HEAD_LEN)..], segment::seed(self.id, seq))
            .is_some_and(|header| header.stamp.index == self.index + 1)
    }

    /// Reads the frames of one segment, up to where the next one is not.
    fn segment<D: Disk>(&mut self, disk: &D, bytes: &[u8]) -> Result<u64, StorageError> {
        let seed = segment::seed(self.id, self.seq);
        let mut at = usize_of(HEAD_LEN);
        let mut reach = Slot::ZERO;
        loop {
            let (stamp, read) = match Frame::read(&bytes[at..], seed) {
                Frame::Absent => break,
                Frame::Whole(stamp, payload, len) => (stamp, Ok((payload, len))),
                Frame::Senseless(stamp, detail) => (stamp, Err(detail)),
            };
            if stamp.index != self.index + 1 {
                break;
            }
            let place = Place {
                seq: self.seq,
                offset: at as u64,
            };
            let (payload, len) = read.map_err(|detail| corrupt(disk, place, detail))?;
            at += len;
            reach = reach.max(payload.reach());
            self.index = stamp.index;
            self.lsn = stamp.lsn;
            self.evidence.add(&stamp);
            if self
                .replay
                .take(payload)
                .map_err(|detail| corrupt(disk, place, detail))?
            {
                self.cut = Place {
                    seq: self.seq,
                    offset: at as u64,
                };
                self.cut_index = self.index;
                self.cut_lsn = self.lsn;
            }
        }
        self.read.push(Read {
            index: self.index,
            reach,
        });
        Ok(at as u64)
    }

    /// Collects what the frames of a segment attest from `offset` on.
    fn survey(&mut self, bytes: &[u8], offset: u64, seq: u64) {
        let seed = segment::seed(self.id, seq);
        let mut at = usize_of(offset);
        while let Some((found, header)) = Header::find(bytes, at, seed) {
            self.evidence.add(&header.stamp);
            at = found + 1;
        }
    }

    /// Torn or lost?
    fn verdict<D: Disk>(
        mut self,
        disk: &D,
        stopped: Place,
        attested: u64,
    ) -> Result<Replayed, StorageError> {
        self.evidence.synced = self.evidence.synced.max(attested);
        if self.evidence.synced > self.cut_index {
            let detail = format!(
                "record {} of the log is damaged or missing, although {} were durable",
                self.index + 1,
                self.evidence.synced
            );
            return Err(corrupt(disk, stopped, &detail));
        }
        if !self.replay.sealed() {
            // Also what is left of a trimmed log holds one: it was durable before the trim.
            let detail = "the log's first transaction is damaged or missing";
            return Err(corrupt(disk, stopped, detail));
        }
        let first = self.run.first;
        let unrepeated = self.replay.unrepeated();
        let state = self.replay.finish().map_err(|unfit| match unfit {
            Unfit::Hole(detail) if first > 1 => missing(disk, first - 1, &detail),
            Unfit::Hole(detail) | Unfit::Contradiction(detail) => corrupt(disk, stopped, &detail),
        })?;
        let read = (self.run.first..).zip(&self.read);
        let durable = read
            .clone()
            .take_while(|(_, read)| read.index <= self.evidence.synced);
        let durable_seq = self.run.first - 1 + durable.count() as u64;
        let held = read.map(|(seq, read)| Held {
            seq,
            reach: read.reach,
        });
        let held = held.take_while(|held| held.seq <= self.cut.seq).collect();
        Ok(Replayed {
            id: self.id,
            run: self.run,
            state,
            unrepeated,
            cut: self.cut,
            frames: self.cut_index,
            lsn: self.cut_lsn,
            evidence: self.evidence,
            durable_seq,
            held,
        })
    }
}

/// Whether no frame was begun here: zeros stand behind the last frame of a segment where the header
/// of the next one would be, also in a segment that was another one before.
fn is_unwritten(bytes: &[u8], offset: u64) -> bool {
    let rest = &bytes[usize_of(offset)..];
    rest.iter().take(HEADER_LEN).all(|b| *b == 0)
}

/// Where what has to be cleared from `from` on ends: the last frame of this segment, and what
/// stands in the place of the next one. Anything else (a piece of a frame, or of the segment that
/// this was before) does not become a frame by what is written in front of it.
fn clear_to(bytes: &[u8], from: u64, seed: u32) -> Option<u64> {
    let mut at = usize_of(from);
    let mut end = (!is_unwritten(bytes, from)).then_some(at + HEADER_LEN);
    while let Some((found, header)) = Header::find(bytes, at, seed) {
        end = Some(found + header.frame_len());
        at = found + 1;
    }
    end.map(|end| end.min(bytes.len()) as u64)
}

fn corrupt<D: Disk>(disk: &D, place: Place, detail: &str) -> StorageError {
    let file = segment::file_name(place.seq);
    StorageError::corrupt(disk, &file, place.offset, detail)
}

/// What is left of the log does not reach down to the snapshot: a segment too many is gone.
fn missing<D: Disk>(disk: &D, seq: u64, why: &str) -> StorageError {
    let detail = format!("the file is missing{why}");
    StorageError::corrupt(disk, &segment::file_name(seq), 0, &detail)
}

/// Offsets and counts of what is held in memory.
fn usize_of(n: u64) -> usize {
    usize::try_from(n).expect("a position within what is held in memory")
}
