//! A cluster that is made of a snapshot: whole, or not at all.

use chil::storage::{Opened, StorageError, Store};
use chil_core::{Applier, DiskId, Record, SnapshotId};

use crate::fault_disk::FaultDisk;
use crate::machine::{Machine, Remote};
use crate::model::{DISK, Model, NAME, OPTIONS, first_meta, formed, fresh, open};
use crate::snapshots::decided;

/// Metadata of a new cluster that begins with this snapshot.
fn begins_with(id: SnapshotId) -> chil_core::Meta {
    let (_, model) = fresh(FaultDisk::new(1));
    let Record::Meta(mut meta) = model.names(id) else {
        panic!("not metadata")
    };
    meta.disk = DISK;
    meta.membership = first_meta(meta.disk).membership;
    *meta
}

fn restore(disk: &FaultDisk, id: SnapshotId, bytes: &[u8]) -> Result<(), StorageError> {
    let (meta, mut bytes) = (begins_with(id), bytes);
    Store::restore_with(disk.clone(), NAME, &meta, &mut bytes, OPTIONS).map(|_| ())
}

#[test]
fn a_cluster_is_made_of_a_snapshot_whole_or_the_directory_is_refused() {
    let (_, model, applier) = decided(&FaultDisk::new(1));
    let remote = Remote::of(&applier, &model);
    let (mut operations, mut empty, mut half, mut made) = (0, 0, 0, 0);
    for crash_at in 0.. {
        let mut complete = true;
        for seed in 0..4 {
            let disk = FaultDisk::new(crash_at * 10 + seed);
            disk.crash_after(crash_at);
            let done = restore(&disk, remote.id, &remote.bytes).is_ok();
            operations = operations.max(disk.ops());
            complete &= done;
            if seed % 2 == 0 {
                disk.power_cycle();
            } else {
                disk.process_restart();
            }
            // Other members count on the identity that a restore gives: a directory that has it
            // has the snapshot, too, or nobody starts with it.
            let other = DiskId::new(99);
            match Store::open_with(disk.clone(), NAME, other, OPTIONS) {
                Ok(Opened::Unformed(unformed)) => {
                    assert!(!done, "formed, and forgotten");
                    assert_eq!(unformed.disk_id(), other, "crash at {crash_at}");
                    empty += 1;
                }
                Err(StorageError::HalfRestored(dir)) => {
                    assert!(!done, "formed, and refused");
                    assert_eq!(dir, "disk/");
                    assert!(restore(&disk, remote.id, &remote.bytes).is_err());
                    half += 1;
                }
                Ok(Opened::Formed(..)) => {
                    goes_on(&disk, &remote.id, &applier);
                    made += 1;
                }
                Err(error) => panic!("crash at {crash_at}: {error}"),
            }
        }
        if complete {
            break;
        }
    }
    assert!(operations > 20, "{operations}");
    assert!(empty > 4 && half > 20 && made > 4, "{empty} {half} {made}");
}

/// The log goes on behind the snapshot, and its state is there.
fn goes_on(disk: &FaultDisk, id: &SnapshotId, expected: &Applier<Machine>) {
    let (mut store, recovered) = formed(disk.clone()).unwrap();
    assert_eq!((recovered.base, recovered.last()), (id.slot, id.slot));
    assert_eq!(recovered.commit, id.slot);
    let mut applier = Applier::new(Machine::default());
    let mut snapshots = store.snapshots(&recovered).unwrap();
    snapshots.restore(id, &mut applier).unwrap();
    assert_eq!(applier.digest(), expected.digest());
    let mut model = Model::new(recovered);
    let record = model.append(&[100]);
    store.write(&model.persist(vec![record])).unwrap();
    store.sync().unwrap();
    model.all_synced();
    disk.power_cycle();
    model.recovered(formed(disk.clone()).unwrap().1);
}

#[test]
fn no_cluster_is_made_of_another_snapshot() {
    let (_, model, applier) = decided(&FaultDisk::new(1));
    let remote = Remote::of(&applier, &model);
    let mut damaged = remote.bytes.clone();
    damaged[7] ^= 1;
    for bytes in [&damaged[..], &remote.bytes[..100], &[]] {
        let disk = FaultDisk::new(2);
        match restore(&disk, remote.id, bytes) {
            Err(StorageError::Snapshot { .. }) => {}
            other => panic!("{other:?}"),
        }
        let refused = open(disk).unwrap_err().to_string();
        assert!(
            refused.contains("restore again into a new one"),
            "{refused}"
        );
    }
}
