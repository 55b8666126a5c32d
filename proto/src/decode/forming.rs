//! Bytes to the messages of forming.
//! Knows nothing about what they lead to.

use chil_core::forming::{
    ADDR_BYTES_MAX, Confirm, Confirmed, Hello, HelloReply, HelloState, Listed, NAME_BYTES_MAX,
};
use chil_core::{ClusterId, DiskId, Epoch, Lease, Member, Membership, SessionLimits};

use super::{Choice, DecodeError, missing, not_zero};
use crate::wire::{Reader, Value};

pub(super) fn hello(mut reader: Reader<'_>) -> Result<Hello, DecodeError> {
    let (mut name, mut disk, mut addr) = ("", None, "");
    let (mut nonce, mut round) = (0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = value.text("hello.name", NAME_BYTES_MAX)?,
            2 => disk = Some(value.wide("hello.disk")?),
            3 => addr = value.text("hello.addr", ADDR_BYTES_MAX)?,
            4 => nonce = value.fixed("hello.nonce")?,
            5 => round = value.uint("hello.round")?,
            _ => {}
        }
    }
    Ok(Hello {
        name: not_empty("hello.name", name)?,
        disk: DiskId::new(disk.ok_or(missing("hello.disk"))?),
        addr: not_empty("hello.addr", addr)?,
        nonce,
        round,
    })
}

pub(super) fn hello_reply(mut reader: Reader<'_>) -> Result<HelloReply, DecodeError> {
    let (mut name, mut disk, mut addr) = ("", None, "");
    let (mut nonce, mut round) = (0, 0);
    let mut state = Choice::new("hello_reply.state", 6..=7);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = value.text("hello_reply.name", NAME_BYTES_MAX)?,
            2 => disk = Some(value.wide("hello_reply.disk")?),
            3 => addr = value.text("hello_reply.addr", ADDR_BYTES_MAX)?,
            4 => nonce = value.fixed("hello_reply.nonce")?,
            5 => round = value.uint("hello_reply.round")?,
            _ => state.offer(field, value),
        }
    }
    let state = match state.taken()? {
        (6, value) => peer_list(value.message("hello_reply.forming")?)?,
        (7, value) => cluster(value.message("hello_reply.formed")?)?,
        (field, _) => return Err(state.unknown_kind(field)),
    };
    Ok(HelloReply {
        name: not_empty("hello_reply.name", name)?,
        disk: DiskId::new(disk.ok_or(missing("hello_reply.disk"))?),
        addr: not_empty("hello_reply.addr", addr)?,
        nonce,
        round,
        state,
    })
}

pub(super) fn confirm(mut reader: Reader<'_>) -> Result<Confirm, DecodeError> {
    let (mut name, mut disk, mut addr) = ("", None, "");
    let (mut candidate, mut nonce) = (None, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = value.text("confirm.name", NAME_BYTES_MAX)?,
            2 => disk = Some(value.wide("confirm.disk")?),
            3 => addr = value.text("confirm.addr", ADDR_BYTES_MAX)?,
            4 => candidate = Some(value.wide("confirm.candidate")?),
            5 => nonce = value.fixed("confirm.nonce")?,
            _ => {}
        }
    }
    Ok(Confirm {
        name: not_empty("confirm.name", name)?,
        disk: DiskId::new(disk.ok_or(missing("confirm.disk"))?),
        addr: not_empty("confirm.addr", addr)?,
        candidate: ClusterId::new(candidate.ok_or(missing("confirm.candidate"))?),
        nonce,
    })
}

pub(super) fn confirmed(mut reader: Reader<'_>) -> Result<Confirmed, DecodeError> {
    let (mut name, mut disk) = ("", None);
    let (mut candidate, mut nonce) = (None, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = value.text("confirmed.name", NAME_BYTES_MAX)?,
            2 => disk = Some(value.wide("confirmed.disk")?),
            3 => candidate = Some(value.wide("confirmed.candidate")?),
            4 => nonce = value.fixed("confirmed.nonce")?,
            _ => {}
        }
    }
    Ok(Confirmed {
        name: not_empty("confirmed.name", name)?,
        disk: DiskId::new(disk.ok_or(missing("confirmed.disk"))?),
        candidate: ClusterId::new(candidate.ok_or(missing("confirmed.candidate"))?),
        nonce,
    })
}

fn peer_list(mut reader: Reader<'_>) -> Result<HelloState, DecodeError> {
    let (mut list, mut agreed, mut kept) = (Vec::new(), None, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => push("peer_list.list", &mut list, listed(value)?)?,
            2 => agreed = Some(lease(value.message("peer_list.lease")?)?),
            3 => kept = Some(session_limits(value.message("peer_list.sessions")?)?),
            _ => {}
        }
    }
    Ok(HelloState::Forming {
        list,
        lease: agreed,
        sessions: kept.ok_or(missing("peer_list.sessions"))?,
    })
}

fn session_limits(mut reader: Reader<'_>) -> Result<SessionLimits, DecodeError> {
    let (mut sessions_max, mut reply_bytes_max) = (0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => sessions_max = value.uint("session_limits.sessions_max")?,
            2 => reply_bytes_max = value.uint("session_limits.reply_bytes_max")?,
            _ => {}
        }
    }
    Ok(SessionLimits {
        sessions_max: not_zero("session_limits.sessions_max", sessions_max)?,
        reply_bytes_max,
    })
}

fn listed(value: Value<'_>) -> Result<Listed, DecodeError> {
    let mut reader = value.message("listed")?;
    let (mut name, mut addr, mut weight) = (None, "", 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = Some(value.text("listed.name", NAME_BYTES_MAX)?),
            2 => addr = value.text("listed.addr", ADDR_BYTES_MAX)?,
            3 => weight = value.uint32("listed.weight")?,
            _ => {}
        }
    }
    let name = name.map(|name| not_empty("listed.name", name));
    Ok(Listed {
        name: name.transpose()?,
        addr: not_empty("listed.addr", addr)?,
        weight,
    })
}

fn cluster(mut reader: Reader<'_>) -> Result<HelloState, DecodeError> {
    let (mut cluster, mut members) = (None, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => cluster = Some(value.wide("cluster.cluster")?),
            2 => members = Some(membership(value.message("cluster.membership")?)?),
            _ => {}
        }
    }
    Ok(HelloState::Formed {
        cluster: ClusterId::new(cluster.ok_or(missing("cluster.cluster"))?),
        membership: members.ok_or(missing("cluster.membership"))?,
    })
}

fn membership(mut reader: Reader<'_>) -> Result<Membership, DecodeError> {
    let (mut epoch, mut members, mut protocol) = (0, Vec::new(), 0);
    let (mut agreed, mut kept) = (None, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => epoch = value.count("membership.epoch")?,
            2 => push("membership.members", &mut members, member(value)?)?,
            3 => protocol = value.uint32("membership.protocol")?,
            4 => agreed = Some(lease(value.message("membership.lease")?)?),
            5 => kept = Some(session_limits(value.message("membership.sessions")?)?),
            _ => {}
        }
    }
    let epoch = Epoch::new(not_zero("membership.epoch", epoch)?);
    let field = "membership.members";
    let rule = "members with different names and disks, and weight above 0 in all";
    let mut membership =
        Membership::new(epoch, members).map_err(|_| DecodeError::Invalid { field, rule })?;
    membership.protocol = protocol;
    membership.lease = agreed;
    membership.sessions = kept.ok_or(missing("membership.sessions"))?;
    Ok(membership)
}

fn lease(mut reader: Reader<'_>) -> Result<Lease, DecodeError> {
    let (mut duration_us, mut drift_ppm) = (0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => duration_us = value.count("lease.duration_us")?,
            2 => drift_ppm = value.uint32("lease.drift_ppm")?,
            _ => {}
        }
    }
    if drift_ppm > Lease::DRIFT_PPM_MAX {
        let rule = "at most 500,000";
        return Err(DecodeError::Invalid {
            field: "lease.drift_ppm",
            rule,
        });
    }
    Ok(Lease {
        duration_us: not_zero("lease.duration_us", duration_us)?,
        drift_ppm,
    })
}

fn member(value: Value<'_>) -> Result<Member, DecodeError> {
    let mut reader = value.message("member")?;
    let (mut name, mut disk, mut addr, mut weight) = ("", None, "", 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => name = value.text("member.name", NAME_BYTES_MAX)?,
            2 => disk = Some(value.wide("member.disk")?),
            3 => addr = value.text("member.addr", ADDR_BYTES_MAX)?,
            4 => weight = value.uint32("member.weight")?,
            _ => {}
        }
    }
    Ok(Member {
        name: not_empty("member.name", name)?,
        disk: DiskId::new(disk.ok_or(missing("member.disk"))?),
        addr: addr.to_owned(),
        weight,
    })
}

fn not_empty(field: &'static str, text: &str) -> Result<String, DecodeError> {
    if text.is_empty() {
        let rule = "not empty";
        return Err(DecodeError::Invalid { field, rule });
    }
    Ok(text.to_owned())
}

fn push<T>(field: &'static str, list: &mut Vec<T>, element: T) -> Result<(), DecodeError> {
    if list.len() == Membership::MEMBERS_MAX {
        let max = Membership::MEMBERS_MAX;
        return Err(DecodeError::TooMany { field, max });
    }
    list.push(element);
    Ok(())
}
