//! The frames of the log: how one record of it is laid out, and when bytes are one.
//! Knows nothing about segments or files beyond the seed that ties a frame to where it stands.
//!
//! ```text
//! 0       4      7     8        12        16    24   32      40          48    56      80     96
//! | header| magic| kind| length | body crc| index| lsn| synced| generation| slot| origin| chain| body ...
//! ```
//! Numbers are little-endian, ballots big-endian in ballot order; both checksums are CRC-32C, seeded
//! per disk and segment, so that neither a payload made by a client nor a frame that strayed from
//! elsewhere passes for a record. `index` counts frames over the whole log, from 1: the next frame
//! of a log is the one whose index follows. `synced` is the number of frames that were known to be
//! durable when this one was written, `generation` that of the metadata block: both are evidence,
//! at recovery, of what must be there.
//!
//! A transaction is any number of `Entry` frames followed by one that closes it, `Last` or `Seal`.
//! `Snap` repeats, at its place in the log, that the metadata named a later snapshot: what follows
//! may begin behind it.

use bytes::Bytes;
use chil_core::{
    Ballot, Chain, ClientId, Command, Entry, EntryKind, Epoch, Lsn, NodeId, Slot, SnapshotMark,
};

use super::block::Reader;

/// Bytes before the body.
pub(super) const HEADER_LEN: usize = 96;
/// Largest body; a longer length is damage.
pub(super) const BODY_MAX: usize = 1 << 30;

const MAGIC: [u8; 3] = *b"chl";
const KIND_ENTRY: u8 = 1;
const KIND_LAST: u8 = 2;
const KIND_SEAL: u8 = 3;
const KIND_MARK: u8 = 4;
const KIND_SNAP: u8 = 5;
const TAG_COMMAND: u8 = 1;
const TAG_REGISTER: u8 = 2;
const ENTRY_FIXED_LEN: usize = 1 + 3 * 8;
const SEAL_LEN: usize = 3 * 8 + 2 * 24;

/// What every frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its number in the log.
    pub(super) index: u64,
    /// The persist that it belongs to.
    pub(super) lsn: Lsn,
    /// How many frames were durable when it was written.
    pub(super) synced: u64,
    /// Generation of the metadata when it was written.
    pub(super) generation: u64,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// An entry of a transaction that goes on.
    Entry(Entry),
    /// The last entry of a transaction, and its end.
    Last(Entry, Seal),
    /// The end of a transaction without entries.
    Seal(Seal),
    /// Nothing: it is written for its stamp.
    Mark,
    /// The metadata names a later snapshot from here on.
    Snap(Snap),
}

/// What a snapshot means to the log: it may drop it, and says what is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snap {
    /// The snapshot's slot.
    pub(super) slot: Slot,
    /// Chain of the log there.
    pub(super) chain: Chain,
    /// Highest ballot by which that was learned to be decided.
    pub(super) decided_in: Ballot,
}

/// What the end of a transaction says about all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// Entries behind this slot are dropped first.
    pub(super) keep: Slot,
    /// How many entries the transaction has.
    pub(super) count: u64,
    /// The ballot that the log is accepted in.
    pub(super) acc: Ballot,
    /// What is known to be decided.
    pub(super) commit: Slot,
    /// Highest ballot by which that was learned.
    pub(super) commit_in: Ballot,
}

impl Snap {
    /// What this snapshot means to the log.
    pub(super) const fn of(mark: &SnapshotMark) -> Self {
        Self {
            slot: mark.id.slot,
            chain: mark.id.chain,
            decided_in: mark.decided_in,
        }
    }
}

impl Payload {
    /// Bytes of the frame that carries it.
    pub(super) fn frame_len(&self) -> usize {
        HEADER_LEN
            + match self {
                Self::Entry(entry) => ENTRY_FIXED_LEN + entry.kind().payload_len(),
                Self::Last(entry, _) => SEAL_LEN + ENTRY_FIXED_LEN + entry.kind().payload_len(),
                Self::Seal(_) => SEAL_LEN,
                Self::Mark | Self::Snap(_) => 0,
            }
    }

    /// The highest slot that is lost to the log with this frame.
    pub(super) fn reach(&self) -> Slot {
        match self {
            Self::Entry(entry) | Self::Last(entry, _) => entry.slot(),
            Self::Snap(snap) => snap.slot,
            Self::Seal(_) | Self::Mark => Slot::ZERO,
        }
    }
}

/// Appends a frame to `out`.
///
/// # Panics
/// If the body is larger than [`BODY_MAX`].
pub(super) fn encode(out: &mut Vec<u8>, seed: u32, stamp: &Stamp, payload: &Payload) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let (kind, slot, origin, chain) = match payload {
        Payload::Entry(entry) => {
            put_entry(out, entry);
            (KIND_ENTRY, entry.slot(), entry.origin(), entry.chain())
        }
        Payload::Last(entry, seal) => {
            put_seal(out, seal);
            put_entry(out, entry);
            (KIND_LAST, entry.slot(), entry.origin(), entry.chain())
        }
        Payload::Seal(seal) => {
            put_seal(out, seal);
            (KIND_SEAL, seal.keep, seal.acc, Chain::EMPTY)
        }
        Payload::Mark => (KIND_MARK, Slot::ZERO, Ballot::default(), Chain::EMPTY),
        Payload::Snap(snap) => (KIND_SNAP, snap.slot, snap.decided_in, snap.chain),
    };
    let (header, body) = out[start..].split_at_mut(HEADER_LEN);
    assert!(body.len() <= BODY_MAX, "a frame of {} bytes", body.len());
    let len = u32::try_from(body.len()).expect("BODY_MAX fits 32 bits");
    header[4..7].copy_from_slice(&MAGIC);
    header[7] = kind;
    header[8..12].copy_from_slice(&len.to_le_bytes());
    header[12..16].copy_from_slice(&crc32c::crc32c_append(seed, body).to_le_bytes());
    header[16..24].copy_from_slice(&stamp.index.to_le_bytes());
    header[24..32].copy_from_slice(&stamp.lsn.get().to_le_bytes());
    header[32..40].copy_from_slice(&stamp.synced.to_le_bytes());
    header[40..48].copy_from_slice(&stamp.generation.to_le_bytes());
    header[48..56].copy_from_slice(&slot.get().to_le_bytes());
    header[56..80].copy_from_slice(&origin.to_bytes());
    header[80..96].copy_from_slice(&chain.get().to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &header[4..]);
    header[..4].copy_from_slice(&crc.to_le_bytes());
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    match entry.kind() {
        EntryKind::Command(command) => {
            out.push(TAG_COMMAND);
            out.extend_from_slice(&command.client.get().to_le_bytes());
            out.extend_from_slice(&command.seq.to_le_bytes());
            out.extend_from_slice(&command.ack_floor.to_le_bytes());
            out.extend_from_slice(&command.payload);
        }
        EntryKind::Register { nonce } => {
            // As long as any entry without a payload.
            out.push(TAG_REGISTER);
            out.extend_from_slice(&nonce.to_le_bytes());
            out.extend_from_slice(&[0; 8]);
        }
    }
}

fn put_seal(out: &mut Vec<u8>, seal: &Seal) {
    out.extend_from_slice(&seal.keep.get().to_le_bytes());
    out.extend_from_slice(&seal.count.to_le_bytes());
    out.extend_from_slice(&seal.commit.get().to_le_bytes());
    out.extend_from_slice(&seal.acc.to_bytes());
    out.extend_from_slice(&seal.commit_in.to_bytes());
}

/// A header whose checksum holds: a frame was written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its stamp.
    pub(super) stamp: Stamp,
    kind: u8,
    body_len: usize,
    body_crc: u32,
    slot: Slot,
    origin: Ballot,
    chain: Chain,
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// No frame that was written whole.
    Absent,
    /// A frame, and how many bytes it takes.
    Whole(Stamp, Payload, usize),
    /// A frame that was written so, and makes no sense.
    Senseless(Stamp, &'static str),
}

impl Header {
    /// The header that `bytes` begin with.
    pub(super) fn read(bytes: &[u8], seed: u32) -> Option<Self> {
        let header = bytes.get(..HEADER_LEN)?;
        if header[4..7] != MAGIC {
            return None;
        }
        let mut at = Reader(header);
        let crc = at.u32();
        if crc32c::crc32c_append(seed, at.0) != crc {
            return None;
        }
        at.bytes(MAGIC.len());
        Some(Self {
            kind: at.u8(),
            body_len: at.u32() as usize,
            body_crc: at.u32(),
            stamp: Stamp {
                index: at.u64(),
                lsn: Lsn::new(at.u64()),
                synced: at.u64(),
                generation: at.u64(),
            },
            slot: Slot::new(at.u64()),
            origin: ballot(&mut at),
            chain: Chain::new(at.u128()),
        })
    }

    /// Bytes of the frame that it belongs to.
    pub(super) const fn frame_len(&self) -> usize {
        HEADER_LEN + self.body_len
    }

    /// The first header in `bytes` from `from` on, and where it is.
    pub(super) fn find(bytes: &[u8], mut from: usize, seed: u32) -> Option<(usize, Self)> {
        while let Some(rest) = bytes.get(from..)
            && rest.len() >= HEADER_LEN
        {
            if rest[..HEADER_LEN].iter().all(|b| *b == 0) {
                // The magic, 4 bytes into a header, begins behind these zeros at the earliest. So
                // the unwritten end of a segment is passed quickly.
                from += HEADER_LEN - 4;
                continue;
            }
            if let Some(header) = Self::read(rest, seed) {
                return Some((from, header));
            }
            from += 1;
        }
        None
    }
}

impl Frame {
    /// The frame that `bytes` begin with.
    pub(super) fn read(bytes: &[u8], seed: u32) -> Self {
        let Some(header) = Header::read(bytes, seed) else {
            return Self::Absent;
        };
        let len = HEADER_LEN + header.body_len;
        let Some(body) = bytes.get(HEADER_LEN..len) else {
            return Self::Absent;
        };
        if crc32c::crc32c_append(seed, body) != header.body_crc {
            return Self::Absent;
        }
        match payload(&header, body) {
            Ok(payload) => Self::Whole(header.stamp, payload, len),
            Err(detail) => Self::Senseless(header.stamp, detail),
        }
    }
}

fn payload(header: &Header, body: &[u8]) -> Result<Payload, &'static str> {
    match header.kind {
        KIND_ENTRY => Ok(Payload::Entry(entry(header, body)?)),
        KIND_LAST => {
            let (head, rest) = body
                .split_at_checked(SEAL_LEN)
                .ok_or("the frame's body is too short")?;
            Ok(Payload::Last(entry(header, rest)?, seal(head)))
        }
        KIND_SEAL if body.len() == SEAL_LEN => Ok(Payload::Seal(seal(body))),
        KIND_MARK if body.is_empty() => Ok(Payload::Mark),
        KIND_SNAP if body.is_empty() => Ok(Payload::Snap(Snap {
            slot: header.slot,
            chain: header.chain,
            decided_in: header.origin,
        })),
        KIND_SEAL | KIND_MARK | KIND_SNAP => Err("the frame's body has the wrong length"),
        _ => Err("the frame's kind is unknown"),
    }
}

fn entry(header: &Header, body: &[u8]) -> Result<Entry, &'static str> {
    if body.len() < ENTRY_FIXED_LEN {
        return Err("the entry is too short");
    }
    let mut at = Reader(body);
    let kind = match at.u8() {
        TAG_COMMAND => EntryKind::Command(Command {
            client: ClientId::new(at.u64()),
            seq: at.u64(),
            ack_floor: at.u64(),
            payload: Bytes::copy_from_slice(at.0),
        }),
        TAG_REGISTER => {
            let nonce = at.u128();
            if at.u64() != 0 || !at.0.is_empty() {
                return Err("the registration has bytes too many");
            }
            EntryKind::Register { nonce }
        }
        _ => return Err("the entry's kind is unknown"),
    };
    Ok(Entry::from_parts(
        header.slot,
        header.origin,
        header.chain,
        kind,
    ))
}

/// The seal in a body of [`SEAL_LEN`] bytes.
fn seal(body: &[u8]) -> Seal {
    let mut at = Reader(body);
    let (keep, count, commit) = (Slot::new(at.u64()), at.u64(), Slot::new(at.u64()));
    Seal {
        keep,
        count,
        commit,
        acc: ballot(&mut at),
        commit_in: ballot(&mut at),
    }
}

fn ballot(at: &mut Reader<'_>) -> Ballot {
    Ballot::new(
        Epoch::new(at.u64_be()),
        at.u64_be(),
        NodeId::new(at.u64_be()),
    )
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
