//! Bytes that were durable change, files vanish or stray: harmless, or refused by name and place.

use chil::storage::{StorageError, Store};
use chil_core::Recovered;

use crate::fault_disk::FaultDisk;
use crate::model::{DISK, Model, first_meta, formed, fresh, open, unformed};

/// Segments of the log in [`written`].
const SEGMENTS: usize = 3;
/// A frame of [`written`] is at most so long, and at least half of it.
const FRAME_LEN_MAX: usize = 512;

/// A disk with a log of several segments, at rest, and where in the last one its watermark is.
fn written_and_marked() -> (FaultDisk, Model, usize) {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    for i in 0..14 {
        let record = match i {
            3 | 9 => model.meta(),
            5 => model.change(model.state.last().get() - 1, &[270, 280], 1),
            _ => model.append(&[300, 250]),
        };
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
    }
    let last = segments(&disk).pop().unwrap();
    let marked_at = used(&disk.bytes(&last));
    store.watermark().unwrap();
    model.all_synced();
    assert_eq!(segments(&disk).len(), SEGMENTS, "{:?}", disk.file_names());
    (disk, model, marked_at)
}

fn written() -> (FaultDisk, Model) {
    let (disk, model, _) = written_and_marked();
    (disk, model)
}

fn segments(disk: &FaultDisk) -> Vec<String> {
    let mut names = disk.file_names();
    names.retain(|name| name.starts_with("wal-"));
    names
}

fn flip(disk: &FaultDisk, name: &str, at: usize) -> FaultDisk {
    let disk = disk.fork();
    let mut bytes = disk.bytes(name);
    bytes[at] ^= 1 << (at % 8);
    disk.set_bytes(name, bytes);
    disk
}

fn used(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1)
}

/// The recovered state is the expected one, and the log goes on from it.
fn harmless(disk: &FaultDisk, expected: &Recovered) {
    let (mut store, recovered) = formed(disk.clone()).unwrap();
    assert_eq!(&recovered, expected);
    let mut model = Model::new(recovered.clone());
    model.recovered(recovered);
    let record = model.append(&[200]);
    store.write(&model.persist(vec![record])).unwrap();
    store.sync().unwrap();
    model.all_synced();
    drop(store);
    disk.power_cycle();
    let (_, recovered) = formed(disk.clone()).unwrap();
    model.recovered(recovered);
}

/// Refused, and nothing was touched; returns the file and the offset that were named.
fn refused(disk: &FaultDisk) -> (String, u64) {
    let before: Vec<_> = contents(disk);
    let place = match open(disk.clone()) {
        Err(StorageError::Corrupt { file, offset, .. }) => {
            (file.strip_prefix("disk/").unwrap().to_string(), offset)
        }
        Err(other) => panic!("{other:?}"),
        Ok(opened) => panic!("accepted: {opened:?}"),
    };
    assert!(before == contents(disk), "a refused directory was changed");
    place
}

fn contents(disk: &FaultDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.file_names();
    names
        .into_iter()
        .map(|name| {
            let bytes = disk.bytes(&name);
            (name, bytes)
        })
        .collect()
}

#[test]
fn a_damaged_record_that_was_durable_is_refused_where_it_begins() {
    let (disk, _, marked_at) = written_and_marked();
    for (i, name) in segments(&disk).iter().enumerate() {
        // Nothing attests to the watermark, the last frame of all.
        let end = if i + 1 == SEGMENTS {
            marked_at
        } else {
            used(&disk.bytes(name))
        };
        assert!(end > 4096 + FRAME_LEN_MAX);
        for at in 4096..end {
            let (file, offset) = refused(&flip(&disk, name, at));
            assert_eq!(&file, name, "byte {at}");
            let offset = usize::try_from(offset).unwrap();
            assert!(offset <= at && at < offset + FRAME_LEN_MAX, "{offset} {at}");
        }
    }
}

#[test]
fn a_damaged_head_is_refused() {
    let (disk, model) = written();
    for name in segments(&disk) {
        for at in 0..56 {
            assert_eq!(refused(&flip(&disk, &name, at)).0, name);
        }
        harmless(&flip(&disk, &name, 56), &model.state);
    }
}

#[test]
fn damage_where_nothing_was_written_is_harmless() {
    let (disk, model) = written();
    for name in segments(&disk) {
        let bytes = disk.bytes(&name);
        for at in (used(&bytes)..bytes.len()).step_by(61) {
            harmless(&flip(&disk, &name, at), &model.state);
        }
    }
}

#[test]
fn a_damaged_watermark_is_harmless() {
    let (disk, model, marked_at) = written_and_marked();
    let name = segments(&disk).pop().unwrap();
    for at in marked_at..marked_at + 96 {
        harmless(&flip(&disk, &name, at), &model.state);
    }
}

#[test]
fn one_damaged_copy_of_the_metadata_is_harmless_and_repaired() {
    let (disk, model) = written();
    for name in ["meta-a", "meta-b"] {
        let whole = disk.bytes(name);
        for at in 0..whole.len() {
            let damaged = flip(&disk, name, at);
            drop(formed(damaged.clone()).unwrap());
            assert_eq!(damaged.bytes(name), whole, "byte {at}");
            if at % 64 == 0 {
                harmless(&flip(&disk, name, at), &model.state);
            }
        }
        let lost = disk.fork();
        lost.lose(name);
        harmless(&lost, &model.state);
        assert_eq!(lost.bytes(name), whole);
    }
}

#[test]
fn metadata_without_an_intact_copy_is_refused() {
    let (disk, _) = written();
    for at in 0..disk.bytes("meta-a").len() {
        let (file, offset) = refused(&flip(&flip(&disk, "meta-a", at), "meta-b", at));
        assert_eq!(file, "meta-a");
        assert!(usize::try_from(offset).unwrap() <= at);
    }
    let lost = disk.fork();
    lost.lose("meta-a");
    lost.lose("meta-b");
    refused(&lost);
}

#[test]
fn metadata_that_is_older_than_the_log_attests_is_refused() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    let older = ["meta-a", "meta-b"].map(|name| (name, disk.bytes(name)));
    let record = model.meta();
    store.write(&model.persist(vec![record])).unwrap();
    store.watermark().unwrap();
    for (name, bytes) in older {
        disk.set_bytes(name, bytes);
    }
    assert_eq!(refused(&disk).0, "meta-a");
}

#[test]
fn a_log_that_is_older_than_the_metadata_attests_is_refused() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    let name = segments(&disk).remove(0);
    let older = disk.bytes(&name);
    for record in [model.append(&[10]), model.meta()] {
        store.write(&model.persist(vec![record])).unwrap();
    }
    let end = used(&older) as u64;
    disk.set_bytes(&name, older);
    let (file, offset) = refused(&disk);
    // The frame before ends with a ballot of nobody: some zeros.
    assert!(
        file == name && (end..end + 24).contains(&offset),
        "{file} {offset}"
    );
}

#[test]
fn every_damaged_byte_of_the_identity_is_refused() {
    let (disk, _) = written();
    for at in 0..disk.bytes("identity").len() {
        assert_eq!(refused(&flip(&disk, "identity", at)).0, "identity");
    }
    let not_formed = FaultDisk::new(1);
    drop(unformed(not_formed.clone()));
    for at in 0..not_formed.bytes("identity").len() {
        assert_eq!(refused(&flip(&not_formed, "identity", at)).0, "identity");
    }
}

#[test]
fn a_lost_cut_or_exchanged_segment_is_refused() {
    let (disk, _) = written();
    let names = segments(&disk);
    for name in &names {
        let lost = disk.fork();
        lost.lose(name);
        if name == &names[SEGMENTS - 1] {
            // Only the metadata can attest to a last segment, and it was written long before.
            assert!(formed(lost).is_ok());
        } else {
            assert_eq!(&refused(&lost).0, name);
        }
        let cut = disk.fork();
        let bytes = disk.bytes(name);
        for len in [0, 100, 4096, used(&bytes) - 200, bytes.len() - 1] {
            cut.set_bytes(name, bytes[..len].to_vec());
            assert_eq!(refused(&cut), (name.clone(), len as u64));
        }
    }
    let exchanged = disk.fork();
    exchanged.set_bytes(&names[1], disk.bytes(&names[2]));
    exchanged.set_bytes(&names[2], disk.bytes(&names[1]));
    assert_eq!(refused(&exchanged), (names[1].clone(), 0));
}

#[test]
fn a_segment_of_another_directory_is_refused() {
    let (disk, _) = written();
    let name = segments(&disk).remove(0);
    let other = FaultDisk::new(2);
    let id = chil_core::DiskId::new(77);
    let opened = Store::open_with(other.clone(), "other", id, crate::model::OPTIONS).unwrap();
    let chil::storage::Opened::Unformed(fresh) = opened else {
        panic!("{opened:?}")
    };
    fresh.form(&first_meta(id)).unwrap();
    disk.set_bytes(&name, other.bytes(&name));
    assert_eq!(refused(&disk), (name, 0));
    assert_ne!(id, DISK);
}

#[test]
fn files_of_another_version_are_named_as_such() {
    let (disk, _) = written();
    let segment = segments(&disk).remove(0);
    let of = |name: &str, version: u8| {
        let other = disk.fork();
        let mut bytes = disk.bytes(name);
        bytes[8] = version;
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        other.set_bytes(name, bytes);
        match open(other) {
            Err(StorageError::Version { file, found, known }) => {
                assert_eq!(file, format!("disk/{name}"));
                (found, known)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of("identity", 3), (3, 2));
    assert_eq!(of("identity", 1), (1, 2));
    assert_eq!(of(&segment, 3), (3, 2));
    for name in ["meta-a", "meta-b"] {
        assert_eq!(of(name, 4), (4, 3));
    }
    // The metadata's content changed with its version.
    for old in 1..3 {
        assert_eq!(of("meta-a", old), (old.into(), 3));
    }
}
