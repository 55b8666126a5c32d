//! What the frames of a log say, one after the other, whichever segment the first of them stands in.
//! Knows nothing about files: where a frame stood, and whether one is torn, is the reader's matter.
//!
//! Trimming removes the first segments of a log, as far as nothing in them reaches the slot that is
//! trimmed to. So what is left holds the entry in that slot, but may begin in the middle of a
//! transaction, and a transaction in it may stand on slots that are gone. The chain behind such a
//! beginning is in no frame: the log then begins behind its first entry instead, which costs one
//! entry that a snapshot stands for.

use chil_core::{Ballot, Chain, Entry, Meta, Recovered, Slot, SnapshotMark};

use super::codec::{Payload, Seal, Snap};

/// A replay under way.
pub(super) struct Replay {
    state: Recovered,
    /// Entries of a transaction whose end was not reached.
    open: Vec<Entry>,
    /// The beginning of the log is not known yet: `state.log` is empty, and whatever the next
    /// transaction stands on is taken for granted.
    adrift: bool,
    /// The end of the log while it is adrift, as far as it is known.
    adrift_last: Slot,
    /// Whether the end of a transaction was seen: only then `acc` is known.
    sealed: bool,
    /// The snapshot that the last frame of its kind named.
    snap: (Slot, Chain),
}

/// Why a log that is whole in itself does not fit the metadata.
pub(super) enum Unfit {
    /// It begins behind the snapshot; how, to be put behind "the file is missing".
    Hole(String),
    /// It says something else.
    Contradiction(String),
}

impl Replay {
    /// Before the first frame of a log, or of what trimming has left of it.
    pub(super) fn new(meta: Meta, trimmed: bool) -> Self {
        // A log states its `acc` first, and again before it is trimmed: nothing of this lasts.
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
            state,
            open: Vec::new(),
            adrift: trimmed,
            adrift_last: Slot::ZERO,
            sealed: false,
            snap: (Slot::ZERO, Chain::EMPTY),
        }
    }

    /// Whether a transaction was read whole.
    pub(super) const fn sealed(&self) -> bool {
        self.sealed
    }

    /// Takes one frame; returns whether no transaction is open behind it. Every reason is a check
    /// that the writer made as well: a log that fails one was not written like this.
    pub(super) fn take(&mut self, payload: Payload) -> Result<bool, &'static str> {
        match payload {
            Payload::Entry(entry) => {
                self.open.push(entry);
                Ok(false)
            }
            Payload::Last(entry, seal) => {
                self.open.push(entry);
                self.close(&seal).map(|()| true)
            }
            Payload::Seal(seal) => self.close(&seal).map(|()| true),
            Payload::Mark | Payload::Snap(_) if !self.open.is_empty() => {
                Err("a frame of another kind stands inside a transaction")
            }
            Payload::Mark => Ok(true),
            Payload::Snap(snap) => {
                self.install(&snap);
                Ok(true)
            }
        }
    }

    /// The snapshot that the metadata names and no frame does: a crash came between the two.
    pub(super) fn unrepeated(&self) -> Option<SnapshotMark> {
        let named = self.state.meta.snap;
        named.filter(|mark| mark.id.slot > self.snap.0)
    }

    /// The state behind the last frame, if it reaches down to the snapshot of the metadata.
    pub(super) fn finish(mut self) -> Result<Recovered, Unfit> {
        if let Some(mark) = self.unrepeated() {
            self.install(&Snap::of(&mark));
        }
        let (slot, chain) = self.named();
        if self.adrift && self.adrift_last <= slot {
            (self.state.base, self.state.base_chain) = (slot, chain);
        } else if self.adrift || self.state.base > slot {
            let from = self.state.base.max(self.adrift_last);
            return Err(Unfit::Hole(format!(
                ": the log begins behind slot {from}, but the snapshot ends at {slot}"
            )));
        }
        let state = self.state;
        if state.chain_at(slot) != Some(chain) {
            let detail = format!("the log does not agree with the snapshot of slot {slot}");
            return Err(Unfit::Contradiction(detail));
        }
        if state.commit > state.last() {
            let (commit, last) = (state.commit, state.last());
            let detail = format!("{commit} slots are decided, but the log ends at {last}");
            return Err(Unfit::Contradiction(detail));
        }
        Ok(state)
    }

    /// Slot and chain of the metadata's snapshot: of the empty log if there is none.
    fn named(&self) -> (Slot, Chain) {
        let snap = self.state.meta.snap.as_ref();
        snap.map_or((Slot::ZERO, Chain::EMPTY), |snap| {
            (snap.id.slot, snap.id.chain)
        })
    }

    fn close(&mut self, seal: &Seal) -> Result<(), &'static str> {
        let entries = std::mem::take(&mut self.open);
        let held = entries.len() as u64;
        // Only the first transaction of a trimmed log can have its beginning in a segment that is
        // gone.
        let headless = self.adrift && !self.sealed && held < seal.count;
        if held != seal.count && !headless {
            return Err("the transaction has another number of entries than its end says");
        }
        let last = seal.keep.get().checked_add(seal.count);
        let last = last.ok_or("the transaction ends behind the last possible slot")?;
        if seal.keep < self.state.commit {
            return Err("the transaction cuts what was decided");
        }
        if seal.commit > Slot::new(last) {
            return Err("more is decided than the log has");
        }
        self.write(Slot::new(last - held), entries)?;
        self.sealed = true;
        let state = &mut self.state;
        state.acc = seal.acc;
        state.commit = state.commit.max(seal.commit);
        state.commit_in = state.commit_in.max(seal.commit_in);
        Ok(())
    }

    /// Replaces what stands behind `keep` by `entries`.
    fn write(&mut self, keep: Slot, mut entries: Vec<Entry>) -> Result<(), &'static str> {
        if entries.first().is_some_and(|e| e.slot() != keep.next()) {
            return Err("the transaction's first entry is not the one behind what it keeps");
        }
        if self.adrift || keep < self.state.base {
            self.begin_behind(keep, &mut entries);
            if self.adrift {
                return Ok(());
            }
        }
        let state = &mut self.state;
        let keep = keep.max(state.base);
        let Some(mut chain) = state.chain_at(keep) else {
            return Err("the transaction leaves a hole in the log");
        };
        let mut slot = keep;
        for entry in &entries {
            if !entry.follows(slot, chain) {
                return Err("the entry does not follow the one before it");
            }
            (slot, chain) = (entry.slot(), entry.chain());
        }
        let kept = usize::try_from(keep.distance(state.base)).unwrap_or(usize::MAX);
        state.log.truncate(kept);
        state.log.append(&mut entries);
        Ok(())
    }

    /// The log begins with these entries: what they stand on is gone.
    fn begin_behind(&mut self, keep: Slot, entries: &mut Vec<Entry>) {
        self.state.log.clear();
        self.adrift = entries.is_empty();
        if self.adrift {
            self.adrift_last = keep;
            return;
        }
        let known = [(Slot::ZERO, Chain::EMPTY), self.snap, self.named()];
        let fits = |end: &(Slot, Chain)| entries[0].follows(end.0, end.1);
        let (base, chain) = known.into_iter().find(fits).unwrap_or_else(|| {
            let first = entries.remove(0);
            (first.slot(), first.chain())
        });
        (self.state.base, self.state.base_chain) = (base, chain);
    }

    /// The metadata named this snapshot: see `chil_core::Meta::snap` for what becomes of the log.
    /// A log that begins behind the snapshot's slot holds nothing to compare; if it was dropped,
    /// the next transaction says so by what it keeps.
    fn install(&mut self, snap: &Snap) {
        self.snap = (snap.slot, snap.chain);
        let state = &mut self.state;
        let differs = state.chain_at(snap.slot) != Some(snap.chain);
        if !self.adrift && state.base <= snap.slot && differs {
            state.log.clear();
            (state.base, state.base_chain) = self.snap;
        }
        state.commit = state.commit.max(snap.slot);
        state.commit_in = state.commit_in.max(snap.decided_in);
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
