//! Bytes to the messages between members of a cluster.
//! Knows nothing about envelopes, nor about forming a cluster.

use std::mem::size_of;

use bytes::Bytes;
use chil_core::command::Command;
use chil_core::message::{
    Accept, Accepted, Fetch, Heartbeat, HeartbeatReply, Learn, Nack, NackReason, Prepare, Promise,
};
use chil_core::{Ballot, Chain, ClientId, Entry, EntryKind, Message, Slot, Span};

use super::{Choice, DecodeError, ballot, missing, not_zero, owned, snapshot};
use crate::v1;
use crate::wire::{Reader, Value};

/// The message of this kind; `None` if there is no such kind.
pub(super) fn body(
    frame: &Bytes,
    kind: u32,
    value: Value<'_>,
) -> Result<Option<Message>, DecodeError> {
    let reader = value.message("envelope.body");
    let message = match kind {
        16 => Message::Prepare(prepare(reader?)?),
        17 => Message::Promise(promise(frame, reader?)?),
        18 => Message::Accept(accept(frame, reader?)?),
        19 => Message::Accepted(accepted(reader?)?),
        20 => Message::Nack(nack(reader?)?),
        21 => Message::Learn(learn(frame, reader?)?),
        22 => Message::Fetch(fetch(reader?)?),
        23 => Message::Heartbeat(heartbeat(reader?)?),
        24 => Message::HeartbeatReply(heartbeat_reply(reader?)?),
        25 => Message::Offer(snapshot::offer(reader?)?),
        26 => Message::FetchChunk(snapshot::fetch_chunk(reader?)?),
        27 => Message::Chunk(snapshot::chunk(frame, reader?)?),
        28 => Message::ReadIndex(snapshot::read_index(reader?)?),
        29 => Message::ReadIndexReply(snapshot::read_index_reply(reader?)?),
        30 => Message::TransferNow(snapshot::transfer_now(reader?)?),
        _ => return Ok(None),
    };
    Ok(Some(message))
}

fn prepare(mut reader: Reader<'_>) -> Result<Prepare, DecodeError> {
    let (mut asked, mut acc, mut chain) = (None, None, None);
    let (mut last, mut commit) = (0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => asked = Some(ballot("prepare.ballot", value)?),
            2 => acc = Some(ballot("prepare.acc", value)?),
            3 => last = value.count("prepare.last")?,
            4 => commit = value.count("prepare.commit")?,
            5 => chain = Some(value.wide("prepare.chain_at_commit")?),
            _ => {}
        }
    }
    ordered("prepare.commit", "at most prepare.last", commit, last)?;
    Ok(Prepare {
        ballot: owned("prepare.ballot", asked)?,
        acc: acc.ok_or(missing("prepare.acc"))?,
        last: Slot::new(last),
        commit: Slot::new(commit),
        chain_at_commit: Chain::new(chain.ok_or(missing("prepare.chain_at_commit"))?),
    })
}

fn promise(frame: &Bytes, mut reader: Reader<'_>) -> Result<Promise, DecodeError> {
    let (mut promised, mut acc, mut chain) = (None, None, None);
    let (mut last, mut commit, mut from, mut damaged) = (0, 0, 0, false);
    let mut suffix = Entries::new(frame);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => promised = Some(ballot("promise.ballot", value)?),
            2 => acc = Some(ballot("promise.acc", value)?),
            3 => last = value.count("promise.last")?,
            4 => chain = Some(value.wide("promise.chain_at_last")?),
            5 => commit = value.count("promise.commit")?,
            6 => from = value.count("promise.from")?,
            7 => suffix.push(value)?,
            8 => damaged = value.flag("promise.damaged")?,
            _ => {}
        }
    }
    ordered("promise.commit", "at most promise.last", commit, last)?;
    let (suffix, end) = suffix.behind("promise.suffix", from)?;
    if !suffix.is_empty() && end != last {
        return Err(DecodeError::Invalid {
            field: "promise.suffix",
            rule: "empty, or reach exactly promise.last",
        });
    }
    Ok(Promise {
        ballot: owned("promise.ballot", promised)?,
        acc: acc.ok_or(missing("promise.acc"))?,
        last: Slot::new(last),
        chain_at_last: Chain::new(chain.ok_or(missing("promise.chain_at_last"))?),
        commit: Slot::new(commit),
        from: Slot::new(from),
        suffix,
        damaged,
    })
}

fn accept(frame: &Bytes, mut reader: Reader<'_>) -> Result<Accept, DecodeError> {
    let (mut led, mut sync, mut chain) = (None, None, None);
    let (mut prev, mut commit, mut seq) = (0, 0, 0);
    let mut entries = Entries::new(frame);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => led = Some(ballot("accept.ballot", value)?),
            2 => sync = Some(value.count("accept.sync")?),
            3 => prev = value.count("accept.prev")?,
            4 => chain = Some(value.wide("accept.prev_chain")?),
            5 => commit = value.count("accept.commit")?,
            6 => seq = value.uint("accept.seq")?,
            7 => entries.push(value)?,
            _ => {}
        }
    }
    let (entries, end) = entries.behind("accept.entries", prev)?;
    if let Some(adopted_last) = sync {
        let rule = "whole: accept.entries reach accept.sync at least";
        ordered("accept.sync", rule, adopted_last, end)?;
    }
    Ok(Accept {
        ballot: owned("accept.ballot", led)?,
        sync: sync.map(Slot::new),
        prev: Slot::new(prev),
        prev_chain: Chain::new(chain.ok_or(missing("accept.prev_chain"))?),
        entries,
        commit: Slot::new(commit),
        seq,
    })
}

fn accepted(mut reader: Reader<'_>) -> Result<Accepted, DecodeError> {
    let (mut taken, mut last, mut seq) = (None, 0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => taken = Some(ballot("accepted.ballot", value)?),
            2 => last = value.count("accepted.last")?,
            3 => seq = value.uint("accepted.seq")?,
            _ => {}
        }
    }
    Ok(Accepted {
        ballot: owned("accepted.ballot", taken)?,
        last: Slot::new(last),
        seq,
    })
}

fn nack(mut reader: Reader<'_>) -> Result<Nack, DecodeError> {
    let (mut refused, mut promised, mut acc) = (None, None, None);
    let (mut last, mut commit, mut reason) = (0, 0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => refused = Some(ballot("nack.ballot", value)?),
            2 => promised = Some(ballot("nack.promised", value)?),
            3 => acc = Some(ballot("nack.acc", value)?),
            4 => last = value.count("nack.last")?,
            5 => commit = value.count("nack.commit")?,
            6 => reason = value.uint("nack.reason")?,
            _ => {}
        }
    }
    let what = "nack.reason";
    let unknown = DecodeError::UnknownKind { what, kind: reason };
    let number = i32::try_from(reason).map_err(|_| unknown)?;
    let reason = match v1::NackReason::try_from(number).map_err(|_| unknown)? {
        v1::NackReason::Unspecified => return Err(DecodeError::NoKind { what }),
        v1::NackReason::Ballot => NackReason::Ballot,
        v1::NackReason::NeedPrepare => NackReason::NeedPrepare,
        v1::NackReason::NeedSync => NackReason::NeedSync,
        v1::NackReason::Gap => NackReason::Gap,
        v1::NackReason::Damaged => NackReason::Damaged,
    };
    Ok(Nack {
        ballot: refused.ok_or(missing("nack.ballot"))?,
        promised: promised.ok_or(missing("nack.promised"))?,
        acc: acc.ok_or(missing("nack.acc"))?,
        last: Slot::new(last),
        commit: Slot::new(commit),
        reason,
    })
}

fn learn(frame: &Bytes, mut reader: Reader<'_>) -> Result<Learn, DecodeError> {
    let (mut decided_in, mut chain) = (None, None);
    let (mut prev, mut commit) = (0, 0);
    let mut entries = Entries::new(frame);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => decided_in = Some(ballot("learn.decided_in", value)?),
            2 => prev = value.count("learn.prev")?,
            3 => chain = Some(value.wide("learn.prev_chain")?),
            4 => commit = value.count("learn.commit")?,
            5 => entries.push(value)?,
            _ => {}
        }
    }
    let (entries, end) = entries.behind("learn.entries", prev)?;
    let rule = "decided: they end at learn.commit at most";
    ordered("learn.entries", rule, end, commit)?;
    Ok(Learn {
        decided_in: decided_in.ok_or(missing("learn.decided_in"))?,
        prev: Slot::new(prev),
        prev_chain: Chain::new(chain.ok_or(missing("learn.prev_chain"))?),
        entries,
        commit: Slot::new(commit),
    })
}

fn fetch(mut reader: Reader<'_>) -> Result<Fetch, DecodeError> {
    let (mut prev, mut to) = (0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => prev = value.count("fetch.prev")?,
            2 => to = value.count("fetch.to")?,
            _ => {}
        }
    }
    ordered("fetch.prev", "at most fetch.to", prev, to)?;
    Ok(Fetch {
        prev: Slot::new(prev),
        to: Slot::new(to),
    })
}

fn heartbeat(mut reader: Reader<'_>) -> Result<Heartbeat, DecodeError> {
    let (mut round, mut data, mut happy) = (0, false, false);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => round = value.fixed("heartbeat.round")?,
            2 => data = value.flag("heartbeat.data")?,
            3 => happy = value.flag("heartbeat.happy")?,
            _ => {}
        }
    }
    Ok(Heartbeat { round, data, happy })
}

fn heartbeat_reply(mut reader: Reader<'_>) -> Result<HeartbeatReply, DecodeError> {
    let (mut own, mut leader) = (None, None);
    let (mut round, mut happy, mut able, mut commit, mut priority) = (0, false, false, 0, 0);
    let (mut data, mut fresh) = (false, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => round = value.fixed("heartbeat_reply.round")?,
            2 => own = Some(ballot("heartbeat_reply.ballot", value)?),
            3 => leader = Some(ballot("heartbeat_reply.leader", value)?),
            4 => happy = value.flag("heartbeat_reply.happy")?,
            5 => able = value.flag("heartbeat_reply.able")?,
            6 => commit = value.count("heartbeat_reply.commit")?,
            7 => priority = value.uint32("heartbeat_reply.priority")?,
            8 => data = value.flag("heartbeat_reply.data")?,
            9 => fresh = Some(Span::from_nanos(value.count("heartbeat_reply.fresh_ns")?)),
            _ => {}
        }
    }
    Ok(HeartbeatReply {
        round,
        data,
        ballot: owned("heartbeat_reply.ballot", own)?,
        leader: leader.ok_or(missing("heartbeat_reply.leader"))?,
        happy,
        able,
        commit: Slot::new(commit),
        priority,
        fresh,
    })
}

pub(super) const fn ordered(
    field: &'static str,
    rule: &'static str,
    low: u64,
    high: u64,
) -> Result<(), DecodeError> {
    if low <= high {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field, rule })
    }
}

/// Entries while their message is read: each is checked before the next, so what is built stays
/// within a small multiple of the frame (an entry has at least [`ENTRY_BYTES_MIN`] there).
struct Entries<'a> {
    frame: &'a Bytes,
    entries: Vec<Entry>,
}

impl<'a> Entries<'a> {
    const fn new(frame: &'a Bytes) -> Self {
        let entries = Vec::new();
        Self { frame, entries }
    }

    fn push(&mut self, value: Value<'_>) -> Result<(), DecodeError> {
        let entry = entry(self.frame, value.message("entry")?)?;
        if let Some(before) = self.entries.last()
            && before.slot().get().checked_add(1) != Some(entry.slot().get())
        {
            return Err(DecodeError::Invalid {
                field: "entry.slot",
                rule: "one more than that of the entry before",
            });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entries and the slot that they reach, if they begin behind `prev`.
    fn behind(self, field: &'static str, prev: u64) -> Result<(Vec<Entry>, u64), DecodeError> {
        let first = self.entries.first().map(|entry| entry.slot().get());
        if first.is_some_and(|first| Some(first) != prev.checked_add(1)) {
            let rule = "entries that begin behind the slot stated beside them";
            return Err(DecodeError::Invalid { field, rule });
        }
        let end = self.entries.last().map_or(prev, |last| last.slot().get());
        Ok((self.entries, end))
    }
}

/// Slot, owner of the origin and chain, with their tags.
const ENTRY_BYTES_MIN: usize = 2 + (2 + 9) + 18;

// Vectors grow by doubling: beside the frame there is at most this many times its length.
const _: () = assert!(2 * size_of::<Entry>() + 192 < 8 * ENTRY_BYTES_MIN);

fn entry(frame: &Bytes, mut reader: Reader<'_>) -> Result<Entry, DecodeError> {
    let (mut slot, mut origin, mut chain) = (0, None, None);
    let mut kind = Choice::new("entry.kind", 4..=5);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => slot = value.count("entry.slot")?,
            2 => origin = Some(ballot("entry.origin", value)?),
            3 => chain = Some(value.wide("entry.chain")?),
            _ => kind.offer(field, value),
        }
    }
    let slot = Slot::new(not_zero("entry.slot", slot)?);
    let origin: Ballot = owned("entry.origin", origin)?;
    let chain = Chain::new(chain.ok_or(missing("entry.chain"))?);
    let kind = match kind.taken()? {
        (4, value) => EntryKind::Command(command(frame, value.message("entry.command")?)?),
        (5, value) => register(value.message("entry.register")?)?,
        (field, _) => return Err(kind.unknown_kind(field)),
    };
    Ok(Entry::from_parts(slot, origin, chain, kind))
}

fn register(mut reader: Reader<'_>) -> Result<EntryKind, DecodeError> {
    let mut nonce = None;
    while let Some((field, value)) = reader.next()? {
        if field == 1 {
            nonce = Some(value.wide("register.nonce")?);
        }
    }
    let nonce = nonce.ok_or(missing("register.nonce"))?;
    Ok(EntryKind::Register { nonce })
}

fn command(frame: &Bytes, mut reader: Reader<'_>) -> Result<Command, DecodeError> {
    let (mut client, mut seq, mut ack_floor, mut payload) = (0, 0, 0, Bytes::new());
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => client = value.uint("command.client")?,
            2 => seq = value.uint("command.seq")?,
            3 => ack_floor = value.uint("command.ack_floor")?,
            4 => payload = frame.slice_ref(value.bytes("command.payload")?),
            _ => {}
        }
    }
    Ok(Command {
        client: ClientId::new(client),
        seq,
        ack_floor,
        payload,
    })
}
