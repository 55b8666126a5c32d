//! Bytes that no node would send: refused with the field and the rule, without a panic and without
//! more memory than they are worth.

use bytes::Bytes;
use chil_core::Message;
use chil_proto::decode::FRAME_BYTES_MAX;
use chil_proto::{DecodeError, Frame, decode, encode, v1};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use crate::strategies;

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode::frame(Bytes::from(bytes));
    }

    #[test]
    fn bent_messages_are_refused_or_well_formed(
        frame in strategies::frame(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut bytes = encode::frame(&frame).to_vec();
        for (at, byte) in bends {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        // What passes the gate keeps its rules, so it survives another round as it is.
        if let Ok(passed) = decode::frame(Bytes::from(bytes)) {
            prop_assert_eq!(decode::frame(encode::frame(&passed)), Ok(passed));
        }
    }
}

/// An `Accept` that passes, for tests to break in one place.
fn accept() -> v1::Accept {
    let ballot = Some(v1::Ballot {
        epoch: 1,
        n: 2,
        node: 3,
    });
    v1::Accept {
        ballot,
        sync: None,
        prev: 10,
        prev_chain: Bytes::from_static(&[0; 16]),
        commit: 10,
        seq: 1,
        entries: vec![entry(11), entry(12)],
    }
}

fn entry(slot: u64) -> v1::Entry {
    let command = v1::Command {
        client: 0,
        seq: 0,
        ack_floor: 0,
        payload: Bytes::new(),
    };
    v1::Entry {
        slot,
        origin: Some(v1::Ballot {
            epoch: 1,
            n: 2,
            node: 3,
        }),
        chain: Bytes::from_static(&[0; 16]),
        kind: Some(v1::entry::Kind::Command(command)),
    }
}

fn envelope(body: Option<v1::envelope::Body>) -> v1::Envelope {
    v1::Envelope {
        cluster: Bytes::from_static(&[1; 16]),
        from: 1,
        from_disk: Bytes::from_static(&[2; 16]),
        boot: 1,
        run: 0,
        to: 2,
        to_boot: 0,
        epoch: 1,
        body,
    }
}

fn decoded(envelope: v1::Envelope) -> Result<Frame, DecodeError> {
    let kind = Some(v1::frame::Kind::Envelope(envelope));
    decode::frame(Bytes::from(v1::Frame { kind }.encode_to_vec()))
}

/// What is said about an envelope, or an `Accept` in one, after `bend` has changed it.
fn envelope_error(bend: impl FnOnce(&mut v1::Envelope)) -> String {
    let mut bent = envelope(Some(v1::envelope::Body::Accept(accept())));
    assert!(decoded(bent.clone()).is_ok(), "it passes as it is");
    bend(&mut bent);
    decoded(bent).expect_err("bent").to_string()
}

fn accept_error(bend: impl FnOnce(&mut v1::Accept)) -> String {
    envelope_error(|envelope| {
        let Some(v1::envelope::Body::Accept(accept)) = &mut envelope.body else {
            unreachable!("made by accept() above")
        };
        bend(accept);
    })
}

#[test]
fn an_envelope_needs_its_identities() {
    let check = |bend: fn(&mut v1::Envelope), text| assert_eq!(envelope_error(bend), text);
    check(|e| e.cluster = Bytes::new(), "envelope.cluster: missing");
    check(
        |e| e.cluster = Bytes::from_static(&[0; 15]),
        "envelope.cluster: has 15 bytes instead of 16",
    );
    check(|e| e.from = 0, "envelope.from: must be greater than 0");
    check(|e| e.to = 0, "envelope.to: must be greater than 0");
    check(
        |e| e.from_disk = Bytes::new(),
        "envelope.from_disk: missing",
    );
    check(|e| e.boot = 0, "envelope.boot: must be greater than 0");
    check(|e| e.epoch = 0, "envelope.epoch: must be greater than 0");
    check(
        |e| e.epoch = u64::MAX,
        "envelope.epoch: must be at most 2^63 - 1",
    );
    check(|e| e.body = None, "envelope.body: empty");
}

#[test]
fn numbers_that_are_counted_on_from_are_bounded() {
    let check = |bend: fn(&mut v1::Accept), text| assert_eq!(accept_error(bend), text);
    check(
        |m| m.commit = u64::MAX,
        "accept.commit: must be at most 2^63 - 1",
    );
    check(
        |m| m.sync = Some(u64::MAX),
        "accept.sync: must be at most 2^63 - 1",
    );
    check(
        |m| m.ballot.as_mut().expect("set").n = u64::MAX / 2 + 1,
        "accept.ballot: must be a ballot whose number is at most 2^63 - 1",
    );
    check(
        |m| m.ballot.as_mut().expect("set").node = 0,
        "accept.ballot: must be a ballot with an owner, or a bottom ballot",
    );
    check(
        |m| {
            m.ballot = Some(v1::Ballot {
                epoch: 1,
                n: 0,
                node: 0,
            })
        },
        "accept.ballot: must be a ballot with an owner",
    );
    check(|m| m.ballot = None, "accept.ballot: missing");
}

#[test]
fn entries_are_whole_and_in_order() {
    let check = |bend: fn(&mut v1::Accept), text| assert_eq!(accept_error(bend), text);
    check(
        |m| m.entries[1].slot = 13,
        "entry.slot: must be one more than that of the entry before",
    );
    check(
        |m| m.prev = 9,
        "accept.entries: must be entries that begin behind the slot stated beside them",
    );
    check(
        |m| m.sync = Some(13),
        "accept.sync: must be whole: accept.entries reach accept.sync at least",
    );
    check(
        |m| m.entries[0].slot = 0,
        "entry.slot: must be greater than 0",
    );
    check(|m| m.entries[0].origin = None, "entry.origin: missing");
    check(
        |m| m.entries[0].chain = Bytes::new(),
        "entry.chain: missing",
    );
    check(|m| m.entries[0].kind = None, "entry.kind: empty");
}

#[test]
fn kinds_of_a_later_version_are_named() {
    // Field 31 of an envelope and field 6 of an entry are no kinds yet.
    let mut bytes = envelope(None).encode_to_vec();
    prost::encoding::bytes::encode(31, &Bytes::from_static(b"new"), &mut bytes);
    let mut frame = Vec::new();
    prost::encoding::bytes::encode(1, &Bytes::from(bytes), &mut frame);
    let error = decode::frame(Bytes::from(frame))
        .expect_err("unknown")
        .to_string();
    assert_eq!(
        error,
        "envelope.body: kind 31 is not known to this version; upgrade this node"
    );

    let mut newer = entry(11);
    newer.kind = None;
    let mut newer = newer.encode_to_vec();
    prost::encoding::bytes::encode(6, &Bytes::from_static(b"new"), &mut newer);
    let mut body = v1::Accept {
        entries: Vec::new(),
        ..accept()
    }
    .encode_to_vec();
    prost::encoding::bytes::encode(7, &Bytes::from(newer), &mut body);
    let mut bytes = envelope(None).encode_to_vec();
    prost::encoding::bytes::encode(18, &Bytes::from(body), &mut bytes);
    let mut frame = Vec::new();
    prost::encoding::bytes::encode(1, &Bytes::from(bytes), &mut frame);
    let error = decode::frame(Bytes::from(frame))
        .expect_err("unknown")
        .to_string();
    assert_eq!(
        error,
        "entry.kind: kind 6 is not known to this version; upgrade this node"
    );
}

#[test]
fn lists_and_names_of_forming_are_bounded() {
    let hello = |name: String| {
        let hello = v1::Hello {
            name,
            disk: Bytes::from_static(&[2; 16]),
            addr: "host:1".to_owned(),
            nonce: 1,
            round: 1,
        };
        let kind = Some(v1::frame::Kind::Hello(hello));
        decode::frame(Bytes::from(v1::Frame { kind }.encode_to_vec()))
    };
    assert!(hello("n".repeat(255)).is_ok());
    let error = hello("n".repeat(256)).expect_err("too long").to_string();
    assert_eq!(
        error,
        "hello.name: has 256 bytes, but at most 255 are allowed"
    );
    let error = hello(String::new()).expect_err("nobody").to_string();
    assert_eq!(error, "hello.name: must be not empty");

    let listed = v1::Listed {
        name: None,
        addr: "host:1".to_owned(),
        weight: 1,
    };
    let reply = v1::HelloReply {
        name: "n".to_owned(),
        disk: Bytes::from_static(&[2; 16]),
        addr: "host:1".to_owned(),
        nonce: 1,
        round: 1,
        state: Some(v1::hello_reply::State::Forming(v1::PeerList {
            list: vec![listed; 65],
            lease: None,
            sessions: None,
        })),
    };
    let kind = Some(v1::frame::Kind::HelloReply(reply));
    let error = decode::frame(Bytes::from(v1::Frame { kind }.encode_to_vec()));
    assert_eq!(
        error.expect_err("too many").to_string(),
        "peer_list.list: more than 64 elements"
    );
}

#[test]
fn an_empty_entry_is_refused_before_the_next_is_read() {
    // Two bytes an entry on the wire: structs for all of them first would be 75 times as much.
    let mut body = v1::Accept {
        entries: Vec::new(),
        ..accept()
    }
    .encode_to_vec();
    body.extend([0x3a, 0x00].repeat(1 << 20));
    let mut bytes = envelope(None).encode_to_vec();
    prost::encoding::bytes::encode(18, &Bytes::from(body), &mut bytes);
    let mut frame = Vec::new();
    prost::encoding::bytes::encode(1, &Bytes::from(bytes), &mut frame);
    let error = decode::frame(Bytes::from(frame)).expect_err("refused");
    assert_eq!(error.to_string(), "entry.slot: must be greater than 0");
}

#[test]
fn a_frame_has_a_largest_length() {
    let error = decode::frame(Bytes::from(vec![0; FRAME_BYTES_MAX + 1])).expect_err("too long");
    assert_eq!(
        error,
        DecodeError::FrameTooLong {
            len: FRAME_BYTES_MAX + 1,
            max: FRAME_BYTES_MAX
        }
    );
}

#[test]
fn varints_of_more_than_64_bits_are_refused() {
    let mut frame = vec![0x0a, 12, 0x20];
    frame.extend([0xff; 10]);
    frame.push(0x01);
    assert_eq!(
        decode::frame(Bytes::from(frame)),
        Err(DecodeError::BadVarint)
    );
    // The largest number of 64 bits is one byte less, and is a number.
    let mut frame = encode::frame(&Frame::Envelope(Box::new(chil_core::Envelope {
        cluster: chil_core::ClusterId::new(1),
        from: chil_core::NodeId::new(1),
        from_disk: chil_core::DiskId::new(1),
        boot: 1,
        run: 1,
        to: chil_core::NodeId::new(2),
        to_boot: 0,
        epoch: chil_core::Epoch::FIRST,
        body: Message::Fetch(chil_core::message::Fetch {
            prev: chil_core::Slot::ZERO,
            to: chil_core::Slot::ZERO,
        }),
    })))
    .to_vec();
    prost::encoding::uint64::encode(99, &u64::MAX, &mut frame);
    assert!(decode::frame(Bytes::from(frame)).is_ok());
}
