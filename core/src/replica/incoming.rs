//! A snapshot on its way to this node: which parts were asked for, came, and are written.
//! Knows nothing about messages, nor whom to ask.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::message::FetchChunk;
use crate::snapshot::SnapshotId;
use crate::time::{Span, Time};
use crate::types::Ballot;

/// Parts are waited for at most so many times as long as other answers are at first.
const WAIT_MAX: u64 = 8;

/// A snapshot on its way to this node.
///
/// Always: `have <= received <= asked <= id.bytes`.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) id: SnapshotId,
    /// Highest ballot by which its slot was learned to be decided.
    pub(super) decided_in: Ballot,
    /// Whom it is fetched from.
    pub(super) source: usize,
    /// The most that the source is known to give at once; as much as this node asks for at first.
    part: u64,
    /// Parts that were asked for and have not come, by offset: how long each is.
    asks: BTreeMap<u64, u64>,
    /// End of what was asked for.
    pub(super) asked: u64,
    /// End of what was handed to the driver, without holes.
    pub(super) received: u64,
    /// End of what the driver has written.
    pub(super) have: u64,
    /// Parts that came before others that belong in front of them, by offset.
    early: BTreeMap<u64, Bytes>,
    /// The driver compares the digest.
    pub(super) finishing: bool,
    /// The most that was ever written.
    best: u64,
    /// When something new came, or was last asked for in vain.
    pub(super) since: Time,
    /// How long nothing may come before it is asked for again: doubled each time, and shortened
    /// slowly while parts come unasked. Links are as slow as they are, and asking too early puts
    /// more into them.
    pub(super) wait: Span,
    /// How often in a row nothing came in time, or nothing of it could be written.
    pub(super) stalls: u32,
}

impl Incoming {
    /// A transfer from `source` that begins where an earlier one came to.
    pub(super) fn new(
        id: SnapshotId,
        decided_in: Ballot,
        source: usize,
        have: u64,
        now: Time,
    ) -> Self {
        Self {
            id,
            decided_in,
            source,
            part: u64::MAX,
            asks: BTreeMap::new(),
            asked: have,
            received: have,
            have,
            early: BTreeMap::new(),
            finishing: false,
            best: have,
            since: now,
            wait: Span::ZERO,
            stalls: 0,
        }
    }

    /// Whether it makes progress, as far as can be told.
    pub(super) const fn gets_on(&self) -> bool {
        self.stalls < 2
    }

    /// Whether nothing came for so long.
    pub(super) fn is_quiet(&self, now: Time, patience: Span) -> bool {
        now.since(self.since) >= patience
    }

    /// Which snapshot it is, and how many bytes of it are here.
    pub(super) const fn progress(&self) -> (SnapshotId, u64) {
        (self.id, self.have)
    }

    /// How many parts wait for others in front of them.
    pub(super) fn early(&self) -> u64 {
        self.early.len() as u64
    }

    /// How much of it is asked for at once by a node that takes `most`.
    pub(super) fn part(&self, most: u64) -> u64 {
        self.part.min(most)
    }

    /// Asks for these bytes.
    pub(super) fn ask(&mut self, offset: u64, len: u64) -> FetchChunk {
        self.asks.insert(offset, len);
        self.asked = self.asked.max(offset + len);
        let id = self.id;
        FetchChunk { id, offset, len }
    }

    /// Goes on with another source: nothing is known of its link, nor of what it gives at once.
    pub(super) const fn turn_to(&mut self, source: usize) {
        (self.source, self.wait, self.part) = (source, Span::ZERO, u64::MAX);
    }

    /// A part came that is shorter than what was asked for, if it is: nobody gives more at once
    /// than its own limit, and what it did not give has to be asked for again.
    pub(super) fn learn_part(&mut self, from: usize, offset: u64, len: u64) -> bool {
        let asked = self.asks.remove(&offset);
        let is_short = from == self.source && 0 < len && asked.is_some_and(|asked| len < asked);
        if is_short {
            self.part = len;
        }
        is_short
    }

    /// A part came. That it is written counts as getting on, not that it came: a full disk must
    /// not look like a transfer under way.
    pub(super) fn came(&mut self, now: Time) {
        self.since = now;
    }

    /// So much is written now.
    pub(super) fn wrote(&mut self, have: u64, now: Time) {
        (self.have, self.since) = (have, now);
        if have > self.best {
            if self.stalls == 0 {
                self.wait = Span::from_nanos(self.wait.nanos() - self.wait.nanos() / 8);
            }
            (self.best, self.stalls) = (have, 0);
        }
    }

    /// Nothing came in time.
    pub(super) fn stalled(&mut self, now: Time, least: Span) {
        let most = least.times(WAIT_MAX);
        self.wait = self.wait.max(least).times(2).min(most);
        self.stalls += 1;
        self.since = now;
    }

    /// Everything up to here is there already, wherever it came from.
    pub(super) fn skip_to(&mut self, have: u64) {
        self.received = have;
        self.asked = self.asked.max(have);
        self.early = self.early.split_off(&have);
        self.asks = self.asks.split_off(&have);
    }

    /// Asks again for everything behind what came.
    pub(super) fn start_over(&mut self) {
        self.asked = self.received;
        self.early.clear();
        self.asks.clear();
    }

    /// What was asked for and has not come, in parts of a node that takes `most` at once.
    pub(super) fn holes(&self, most: u64) -> Vec<(u64, u64)> {
        let (part, mut offset) = (self.part(most), self.received);
        let mut early = self.early.iter().peekable();
        let mut holes = Vec::new();
        while offset < self.asked {
            if let Some((_, bytes)) = early.next_if(|(at, _)| **at <= offset) {
                offset += bytes.len() as u64;
                continue;
            }
            let next = early.peek().map_or(self.asked, |(at, _)| **at);
            let len = part.min(next - offset);
            holes.push((offset, len));
            offset += len;
        }
        holes
    }

    /// The part that belongs behind what came, for a node that takes `most` at once.
    pub(super) fn missing(&self, most: u64) -> Option<(u64, u64)> {
        let next = self.early.keys().next().copied().unwrap_or(self.id.bytes);
        let len = self.part(most).min(next.saturating_sub(self.received));
        (len > 0).then_some((self.received, len))
    }

    /// Takes in a part; yields what can be written now, in order. At most `early_max` parts wait
    /// for others in front of them.
    pub(super) fn take(&mut self, offset: u64, bytes: Bytes, early_max: u64) -> Vec<(u64, Bytes)> {
        let waits = offset > self.received && self.early.len() as u64 >= early_max;
        if offset >= self.asked || offset < self.received || waits {
            return Vec::new();
        }
        self.early.insert(offset, bytes);
        let mut ready = Vec::new();
        while let Some(bytes) = self.early.remove(&self.received) {
            let offset = self.received;
            self.received += bytes.len() as u64;
            self.asked = self.asked.max(self.received);
            ready.push((offset, bytes));
        }
        // What overlaps came from a peer with parts of another size.
        self.early = self.early.split_off(&self.received);
        self.asks = self.asks.split_off(&self.received);
        ready
    }
}
