//! What a slot can hold, and the entry that puts it into one log: immutable, shared, chained.
//! Knows nothing about what a command means.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::types::{Ballot, ClientId, Slot};

/// An opaque command of a client, with what exactly-once execution needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The session; [`ClientId::NONE`] when the client has none.
    pub client: ClientId,
    /// Number of the request within the session, consecutive from 1; 0 without a session.
    pub seq: u64,
    /// The client has seen the reply to every request up to here, so those may be forgotten.
    pub ack_floor: u64,
    /// The command itself, as the state machine understands it.
    pub payload: Bytes,
}

impl Command {
    /// A command outside of any session.
    #[must_use]
    pub const fn sessionless(payload: Bytes) -> Self {
        Self {
            client: ClientId::NONE,
            seq: 0,
            ack_floor: 0,
            payload,
        }
    }
}

/// Everything that a slot can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A client's command, for the state machine.
    Command(Command),
    /// Opens a session, whose [`ClientId`] is the slot that this stands in. The same nonce opens
    /// one session only, however often it is decided.
    Register {
        /// Drawn at random by the client, once for each session that it wants.
        nonce: u128,
    },
}

impl EntryKind {
    /// Bytes that the kind's payload takes; the unit of every byte limit on entries.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        match self {
            Self::Command(command) => command.payload.len(),
            Self::Register { .. } => 0,
        }
    }
}

/// Digest of a log's prefix: equal chains at a slot mean equal prefixes up to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Chain(u128);

impl Chain {
    /// The chain of the empty log.
    pub const EMPTY: Self = Self(0);

    /// The chain with this digest.
    #[must_use]
    pub const fn new(chain: u128) -> Self {
        Self(chain)
    }

    /// The digest itself.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// The chain after `kind`, first proposed in `origin`, stands in `slot` behind this prefix.
    ///
    /// XXH3-128: it finds mistakes and rot, not adversaries; peers are authenticated elsewhere.
    #[must_use]
    pub fn link(self, slot: Slot, origin: Ballot, kind: &EntryKind) -> Self {
        let mut header = [0_u8; 97];
        let mut out = header.as_mut_slice();
        out.put_u128(self.0);
        out.put_u64(slot.get());
        out.put_slice(&origin.to_bytes());
        match kind {
            EntryKind::Command(command) => {
                out.put_u8(1);
                out.put_u64(command.client.get());
                out.put_u64(command.seq);
                out.put_u64(command.ack_floor);
                out.put_u64(command.payload.len() as u64);
                out.put_u128(xxh3_128(&command.payload));
            }
            EntryKind::Register { nonce } => {
                out.put_u8(2);
                out.put_u128(*nonce);
            }
        }
        Self(xxh3_128(&header))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One slot of a log. Cheap to clone: the content is shared and never changes.
///
/// Its identity is `(slot, origin)`: a ballot has one owner, and that owner proposes one value a slot.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry(Arc<Inner>);

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Inner {
    slot: Slot,
    origin: Ballot,
    chain: Chain,
    kind: EntryKind,
}

impl Entry {
    /// Bytes that an entry costs beside its payload, in every byte limit.
    pub const OVERHEAD: usize = 128;

    /// The entry that follows a prefix whose chain is `prev`.
    #[must_use]
    pub fn new(prev: Chain, slot: Slot, origin: Ballot, kind: EntryKind) -> Self {
        let chain = prev.link(slot, origin, &kind);
        Self(Arc::new(Inner {
            slot,
            origin,
            chain,
            kind,
        }))
    }

    /// An entry as somebody else stated it; whether it fits a log is [`Entry::follows`]'s to say.
    #[must_use]
    pub fn from_parts(slot: Slot, origin: Ballot, chain: Chain, kind: EntryKind) -> Self {
        Self(Arc::new(Inner {
            slot,
            origin,
            chain,
            kind,
        }))
    }

    /// Whether this is the entry behind a prefix that ends in `slot` with chain `prev`.
    #[must_use]
    pub fn follows(&self, slot: Slot, prev: Chain) -> bool {
        self.0.slot == slot.next()
            && self.0.chain == prev.link(self.0.slot, self.0.origin, &self.0.kind)
    }

    /// Its position.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.0.slot
    }

    /// The ballot that first proposed it.
    #[must_use]
    pub fn origin(&self) -> Ballot {
        self.0.origin
    }

    /// The digest of the log up to and including it.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.0.chain
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> &EntryKind {
        &self.0.kind
    }

    /// Bytes that it counts for in every limit: payload and [`Entry::OVERHEAD`].
    #[must_use]
    pub fn cost(&self) -> u64 {
        (self.0.kind.payload_len() + Self::OVERHEAD) as u64
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.0.slot, self.0.origin)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, NodeId};

    fn kind(payload: &'static [u8]) -> EntryKind {
        EntryKind::Command(Command::sessionless(Bytes::from_static(payload)))
    }

    #[test]
    fn the_chain_is_pinned() {
        let origin = Ballot::new(Epoch::FIRST, 3, NodeId::new(7));
        let first = Entry::new(Chain::EMPTY, Slot::new(1), origin, kind(b"hello"));
        assert_eq!(
            format!("{:032x}", first.chain().get()),
            "b3469982bdd3b83e91ef9e0eaf00d055"
        );
    }

    #[test]
    fn an_entry_follows_only_its_own_prefix() {
        let origin = Ballot::new(Epoch::FIRST, 3, NodeId::new(7));
        let first = Entry::new(Chain::EMPTY, Slot::new(1), origin, kind(b"a"));
        let second = Entry::new(first.chain(), Slot::new(2), origin, kind(b"b"));
        assert!(first.follows(Slot::ZERO, Chain::EMPTY));
        assert!(second.follows(Slot::new(1), first.chain()));
        assert!(!second.follows(Slot::new(1), Chain::EMPTY));
        assert!(!second.follows(Slot::new(2), first.chain()));
        let forged = Entry::from_parts(Slot::new(2), origin, second.chain(), kind(b"c"));
        assert!(!forged.follows(Slot::new(1), first.chain()));
    }
}
