//! Requests that wait for a number, in the order in which they get one.
//! Knows nothing about what they ask for, nor how each ends.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::time::Time;
use crate::types::Token;

/// What somebody wants done.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) payload: Bytes,
    pub(super) deadline: Time,
    pub(super) place: Place,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue, there.
    Queued(i64),
    /// In this session, under this number.
    Numbered(u64, u64),
}

/// Tokens by their places. A place is given once, so that a request that ends while it waits can
/// leave, and its token come back at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// What came back stands in front, at places below 0.
    places: BTreeMap<i64, Token>,
}

impl Queue {
    /// Behind all others; returns the place.
    pub(super) fn push(&mut self, token: Token) -> i64 {
        let last = self.places.last_key_value().map(|(at, _)| *at);
        let at = last.map_or(0, |at| at + 1).max(0);
        self.places.insert(at, token);
        at
    }

    /// In front of all others: it had a number before.
    pub(super) fn give_back(&mut self, token: Token) -> i64 {
        let first = self.first().map_or(0, |(at, _)| at);
        let at = first.min(0) - 1;
        self.places.insert(at, token);
        at
    }

    pub(super) fn first(&self) -> Option<(i64, Token)> {
        self.places
            .first_key_value()
            .map(|(at, token)| (*at, *token))
    }

    pub(super) fn remove(&mut self, at: i64) {
        self.places.remove(&at);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Token> + use<> {
        std::mem::take(&mut self.places).into_values()
    }
}
