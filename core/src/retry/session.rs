//! One session from its client's side: which numbers are under way, and up to which all are done.
//! Knows nothing about targets, pauses or deadlines.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;
use crate::types::{ClientId, Token};

/// Always: `floor < seq < next` for all of `pending` and `done`, and no number is in both.
#[derive(Debug)]
pub(super) struct Session<T> {
    pub(super) client: ClientId,
    next: u64,
    /// The outcome of every number up to here is known.
    floor: u64,
    done: BTreeSet<u64>,
    pub(super) pending: BTreeMap<u64, Pending<T>>,
    /// The cluster has forgotten it.
    pub(super) expired: bool,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Pending<T> {
    pub(super) token: Token,
    pub(super) tries: Tries<T>,
    /// An attempt ended without it being known whether it reached a log.
    pub(super) ambiguous: bool,
}

/// The attempts at one thing: at most one that is waited for.
#[derive(Debug)]
pub(super) struct Tries<T> {
    pub(super) count: u64,
    pub(super) flight: Option<Flight<T>>,
}

/// An attempt that is waited for.
#[derive(Debug)]
pub(super) struct Flight<T> {
    pub(super) to: T,
    /// The round of attempts that it belongs to: see `RetryClient`.
    pub(super) round: u64,
    /// When it counts as lost.
    pub(super) timeout: Time,
}

impl<T> Tries<T> {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            flight: None,
        }
    }
}

impl<T> Session<T> {
    pub(super) const fn new(client: ClientId) -> Self {
        Self {
            client,
            next: 1,
            floor: 0,
            done: BTreeSet::new(),
            pending: BTreeMap::new(),
            expired: false,
        }
    }

    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Gives the request the next number, if the window has room.
    pub(super) fn begin(&mut self, token: Token, window: u64) -> Option<u64> {
        if self.floor + window < self.next {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        let pending = Pending {
            token,
            tries: Tries::new(),
            ambiguous: false,
        };
        self.pending.insert(seq, pending);
        Some(seq)
    }

    pub(super) const fn has_room(&self, window: u64) -> bool {
        self.next <= self.floor + window
    }

    /// The outcome of `seq` is known: it need not be kept for this client any longer.
    pub(super) fn end(&mut self, seq: u64) {
        self.pending.remove(&seq);
        self.done.insert(seq);
        while self.done.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
    }
}

/// A session that is asked for.
#[derive(Debug)]
pub(super) struct Opening<T> {
    pub(super) session: u64,
    pub(super) nonce: u128,
    pub(super) tries: Tries<T>,
}
