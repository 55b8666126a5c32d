//! A snapshot on its way to this node: which parts were asked for, came, and are written.
//! Knows nothing about messages, nor whom to ask.

use std::collections::BTreeMap;

use bytes::Bytes;

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
    /// End of what was asked for.
    pub(super) asked: u64,
    /// End of what was handed to the driver, without holes.
    pub(super) received: u64,
    /// End of what the driver has written.
    pub(super) have: u64,
    /// Parts that came before others that belong in front of them, by offset.
    pub(super) early: BTreeMap<u64, Bytes>,
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

    /// Which snapshot it is, and how many bytes of it are here.
    pub(super) const fn progress(&self) -> (SnapshotId, u64) {
        (self.id, self.have)
    }

    /// How many parts wait for others in front of them.
    pub(super) fn early(&self) -> u64 {
        self.early.len() as u64
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
    }

    /// Asks again for everything behind what came.
    pub(super) fn start_over(&mut self) {
        self.asked = self.received;
        self.early.clear();
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
        ready
    }
}
