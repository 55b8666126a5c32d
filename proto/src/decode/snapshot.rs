//! Bytes to what nodes say about snapshots, reads and transfers.
//! Knows nothing about envelopes, nor about entries.

use bytes::Bytes;
use chil_core::message::{Chunk, FetchChunk, Offer, ReadIndex, ReadIndexReply, TransferNow};
use chil_core::{Chain, Slot, SnapshotId};

use super::message::ordered;
use super::{DecodeError, ballot, missing, not_zero, owned};
use crate::wire::{Reader, Value};

fn id(value: Value<'_>) -> Result<SnapshotId, DecodeError> {
    let mut reader = value.message("snapshot_id")?;
    let (mut slot, mut chain, mut bytes, mut digest) = (0, None, 0, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => slot = value.count("snapshot_id.slot")?,
            2 => chain = Some(value.wide("snapshot_id.chain")?),
            3 => bytes = value.count("snapshot_id.bytes")?,
            4 => digest = Some(value.wide("snapshot_id.digest")?),
            _ => {}
        }
    }
    Ok(SnapshotId {
        slot: Slot::new(not_zero("snapshot_id.slot", slot)?),
        chain: Chain::new(chain.ok_or(missing("snapshot_id.chain"))?),
        bytes: not_zero("snapshot_id.bytes", bytes)?,
        digest: digest.ok_or(missing("snapshot_id.digest"))?,
    })
}

pub(super) fn offer(mut reader: Reader<'_>) -> Result<Offer, DecodeError> {
    let (mut offered, mut decided_in, mut commit) = (None, None, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => offered = Some(id(value)?),
            2 => decided_in = Some(ballot("offer.decided_in", value)?),
            3 => commit = value.count("offer.commit")?,
            _ => {}
        }
    }
    let id = offered.ok_or(missing("offer.id"))?;
    let rule = "of a slot that offer.commit reaches";
    ordered("offer.id", rule, id.slot.get(), commit)?;
    Ok(Offer {
        id,
        decided_in: decided_in.ok_or(missing("offer.decided_in"))?,
        commit: Slot::new(commit),
    })
}

pub(super) fn fetch_chunk(mut reader: Reader<'_>) -> Result<FetchChunk, DecodeError> {
    let (mut asked, mut offset, mut len) = (None, 0, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => asked = Some(id(value)?),
            2 => offset = value.count("fetch_chunk.offset")?,
            3 => len = value.count("fetch_chunk.len")?,
            _ => {}
        }
    }
    Ok(FetchChunk {
        id: asked.ok_or(missing("fetch_chunk.id"))?,
        offset,
        len: not_zero("fetch_chunk.len", len)?,
    })
}

pub(super) fn chunk(frame: &Bytes, mut reader: Reader<'_>) -> Result<Chunk, DecodeError> {
    let (mut sent, mut offset, mut bytes) = (None, 0, Bytes::new());
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => sent = Some(id(value)?),
            2 => offset = value.count("chunk.offset")?,
            3 => bytes = frame.slice_ref(value.bytes("chunk.bytes")?),
            _ => {}
        }
    }
    let id = sent.ok_or(missing("chunk.id"))?;
    let len = not_zero("chunk.bytes", bytes.len() as u64)?;
    let end = offset.saturating_add(len);
    ordered("chunk.bytes", "within the snapshot", end, id.bytes)?;
    Ok(Chunk { id, offset, bytes })
}

pub(super) fn read_index(mut reader: Reader<'_>) -> Result<ReadIndex, DecodeError> {
    let mut token = 0;
    while let Some((field, value)) = reader.next()? {
        if field == 1 {
            token = value.fixed("read_index.token")?;
        }
    }
    Ok(ReadIndex { token })
}

pub(super) fn read_index_reply(mut reader: Reader<'_>) -> Result<ReadIndexReply, DecodeError> {
    let (mut token, mut index) = (0, None);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => token = value.fixed("read_index_reply.token")?,
            2 => index = Some(Slot::new(value.count("read_index_reply.index")?)),
            _ => {}
        }
    }
    Ok(ReadIndexReply { token, index })
}

pub(super) fn transfer_now(mut reader: Reader<'_>) -> Result<TransferNow, DecodeError> {
    let (mut led, mut last) = (None, 0);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => led = Some(ballot("transfer_now.ballot", value)?),
            2 => last = value.count("transfer_now.last")?,
            _ => {}
        }
    }
    Ok(TransferNow {
        ballot: owned("transfer_now.ballot", led)?,
        last: Slot::new(last),
    })
}
