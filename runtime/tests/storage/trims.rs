//! What trimming gives back, what it leaves, and what may be missing at the beginning of a log.

use chil::storage::{Disk, StorageError, Store};
use chil_core::{Chain, Record, Slot};

use crate::fault_disk::FaultDisk;
use crate::model::{Model, formed, fresh, put_snapshot};

fn segments(disk: &FaultDisk) -> Vec<String> {
    let mut names = disk.file_names();
    names.retain(|name| name.starts_with("wal-") && !name.ends_with(".tmp"));
    names
}

fn write(store: &mut Store<FaultDisk>, model: &mut Model, records: Vec<Record>) {
    store.write(&model.persist(records)).unwrap();
    store.sync().unwrap();
    model.all_synced();
}

fn append(store: &mut Store<FaultDisk>, model: &mut Model, sizes: &[usize]) {
    let record = model.append(sizes);
    write(store, model, vec![record]);
}

/// Names a snapshot, whose file is there.
fn name(
    disk: &FaultDisk,
    store: &mut Store<FaultDisk>,
    model: &mut Model,
    slot: Slot,
    chain: Chain,
) {
    let record = model.snapshot(slot, chain);
    put_snapshot(&mut disk.clone(), &record);
    store.write(&model.persist(vec![record])).unwrap();
    model.all_synced();
}

/// Decides everything, takes a snapshot of it, trims to `to`, and lets the store tidy up.
fn trim(disk: &FaultDisk, store: &mut Store<FaultDisk>, model: &mut Model, to: u64) {
    let last = model.state.last();
    let record = model.change(last.get(), &[], last.get());
    write(store, model, vec![record]);
    let chain = model.state.chain_at(last).unwrap();
    name(disk, store, model, last, chain);
    let records = model.trim(Slot::new(to));
    write(store, model, records);
    while store.preparation_due() {
        store.prepare().unwrap();
    }
}

fn restarted(disk: &FaultDisk, model: &mut Model) -> (Store<FaultDisk>, Slot) {
    let (store, recovered) = formed(disk.clone()).unwrap();
    let base = recovered.base;
    model.recovered(recovered);
    (store, base)
}

fn missing(disk: &FaultDisk) -> String {
    match formed(disk.clone()) {
        Err(StorageError::Corrupt {
            file,
            offset: 0,
            detail,
        }) if detail.starts_with("the file is missing") => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_is_trimmed_all_the_time_stays_small() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    for _ in 0..200 {
        append(&mut store, &mut model, &[700, 700]);
        let to = model.state.last().get();
        trim(&disk, &mut store, &mut model, to);
        assert!(segments(&disk).len() <= 3, "{:?}", disk.file_names());
    }
    let names = segments(&disk);
    assert!(names[0].as_str() > "wal-0000000000000010", "{names:?}");
    drop(store);
    let (mut store, base) = restarted(&disk, &mut model);
    assert!(base > Slot::new(380), "{base}");
    append(&mut store, &mut model, &[100]);
    drop(store);
    restarted(&disk, &mut model);
}

#[test]
fn segments_are_used_again_and_their_old_frames_do_not_come_back() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    let mut recycled = 0;
    for round in 0..60 {
        append(&mut store, &mut model, &[700, 700]);
        let to = model.state.last().get();
        trim(&disk, &mut store, &mut model, to);
        let next = segments(&disk).pop().unwrap();
        let bytes = disk.bytes(&next);
        let (first_header, rest) = bytes[4096..].split_at(96);
        let is_unused = first_header.iter().all(|b| *b == 0);
        recycled += u32::from(is_unused && rest.iter().any(|b| *b != 0));
        if round % 7 == 0 {
            drop(store);
            disk.power_cycle();
            store = restarted(&disk, &mut model).0;
        }
    }
    assert!(recycled > 20, "{recycled}");
}

#[test]
fn trimming_goes_on_after_a_restart() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    for _ in 0..10 {
        append(&mut store, &mut model, &[3_000]);
    }
    drop(store);
    let (mut store, base) = restarted(&disk, &mut model);
    assert_eq!(base, Slot::ZERO);
    let before = segments(&disk).len();
    trim(&disk, &mut store, &mut model, 10);
    let after = segments(&disk).len();
    // Two of them are kept to be used again.
    assert!(after <= 5 && before >= 10, "{before} {after}");
}

#[test]
fn no_more_is_given_back_than_what_was_trimmed() {
    for to in 1..=12 {
        let disk = FaultDisk::new(1);
        let (mut store, mut model) = fresh(disk.clone());
        append(&mut store, &mut model, &[2_500; 12]);
        trim(&disk, &mut store, &mut model, to);
        drop(store);
        let (_, base) = restarted(&disk, &mut model);
        assert!(base.get() <= to && to < base.get() + 4, "{base} {to}");
    }
}

/// Segments of a log that begins behind slot 0, in the middle of a transaction.
fn headless() -> (FaultDisk, Model) {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    append(&mut store, &mut model, &[2_500; 8]);
    append(&mut store, &mut model, &[2_500; 8]);
    trim(&disk, &mut store, &mut model, 6);
    append(&mut store, &mut model, &[2_500; 4]);
    store.watermark().unwrap();
    drop(store);
    assert!(segments(&disk).len() > 4);
    assert_ne!(segments(&disk)[0], "wal-0000000000000001");
    (disk, model)
}

#[test]
fn a_log_may_begin_in_the_middle_of_a_transaction() {
    let (disk, mut model) = headless();
    let (mut store, base) = restarted(&disk, &mut model);
    assert!(base > Slot::ZERO, "{base}");
    append(&mut store, &mut model, &[10]);
    drop(store);
    restarted(&disk, &mut model);
}

#[test]
fn a_segment_that_the_snapshot_does_not_stand_for_is_missed() {
    let (disk, model) = headless();
    let names = segments(&disk);
    // Nothing attests to the last segment, which holds nothing yet.
    let (_, used) = names.split_last().unwrap();
    let mut missed = 0;
    for name in used {
        let lost = disk.fork();
        lost.lose(name);
        if let Ok((_, recovered)) = formed(lost.clone()) {
            // What is left still reaches down to the snapshot.
            assert_eq!(missed, 0, "{name}");
            assert!(recovered.base <= model.snap(), "{recovered:?}");
            assert_eq!(recovered.last(), model.state.last());
            assert_eq!(recovered.acc, model.state.acc);
            assert_eq!(recovered.commit, model.state.commit);
        } else {
            assert_eq!(missing(&lost), format!("disk/{name}"));
            missed += 1;
        }
    }
    assert!(0 < missed && missed < used.len(), "{missed}");
}

#[test]
fn without_a_snapshot_no_segment_may_be_missing() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    for _ in 0..8 {
        append(&mut store, &mut model, &[3_000]);
    }
    drop(store);
    let names = segments(&disk);
    for name in &names[..names.len() - 1] {
        let lost = disk.fork();
        lost.lose(name);
        assert_eq!(missing(&lost), format!("disk/{name}"));
    }
}

#[test]
fn leftovers_of_a_trim_are_removed_once_the_rest_is_sound() {
    let (disk, model) = headless();
    let first = "wal-0000000000000001";
    let stale = {
        let disk = FaultDisk::new(1);
        let (mut store, mut model) = fresh(disk.clone());
        append(&mut store, &mut model, &[2_500; 8]);
        disk.bytes(first)
    };
    disk.clone().open(first, true).unwrap();
    disk.clone().sync_dir().unwrap();
    disk.set_bytes(first, stale);
    let refused = disk.fork();
    let names = segments(&refused);
    for name in &names[1..names.len() - 1] {
        refused.lose(name);
    }
    let before = refused.file_names();
    missing(&refused);
    assert_eq!(before, refused.file_names(), "a refused directory changed");
    let mut model = model;
    restarted(&disk, &mut model);
    assert!(!segments(&disk).contains(&first.to_string()));
}

#[test]
fn a_damaged_byte_of_a_trimmed_log_is_refused_where_it_is() {
    let (disk, mut model) = headless();
    for name in segments(&disk) {
        let bytes = disk.bytes(&name);
        let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
        // The watermark at the very end attests, and is attested by nothing.
        for at in (4096..used.saturating_sub(200)).step_by(97) {
            let damaged = disk.fork();
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            damaged.set_bytes(&name, bytes);
            match formed(damaged) {
                Err(StorageError::Corrupt { file, offset, .. }) => {
                    assert_eq!(file, format!("disk/{name}"));
                    assert!(usize::try_from(offset).unwrap() <= at);
                }
                other => panic!("{name} {at}: {other:?}"),
            }
        }
    }
    model.recovered(formed(disk).unwrap().1);
}

#[test]
fn a_log_goes_on_behind_a_snapshot_that_it_did_not_reach() {
    for synced in [false, true] {
        let disk = FaultDisk::new(1);
        let (mut store, mut model) = fresh(disk.clone());
        append(&mut store, &mut model, &[10, 20, 30]);
        let (slot, chain) = (Slot::new(100), Chain::new(7));
        name(&disk, &mut store, &mut model, slot, chain);
        if synced {
            append(&mut store, &mut model, &[40, 50]);
        }
        drop(store);
        disk.power_cycle();
        let (mut store, base) = restarted(&disk, &mut model);
        assert_eq!(base, Slot::new(100));
        // Twice: what is written after the restart must stand behind the same snapshot.
        append(&mut store, &mut model, &[60]);
        drop(store);
        let (mut store, base) = restarted(&disk, &mut model);
        assert_eq!(base, Slot::new(100));
        trim(&disk, &mut store, &mut model, 100);
        drop(store);
        restarted(&disk, &mut model);
    }
}

#[test]
fn a_tail_behind_an_installed_snapshot_stays_if_it_is_of_the_same_log() {
    for same in [false, true] {
        let disk = FaultDisk::new(1);
        let (mut store, mut model) = fresh(disk.clone());
        append(&mut store, &mut model, &[10, 20, 30]);
        let slot = Slot::new(2);
        let chain = model.state.chain_at(slot).filter(|_| same);
        let chain = chain.unwrap_or(Chain::new(7));
        name(&disk, &mut store, &mut model, slot, chain);
        drop(store);
        let (mut store, _) = restarted(&disk, &mut model);
        assert_eq!(model.state.last().get(), if same { 3 } else { 2 });
        append(&mut store, &mut model, &[40]);
        drop(store);
        restarted(&disk, &mut model);
    }
}
