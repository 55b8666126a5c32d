//! A snapshot's bytes, what is refused, and that taking and restoring one leaves no trace.

use std::io::{self, Read};

use bytes::Bytes;
use proptest::prelude::*;

use super::block::{BLOCK, BlockWriter};
use super::*;
use crate::applier::Applier;
use crate::command::{Chain, Command, Entry, EntryKind};
use crate::kv::{KeyValue, KvCommand};
use crate::membership::{Lease, Member, Membership};
use crate::session::SessionLimits;
use crate::types::{Ballot, ClientId, DiskId, Epoch, NodeId, Slot};

fn membership(addr: &str) -> Membership {
    let member = |name: &str, disk| Member {
        name: name.into(),
        disk: DiskId::new(disk),
        addr: addr.into(),
        weight: 1,
    };
    let members = [member("a", 1), member("b", 2)];
    let mut membership = Membership::new(Epoch::FIRST, members).unwrap();
    membership.lease = Some(Lease {
        duration_us: 5,
        drift_ppm: 6,
    });
    membership
}

fn put(key: &str, value: &[u8]) -> Bytes {
    let key = Bytes::copy_from_slice(key.as_bytes());
    KvCommand::put(key, Bytes::copy_from_slice(value)).encode()
}

fn sessionless(key: &str, value: &[u8]) -> EntryKind {
    EntryKind::Command(Command::sessionless(put(key, value)))
}

fn log(kinds: impl IntoIterator<Item = EntryKind>) -> Vec<Entry> {
    let origin = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));
    let mut chain = Chain::EMPTY;
    let entry = |(slot, kind)| {
        let entry = Entry::new(chain, Slot::new(slot), origin, kind);
        chain = entry.chain();
        entry
    };
    (1..).zip(kinds).map(entry).collect()
}

fn small_log() -> Vec<Entry> {
    let in_session = |seq, key| {
        EntryKind::Command(Command {
            client: ClientId::new(1),
            seq,
            ack_floor: seq - 1,
            payload: put(key, b"value"),
        })
    };
    log([
        EntryKind::Register { nonce: 9 },
        in_session(1, "k"),
        in_session(2, "l"),
        sessionless("m", b""),
    ])
}

fn run(entries: &[Entry]) -> Applier<KeyValue> {
    let mut applier = Applier::new(KeyValue::default());
    for entry in entries {
        applier.apply(entry);
    }
    applier
}

fn bytes_of(applier: &Applier<KeyValue>) -> (SnapshotId, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut membership = membership("somewhere");
    membership.sessions = applier.session_limits();
    let id = applier.freeze(&membership).write_to(&mut bytes);
    (id.unwrap(), bytes)
}

fn restore(id: &SnapshotId, bytes: &[u8]) -> Result<Applier<KeyValue>, SnapshotError> {
    let mut applier = Applier::new(KeyValue::default());
    applier.restore(id, &mut &bytes[..])?;
    Ok(applier)
}

/// More than one block of state.
fn large_log() -> Vec<Entry> {
    log((0..5_u8).map(|i| sessionless(&format!("key {i}"), &vec![i; BLOCK / 2])))
}

#[test]
fn the_bytes_are_pinned() {
    let (id, bytes) = bytes_of(&run(&small_log()));
    assert_eq!(bytes.get(4..12), Some(&b"chilsnap"[..]));
    assert_eq!((id.slot.get(), id.bytes), (4, bytes.len() as u64));
    assert_eq!(
        (format!("{:032x}", id.digest), id.bytes),
        ("bce5022ebc2dc937b152951e2f6bd9c6".into(), 421)
    );
}

#[test]
fn what_was_frozen_is_what_is_restored() {
    for entries in [small_log(), large_log(), Vec::new()] {
        let applier = run(&entries);
        let (id, bytes) = bytes_of(&applier);
        let restored = restore(&id, &bytes).unwrap();
        assert_eq!(restored.digest(), applier.digest());
        assert_eq!(restored.applied(), applier.applied());
        assert_eq!(restored.chain(), applier.chain());
        assert_eq!(bytes_of(&restored), (id, bytes));
    }
}

#[test]
fn a_frozen_state_stays_as_it_was() {
    let entries = small_log();
    let mut applier = run(&entries[..3]);
    let frozen = applier.freeze(&membership(""));
    applier.apply(&entries[3]);
    let mut bytes = Vec::new();
    let id = frozen.write_to(&mut bytes).unwrap();
    assert_eq!((id, bytes), bytes_of(&run(&entries[..3])));
}

#[test]
fn sessions_go_on_behind_a_snapshot() {
    let entries = small_log();
    let (id, bytes) = bytes_of(&run(&entries[..3]));
    let mut restored = restore(&id, &bytes).unwrap();
    let EntryKind::Command(second) = entries[2].kind() else {
        unreachable!("the log's third entry is a command");
    };
    let again = EntryKind::Command(second.clone());
    let entry = Entry::new(entries[2].chain(), Slot::new(4), entries[2].origin(), again);
    let outcome = restored.apply(&entry).outcome;
    let crate::Outcome::Executed { slot, .. } = outcome else {
        panic!("executed at first: {outcome:?}");
    };
    assert_eq!(slot, Slot::new(3));
}

#[test]
fn addresses_are_left_out() {
    let applier = run(&small_log());
    let write = |addr| {
        let mut bytes = Vec::new();
        let id = applier.freeze(&membership(addr)).write_to(&mut bytes);
        (id.unwrap(), bytes)
    };
    assert_eq!(write("here"), write("there"));
    let (header, _) = verify(&mut write("here").1.as_slice()).unwrap();
    assert_eq!(header.membership, membership(""));
}

/// A cluster is made of them, so that they are checked like settings.
#[test]
fn terms_that_no_cluster_can_have_are_refused() {
    let refusal = |change: fn(&mut Membership)| {
        let mut membership = membership("");
        change(&mut membership);
        let policy = SnapshotPolicy::default();
        let applier = Applier::with_limits(KeyValue::default(), policy, membership.sessions);
        let mut bytes = Vec::new();
        applier.freeze(&membership).write_to(&mut bytes).unwrap();
        let read = verify(&mut bytes.as_slice());
        read.map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    };
    let no_room = refusal(|membership| membership.sessions.sessions_max = 0);
    assert!(no_room.contains("no room for a session"), "{no_room}");
    let endless = refusal(|membership| {
        let lease = membership.lease.as_mut().unwrap();
        lease.duration_us = Lease::DURATION_US_MAX + 1;
    });
    assert!(endless.contains("no cluster can have"), "{endless}");
    assert_eq!(refusal(|_| {}), "accepted");
}

#[test]
fn each_damaged_byte_is_found() {
    let (id, bytes) = bytes_of(&run(&small_log()));
    let (header, verified) = verify(&mut bytes.as_slice()).unwrap();
    assert_eq!((header.slot, verified), (id.slot, id));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert!(verify(&mut bad.as_slice()).is_err(), "byte {at}");
        assert!(restore(&id, &bad).is_err(), "byte {at}");
        assert!(verify(&mut &bytes[..at]).is_err(), "cut at {at}");
        assert!(restore(&id, &bytes[..at]).is_err(), "cut at {at}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        verify(&mut longer.as_slice()),
        Err(SnapshotError::Damaged { .. })
    ));
}

#[test]
fn an_interrupted_transfer_keeps_its_sound_blocks() {
    let (_, bytes) = bytes_of(&run(&large_log()));
    let block = BLOCK + 12;
    let prefix = |bytes: &[u8]| good_prefix(&mut &bytes[..]).unwrap();
    assert!(bytes.len() > 2 * block);
    assert_eq!(prefix(&bytes), bytes.len() as u64);
    assert_eq!(prefix(&[&bytes[..], b"more"].concat()), bytes.len() as u64);
    assert_eq!(prefix(&bytes[..2 * block]), 2 * block as u64);
    assert_eq!(prefix(&bytes[..2 * block - 1]), block as u64);
    assert_eq!(prefix(&bytes[..3]), 0);
    let mut bad = bytes.clone();
    bad[block + 100] ^= 1;
    assert_eq!(prefix(&bad), block as u64);
    // Blocks carry their number: none stands in for another.
    let swapped = [&bytes[block..2 * block], &bytes[..block]].concat();
    assert_eq!(prefix(&swapped), 0);
}

#[test]
fn a_snapshot_is_restored_as_itself_only() {
    let (id, bytes) = bytes_of(&run(&small_log()));
    for wrong in [
        SnapshotId {
            slot: id.slot.next(),
            ..id
        },
        SnapshotId {
            chain: Chain::EMPTY,
            ..id
        },
        SnapshotId {
            bytes: id.bytes + 1,
            ..id
        },
        SnapshotId { digest: 1, ..id },
    ] {
        assert!(matches!(
            restore(&wrong, &bytes),
            Err(SnapshotError::OtherSnapshot)
        ));
    }
    let limits = SessionLimits {
        sessions_max: 3,
        ..SessionLimits::default()
    };
    let mut other = Applier::with_limits(KeyValue::default(), SnapshotPolicy::default(), limits);
    assert!(matches!(
        other.restore(&id, &mut bytes.as_slice()),
        Err(SnapshotError::OtherLimits { .. })
    ));
}

#[test]
#[should_panic(expected = "a restore failed")]
fn what_failed_to_restore_executes_nothing() {
    let (id, bytes) = bytes_of(&run(&small_log()));
    let mut applier = Applier::new(KeyValue::default());
    let cut = &bytes[..bytes.len() - 1];
    assert!(applier.restore(&id, &mut &cut[..]).is_err());
    applier.apply(&small_log()[0]);
}

/// A disk that fails after its first bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the disk fell off")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_failing_disk_is_no_damaged_snapshot() {
    let (id, bytes) = bytes_of(&run(&small_log()));
    for len in [0, 3, 50, bytes.len() - 1, bytes.len()] {
        let mut applier = Applier::new(KeyValue::default());
        let from = || Failing(&bytes[..len]);
        assert!(matches!(
            applier.restore(&id, &mut from()),
            Err(SnapshotError::Io(_))
        ));
        assert!(matches!(verify(&mut from()), Err(SnapshotError::Io(_))));
    }
    assert!(good_prefix(&mut Failing(&bytes[..3])).is_err());
}

#[test]
fn points_are_counted_in_slots_and_bytes() {
    let entries = log((0..40).map(|_| sessionless("k", &[0; 100])));
    let cost = entries[0].cost();
    let points = |slots, bytes| {
        let policy = SnapshotPolicy { slots, bytes };
        let mut applier =
            Applier::with_limits(KeyValue::default(), policy, SessionLimits::default());
        let mut points = Vec::new();
        for entry in &entries {
            applier.apply(entry);
            if applier.snapshot_due() {
                points.push(entry.slot().get());
            }
        }
        points
    };
    assert_eq!(points(15, u64::MAX), [15, 30]);
    assert_eq!(points(u64::MAX, 12 * cost - 1), [12, 24, 36]);
    assert_eq!(points(15, 12 * cost - 1), [12, 24, 36]);
    assert_eq!(points(10, 12 * cost - 1), [10, 20, 30, 40]);
    assert!(points(SnapshotPolicy::NEVER.slots, SnapshotPolicy::NEVER.bytes).is_empty());
}

/// A log in which sessions come and go, and where attempts are repeated.
fn logs() -> impl Strategy<Value = Vec<Entry>> {
    let key = 0_u8..5;
    let kind = prop_oneof![
        2 => (0_u128..6).prop_map(|nonce| EntryKind::Register { nonce }),
        4 => (1_u64..12, 1_u64..6, 0_u64..4, key.clone()).prop_map(|(client, seq, ack_floor, key)| {
            EntryKind::Command(Command {
                client: ClientId::new(client),
                seq,
                ack_floor,
                payload: put(&key.to_string(), &[key]),
            })
        }),
        2 => key.clone().prop_map(|key| sessionless(&key.to_string(), b"v")),
        1 => key.prop_map(|key| {
            let key = Bytes::from(key.to_string());
            EntryKind::Command(Command::sessionless(KvCommand::delete(key).encode()))
        }),
    ];
    proptest::collection::vec(kind, 1..60).prop_map(log)
}

proptest! {
    #[test]
    fn restoring_leaves_no_trace(entries in logs(), restarts in proptest::collection::vec(any::<bool>(), 60)) {
        let policy = SnapshotPolicy { slots: 7, bytes: 1_200 };
        let limits = SessionLimits { sessions_max: 3, reply_bytes_max: 1_000 };
        let new = || Applier::with_limits(KeyValue::default(), policy, limits);
        let (mut straight, mut restarted) = (new(), new());
        for (entry, restart) in entries.iter().zip(restarts) {
            if restart {
                let (id, bytes) = bytes_of(&restarted);
                restarted = new();
                restarted.restore(&id, &mut bytes.as_slice()).unwrap();
            }
            prop_assert_eq!(straight.apply(entry), restarted.apply(entry));
            prop_assert_eq!(straight.digest(), restarted.digest());
            prop_assert_eq!(straight.snapshot_due(), restarted.snapshot_due());
        }
        prop_assert_eq!(bytes_of(&straight), bytes_of(&restarted));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let id = SnapshotId { slot: Slot::ZERO, chain: Chain::EMPTY, bytes: 0, digest: 0 };
        prop_assert!(restore(&id, &bytes).is_err());
        prop_assert!(verify(&mut bytes.as_slice()).is_err());
        prop_assert_eq!(good_prefix(&mut bytes.as_slice()).unwrap(), 0);
    }

    /// Contents that nobody would write, in blocks that are sound.
    #[test]
    fn sound_blocks_of_nonsense_never_panic(at in 0_usize..400, with in proptest::collection::vec(any::<u8>(), 1..20)) {
        let (id, bytes) = bytes_of(&run(&small_log()));
        let mut contents = bytes[4..bytes.len() - 8].to_vec();
        let at = at.min(contents.len());
        contents.splice(at..(at + with.len()).min(contents.len()), with);
        let mut forged = Vec::new();
        let mut blocks = BlockWriter::new(&mut forged);
        io::Write::write_all(&mut blocks, &contents).unwrap();
        blocks.finish().unwrap();
        if let Ok(restored) = restore(&id, &forged) {
            prop_assert_eq!(bytes_of(&restored), (id, bytes));
        }
    }
}
