//! Transfers of snapshots that do not come to their end: what a next start makes of them.
//! Knows nothing about who sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chil_core::Applier;

use crate::fault_disk::FaultDisk;
use crate::machine::{Machine, Remote};
use crate::model::formed;
use crate::snapshots::{decided, files};

#[test]
fn a_transfer_that_the_end_of_the_node_interrupts_is_kept() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let remote = Remote::of(&applier, &model);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let stopped = Arc::new(AtomicBool::new(true));
    snapshots.stop_with(Arc::clone(&stopped));
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    assert!(snapshots.finish(&remote.id).is_err());
    assert_eq!(snapshots.have(&remote.id), remote.id.bytes);
    stopped.store(false, Ordering::Release);
    assert!(snapshots.finish(&remote.id).unwrap());
}

#[test]
fn a_transfer_whose_sync_fails_while_the_node_ends_is_thrown_away() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let remote = Remote::of(&applier, &model);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    snapshots.stop_with(Arc::clone(&stopped));
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    disk.tell_failed_sync(Arc::clone(&stopped));
    disk.fail_syncs(true);
    assert!(snapshots.finish(&remote.id).is_err());
    assert!(stopped.load(Ordering::Acquire), "it ended meanwhile");
    disk.fail_syncs(false);
    drop((store, snapshots));
    // The page cache still has what the disk does not.
    disk.process_restart();
    let (store, recovered) = formed(disk.clone()).unwrap();
    assert_eq!(recovered.partial, None);
    let mut snapshots = store.snapshots(&recovered).unwrap();
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    assert!(snapshots.finish(&remote.id).unwrap());
    disk.power_cycle();
    let mut again = Applier::new(Machine::default());
    snapshots.restore(&remote.id, &mut again).unwrap();
    assert_eq!(again.digest(), applier.digest());
}

#[test]
fn a_transfer_that_cannot_be_read_does_not_stand_in_the_way_of_a_start() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let remote = Remote::of(&applier, &model);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    drop((store, snapshots));
    disk.process_restart();
    disk.fail_reads(&files(&disk)[0]);
    let (_store, recovered) = formed(disk.clone()).unwrap();
    assert_eq!(recovered.partial, None);
    assert_eq!(files(&disk), [""; 0]);
}
