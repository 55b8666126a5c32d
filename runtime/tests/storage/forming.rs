//! From an empty directory to a member's, with the power failing anywhere on the way.

use chil::storage::{Opened, StorageError, Store};
use chil_core::{DiskId, Recovered};

use crate::fault_disk::FaultDisk;
use crate::model::{DISK, Model, NAME, OPTIONS, first_meta, formed, open, unformed};

#[test]
fn an_identity_that_was_shown_is_kept() {
    let disk = FaultDisk::new(1);
    assert_eq!(unformed(disk.clone()).disk_id(), DISK);
    disk.power_cycle();
    let other = DiskId::new(99);
    match Store::open_with(disk, NAME, other, OPTIONS).unwrap() {
        Opened::Unformed(unformed) => assert_eq!(unformed.disk_id(), DISK),
        Opened::Formed(store, _) => panic!("{store:?}"),
    }
}

#[test]
fn another_nodes_directory_is_refused() {
    let disk = FaultDisk::new(1);
    drop(unformed(disk.clone()));
    let refused = Store::open_with(disk, "node-2", DISK, OPTIONS);
    match refused {
        Err(StorageError::OtherNode {
            found, expected, ..
        }) => {
            assert_eq!((found.as_str(), expected.as_str()), (NAME, "node-2"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_crash_anywhere_leaves_a_directory_that_is_formed_or_not() {
    let whole = FaultDisk::new(1);
    unformed(whole.clone()).form(&first_meta(DISK)).unwrap();
    let operations = whole.ops();
    assert!(operations > 15, "{operations}");
    let (mut not_yet, mut already) = (0, 0);
    for crash_at in 0..=operations {
        for seed in 0..8 {
            let disk = FaultDisk::new(seed * 1_000 + crash_at);
            disk.crash_after(crash_at);
            let mut known = None;
            let mut done = false;
            if let Ok(Opened::Unformed(unformed)) = open(disk.clone()) {
                known = Some(unformed.disk_id());
                done = unformed.form(&first_meta(DISK)).is_ok();
            }
            if seed % 2 == 0 {
                disk.power_cycle();
            } else {
                disk.process_restart();
            }
            let fresh = DiskId::new(u128::from(crash_at) + 1);
            match Store::open_with(disk.clone(), NAME, fresh, OPTIONS).unwrap() {
                Opened::Unformed(unformed) => {
                    assert!(!done, "formed, and forgotten (crash at {crash_at})");
                    let id = unformed.disk_id();
                    assert!(known.is_none_or(|known| known == id));
                    unformed.form(&first_meta(id)).unwrap();
                    not_yet += 1;
                    works(&disk, id);
                }
                Opened::Formed(store, recovered) => {
                    assert_eq!(recovered, Recovered::formatted(first_meta(DISK)));
                    drop(store);
                    already += 1;
                    works(&disk, DISK);
                }
            }
        }
    }
    assert!(not_yet > 50 && already >= 8, "{not_yet} {already}");
}

fn works(disk: &FaultDisk, id: DiskId) {
    let (mut store, recovered) = formed(disk.clone()).unwrap();
    assert_eq!(recovered, Recovered::formatted(first_meta(id)));
    let mut model = Model::new(recovered);
    let record = model.append(&[100]);
    store.write(&model.persist(vec![record])).unwrap();
    store.sync().unwrap();
    model.all_synced();
    disk.power_cycle();
    let (_, recovered) = formed(disk.clone()).unwrap();
    model.recovered(recovered);
}

#[test]
fn data_without_an_identity_is_no_empty_directory() {
    let disk = FaultDisk::new(1);
    unformed(disk.clone()).form(&first_meta(DISK)).unwrap();
    disk.lose("identity");
    match open(disk) {
        Err(StorageError::Corrupt { file, .. }) => assert_eq!(file, "disk/identity"),
        other => panic!("{other:?}"),
    }
}
