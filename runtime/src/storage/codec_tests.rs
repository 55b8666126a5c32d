//! Pins the bytes of every kind of frame: a change here makes every deployed log unreadable.

use std::fmt::Write;

use super::*;

const SEED: u32 = 0x0bad_5eed;

fn stamp(index: u64) -> Stamp {
    Stamp {
        index,
        lsn: Lsn::new(0x0201),
        synced: 3,
        generation: 4,
    }
}

fn seal() -> Seal {
    Seal {
        keep: Slot::new(1),
        count: 1,
        acc: Ballot::new(Epoch::FIRST, 5, NodeId::new(6)),
        commit: Slot::new(2),
        commit_in: Ballot::new(Epoch::FIRST, 7, NodeId::new(8)),
    }
}

fn entry() -> Entry {
    let command = Command {
        client: ClientId::new(0x11),
        seq: 0x12,
        ack_floor: 0x13,
        payload: Bytes::from_static(b"hello"),
    };
    let origin = Ballot::new(Epoch::FIRST, 9, NodeId::new(10));
    let kind = EntryKind::Command(command);
    Entry::new(Chain::EMPTY, Slot::new(1), origin, kind)
}

fn registration() -> Entry {
    let kind = EntryKind::Register { nonce: 0x0ace };
    let origin = Ballot::new(Epoch::FIRST, 9, NodeId::new(10));
    Entry::new(Chain::EMPTY, Slot::new(1), origin, kind)
}

fn snap() -> Snap {
    Snap {
        slot: Slot::new(11),
        chain: Chain::new(12),
        decided_in: Ballot::new(Epoch::FIRST, 13, NodeId::new(14)),
    }
}

fn frame(index: u64, payload: &Payload) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, SEED, &stamp(index), payload);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[test]
fn frames_are_pinned() {
    for (payload, pinned) in [
        (Payload::Entry(entry()), include_str!("golden/entry.hex")),
        (
            Payload::Last(entry(), seal()),
            include_str!("golden/last.hex"),
        ),
        (Payload::Seal(seal()), include_str!("golden/seal.hex")),
        (Payload::Mark, include_str!("golden/mark.hex")),
        (Payload::Snap(snap()), include_str!("golden/snap.hex")),
        (
            Payload::Entry(registration()),
            include_str!("golden/register.hex"),
        ),
    ] {
        let bytes = frame(2, &payload);
        assert_eq!(hex(&bytes), pinned.split_whitespace().collect::<String>());
        assert_eq!(bytes.len(), payload.frame_len());
        let len = bytes.len();
        assert_eq!(
            Frame::read(&bytes, SEED),
            Frame::Whole(stamp(2), payload, len)
        );
    }
}

#[test]
fn a_flipped_bit_a_cut_or_another_place_makes_it_no_frame() {
    let bytes = frame(2, &Payload::Last(entry(), seal()));
    for i in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[i / 8] ^= 1 << (i % 8);
        assert_eq!(Frame::read(&bad, SEED), Frame::Absent, "bit {i}");
    }
    for len in 0..bytes.len() {
        assert_eq!(Frame::read(&bytes[..len], SEED), Frame::Absent);
    }
    assert_eq!(Frame::read(&bytes, SEED + 1), Frame::Absent);
}

#[test]
fn a_frame_that_makes_no_sense_is_told_from_a_damaged_one() {
    let mut bytes = frame(2, &Payload::Mark);
    bytes[7] = 9;
    let crc = crc32c::crc32c_append(SEED, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        Frame::read(&bytes, SEED),
        Frame::Senseless(stamp(2), "the frame's kind is unknown")
    );
}

#[test]
fn headers_are_found_anywhere() {
    let one = frame(1, &Payload::Last(entry(), seal()));
    for before in (0..300).chain([4096, 5000]) {
        for filler in [0, 1, b'c'] {
            let mut bytes = vec![filler; before];
            bytes.extend_from_slice(&one);
            bytes.extend_from_slice(&[0; 700]);
            let (at, header) = Header::find(&bytes, 0, SEED).unwrap();
            assert_eq!((at, header.stamp), (before, stamp(1)));
            assert_eq!(Header::find(&bytes, at + 1, SEED), None);
        }
    }
}

#[test]
fn a_payload_cannot_pass_for_a_frame() {
    // A client that knows the layout, but not the disk's identity.
    let mut forged = Vec::new();
    encode(&mut forged, 0, &stamp(1_000_000), &Payload::Mark);
    let command = Command::sessionless(Bytes::from(forged));
    let kind = EntryKind::Command(command);
    let entry = Entry::new(Chain::EMPTY, Slot::new(1), Ballot::default(), kind);
    let bytes = frame(1, &Payload::Entry(entry));
    assert_eq!(Header::find(&bytes, 1, SEED), None);
}
