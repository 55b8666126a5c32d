//! Client sessions: which commands were executed already, and what was answered to them.
//! Knows nothing about what commands mean, nor how they were decided.
//!
//! A session is opened by a `Register` in the log, and its id is the slot of that. A client
//! numbers its commands; one that comes a second time is answered with the stored reply instead
//! of being executed again (PROTOCOL.md "Exactly once"). All of it is part of the replicated
//! state: decided by the log alone, in every snapshot and in the digest of the state.

mod codec;
mod entry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::command::Command;
use crate::ordered_map::OrderedMap;
use crate::types::{ClientId, Slot};

pub(crate) use codec::FrozenSessions;
use entry::{Session, Stored};

/// How much the session table may hold. Equal on all members of a cluster, since it decides who
/// is evicted: it is part of the membership, and of the digest of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Sessions at a time. One more evicts the one that the log has been without for longest.
    pub sessions_max: u64,
    /// Bytes of stored replies, each with [`SessionLimits::REPLY_OVERHEAD`]. Beyond it, the
    /// sessions that the log has been without for longest are evicted.
    pub reply_bytes_max: u64,
}

impl SessionLimits {
    /// Commands of one session that may wait for their replies: a command's number is at most so
    /// far above the last one whose reply the client has seen.
    pub const WINDOW: u64 = 64;
    /// Bytes that a stored reply counts for beside itself.
    pub const REPLY_OVERHEAD: u64 = 128;

    /// Whether a session can be opened under them: without room for one, no state that holds one
    /// could be restored.
    #[must_use]
    pub const fn valid(&self) -> bool {
        self.sessions_max > 0
    }
}

impl fmt::Display for SessionLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sessions, bytes) = (self.sessions_max, self.reply_bytes_max);
        write!(f, "{sessions} sessions with {bytes} bytes of replies")
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions_max: 65_536,
            reply_bytes_max: 256 << 20,
        }
    }
}

/// What became of a decided entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command was executed, in this slot or in an earlier one of the same number.
    Executed {
        /// The slot of the execution that counts: the first one.
        slot: Slot,
        /// The state machine's reply to it.
        reply: Bytes,
    },
    /// The session is open.
    Registered {
        /// What it is called.
        client: ClientId,
    },
    /// There is no such session (any more). Not executed in this slot; whether it was executed in
    /// an earlier one is not known any more.
    SessionExpired,
    /// The client has seen the reply to this number before. Not executed again.
    StaleSeq,
    /// The number is too far above the last one whose reply was seen. Not executed.
    BeyondWindow,
    /// Another command was executed under this number. This one was not.
    Reused,
}

/// What has to be done with a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Execute it, then [`Sessions::executed`].
    Execute {
        /// Hash of its payload.
        payload_hash: u128,
    },
    /// Tell this, and change nothing.
    Answer(Outcome),
}

/// All sessions.
///
/// Always: `by_nonce` and `by_age` hold each session once; `sum` is the wrapping sum of the
/// sessions' hashes, `reply_bytes` that of what their replies count for
/// ([`Sessions::check`] asserts it).
#[derive(Clone)]
pub(crate) struct Sessions {
    limits: SessionLimits,
    /// Behind an `Arc` each: a change after a freeze copies one session, not its neighbours.
    table: OrderedMap<ClientId, Arc<Session>>,
    by_nonce: BTreeMap<u128, ClientId>,
    /// By the last slot that held something of them.
    by_age: BTreeMap<Slot, ClientId>,
    sum: u128,
    reply_bytes: u64,
}

impl Sessions {
    pub(crate) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            table: OrderedMap::default(),
            by_nonce: BTreeMap::new(),
            by_age: BTreeMap::new(),
            sum: 0,
            reply_bytes: 0,
        }
    }

    pub(crate) const fn limits(&self) -> SessionLimits {
        self.limits
    }

    pub(crate) fn len(&self) -> u64 {
        self.table.len()
    }

    /// Opens the session of `nonce`, or finds it open.
    pub(crate) fn register(&mut self, slot: Slot, nonce: u128) -> Outcome {
        let client = if let Some(there) = self.by_nonce.get(&nonce).copied() {
            // A late duplicate, or a client that did not hear the answer.
            self.change(there, slot, 0, None);
            there
        } else {
            while self.limits.sessions_max <= self.len() && self.evict_oldest() {}
            let client = ClientId::new(slot.get());
            self.put(client, Session::new(nonce, 0, slot));
            client
        };
        Outcome::Registered { client }
    }

    /// Looks at a command of a session that stands in `slot`.
    pub(crate) fn admit(&mut self, slot: Slot, command: &Command) -> Admission {
        let Some(session) = self.table.get(&command.client) else {
            return Admission::Answer(Outcome::SessionExpired);
        };
        let seq = command.seq;
        let floor = session.floor.max(command.ack_floor);
        let outcome = if seq <= floor {
            Outcome::StaleSeq
        } else if floor.saturating_add(SessionLimits::WINDOW) < seq {
            Outcome::BeyondWindow
        } else {
            let payload_hash = xxh3_128(&command.payload);
            match session.reply(seq) {
                None => return Admission::Execute { payload_hash },
                Some(stored) if stored.payload_hash != payload_hash => Outcome::Reused,
                Some(stored) => Outcome::Executed {
                    slot: stored.slot,
                    reply: stored.reply.clone(),
                },
            }
        };
        // It says what the client has seen, whatever becomes of the command itself.
        self.change(command.client, slot, command.ack_floor, None);
        Admission::Answer(outcome)
    }

    /// Remembers the reply to an admitted command.
    pub(crate) fn executed(
        &mut self,
        slot: Slot,
        command: &Command,
        payload_hash: u128,
        reply: Bytes,
    ) {
        let stored = Stored::new(command.seq, slot, payload_hash, reply);
        self.change(command.client, slot, command.ack_floor, Some(stored));
        // The youngest session is the one at hand: it stays, whatever it holds.
        while self.limits.reply_bytes_max < self.reply_bytes
            && 1 < self.len()
            && self.evict_oldest()
        {}
    }

    /// Digest of all sessions, and of the limits that they are kept under.
    pub(crate) fn digest(&self) -> u128 {
        let mut bytes = [0_u8; 48];
        let mut out = bytes.as_mut_slice();
        out.put_u64(self.limits.sessions_max);
        out.put_u64(self.limits.reply_bytes_max);
        out.put_u64(SessionLimits::WINDOW);
        out.put_u64(self.len());
        out.put_u128(self.sum);
        xxh3_128(&bytes)
    }

    /// Asserts what the table's doc says is always so: slow, for tests.
    #[cfg(test)]
    fn check(&self) {
        let (mut sum, mut reply_bytes) = (0_u128, 0);
        for (client, session) in self.table.iter() {
            let mut replies_sum = 0_u128;
            let mut previous = session.floor;
            for stored in &session.replies {
                assert!(
                    previous < stored.seq && stored.seq - session.floor <= SessionLimits::WINDOW
                );
                previous = stored.seq;
                replies_sum = replies_sum.wrapping_add(stored.hash);
            }
            assert_eq!(session.replies_sum, replies_sum);
            assert_eq!(session.hash, session.digest(*client));
            sum = sum.wrapping_add(session.hash);
            reply_bytes += session.cost();
            assert_eq!(self.by_nonce.get(&session.nonce), Some(client));
            assert_eq!(self.by_age.get(&session.last_slot), Some(client));
        }
        assert_eq!((self.sum, self.reply_bytes), (sum, reply_bytes));
        let (nonces, ages) = (self.by_nonce.len() as u64, self.by_age.len() as u64);
        assert_eq!((nonces, ages), (self.len(), self.len()));
        assert!(self.len() <= self.limits.sessions_max);
    }

    /// The sessions as they are now.
    pub(crate) fn freeze(&self) -> FrozenSessions {
        FrozenSessions::new(self.table.clone())
    }

    /// Changes a session for something of it that stands in `slot`.
    fn change(&mut self, client: ClientId, slot: Slot, ack_floor: u64, reply: Option<Stored>) {
        let Some(session) = self.table.get_mut(&client) else {
            return;
        };
        let session = Arc::make_mut(session);
        self.reply_bytes -= session.raise_floor(ack_floor);
        if let Some(stored) = reply {
            self.reply_bytes += stored.cost();
            session.insert(stored);
        }
        self.by_age.remove(&session.last_slot);
        self.by_age.insert(slot, client);
        session.last_slot = slot;
        let before = session.hash;
        session.hash = session.digest(client);
        self.sum = self.sum.wrapping_sub(before).wrapping_add(session.hash);
    }

    fn put(&mut self, client: ClientId, mut session: Session) {
        session.hash = session.digest(client);
        self.sum = self.sum.wrapping_add(session.hash);
        self.reply_bytes += session.cost();
        self.by_nonce.insert(session.nonce, client);
        self.by_age.insert(session.last_slot, client);
        self.table.insert(client, Arc::new(session));
    }

    /// Removes the session that the log has been without for longest; says whether there was one.
    fn evict_oldest(&mut self) -> bool {
        let Some((_, client)) = self.by_age.pop_first() else {
            return false;
        };
        if let Some(session) = self.table.remove(&client) {
            self.by_nonce.remove(&session.nonce);
            self.sum = self.sum.wrapping_sub(session.hash);
            self.reply_bytes -= session.cost();
        }
        true
    }
}
