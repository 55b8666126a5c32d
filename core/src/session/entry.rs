//! One client's session: the replies that may be asked for again, and the hash of it all.
//! Knows nothing about other sessions.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_128;

use super::SessionLimits;
use crate::types::{ClientId, Slot};

/// One client's session.
///
/// Always: the numbers of `replies` ascend, all in `(floor, floor + WINDOW]`.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) nonce: u128,
    /// The client has seen the replies up to this number.
    pub(super) floor: u64,
    /// The last slot that held something of this session.
    pub(super) last_slot: Slot,
    pub(super) replies: VecDeque<Stored>,
    /// Sum of the hashes of `replies`.
    pub(super) replies_sum: u128,
    /// Hash of all of the above, as it is part of [`Sessions::sum`].
    pub(super) hash: u128,
}

/// A reply that may be asked for again.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) seq: u64,
    /// Where the command was executed.
    pub(super) slot: Slot,
    pub(super) payload_hash: u128,
    pub(super) reply: Bytes,
    pub(super) hash: u128,
}

impl Stored {
    pub(super) fn new(seq: u64, slot: Slot, payload_hash: u128, reply: Bytes) -> Self {
        let mut bytes = [0_u8; 48];
        let mut out = bytes.as_mut_slice();
        out.put_u64(seq);
        out.put_u64(slot.get());
        out.put_u128(payload_hash);
        out.put_u128(xxh3_128(&reply));
        Self {
            seq,
            slot,
            payload_hash,
            reply,
            hash: xxh3_128(&bytes),
        }
    }

    pub(super) fn cost(&self) -> u64 {
        self.reply.len() as u64 + SessionLimits::REPLY_OVERHEAD
    }
}

impl Session {
    pub(super) fn new(nonce: u128, floor: u64, last_slot: Slot) -> Self {
        Self {
            nonce,
            floor,
            last_slot,
            replies: VecDeque::new(),
            replies_sum: 0,
            hash: 0,
        }
    }

    /// Hash of the session as `client`'s: of fixed-length parts.
    pub(super) fn digest(&self, client: ClientId) -> u128 {
        let mut bytes = [0_u8; 64];
        let mut out = bytes.as_mut_slice();
        out.put_u64(client.get());
        out.put_u128(self.nonce);
        out.put_u64(self.floor);
        out.put_u64(self.last_slot.get());
        out.put_u64(self.replies.len() as u64);
        out.put_u128(self.replies_sum);
        xxh3_128(&bytes)
    }

    /// Forgets the replies that the client has seen; says how many bytes they counted for.
    pub(super) fn raise_floor(&mut self, floor: u64) -> u64 {
        self.floor = self.floor.max(floor);
        let mut freed = 0;
        while self.replies.front().is_some_and(|r| r.seq <= self.floor)
            && let Some(seen) = self.replies.pop_front()
        {
            self.replies_sum = self.replies_sum.wrapping_sub(seen.hash);
            freed += seen.cost();
        }
        freed
    }

    pub(super) fn position(&self, seq: u64) -> Result<usize, usize> {
        // Most commands come in the order of their numbers.
        match self.replies.back() {
            Some(last) if seq <= last.seq => self.replies.binary_search_by_key(&seq, |r| r.seq),
            _ => Err(self.replies.len()),
        }
    }

    pub(super) fn reply(&self, seq: u64) -> Option<&Stored> {
        self.position(seq).ok().and_then(|at| self.replies.get(at))
    }

    pub(super) fn insert(&mut self, stored: Stored) {
        if let Err(at) = self.position(stored.seq) {
            self.replies_sum = self.replies_sum.wrapping_add(stored.hash);
            self.replies.insert(at, stored);
        }
    }

    pub(super) fn cost(&self) -> u64 {
        self.replies.iter().map(Stored::cost).sum()
    }
}
