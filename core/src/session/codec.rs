//! The sessions' part of a snapshot: written from a frozen table, read back with every rule checked.
//! Knows nothing about the rest of a snapshot.
//!
//! The number of sessions, then each in the order of their ids: id, nonce, floor, last slot, the
//! number of replies, and each of these: number, slot, hash of the payload, the reply itself.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

use super::entry::{Session, Stored};
use super::{SessionLimits, Sessions};
use crate::canonical::{
    read_bytes, read_u32, read_u64, read_u128, write_bytes, write_u32, write_u64, write_u128,
};
use crate::ordered_map::OrderedMap;
use crate::types::{ClientId, Slot};

/// All sessions as they were at one slot.
pub(crate) struct FrozenSessions(OrderedMap<ClientId, Arc<Session>>);

impl FrozenSessions {
    pub(super) const fn new(table: OrderedMap<ClientId, Arc<Session>>) -> Self {
        Self(table)
    }

    pub(crate) fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        write_u64(out, self.0.len())?;
        for (client, session) in self.0.iter() {
            write_u64(out, client.get())?;
            write_u128(out, session.nonce)?;
            write_u64(out, session.floor)?;
            write_u64(out, session.last_slot.get())?;
            // The window bounds it.
            write_u32(out, session.replies.len() as u32)?;
            for stored in &session.replies {
                write_u64(out, stored.seq)?;
                write_u64(out, stored.slot.get())?;
                write_u128(out, stored.payload_hash)?;
                write_bytes(out, &stored.reply)?;
            }
        }
        Ok(())
    }
}

impl Sessions {
    /// The sessions that `FrozenSessions::write_to` wrote at `slot`.
    pub(crate) fn read_from(
        from: &mut dyn Read,
        slot: Slot,
        limits: SessionLimits,
    ) -> Result<Self> {
        let mut sessions = Self::new(limits);
        let count = read_u64(from)?;
        ensure(count <= limits.sessions_max, "more sessions than allowed")?;
        let mut previous = ClientId::NONE;
        for _ in 0..count {
            let client = ClientId::new(read_u64(from)?);
            ensure(previous < client, "sessions out of order")?;
            previous = client;
            let session = read_session(from)?;
            ensure(
                client.get() <= session.last_slot.get(),
                "a session before its slot",
            )?;
            ensure(session.last_slot <= slot, "a session of a later slot")?;
            sessions.put(client, session);
        }
        let distinct =
            sessions.by_nonce.len() as u64 == count && sessions.by_age.len() as u64 == count;
        ensure(distinct, "two sessions share a nonce or a slot")?;
        Ok(sessions)
    }
}

fn read_session(from: &mut dyn Read) -> Result<Session> {
    let nonce = read_u128(from)?;
    let floor = read_u64(from)?;
    let last_slot = Slot::new(read_u64(from)?);
    let mut session = Session::new(nonce, floor, last_slot);
    let count = read_u32(from)?;
    ensure(
        u64::from(count) <= SessionLimits::WINDOW,
        "more replies than the window has",
    )?;
    let mut previous = floor;
    for _ in 0..count {
        let seq = read_u64(from)?;
        let slot = Slot::new(read_u64(from)?);
        let payload_hash = read_u128(from)?;
        let reply = read_bytes(from, u64::MAX)?;
        let in_window = previous < seq && seq <= floor.saturating_add(SessionLimits::WINDOW);
        ensure(in_window, "replies out of order, or outside of the window")?;
        ensure(
            slot <= last_slot,
            "a reply of a later slot than its session",
        )?;
        previous = seq;
        session.insert(Stored::new(seq, slot, payload_hash, reply));
    }
    Ok(session)
}

fn ensure(holds: bool, what: &str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidData, what))
    }
}
