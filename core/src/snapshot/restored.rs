//! Which cluster begins with a snapshot: the identities of its disks, computed instead of drawn.
//! Knows nothing about files, nor about how nodes find each other.
//!
//! A cluster that is formed agrees on its membership by talking. One that is restored has nobody
//! to talk to yet: each machine works on its own copy of the snapshot. So what would be drawn at
//! random follows from what all of them were told: who takes part, the snapshot, and a token that
//! an operator chose for this one restore.

use xxhash_rust::xxh3::xxh3_128;

use super::SnapshotId;
use crate::membership::{Member, Membership, MembershipError};
use crate::types::{DiskId, Epoch};

impl Membership {
    /// The first membership of a cluster that begins with `snapshot`: of these members, whose
    /// disks get the identities that follow from it; with the terms that the snapshot's own
    /// membership was under, since its state was kept under them. Its [`Membership::cluster_id`] differs from
    /// that of every cluster with another token, snapshot or list.
    ///
    /// # Errors
    /// Says which rule of PROTOCOL.md "Weighted quorums" the list breaks.
    pub fn restored(
        token: &str,
        snapshot: &SnapshotId,
        terms: &Self,
        members: impl IntoIterator<Item = RestoredMember>,
    ) -> Result<Self, MembershipError> {
        let members = members.into_iter().map(|member| Member {
            disk: disk(token, &member.name, snapshot),
            name: member.name,
            addr: member.addr,
            weight: member.weight,
        });
        let mut membership = Self::new(Epoch::FIRST, members)?;
        membership.lease = terms.lease;
        membership.sessions = terms.sessions;
        Ok(membership)
    }
}

/// One node of a cluster that begins with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredMember {
    /// Its name.
    pub name: String,
    /// Where it can be reached; no part of any identity.
    pub addr: String,
    /// How much its vote counts.
    pub weight: u32,
}

fn disk(token: &str, name: &str, snapshot: &SnapshotId) -> DiskId {
    let mut bytes = b"chil restored disk v1".to_vec();
    for text in [token, name] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&snapshot.slot.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.chain.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.bytes.to_be_bytes());
    bytes.extend_from_slice(&snapshot.digest.to_be_bytes());
    DiskId::new(xxh3_128(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Chain;
    use crate::types::Slot;

    const SNAPSHOT: SnapshotId = SnapshotId {
        slot: Slot::new(7),
        chain: Chain::new(8),
        bytes: 9,
        digest: 10,
    };

    fn member(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            disk: DiskId::new(1),
            addr: String::new(),
            weight: 1,
        }
    }

    fn restored(token: &str, snapshot: &SnapshotId, names: &[&str]) -> Membership {
        let members = names.iter().map(|name| RestoredMember {
            name: (*name).to_owned(),
            addr: format!("{name}:1"),
            weight: 1,
        });
        let mut terms = Membership::new(Epoch::FIRST, [member("old")]).unwrap();
        terms.sessions.sessions_max = 7;
        Membership::restored(token, snapshot, &terms, members).unwrap()
    }

    #[test]
    fn every_machine_computes_the_same_cluster() {
        let here = restored("t", &SNAPSHOT, &["a", "b", "c"]);
        let there = restored("t", &SNAPSHOT, &["c", "a", "b"]);
        assert_eq!(here, there);
        assert_eq!(here.sessions.sessions_max, 7, "as the state was kept");
        // Pinned: machines may run different versions.
        assert_eq!(
            here.cluster_id().to_string(),
            "4ccd8cfbcdbaf6563b16721609e21042"
        );
    }

    #[test]
    fn whatever_differs_makes_another_cluster() {
        let cluster = |m: Membership| m.cluster_id();
        let base = cluster(restored("t", &SNAPSHOT, &["a", "b", "c"]));
        let other = SnapshotId {
            digest: 11,
            ..SNAPSHOT
        };
        for different in [
            restored("u", &SNAPSHOT, &["a", "b", "c"]),
            restored("t", &other, &["a", "b", "c"]),
            restored("t", &SNAPSHOT, &["a", "b", "d"]),
            restored("t", &SNAPSHOT, &["a", "b"]),
        ] {
            assert_ne!(cluster(different), base);
        }
        // A boundary between two texts is a part of them.
        assert_ne!(disk("ta", "b", &SNAPSHOT), disk("t", "ab", &SNAPSHOT));
    }
}
