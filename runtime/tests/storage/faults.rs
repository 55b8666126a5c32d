//! Torn tails, full disks, failing syncs, and what a sync costs.

use chil::storage::{StorageError, Store};
use chil_core::Slot;

use crate::fault_disk::FaultDisk;
use crate::model::{Model, formed, fresh};

/// Writes five transactions of equal length without syncing their file; returns the log's file
/// and where the transactions are in it.
fn five_in_flight(disk: &FaultDisk) -> (Model, String, Vec<std::ops::Range<usize>>) {
    let (mut store, mut model) = fresh(disk.clone());
    let name = "wal-0000000000000001".to_string();
    store.watermark().unwrap();
    let mut ranges = Vec::new();
    for _ in 0..5 {
        let from = used(disk, &name);
        let record = model.append(&[100]);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        ranges.push(from..used(disk, &name));
    }
    (model, name, ranges)
}

fn used(disk: &FaultDisk, name: &str) -> usize {
    let bytes = disk.bytes(name);
    bytes
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1)
}

/// A disk on which five transactions were written in one batch that was never synced.
fn one_batch_in_flight() -> (FaultDisk, Model, String, Vec<std::ops::Range<usize>>) {
    // The first run, synced one by one, tells where they are.
    let (_, name, ranges) = five_in_flight(&FaultDisk::new(1));
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    store.watermark().unwrap();
    model.all_synced();
    for _ in 0..5 {
        let record = model.append(&[100]);
        store.write(&model.persist(vec![record])).unwrap();
    }
    store.sync().unwrap();
    (disk, model, name, ranges)
}

fn tear(disk: &FaultDisk, name: &str, range: std::ops::Range<usize>) {
    let mut bytes = disk.bytes(name);
    bytes[range].fill(0);
    disk.set_bytes(name, bytes);
}

#[test]
fn several_torn_records_are_cut_and_do_not_come_back() {
    for torn in [
        vec![1],
        vec![1, 3],
        vec![1, 2],
        vec![1, 4],
        vec![1, 2, 3, 4],
    ] {
        let (disk, mut model, name, ranges) = one_batch_in_flight();
        for i in torn {
            tear(&disk, &name, ranges[i].clone());
        }
        let (mut store, recovered) = formed(disk.clone()).unwrap();
        assert_eq!(recovered.last(), Slot::new(1));
        model.recovered(recovered);
        // A record as long as the torn one: what stood behind it would fit behind this one.
        let record = model.append(&[100]);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        model.all_synced();
        assert_eq!(used(&disk, &name), ranges[1].end, "old bytes are left");
        let (_, recovered) = formed(disk).unwrap();
        assert_eq!(recovered.last(), Slot::new(2));
        model.recovered(recovered);
    }
}

#[test]
fn a_record_torn_at_any_byte_is_cut() {
    let (disk, model, name, ranges) = one_batch_in_flight();
    for from in ranges[2].clone() {
        let disk = disk.fork();
        tear(&disk, &name, from..ranges[2].end);
        let (_, recovered) = formed(disk).unwrap();
        assert_eq!(recovered.last(), Slot::new(2));
        model.clone().recovered(recovered);
    }
}

#[test]
fn the_same_tear_is_corruption_once_it_is_known_that_it_was_durable() {
    let (disk, mut model, name, ranges) = one_batch_in_flight();
    let (mut store, recovered) = formed(disk.clone()).unwrap();
    model.recovered(recovered);
    store.watermark().unwrap();
    tear(&disk, &name, ranges[1].clone());
    match formed(disk) {
        Err(StorageError::Corrupt { file, offset, .. }) => {
            assert_eq!(
                (file, offset),
                (format!("disk/{name}"), ranges[1].start as u64)
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn half_a_transaction_is_none_even_over_segments() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    let record = model.append(&[200]);
    store.write(&model.persist(vec![record])).unwrap();
    store.watermark().unwrap();
    model.all_synced();
    let before = model.state.clone();
    let record = model.change(0, &[3_000; 6], 0);
    store.write(&model.persist(vec![record])).unwrap();
    store.sync().unwrap();
    let after = model.state.clone();
    let names: Vec<_> = disk
        .file_names()
        .into_iter()
        .filter(|n| n.starts_with("wal-"))
        .collect();
    assert!(names.len() > 3, "{names:?}");
    let (_, recovered) = formed(disk.fork()).unwrap();
    assert_eq!(recovered, after);
    for name in &names[1..] {
        let torn = disk.fork();
        tear(&torn, name, 4096..used(&torn, name));
        let (mut store, recovered) = formed(torn.clone()).unwrap();
        assert_eq!(recovered, before);
        for other in &names[1..] {
            assert!(
                used(&torn, other) <= 4096,
                "{other} has bytes of half a transaction"
            );
        }
        let mut model = model.clone();
        model.recovered(recovered);
        let record = model.change(1, &[3_000; 6], 1);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        model.all_synced();
        torn.power_cycle();
        model.recovered(formed(torn).unwrap().1);
    }
}

#[test]
fn a_full_disk_ends_the_store_and_loses_nothing() {
    for room in [0, 1, 5_000, 8_192, 20_000, 50_000] {
        let disk = FaultDisk::new(room);
        let (mut store, mut model) = fresh(disk.clone());
        disk.set_room(Some(room));
        let full = loop {
            let record = model.append(&[900, 100]);
            let persist = model.persist(vec![record]);
            if let Err(error) = store.write(&persist).and_then(|()| store.sync()) {
                break error;
            }
            model.all_synced();
        };
        assert!(full.to_string().contains("cannot write"), "{full}");
        assert!(is_used_up(&mut store, &mut model));
        disk.power_cycle();
        disk.set_room(None);
        let (mut store, recovered) = formed(disk.clone()).unwrap();
        model.recovered(recovered);
        let record = model.append(&[900; 20]);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        model.all_synced();
        disk.power_cycle();
        model.recovered(formed(disk).unwrap().1);
    }
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = FaultDisk::new(3);
    let (mut store, mut model) = fresh(disk.clone());
    let record = model.append(&[10]);
    store.write(&model.persist(vec![record])).unwrap();
    disk.fail_syncs(true);
    assert!(store.sync().is_err());
    disk.fail_syncs(false);
    assert!(is_used_up(&mut store, &mut model));
    disk.power_cycle();
    model.recovered(formed(disk).unwrap().1);
}

fn is_used_up(store: &mut Store<FaultDisk>, model: &mut Model) -> bool {
    let record = model.append(&[1]);
    let persist = model.persist(vec![record]);
    !store.watermark_due()
        && !store.preparation_due()
        && store.write(&persist).is_err()
        && store.sync().is_err()
        && store.watermark().is_err()
        && store.prepare().is_err()
}

#[test]
fn a_batch_costs_one_sync() {
    let disk = FaultDisk::new(3);
    let (mut store, mut model) = fresh(disk.clone());
    let before = (disk.syncs(), disk.ops());
    for _ in 0..10 {
        let record = model.append(&[10, 20]);
        store.write(&model.persist(vec![record])).unwrap();
    }
    let last = store.sync().unwrap();
    assert_eq!((disk.syncs(), disk.ops()), (before.0 + 1, before.1 + 2));
    assert_eq!(store.sync().unwrap(), last);
    assert_eq!(disk.syncs(), before.0 + 1, "a sync with nothing to sync");
    assert!(store.watermark_due());
    store.watermark().unwrap();
    assert_eq!(disk.syncs(), before.0 + 2);
    assert!(!store.watermark_due());
    store.watermark().unwrap();
    assert_eq!(disk.syncs(), before.0 + 2, "a watermark of what is marked");
}

#[test]
fn the_order_of_durability_goes_on_after_a_restart() {
    for meta_last in [false, true] {
        let disk = FaultDisk::new(3);
        let (mut store, mut model) = fresh(disk.clone());
        let mut records = vec![model.append(&[1]), model.meta()];
        if !meta_last {
            records.reverse();
        }
        for record in records {
            store.write(&model.persist(vec![record])).unwrap();
        }
        store.sync().unwrap();
        let (mut store, _) = formed(disk).unwrap();
        assert_eq!(store.sync().unwrap(), model.lsn());
    }
}

#[test]
fn the_next_segment_is_there_when_it_is_needed() {
    let disk = FaultDisk::new(3);
    let (mut store, mut model) = fresh(disk.clone());
    let mut names = disk.file_names().len();
    for _ in 0..100 {
        while store.preparation_due() {
            store.prepare().unwrap();
            names = disk.file_names().len();
        }
        let record = model.append(&[400]);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        assert_eq!(disk.file_names().len(), names, "a write made a segment");
    }
    assert!(names > 10);
}
