//! Snapshot files: full disks, failing syncs, transfers, and what a start checks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chil::ports::SnapshotStorage;
use chil::storage::snapshot_thread::SnapshotThread;
use chil::storage::{Disk, RealDisk, SnapshotDone, SnapshotJob, Snapshots, Store};
use chil_core::{Applier, NodeId, SessionLimits, Slot, SnapshotId, SnapshotPolicy};

use crate::fault_disk::FaultDisk;
use crate::machine::{Machine, Panicking, Remote, Sluggish, catch_up, freeze};
use crate::model::{Model, formed, fresh, open};

/// A store with some decided entries, and a machine that has executed them.
pub(crate) fn decided(disk: &FaultDisk) -> (Store<FaultDisk>, Model, Applier<Machine>) {
    let (mut store, mut model) = fresh(disk.clone());
    let mut applier = Applier::new(Machine::default());
    decide(&mut store, &mut model, &mut applier);
    (store, model, applier)
}

fn decide(store: &mut Store<FaultDisk>, model: &mut Model, applier: &mut Applier<Machine>) {
    let record = model.append(&[10, 20]);
    let appended = model.persist(vec![record]);
    let last = model.state.last();
    let record = model.change(last.get(), &[], last.get());
    for persist in [appended, model.persist(vec![record])] {
        store.write(&persist).unwrap();
    }
    store.sync().unwrap();
    model.all_synced();
    catch_up(applier, model, last);
}

fn name(store: &mut Store<FaultDisk>, model: &mut Model, id: SnapshotId) {
    let record = model.names(id);
    store.write(&model.persist(vec![record])).unwrap();
    model.all_synced();
}

pub(crate) fn files(disk: &FaultDisk) -> Vec<String> {
    let mut names = disk.file_names();
    names.retain(|name| name.starts_with("snap") || name.starts_with("part"));
    names
}

#[test]
fn a_full_disk_ends_a_snapshot_and_not_the_log() {
    for room in [0, 1, 40_000] {
        let disk = FaultDisk::new(1);
        let (mut store, mut model, mut applier) = decided(&disk);
        let mut snapshots = store.snapshots(&model.state).unwrap();
        disk.set_room(Some(room));
        let error = snapshots.take(&freeze(&applier, &model)).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(files(&disk), [""; 0], "its room is given back");
        // The log has room in its segment, and does without the next one for now.
        disk.set_room(Some(0));
        decide(&mut store, &mut model, &mut applier);
        while store.preparation_due() {
            store.prepare().unwrap();
        }
        disk.set_room(None);
        let id = snapshots.take(&freeze(&applier, &model)).unwrap();
        name(&mut store, &mut model, id);
        disk.power_cycle();
        model.recovered(formed(disk).unwrap().1);
    }
}

#[test]
fn the_next_segment_is_made_once_there_is_room_again() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model) = fresh(disk.clone());
    let before = disk.file_names().len();
    disk.set_room(Some(0));
    for i in 0..40 {
        if i == 12 {
            disk.set_room(None);
        }
        let record = model.append(&[10]);
        store.write(&model.persist(vec![record])).unwrap();
        store.sync().unwrap();
        model.all_synced();
        while store.preparation_due() {
            store.prepare().unwrap();
        }
    }
    assert!(disk.file_names().len() > before, "{:?}", disk.file_names());
    drop(store);
    model.recovered(formed(disk).unwrap().1);
}

#[test]
fn a_full_disk_delays_a_transfer() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let remote = Remote::of(&applier, &model);
    disk.set_room(Some(50_000));
    assert!(remote.send(&mut snapshots, remote.bytes.len()).is_err());
    let have = snapshots.have(&remote.id);
    assert!(0 < have && have <= 50_000, "{have}");
    disk.set_room(None);
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    assert!(snapshots.finish(&remote.id).unwrap());
}

#[test]
fn what_a_failed_sync_leaves_is_never_trusted() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let remote = Remote::of(&applier, &model);
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    disk.fail_syncs(true);
    assert!(snapshots.take(&freeze(&applier, &model)).is_err());
    assert!(snapshots.finish(&remote.id).is_err());
    disk.fail_syncs(false);
    assert_eq!((files(&disk).len(), snapshots.have(&remote.id)), (0, 0));
    assert_eq!(snapshots.read(&remote.id, 0, 10).unwrap(), None);
    // Written anew, it is as good as any.
    remote.send(&mut snapshots, remote.bytes.len()).unwrap();
    assert!(snapshots.finish(&remote.id).unwrap());
    let id = snapshots.take(&freeze(&applier, &model)).unwrap();
    assert_eq!(id, remote.id);
    name(&mut store, &mut model, id);
    disk.power_cycle();
    let (store, recovered) = formed(disk).unwrap();
    let mut again = Applier::new(Machine::default());
    let mut snapshots = store.snapshots(&recovered).unwrap();
    snapshots.restore(&id, &mut again).unwrap();
    assert_eq!(again.digest(), applier.digest());
}

#[test]
fn a_snapshot_of_other_limits_of_sessions_is_not_kept() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let limits = SessionLimits {
        sessions_max: 7,
        ..SessionLimits::default()
    };
    let mut other = Applier::with_limits(Machine::default(), SnapshotPolicy::default(), limits);
    catch_up(&mut other, &model, applier.applied());
    let mut membership = model.state.meta.membership.clone();
    membership.sessions = limits;
    let mut bytes = Vec::new();
    let id = other.freeze(&membership).write_to(&mut bytes).unwrap();
    assert_eq!(snapshots.write(&id, 0, &bytes).unwrap(), id.bytes);
    assert!(!snapshots.finish(&id).unwrap(), "it is another cluster's");
    assert_eq!(files(&disk), [""; 0]);
}

#[test]
fn nothing_goes_on_after_a_failed_sync_of_the_directory() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let frozen = freeze(&applier, &model);
    disk.fail_dir_syncs(true);
    assert!(snapshots.take(&frozen).is_err());
    disk.fail_dir_syncs(false);
    let error = snapshots.take(&frozen).unwrap_err().to_string();
    assert!(error.contains("only a restart"), "{error}");
    let remote = Remote::of(&applier, &model);
    assert!(remote.send(&mut snapshots, 10).is_err());
}

#[test]
fn a_transfer_takes_what_fits_and_nothing_else() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let Remote { id, bytes } = Remote::of(&applier, &model);
    assert_eq!(snapshots.write(&id, 5, &bytes[5..10]).unwrap(), 0, "a hole");
    assert_eq!(snapshots.write(&id, 0, &bytes[..100]).unwrap(), 100);
    assert_eq!(snapshots.write(&id, 0, &[0; 100]).unwrap(), 100, "known");
    assert_eq!(snapshots.write(&id, 200, &bytes[200..300]).unwrap(), 100);
    assert_eq!(snapshots.write(&id, 50, &bytes[50..150]).unwrap(), 150);
    let beyond = vec![0; bytes.len()];
    assert_eq!(snapshots.write(&id, 150, &beyond).unwrap(), 150);
    assert!(!snapshots.finish(&id).unwrap(), "not all of it is there");
    assert_eq!(snapshots.have(&id), 0, "it was thrown away");
    let mut bad = bytes.clone();
    bad[70_000] ^= 1;
    assert_eq!(snapshots.write(&id, 0, &bad).unwrap(), id.bytes);
    assert!(!snapshots.finish(&id).unwrap(), "it is damaged");
    assert_eq!(files(&disk), [""; 0]);
    // Sound, and another one.
    let other = SnapshotId {
        slot: id.slot.next(),
        ..id
    };
    assert_eq!(snapshots.write(&other, 0, &bytes).unwrap(), id.bytes);
    assert!(!snapshots.finish(&other).unwrap());
    assert_eq!(snapshots.write(&id, 0, &bytes).unwrap(), id.bytes);
    assert!(snapshots.finish(&id).unwrap());
    let part = snapshots.read(&id, id.bytes - 9, 100).unwrap().unwrap();
    assert_eq!(part, bytes[bytes.len() - 9..], "no more than there is");
}

#[test]
fn a_transfer_goes_on_after_a_restart_from_its_last_good_block() {
    for damaged_at in [None, Some(65_600), Some(100)] {
        let disk = FaultDisk::new(1);
        let (store, mut model, applier) = decided(&disk);
        let mut snapshots = store.snapshots(&model.state).unwrap();
        let remote = Remote::of(&applier, &model);
        let len = remote.bytes.len();
        remote.send(&mut snapshots, len - 1).unwrap();
        drop((store, snapshots));
        disk.process_restart();
        let name = files(&disk).pop().unwrap();
        if let Some(at) = damaged_at {
            let mut bytes = disk.bytes(&name);
            bytes[at] ^= 1;
            disk.set_bytes(&name, bytes);
        }
        let (store, recovered) = formed(disk.clone()).unwrap();
        let partial = recovered.partial;
        model.recovered(recovered.clone());
        if damaged_at == Some(100) {
            assert_eq!((partial, files(&disk).len()), (None, 0));
            continue;
        }
        let partial = partial.unwrap();
        assert_eq!((partial.id, partial.have), (remote.id, 65_548));
        let mut snapshots = store.snapshots(&recovered).unwrap();
        remote.send(&mut snapshots, len).unwrap();
        assert!(snapshots.finish(&remote.id).unwrap());
    }
}

/// A crash can leave two transfers: one that goes on, and one that had only just begun.
#[test]
fn a_transfer_that_has_nothing_yet_does_not_displace_one_that_has() {
    let disk = FaultDisk::new(1);
    let (store, mut model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let remote = Remote::of(&applier, &model);
    remote.send(&mut snapshots, remote.bytes.len() - 1).unwrap();
    drop((store, snapshots));
    disk.process_restart();
    let begun = files(&disk).pop().unwrap();
    let (slot, rest) = begun.split_at("part-0123456789abcdef".len());
    let slot = u64::from_str_radix(&slot["part-".len()..], 16).unwrap();
    let later = format!("part-{:016x}{rest}", slot + 1);
    disk.clone().open(&later, true).unwrap();
    let (_store, recovered) = formed(disk.clone()).unwrap();
    model.recovered(recovered.clone());
    assert_eq!(recovered.partial.map(|partial| partial.id), Some(remote.id));
    assert_eq!(files(&disk), [begun]);
}

#[test]
fn the_newest_two_snapshots_are_kept() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model, mut applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let id = snapshots.take(&freeze(&applier, &model)).unwrap();
        name(&mut store, &mut model, id);
        snapshots.forget(&id).unwrap();
        ids.push(id);
        assert_eq!(files(&disk).len(), ids.len().min(2));
        decide(&mut store, &mut model, &mut applier);
    }
    // One that nothing names yet goes with the next start, and so does an unfinished one.
    snapshots.take(&freeze(&applier, &model)).unwrap();
    let before = files(&disk).len();
    let newest = ids.split_off(2);
    let kept = |id| snapshots.read(id, 0, 1).unwrap().is_some();
    assert_eq!(newest.iter().map(kept).collect::<Vec<_>>(), [true, true]);
    drop(formed(disk.clone()).unwrap());
    assert_eq!((before, files(&disk).len()), (3, 2));
}

/// However often there is something newer, a peer can finish what it has begun to fetch.
#[test]
fn what_is_being_fetched_is_kept() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model, mut applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let mut take = |snapshots: &mut Snapshots<FaultDisk>| {
        let id = snapshots.take(&freeze(&applier, &model)).unwrap();
        name(&mut store, &mut model, id);
        snapshots.forget(&id).unwrap();
        decide(&mut store, &mut model, &mut applier);
        id
    };
    let fetched = take(&mut snapshots);
    for offset in 0..5 {
        assert!(snapshots.read(&fetched, offset, 1).unwrap().is_some());
        take(&mut snapshots);
    }
    assert_eq!(files(&disk).len(), 3, "the newest two, and what is fetched");
    take(&mut snapshots);
    assert_eq!(files(&disk).len(), 2, "nobody has asked for a part since");
    assert!(snapshots.read(&fetched, 5, 1).unwrap().is_none());
}

#[test]
fn a_start_misses_the_snapshot_that_the_log_begins_behind() {
    let disk = FaultDisk::new(1);
    let (mut store, mut model, applier) = decided(&disk);
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let id = snapshots.take(&freeze(&applier, &model)).unwrap();
    name(&mut store, &mut model, id);
    drop((store, snapshots));
    let file = files(&disk).pop().unwrap();
    let whole = disk.bytes(&file);
    disk.clone().open("snap.tmp", true).unwrap();
    for len in [None, Some(0), Some(whole.len() - 1)] {
        let disk = disk.fork();
        match len {
            None => disk.lose(&file),
            Some(len) => disk.set_bytes(&file, whole[..len].to_vec()),
        }
        let before = disk.file_names();
        let error = open(disk.clone()).unwrap_err().to_string();
        assert!(
            error.contains(&file) && error.contains("bring this"),
            "{error}"
        );
        assert_eq!(before, disk.file_names(), "a refused directory was changed");
    }
    // Damage inside is found by who restores it.
    let mut bad = whole;
    bad[60_000] ^= 1;
    disk.set_bytes(&file, bad);
    let (store, recovered) = formed(disk.clone()).unwrap();
    let mut snapshots = store.snapshots(&recovered).unwrap();
    let error = snapshots
        .restore(&id, &mut Applier::new(Machine::default()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&file) && error.contains("damaged"),
        "{error}"
    );
    assert_eq!(files(&disk), [file]);
}

async fn next(thread: &mut SnapshotThread<Machine>) -> SnapshotDone<Machine> {
    let done = tokio::time::timeout(Duration::from_secs(30), thread.completed()).await;
    done.unwrap().unwrap()
}

#[tokio::test]
async fn the_thread_does_jobs_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut model) = fresh(RealDisk::open(dir.path()).unwrap());
    let mut applier = Applier::new(Machine::default());
    let record = model.append(&[5, 6, 7]);
    model.persist(vec![record]);
    catch_up(&mut applier, &model, Slot::new(3));
    let remote = Remote::of(&applier, &model);
    let Remote { id, bytes } = remote;
    let mut thread = SnapshotThread::start(store.snapshots(&model.state).unwrap()).unwrap();
    let half = bytes.len() / 2;
    thread.submit(SnapshotJob::Take(freeze(&applier, &model)));
    for part in [0..half, half..bytes.len()] {
        thread.submit(SnapshotJob::Write {
            id,
            offset: part.start as u64,
            bytes: Bytes::copy_from_slice(&bytes[part]),
        });
    }
    thread.submit(SnapshotJob::Finish { id });
    let mut seen = Vec::new();
    for _ in 0..4 {
        match next(&mut thread).await {
            SnapshotDone::Taken(taken) => assert_eq!(taken.unwrap(), id),
            SnapshotDone::Written { have, result, .. } => {
                result.unwrap();
                seen.push((have, false));
            }
            SnapshotDone::Finished { sound, .. } => {
                seen.push((0, sound.unwrap()));
            }
            other => panic!("{other:?}"),
        }
    }
    // Parts of one transfer are done in order, whatever else is.
    assert_eq!(seen, [(half as u64, false), (id.bytes, false), (0, true)]);
    let to = NodeId::new(4);
    let (offset, len) = (10, 20);
    thread.submit(SnapshotJob::Read {
        to,
        id,
        offset,
        len,
    });
    match next(&mut thread).await {
        SnapshotDone::Read { bytes: part, .. } => {
            assert_eq!(part.unwrap().unwrap(), bytes[10..30]);
        }
        other => panic!("{other:?}"),
    }
    let applier = Box::new(Applier::new(Machine::default()));
    thread.submit(SnapshotJob::Restore { id, applier });
    thread.submit(SnapshotJob::Forget { keep: id });
    match next(&mut thread).await {
        SnapshotDone::Restored {
            applier, result, ..
        } => assert_eq!(result.unwrap().state_digest, applier.digest()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        next(&mut thread).await,
        SnapshotDone::Forgotten(Ok(()))
    ));
    drop(store);
    // Both have to let go of the directory.
    assert!(RealDisk::open(dir.path()).is_err());
    thread.close().await;
    RealDisk::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_part_that_finds_no_room_is_reported_late_and_blocks_nothing() {
    let disk = FaultDisk::new(1);
    let (store, model, applier) = decided(&disk);
    let Remote { id, bytes } = Remote::of(&applier, &model);
    let snapshots = store.snapshots(&model.state).unwrap();
    let mut thread: SnapshotThread<Machine> = SnapshotThread::start(snapshots).unwrap();
    disk.set_room(Some(0));
    let bytes = Bytes::from(bytes);
    let write = || SnapshotJob::Write {
        id,
        offset: 0,
        bytes: bytes.clone(),
    };
    thread.submit(write());
    match next(&mut thread).await {
        SnapshotDone::Written {
            have: 0, result, ..
        } => assert!(result.is_err()),
        other => panic!("{other:?}"),
    }
    disk.set_room(None);
    thread.submit(write());
    match next(&mut thread).await {
        SnapshotDone::Written { have, result, .. } => {
            result.unwrap();
            assert_eq!(have, id.bytes);
        }
        other => panic!("{other:?}"),
    }
    thread.close().await;
}

#[tokio::test]
async fn a_panic_of_the_machine_stops_the_node() {
    let disk = FaultDisk::new(1);
    let (_, model, applier) = decided(&disk);
    let mut snapshots = Snapshots::new(disk, None, SessionLimits::default());
    let id = snapshots.take(&freeze(&applier, &model)).unwrap();
    let mut thread = SnapshotThread::start(snapshots).unwrap();
    let applier = Box::new(Applier::new(Panicking));
    thread.submit(SnapshotJob::Restore { id, applier });
    let error = thread.completed().await.unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
    let more = tokio::time::timeout(Duration::from_millis(50), thread.completed()).await;
    assert!(more.is_err(), "an error comes once");
}

/// Closes the thread while it works on a snapshot.
async fn closes_at_once(thread: SnapshotThread<Sluggish>, busy: &AtomicBool) {
    let begun = async {
        while !busy.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, begun).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(2), thread.close()).await;
    closed.expect("it does not wait until the snapshot is done");
}

#[tokio::test]
async fn long_work_is_given_up_when_the_node_ends() {
    let disk = FaultDisk::new(1);
    let (store, model, _) = decided(&disk);
    let membership = &model.state.meta.membership;
    let mut snapshots = store.snapshots(&model.state).unwrap();
    let mut machine = Sluggish::default();
    let frozen = Applier::new(machine.clone()).freeze(membership);
    let mut thread = SnapshotThread::start(store.snapshots(&model.state).unwrap()).unwrap();
    thread.submit(SnapshotJob::Take(frozen));
    closes_at_once(thread, &machine.busy).await;
    assert_eq!(files(&disk), [""; 0], "nothing of it is left");

    machine.ends = true;
    let frozen = Applier::new(machine.clone()).freeze(membership);
    let id = snapshots.take(&frozen).unwrap();
    machine.busy.store(false, Ordering::Release);
    let mut thread = SnapshotThread::start(snapshots).unwrap();
    let applier = Box::new(Applier::new(machine.clone()));
    thread.submit(SnapshotJob::Restore { id, applier });
    closes_at_once(thread, &machine.busy).await;
    assert_eq!(files(&disk).len(), 1, "the snapshot is sound");
}
