//! What a snapshot says about itself, in front of the sessions and the machine.
//! Knows nothing about blocks and digests of bytes.

use std::io::{Read, Result, Write};

use super::SnapshotError;
use crate::applier::SincePoint;
use crate::canonical::{
    read_bytes, read_u8, read_u32, read_u64, read_u128, write_bytes, write_u8, write_u32,
    write_u64, write_u128,
};
use crate::command::Chain;
use crate::membership::{Lease, Member, Membership};
use crate::session::SessionLimits;
use crate::types::{DiskId, Epoch, NodeId, Slot};

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Everything up to here is in it.
    pub slot: Slot,
    /// Chain of the log at `slot`.
    pub chain: Chain,
    /// The membership in force at `slot`; without addresses, which nodes may disagree about.
    pub membership: Membership,
    /// Digest of machine and sessions: what a restore has to arrive at.
    pub state_digest: u128,
    /// How far the log was behind the last snapshot point: nothing, unless it was taken elsewhere.
    pub(crate) since_point: SincePoint,
}

impl SnapshotHeader {
    pub(super) fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        out.write_all(MAGIC)?;
        write_u32(out, VERSION)?;
        write_u64(out, self.slot.get())?;
        write_u128(out, self.chain.get())?;
        write_u128(out, self.state_digest)?;
        write_u64(out, self.since_point.slots)?;
        write_u64(out, self.since_point.bytes)?;
        write_membership(out, &self.membership)
    }

    pub(super) fn read_from(from: &mut dyn Read) -> std::result::Result<Self, SnapshotError> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(SnapshotError::Foreign);
        }
        let found = read_u32(from)?;
        if found != VERSION {
            return Err(SnapshotError::Version { found });
        }
        Ok(Self {
            slot: Slot::new(read_u64(from)?),
            chain: Chain::new(read_u128(from)?),
            state_digest: read_u128(from)?,
            since_point: SincePoint {
                slots: read_u64(from)?,
                bytes: read_u64(from)?,
            },
            membership: read_membership(from)?,
        })
    }
}

fn write_membership(out: &mut dyn Write, membership: &Membership) -> Result<()> {
    write_u64(out, membership.epoch.get())?;
    write_u32(out, membership.protocol)?;
    match &membership.lease {
        None => write_u8(out, 0)?,
        Some(lease) => {
            write_u8(out, 1)?;
            write_u64(out, lease.duration_us)?;
            write_u32(out, lease.drift_ppm)?;
        }
    }
    write_u64(out, membership.sessions.sessions_max)?;
    write_u64(out, membership.sessions.reply_bytes_max)?;
    write_u32(out, membership.members.len() as u32)?;
    for (id, member) in &membership.members {
        write_u64(out, id.get())?;
        write_bytes(out, member.name.as_bytes())?;
        write_u128(out, member.disk.get())?;
        write_u32(out, member.weight)?;
    }
    Ok(())
}

fn read_membership(from: &mut dyn Read) -> std::result::Result<Membership, SnapshotError> {
    let malformed = |what: &str| SnapshotError::Malformed(what.into());
    let epoch = Epoch::new(read_u64(from)?);
    let protocol = read_u32(from)?;
    let lease = match read_u8(from)? {
        0 => None,
        1 => Some(Lease {
            duration_us: read_u64(from)?,
            drift_ppm: read_u32(from)?,
        }),
        _ => return Err(malformed("neither a lease nor none")),
    };
    if lease.is_some_and(|lease| !lease.valid()) {
        return Err(malformed("a lease that no cluster can have"));
    }
    let sessions = SessionLimits {
        sessions_max: read_u64(from)?,
        reply_bytes_max: read_u64(from)?,
    };
    if !sessions.valid() {
        return Err(malformed("no room for a session"));
    }
    let count = read_u32(from)?;
    if count as usize > Membership::MEMBERS_MAX {
        return Err(malformed("too many members"));
    }
    let mut members = Vec::new();
    let mut previous = NodeId::NONE;
    for _ in 0..count {
        let id = NodeId::new(read_u64(from)?);
        let name = read_bytes(from, NAME_BYTES_MAX)?;
        let name = std::str::from_utf8(&name).map_err(|_| malformed("a name is no text"))?;
        if id <= previous || NodeId::from_name(name) != Some(id) {
            return Err(malformed("members out of order, or with another's name"));
        }
        previous = id;
        members.push(Member {
            name: name.to_owned(),
            disk: DiskId::new(read_u128(from)?),
            addr: String::new(),
            weight: read_u32(from)?,
        });
    }
    let mut membership = Membership::new(epoch, members)
        .map_err(|error| SnapshotError::Malformed(error.to_string()))?;
    membership.protocol = protocol;
    membership.lease = lease;
    membership.sessions = sessions;
    Ok(membership)
}

const MAGIC: &[u8; 8] = b"chilsnap";
/// The only format that is read: the first one kept the limits of sessions apart from the terms
/// of the membership.
pub(super) const VERSION: u32 = 2;
/// A length that no name of a node has.
const NAME_BYTES_MAX: u64 = 64 << 10;
