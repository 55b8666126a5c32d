//! The numbers of the protocol as types of their own: nodes, disks, clusters, epochs, ballots, slots.
//! Knows nothing about what is agreed on, nor about time, disks or sockets.
//!
//! # Arithmetic
//! [`Slot::next`], [`Epoch::next`] and [`Lsn::next`] panic when 64 bits are used up, which no run
//! of a cluster can reach. [`Slot::prev`] of [`Slot::ZERO`] and [`Slot::distance`] saturate at
//! zero. A [`Ballot`] number above [`Ballot::N_MAX`] is refused where it enters (the decoding
//! gate), so that `n + 1` cannot overflow here; the replica believes less (see
//! [`Ballot::N_LEAP_MAX`]), so that a number to go on with is always left.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Identity of a member, derived from its name: XXH3-64 (seed 0) of the UTF-8 bytes.
///
/// Zero is reserved for "nobody" ([`NodeId::NONE`]), as in the bottom ballot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct NodeId(u64);

impl NodeId {
    /// Nobody: owns the bottom ballot of every epoch and is never a member.
    pub const NONE: Self = Self(0);

    /// The identity with this number; [`NodeId::NONE`] for zero.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The identity of the node called `name`; `None` if the name's hash is the reserved zero.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let id = Self(xxh3_64(name.as_bytes()));
        (id != Self::NONE).then_some(id)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Small numbers occur in tests and traces only; a hashed name is shown by its first digits.
        if self.0 < 1_000_000 {
            write!(f, "n{}", self.0)
        } else {
            write!(f, "n{:08x}", self.0 >> 32)
        }
    }
}

/// Identity of a data directory: drawn at random when it is formatted, and never copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct DiskId(u128);

impl DiskId {
    /// The disk with this number.
    #[must_use]
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Identity of a cluster: the hash of its first membership. Messages of another cluster are dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ClusterId(u128);

impl ClusterId {
    /// The cluster with this number.
    #[must_use]
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The number of a membership. The first is 1; a StopSign ends one and begins the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch that a cluster is formed in.
    pub const FIRST: Self = Self(1);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A ballot: one attempt of one node to lead. Ordered by epoch, then number, then owner.
///
/// The owner makes ballots of different nodes different (Lamport, "Paxos Made Simple" 2.4:
/// proposers choose from disjoint sets of numbers).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// The membership that counts the votes.
    pub epoch: Epoch,
    /// The attempt's number within the epoch; 0 is the bottom ballot or a node's "not trying".
    pub n: u64,
    /// The only node that may propose in this ballot.
    pub node: NodeId,
}

impl Ballot {
    /// Largest number that is believed: above it a peer is broken or lying.
    pub const N_MAX: u64 = u64::MAX / 2;

    /// Largest number that a replica believes at once, however far it is from what it knows.
    pub const N_LEAP_MAX: u64 = Self::N_MAX - (1 << 32);

    /// Above [`Ballot::N_LEAP_MAX`]: how far beyond what it knows a replica believes a number.
    pub const N_STEP_MAX: u64 = 1 << 16;

    /// A ballot from its parts.
    #[must_use]
    pub const fn new(epoch: Epoch, n: u64, node: NodeId) -> Self {
        Self { epoch, n, node }
    }

    /// The smallest ballot of `epoch`: nobody owns it and nothing is ever proposed in it.
    #[must_use]
    pub const fn bottom(epoch: Epoch) -> Self {
        Self {
            epoch,
            n: 0,
            node: NodeId::NONE,
        }
    }

    /// Big-endian bytes (epoch, n, node): byte order is ballot order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        let (epoch, rest) = out.split_at_mut(8);
        let (n, node) = rest.split_at_mut(8);
        epoch.copy_from_slice(&self.epoch.0.to_be_bytes());
        n.copy_from_slice(&self.n.to_be_bytes());
        node.copy_from_slice(&self.node.0.to_be_bytes());
        out
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node == NodeId::NONE {
            write!(f, "{}.{}", self.epoch, self.n)
        } else {
            write!(f, "{}.{}.{}", self.epoch, self.n, self.node)
        }
    }
}

/// A position in the log, 1-based and contiguous across epochs. Zero means "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Slot(u64);

impl Slot {
    /// Before the first slot: the last slot of an empty log.
    pub const ZERO: Self = Self(0);

    /// The slot with this number.
    #[must_use]
    pub const fn new(slot: u64) -> Self {
        Self(slot)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The slot before this one; zero stays zero.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many slots lie in `(earlier, self]`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn distance(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Position of one `Persist` in the order of durability: a token that says "everything up to
/// here". The high bits are the boot count, so that no life of a process answers for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Lsn(u64);

impl Lsn {
    /// A life that persists 10,000 times a second lasts three years with so many; were a life to
    /// use them up, the next one would begin before its end, and the store would refuse to go on.
    const BITS_IN_LIFE: u32 = 40;

    /// The position with this number.
    #[must_use]
    pub const fn new(lsn: u64) -> Self {
        Self(lsn)
    }

    /// The position before the first `Persist` of process life `boot`.
    #[must_use]
    pub const fn start_of(boot: u64) -> Self {
        Self(boot << Self::BITS_IN_LIFE)
    }

    /// The process life that the position belongs to.
    #[must_use]
    pub const fn boot(self) -> u64 {
        self.0 >> Self::BITS_IN_LIFE
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next position.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_life = self.0 - Self::start_of(self.boot()).0;
        write!(f, "{}:{in_life}", self.boot())
    }
}

/// Names a client's session; zero is "no session". A session's id is the slot that registered it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ClientId(u64);

impl ClientId {
    /// No session: the command is executed as often as it is in the log.
    pub const NONE: Self = Self(0);

    /// The client with this number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The driver's name for a pending proposal or read; the core only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Token(u64);

impl Token {
    /// The token with this number.
    #[must_use]
    pub const fn new(token: u64) -> Self {
        Self(token)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

macro_rules! debug_as_display {
    ($($t:ty),*) => {$(
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(NodeId, DiskId, ClusterId, Epoch, Ballot, Slot, Lsn);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_ballot_order() {
        let mut ballots = vec![Ballot::bottom(Epoch::new(2))];
        for (e, n, node) in [
            (1, 1, 2),
            (1, 256, 1),
            (1, 2, 300),
            (1, 2, 7),
            (2, 0, 1),
            (1, 0, 0),
        ] {
            ballots.push(Ballot::new(Epoch::new(e), n, NodeId::new(node)));
        }
        let mut by_bytes = ballots.clone();
        ballots.sort();
        by_bytes.sort_by_key(|b| b.to_bytes());
        assert_eq!(ballots, by_bytes);
    }

    #[test]
    fn no_life_reaches_the_positions_of_the_next() {
        let busy = Lsn::new(Lsn::start_of(1).get() + 10_000 * 3600 * 24 * 365);
        assert!(busy < Lsn::start_of(2));
        assert_eq!((busy.boot(), Lsn::start_of(2).boot()), (1, 2));
        assert_eq!(Lsn::start_of(7).next().to_string(), "7:1");
    }

    #[test]
    fn a_name_has_the_same_id_for_ever() {
        // XXH3-64, seed 0: changing these numbers would make every deployed node a stranger.
        assert_eq!(
            NodeId::from_name("node-1").map(NodeId::get),
            Some(0x0db0_9edf_d945_8385)
        );
        assert_eq!(
            NodeId::from_name("").map(NodeId::get),
            Some(0x2d06_8005_38d3_94c2)
        );
    }
}
