//! Every message's bytes, pinned in `tests/golden`: a change there is a change of the format that
//! running nodes speak. Run with `UPDATE_EXPECT=1` to write the files anew.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use bytes::Bytes;
use chil_core::command::Command;
use chil_core::forming::{
    Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState, Listed,
};
use chil_core::message::{
    Accept, Accepted, Chunk, Fetch, FetchChunk, Heartbeat, HeartbeatReply, Learn, Nack, NackReason,
    Offer, Prepare, Promise, ReadIndex, ReadIndexReply, TransferNow,
};
use chil_core::{
    Ballot, Chain, ClientId, ClusterId, DiskId, Entry, EntryKind, Envelope, Epoch, Lease, Member,
    Membership, Message, NodeId, SessionLimits, Slot, SnapshotId, Span,
};
use chil_proto::{Frame, decode, encode};

/// Compares with the file, sixteen bytes a line.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let mut text = String::new();
    for line in bytes.chunks(16) {
        for byte in line {
            write!(text, "{byte:02x} ").expect("a string takes everything");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"));
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &text).expect("the golden file can be written");
    }
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        pinned == text,
        "{name} is encoded as\n{text}but {} says\n{pinned}\
         If the format was changed on purpose, run this test with UPDATE_EXPECT=1.",
        path.display()
    );
}

fn check_frame(name: &str, frame: Frame) {
    let bytes = encode::frame(&frame);
    check(name, &bytes);
    assert_eq!(decode::frame(bytes), Ok(frame));
}

fn check_message(name: &str, body: Message) {
    let envelope = Envelope {
        cluster: ClusterId::new(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        from: NodeId::new(0x1111),
        from_disk: DiskId::new(0x2222),
        boot: 3,
        run: 0x3333,
        to: NodeId::new(0x4444),
        to_boot: 300,
        epoch: Epoch::FIRST,
        body,
    };
    check_frame(name, Frame::Envelope(Box::new(envelope)));
}

fn ballot(n: u64) -> Ballot {
    Ballot::new(Epoch::FIRST, n, NodeId::new(0x1111))
}

fn entries(prev: u64) -> Vec<Entry> {
    let commands = [
        Command::sessionless(Bytes::from_static(b"first")),
        Command {
            client: ClientId::new(7),
            seq: 200,
            ack_floor: 199,
            payload: Bytes::new(),
        },
    ];
    let mut chain = Chain::EMPTY;
    let entries = (prev + 1..).zip(commands).map(|(slot, command)| {
        let entry = Entry::new(
            chain,
            Slot::new(slot),
            ballot(5),
            EntryKind::Command(command),
        );
        chain = entry.chain();
        entry
    });
    entries.collect()
}

#[test]
fn messages_that_decide_are_pinned() {
    check_message(
        "prepare",
        Message::Prepare(Prepare {
            ballot: ballot(6),
            acc: Ballot::bottom(Epoch::FIRST),
            last: Slot::new(1000),
            commit: Slot::ZERO,
            chain_at_commit: Chain::EMPTY,
        }),
    );
    check_message(
        "promise",
        Message::Promise(Promise {
            ballot: ballot(6),
            acc: ballot(5),
            last: Slot::new(102),
            chain_at_last: Chain::new(0x55),
            commit: Slot::new(100),
            from: Slot::new(100),
            suffix: entries(100),
            damaged: true,
        }),
    );
    let accept = Accept {
        ballot: ballot(6),
        sync: None,
        prev: Slot::new(100),
        prev_chain: Chain::new(0x66),
        entries: entries(100),
        commit: Slot::new(99),
        seq: 12,
    };
    check_message("accept", Message::Accept(accept.clone()));
    // Present and zero is not absent: the first sync of an empty log.
    let sync = Accept {
        sync: Some(Slot::ZERO),
        prev: Slot::ZERO,
        entries: Vec::new(),
        ..accept
    };
    check_message("accept_sync", Message::Accept(sync));
    check_message(
        "accepted",
        Message::Accepted(Accepted {
            ballot: ballot(6),
            last: Slot::new(102),
            seq: 12,
        }),
    );
    for (name, reason) in [
        ("nack_ballot", NackReason::Ballot),
        ("nack_need_prepare", NackReason::NeedPrepare),
        ("nack_need_sync", NackReason::NeedSync),
        ("nack_gap", NackReason::Gap),
        ("nack_damaged", NackReason::Damaged),
    ] {
        let nack = Nack {
            ballot: ballot(6),
            promised: ballot(7),
            acc: ballot(5),
            last: Slot::new(102),
            commit: Slot::new(100),
            reason,
        };
        check_message(name, Message::Nack(nack));
    }
}

#[test]
fn messages_of_catching_up_and_of_elections_are_pinned() {
    check_message(
        "learn",
        Message::Learn(Learn {
            decided_in: ballot(6),
            prev: Slot::new(100),
            prev_chain: Chain::new(0x77),
            entries: entries(100),
            commit: Slot::new(5000),
        }),
    );
    check_message(
        "fetch",
        Message::Fetch(Fetch {
            prev: Slot::ZERO,
            to: Slot::new(u64::MAX / 2),
        }),
    );
    check_message(
        "heartbeat",
        Message::Heartbeat(Heartbeat {
            round: 3 << 32 | 9,
            data: false,
            happy: true,
        }),
    );
    check_message(
        "heartbeat_data",
        Message::Heartbeat(Heartbeat {
            round: 3 << 32 | 9,
            data: true,
            happy: false,
        }),
    );
    check_message(
        "heartbeat_reply_data",
        Message::HeartbeatReply(HeartbeatReply {
            round: 3 << 32 | 9,
            data: true,
            ballot: Ballot::new(Epoch::FIRST, 0, NodeId::new(0x4444)),
            leader: ballot(6),
            happy: false,
            able: true,
            commit: Slot::new(100),
            priority: 7,
            fresh: Some(Span::from_micros(1_500)),
        }),
    );
    check_message(
        "heartbeat_reply",
        Message::HeartbeatReply(HeartbeatReply {
            round: 3 << 32 | 9,
            data: false,
            ballot: Ballot::new(Epoch::FIRST, 0, NodeId::new(0x4444)),
            leader: ballot(6),
            happy: true,
            able: true,
            commit: Slot::new(100),
            priority: 0,
            fresh: None,
        }),
    );
}

#[test]
fn messages_about_snapshots_reads_and_transfers_are_pinned() {
    let id = SnapshotId {
        slot: Slot::new(65_536),
        chain: Chain::new(0x77),
        bytes: 1 << 20,
        digest: 0x88,
    };
    check_message(
        "offer",
        Message::Offer(Offer {
            id,
            decided_in: ballot(5),
            commit: Slot::new(70_000),
        }),
    );
    check_message(
        "fetch_chunk",
        Message::FetchChunk(FetchChunk {
            id,
            offset: 4096,
            len: 512,
        }),
    );
    check_message(
        "chunk",
        Message::Chunk(Chunk {
            id,
            offset: 4096,
            bytes: Bytes::from_static(b"a part of it"),
        }),
    );
    let token = 3 << 32 | 9;
    check_message("read_index", Message::ReadIndex(ReadIndex { token }));
    check_message(
        "read_index_reply",
        Message::ReadIndexReply(ReadIndexReply {
            token,
            index: Some(Slot::ZERO),
        }),
    );
    check_message(
        "transfer_now",
        Message::TransferNow(TransferNow {
            ballot: ballot(5),
            last: Slot::new(100),
        }),
    );
}

#[test]
fn a_registration_is_pinned() {
    let kind = EntryKind::Register {
        nonce: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
    };
    let entry = Entry::new(Chain::EMPTY, Slot::new(1), ballot(5), kind);
    check_message(
        "learn_register",
        Message::Learn(Learn {
            decided_in: ballot(5),
            prev: Slot::ZERO,
            prev_chain: Chain::EMPTY,
            entries: vec![entry],
            commit: Slot::new(1),
        }),
    );
}

fn forming(name: &str, message: FormingMessage) {
    check_frame(name, Frame::Forming(message.into()));
}

#[test]
fn questions_of_forming_are_pinned() {
    let (name, addr) = ("node-1".to_owned(), "host-1:7000".to_owned());
    let disk = DiskId::new(0x2222);
    let candidate = ClusterId::new(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    forming(
        "hello",
        FormingMessage::Hello(Hello {
            name: name.clone(),
            disk,
            addr: addr.clone(),
            nonce: 0x99,
            round: 4,
        }),
    );
    let confirm = Confirm {
        name: name.clone(),
        disk,
        addr,
        candidate,
        nonce: 0x77,
    };
    forming("confirm", FormingMessage::Confirm(confirm));
    let confirmed = Confirmed {
        name,
        disk,
        candidate,
        nonce: 0x77,
    };
    forming("confirmed", FormingMessage::Confirmed(confirmed));
}

#[test]
fn introductions_are_pinned() {
    let reply = |state| {
        FormingMessage::HelloReply(HelloReply {
            name: "node-1".to_owned(),
            disk: DiskId::new(0x2222),
            addr: "host-1:7000".to_owned(),
            nonce: 0x99,
            round: 4,
            state,
        })
    };
    let listed = |name: Option<&str>, addr: &str| Listed {
        name: name.map(str::to_owned),
        addr: addr.to_owned(),
        weight: 1,
    };
    let lease = Lease {
        duration_us: 500_000,
        drift_ppm: 1_000,
    };
    let list = vec![
        listed(Some("node-1"), "host-1:7000"),
        listed(None, "host-2:7000"),
    ];
    let state = HelloState::Forming {
        list,
        lease: Some(lease),
        sessions: SessionLimits {
            sessions_max: 65_536,
            reply_bytes_max: 1 << 28,
        },
    };
    forming("hello_reply_forming", reply(state));
    let members = ["node-1", "node-2"]
        .into_iter()
        .zip(1..)
        .map(|(name, disk)| Member {
            name: name.to_owned(),
            disk: DiskId::new(disk),
            addr: format!("{name}:7000"),
            weight: 2,
        });
    let membership = Membership::new(Epoch::FIRST, members).expect("valid");
    let cluster = membership.cluster_id();
    let state = HelloState::Formed {
        cluster,
        membership,
    };
    forming("hello_reply_formed", reply(state));
}
