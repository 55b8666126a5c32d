//! Reads the log back: what it says, where it ends, and whether that end is a torn write or a loss.
//! Knows nothing about writing, except that frames are numbered and never written over.
//!
//! The log ends at the first place where the next frame is not. If anything attests that a frame
//! beyond the end was durable (the stamp of a later frame, or the metadata), something that may
//! have been promised is gone: that is corruption. Else it is a write that a crash tore; several
//! such in flight are normal. Then the log is cut at its last whole transaction, and what lies
//! behind is overwritten with zeros, so that it cannot come back behind a later record.

use chil_core::{Ballot, Chain, DiskId, Entry, LogChange, Lsn, Meta, Record, Recovered, Slot};

use super::codec::{Frame, Header, Payload, Seal, Stamp};
use super::disk::Disk;
use super::error::StorageError;
use super::segment::{self, HEAD_LEN, Segment};
use super::wal::End;

/// What the log says, and where it ends. Nothing is changed before [`Replayed::settle`].
pub(super) struct Replayed {
    id: DiskId,
    last_seq: u64,
    /// The state; its metadata is what was given.
    pub(super) state: Recovered,
    /// The last whole transaction ends here.
    cut: Place,
    /// Frames up to there.
    frames: u64,
    lsn: Lsn,
    /// What all frames attest, also those behind the cut.
    evidence: Evidence,
    /// Segments up to here have nothing that was not durable before this start.
    durable_seq: u64,
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
    /// Reads segments 1 to `last_seq`. `attested` is what the metadata says of the log: frames
    /// that were durable before it.
    pub(super) fn read<D: Disk>(
        disk: &mut D,
        id: DiskId,
        last_seq: u64,
        meta: Meta,
        attested: u64,
    ) -> Result<Self, StorageError> {
        let mut replay = Replay::new(id, last_seq, meta);
        let mut bytes = replay.load(disk, 1)?;
        let stopped = loop {
            let offset = replay.segment(disk, &bytes)?;
            let seq = replay.seq;
            if seq == last_seq {
                break Place { seq, offset };
            }
            let next = replay.load(disk, seq + 1)?;
            if replay.goes_on_in(&next, seq + 1) {
                bytes = next;
                replay.seq = seq + 1;
                continue;
            }
            let rest = &bytes[usize_of(offset)..];
            let unwritten = rest.iter().all(|b| *b == 0);
            let used = next[usize_of(HEAD_LEN)..].iter().any(|b| *b != 0);
            replay.survey(&bytes, offset, seq);
            replay.survey(&next, HEAD_LEN, seq + 1);
            break if unwritten && used {
                // The next frame did not fit here: the place where it is missing is the next one.
                Place {
                    seq: seq + 1,
                    offset: HEAD_LEN,
                }
            } else {
                Place { seq, offset }
            };
        };
        if replay.seq == last_seq {
            replay.survey(&bytes, stopped.offset, last_seq);
        }
        for seq in replay.seq + 2..=last_seq {
            let bytes = replay.load(disk, seq)?;
            replay.survey(&bytes, HEAD_LEN, seq);
        }
        replay.verdict(disk, stopped, attested)
    }

    /// What is attested of the metadata.
    pub(super) const fn generation(&self) -> u64 {
        self.evidence.generation
    }

    /// Cuts what is torn and makes the rest durable: after the kill of a process, what was read
    /// may be in the page cache only.
    pub(super) fn settle<D: Disk>(
        &self,
        disk: &mut D,
        lsn: Lsn,
        generation: u64,
    ) -> Result<End<D::File>, StorageError> {
        for seq in self.durable_seq + 1..=self.cut.seq {
            Segment::open(disk, self.id, seq)?.sync(disk)?;
        }
        for seq in self.cut.seq..=self.last_seq {
            let mut segment = Segment::open(disk, self.id, seq)?;
            let from = if seq == self.cut.seq {
                self.cut.offset
            } else {
                HEAD_LEN
            };
            let bytes = segment.read(disk)?;
            let rest = &bytes[usize_of(from)..];
            if let Some(last) = rest.iter().rposition(|b| *b != 0) {
                segment.zero(disk, from, from + last as u64 + 1)?;
            }
        }
        Ok(End {
            segment: Segment::open(disk, self.id, self.cut.seq)?,
            at: self.cut.offset,
            last_seq: self.last_seq,
            frames: self.frames,
            lsn: self.lsn.max(lsn),
            generation,
        })
    }
}

/// A replay under way.
struct Replay {
    id: DiskId,
    last_seq: u64,
    /// The segment that is being read.
    seq: u64,
    state: Recovered,
    chain: Chain,
    /// Frames read, the last of them being this one.
    index: u64,
    lsn: Lsn,
    /// Entries of a transaction whose end was not reached.
    open: Vec<Entry>,
    cut: Place,
    cut_index: u64,
    cut_lsn: Lsn,
    evidence: Evidence,
    /// The last frame of each segment, in order.
    ends: Vec<u64>,
}

impl Replay {
    fn new(id: DiskId, last_seq: u64, meta: Meta) -> Self {
        // A log begins with a record of its first `acc`, so nothing of this lasts.
        let state = Recovered {
            meta,
            acc: Ballot::default(),
            commit: Slot::ZERO,
            commit_in: Ballot::default(),
            base: Slot::ZERO,
            base_chain: Chain::EMPTY,
            log: Vec::new(),
            partial: None,
        };
        Self {
            id,
            last_seq,
            seq: 1,
            state,
            chain: Chain::EMPTY,
            index: 0,
            lsn: Lsn::default(),
            open: Vec::new(),
            cut: Place {
                seq: 1,
                offset: HEAD_LEN,
            },
            cut_index: 0,
            cut_lsn: Lsn::default(),
            evidence: Evidence::default(),
            ends: Vec::new(),
        }
    }

    fn load<D: Disk>(&self, disk: &mut D, seq: u64) -> Result<Vec<u8>, StorageError> {
        Segment::open(disk, self.id, seq)?.read(disk)
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
            let (payload, len) = read.map_err(|detail| self.corrupt(disk, place, detail))?;
            at += len;
            self.index = stamp.index;
            self.lsn = stamp.lsn;
            self.evidence.add(&stamp);
            if self
                .take(payload)
                .map_err(|detail| self.corrupt(disk, place, detail))?
            {
                self.cut = Place {
                    seq: self.seq,
                    offset: at as u64,
                };
                self.cut_index = self.index;
                self.cut_lsn = self.lsn;
            }
        }
        self.ends.push(self.index);
        Ok(at as u64)
    }

    /// Takes one frame; returns whether no transaction is open behind it. Every reason is a check
    /// that the writer made as well: a log that fails one was not written like this.
    fn take(&mut self, payload: Payload) -> Result<bool, &'static str> {
        match payload {
            Payload::Entry(entry) => {
                self.open.push(entry);
                Ok(false)
            }
            Payload::Last(entry, seal) => {
                self.open.push(entry);
                self.close(seal).map(|()| true)
            }
            Payload::Seal(seal) => self.close(seal).map(|()| true),
            Payload::Mark if self.open.is_empty() => Ok(true),
            Payload::Mark => Err("a mark stands inside a transaction"),
        }
    }

    fn close(&mut self, seal: Seal) -> Result<(), &'static str> {
        let entries = std::mem::take(&mut self.open);
        let last = self.state.last();
        if entries.len() as u64 != seal.count {
            return Err("the transaction has another number of entries than its end says");
        }
        if seal.keep > last {
            return Err("the transaction leaves a hole in the log");
        }
        if seal.keep < self.state.commit {
            return Err("the transaction cuts what was decided");
        }
        let mut slot = seal.keep;
        let mut chain = self.chain_at(slot);
        for entry in &entries {
            if !entry.follows(slot, chain) {
                return Err("the entry does not follow the one before it");
            }
            (slot, chain) = (entry.slot(), entry.chain());
        }
        if seal.commit > slot {
            return Err("more is decided than the log has");
        }
        self.chain = chain;
        self.state.fold(&Record::Log(LogChange {
            keep: seal.keep,
            entries,
            acc: seal.acc,
            commit: seal.commit,
            commit_in: seal.commit_in,
        }));
        Ok(())
    }

    fn chain_at(&self, slot: Slot) -> Chain {
        if slot == self.state.last() {
            return self.chain;
        }
        slot.get()
            .checked_sub(1)
            .and_then(|i| self.state.log.get(usize_of(i)))
            .map_or(Chain::EMPTY, Entry::chain)
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
            return Err(self.corrupt(disk, stopped, &detail));
        }
        if self.cut_index == 0 {
            return Err(self.corrupt(disk, stopped, "the log's first record is missing"));
        }
        let durable_seq = self
            .ends
            .iter()
            .take_while(|end| **end <= self.evidence.synced)
            .count() as u64;
        Ok(Replayed {
            id: self.id,
            last_seq: self.last_seq,
            state: self.state,
            cut: self.cut,
            frames: self.cut_index,
            lsn: self.cut_lsn,
            evidence: self.evidence,
            durable_seq,
        })
    }

    fn corrupt<D: Disk>(&self, disk: &D, place: Place, detail: &str) -> StorageError {
        let file = segment::file_name(place.seq);
        StorageError::corrupt(disk, &file, place.offset, detail)
    }
}

/// Offsets and counts of what is held in memory.
fn usize_of(n: u64) -> usize {
    usize::try_from(n).expect("a position within what is held in memory")
}
