//! Who takes part: members with their names, disks, addresses and weights, numbered by epoch.
//! Knows nothing about ballots or logs, nor how an address is reached.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::session::SessionLimits;
use crate::time::Span;
use crate::types::{ClusterId, DiskId, Epoch, NodeId};

/// One node of a membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name that people gave it; its [`NodeId`] is the hash of this.
    pub name: String,
    /// The data directory that its votes live in: the same name on another disk is another node.
    pub disk: DiskId,
    /// Where it said that it can be reached; a hint for drivers, no part of its identity.
    pub addr: String,
    /// How much its vote counts. A member of weight 0 receives everything and never counts.
    pub weight: u32,
}

/// The configuration of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its number.
    pub epoch: Epoch,
    /// The members by identity.
    pub members: BTreeMap<NodeId, Member>,
    /// Feature level that the cluster agreed to use.
    pub protocol: u32,
    /// Whether leaders may serve reads from a lease. All members must agree on it, since a new
    /// leader has to let the old one's lease end.
    pub lease: Option<Lease>,
    /// How much is kept for sessions. All members must keep the same, since it decides who is
    /// evicted from a state that all of them share.
    pub sessions: SessionLimits,
}

/// How long a leader may trust the answers of a quorum without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// How long a new leader waits before it decides anything new, in microseconds of its clock.
    pub duration_us: u64,
    /// By how many millionths any clock may run fast or slow. With clocks worse than this, reads
    /// from a lease may be stale; nothing else is at stake.
    pub drift_ppm: u32,
}

impl Lease {
    /// Half of the time: a clock that bad is none.
    pub const DRIFT_PPM_MAX: u32 = 500_000;

    /// One minute: for so long nothing is decided after a change of leader.
    pub const DURATION_US_MAX: u64 = 60_000_000;

    /// How long a new leader waits, on its own clock.
    #[must_use]
    pub const fn wait(&self) -> Span {
        Span::from_micros(self.duration_us)
    }

    /// How long a leader trusts an answer, on its own clock and from the instant that it *asked*:
    /// `duration * (1 - drift) / (1 + drift)`, so that even with its clock as slow and the next
    /// leader's as fast as allowed, its lease has ended when the other's wait has.
    #[must_use]
    pub fn trust(&self) -> Span {
        let drift = u128::from(self.drift_ppm.min(Self::DRIFT_PPM_MAX));
        let nanos = u128::from(self.wait().nanos()) * (1_000_000 - drift) / (1_000_000 + drift);
        Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether it is of use: it lasts for some time, but not for so long that every change of
    /// leader would look like an outage, and clocks are bounded.
    #[must_use]
    pub const fn valid(&self) -> bool {
        let lasts = self.duration_us > 0 && self.duration_us <= Self::DURATION_US_MAX;
        lasts && self.drift_ppm <= Self::DRIFT_PPM_MAX
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us with {} ppm", self.duration_us, self.drift_ppm)
    }
}

/// Why a membership cannot be used. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// There is nobody whose vote counts.
    #[error("no member has a weight above 0: nothing could ever be decided")]
    NoVoter,
    /// More members than votes can be kept for.
    #[error("{0} members, but at most {max} are supported", max = Membership::MEMBERS_MAX)]
    TooMany(usize),
    /// Two members share a name (or, once in 2^64, the hash of it).
    #[error("the name '{0}' stands twice in the member list (or its hash equals another name's)")]
    DuplicateName(String),
    /// Two members share a data directory's identity.
    #[error(
        "members '{0}' and '{1}' have the same disk identity: one directory is a copy of the other"
    )]
    DuplicateDisk(String, String),
    /// The name's hash is the reserved zero, or the name is empty.
    #[error("'{0}' cannot be the name of a node: choose another")]
    BadName(String),
}

/// Something that works but surprises: to be shown to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipWarning {
    /// Without this node no quorum exists.
    SinglePointOfFailure(String),
    /// The total weight is even: half of it is no quorum.
    EvenWeight(u64),
}

impl Membership {
    /// Votes are kept as bits of one word.
    pub const MEMBERS_MAX: usize = 64;
    /// The feature level that this version speaks.
    pub const PROTOCOL: u32 = 1;

    /// The membership of `epoch`, checked.
    ///
    /// # Errors
    /// Says which rule of PROTOCOL.md "Weighted quorums" the list breaks.
    pub fn new(
        epoch: Epoch,
        list: impl IntoIterator<Item = Member>,
    ) -> Result<Self, MembershipError> {
        let mut members: BTreeMap<NodeId, Member> = BTreeMap::new();
        let mut disks: BTreeMap<DiskId, String> = BTreeMap::new();
        for member in list {
            if member.name.is_empty() {
                return Err(MembershipError::BadName(member.name));
            }
            let Some(id) = NodeId::from_name(&member.name) else {
                return Err(MembershipError::BadName(member.name));
            };
            if let Some(other) = disks.insert(member.disk, member.name.clone())
                && other != member.name
            {
                return Err(MembershipError::DuplicateDisk(other, member.name));
            }
            let name = member.name.clone();
            if members.insert(id, member).is_some() {
                return Err(MembershipError::DuplicateName(name));
            }
        }
        let membership = Self {
            epoch,
            members,
            protocol: Self::PROTOCOL,
            lease: None,
            sessions: SessionLimits::default(),
        };
        if membership.members.len() > Self::MEMBERS_MAX {
            return Err(MembershipError::TooMany(membership.members.len()));
        }
        if membership.weight_total() == 0 {
            return Err(MembershipError::NoVoter);
        }
        Ok(membership)
    }

    /// Sum of all weights: at most 64 x 2^32, so it cannot overflow.
    #[must_use]
    pub fn weight_total(&self) -> u64 {
        self.members.values().map(|m| u64::from(m.weight)).sum()
    }

    /// The name of `node` for people; its number where it is no member.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        self.members
            .get(&node)
            .map_or_else(|| node.to_string(), |m| m.name.clone())
    }

    /// What an operator should be told about it.
    #[must_use]
    pub fn warnings(&self) -> Vec<MembershipWarning> {
        let total = self.weight_total();
        let mut warnings = Vec::new();
        for member in self.members.values() {
            if u64::from(member.weight) * 2 >= total && self.members.len() > 1 {
                warnings.push(MembershipWarning::SinglePointOfFailure(member.name.clone()));
            }
        }
        if total.is_multiple_of(2) {
            warnings.push(MembershipWarning::EvenWeight(total));
        }
        warnings
    }

    /// The identity of a cluster that begins with this membership: names, disks and weights, in
    /// name order, and the terms that the members agreed on. Addresses are left out, since they
    /// change without changing who votes.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        let mut by_name: Vec<&Member> = self.members.values().collect();
        by_name.sort_by(|a, b| a.name.cmp(&b.name));
        let mut bytes = b"chil cluster v2".to_vec();
        for member in by_name {
            bytes.extend_from_slice(&(member.name.len() as u64).to_be_bytes());
            bytes.extend_from_slice(member.name.as_bytes());
            bytes.extend_from_slice(&member.disk.get().to_be_bytes());
            bytes.extend_from_slice(&member.weight.to_be_bytes());
        }
        if let Some(lease) = &self.lease {
            bytes.extend_from_slice(b"lease");
            bytes.extend_from_slice(&lease.duration_us.to_be_bytes());
            bytes.extend_from_slice(&lease.drift_ppm.to_be_bytes());
        }
        bytes.extend_from_slice(b"sessions");
        bytes.extend_from_slice(&self.sessions.sessions_max.to_be_bytes());
        bytes.extend_from_slice(&self.sessions.reply_bytes_max.to_be_bytes());
        ClusterId::new(xxh3_128(&bytes))
    }
}
