//! The same on real files, and the thread that the node uses.

use std::time::Duration;

use chil::ports::Storage;
use chil::storage::thread::WalThread;
use chil::storage::{Disk, DiskFile, Opened, RealDisk, StorageError, Store};
use chil_core::Lsn;

use crate::fault_disk::FaultDisk;
use crate::model::{DISK, Model, NAME, OPTIONS, first_meta, formed, fresh, unformed};

#[test]
fn what_was_synced_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    // Parents are created as well.
    let path = dir.path().join("a/b");
    let (mut store, mut model) = fresh(RealDisk::open(&path).unwrap());
    for _ in 0..5 {
        for records in [
            vec![model.append(&[100, 2_000, 5])],
            vec![model.meta()],
            vec![model.append(&[9_000])],
        ] {
            // A record is made for the state that it meets: build them one by one.
            let record = match &records[0] {
                chil_core::Record::Meta(_) => model.meta(),
                chil_core::Record::Log(change) => model.append(&vec![50; change.entries.len()]),
                chil_core::Record::Trim(to) => chil_core::Record::Trim(*to),
            };
            store.write(&model.persist(vec![record])).unwrap();
        }
        store.sync().unwrap();
        model.all_synced();
        drop(store);
        let recovered;
        (store, recovered) = formed(RealDisk::open(&path).unwrap()).unwrap();
        model.recovered(recovered);
    }
}

#[test]
fn the_default_options_work_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let Opened::Unformed(empty) = Store::open(disk, NAME, DISK).unwrap() else {
        panic!("an empty directory is formed");
    };
    let (mut store, recovered) = empty.form(&first_meta(DISK)).unwrap();
    let mut model = Model::new(recovered);
    let record = model.append(&[1 << 20; 40]);
    store.write(&model.persist(vec![record])).unwrap();
    store.sync().unwrap();
    model.all_synced();
    drop(store);
    let disk = RealDisk::open(dir.path()).unwrap();
    let Opened::Formed(_, recovered) = Store::open(disk, NAME, DISK).unwrap() else {
        panic!("a formed directory is not");
    };
    model.recovered(recovered);
}

#[test]
fn a_directory_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = unformed(RealDisk::open(dir.path()).unwrap());
    match RealDisk::open(dir.path()) {
        Err(StorageError::Locked(path)) => assert_eq!(path, dir.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    drop(first);
    RealDisk::open(dir.path()).unwrap();
}

#[test]
fn a_place_that_cannot_be_a_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = RealDisk::open(&path).unwrap_err().to_string();
        assert!(error.contains(&*path.display().to_string()), "{error}");
        assert!(error.contains("data directory"), "{error}");
    }
}

#[test]
fn real_files_do_what_the_trait_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = RealDisk::open(dir.path()).unwrap();
    let missing = disk.open("a", false).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let mut file = disk.open("a", true).unwrap();
    assert!(file.is_empty().unwrap());
    file.write_all_at(b"hello", 3).unwrap();
    file.sync().unwrap();
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"\0\0\0hello");
    file.set_len(10).unwrap();
    assert_eq!(file.len().unwrap(), 10);
    let past = file.read_exact_at(&mut bytes, 3).unwrap_err();
    assert_eq!(past.kind(), std::io::ErrorKind::UnexpectedEof);
    disk.rename("a", "b").unwrap();
    disk.open("c", true).unwrap();
    assert_eq!(disk.list().unwrap(), ["b", "c"], "the lock is no content");
    disk.remove("c").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
}

#[tokio::test]
async fn the_thread_reports_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut model) = fresh(RealDisk::open(dir.path()).unwrap());
    let mut wal = WalThread::start(store).unwrap();
    let stats = wal.stats();
    let mut last = Lsn::default();
    for i in 0..200 {
        let record = if i % 50 == 10 {
            model.meta()
        } else {
            model.append(&[100])
        };
        let persist = model.persist(vec![record]);
        last = persist.lsn;
        wal.submit(persist);
        if i % 7 == 0 {
            assert!(wal.completed().await.unwrap() <= last);
        }
    }
    while wal.completed().await.unwrap() < last {}
    model.all_synced();
    assert_eq!(stats.persists(), 200);
    assert_eq!(stats.histogram().iter().sum::<u64>(), stats.batches());
    assert!(stats.batches() <= 200 && stats.time_max() <= stats.time_total());
    wal.close().await;
    let (_, recovered) = formed(RealDisk::open(dir.path()).unwrap()).unwrap();
    model.recovered(recovered);
}

#[tokio::test]
async fn closing_finishes_what_was_submitted() {
    let disk = FaultDisk::new(1);
    let (store, mut model) = fresh(disk.clone());
    let mut wal = WalThread::start(store).unwrap();
    for _ in 0..100 {
        let record = model.append(&[100]);
        wal.submit(model.persist(vec![record]));
    }
    wal.close().await;
    model.all_synced();
    disk.power_cycle();
    model.recovered(formed(disk).unwrap().1);
}

#[tokio::test]
async fn an_idle_thread_marks_what_is_durable() {
    let disk = FaultDisk::new(1);
    let (store, mut model) = fresh(disk.clone());
    let mut wal = WalThread::start(store).unwrap();
    let record = model.append(&[100]);
    wal.submit(model.persist(vec![record]));
    wal.completed().await.unwrap();
    let after = disk.syncs();
    tokio::time::timeout(Duration::from_secs(10), async {
        while disk.syncs() == after {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_error_comes_once() {
    let disk = FaultDisk::new(1);
    let (store, mut model) = fresh(disk.clone());
    let mut wal = WalThread::start(store).unwrap();
    disk.fail_syncs(true);
    let record = model.append(&[100]);
    wal.submit(model.persist(vec![record]));
    let error = wal.completed().await.unwrap_err().to_string();
    assert!(error.contains("cannot sync"), "{error}");
    let record = model.append(&[100]);
    wal.submit(model.persist(vec![record]));
    let more = tokio::time::timeout(Duration::from_millis(50), wal.completed()).await;
    assert!(more.is_err(), "{more:?}");
    wal.close().await;
}

#[tokio::test]
async fn a_record_that_does_not_fit_stops_the_node() {
    let disk = FaultDisk::new(1);
    let (store, mut model) = fresh(disk.clone());
    let mut wal = WalThread::start(store).unwrap();
    let record = model.append(&[100]);
    let persist = model.persist(vec![record]);
    wal.submit(persist.clone());
    wal.submit(persist);
    let error = loop {
        if let Err(error) = wal.completed().await {
            break error.to_string();
        }
    };
    assert!(error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn dropping_does_not_wait_and_frees_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut model) = fresh(RealDisk::open(dir.path()).unwrap());
    let mut wal = WalThread::start(store).unwrap();
    for _ in 0..50 {
        let record = model.append(&[100]);
        wal.submit(model.persist(vec![record]));
    }
    drop(wal);
    let again = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match RealDisk::open(dir.path()) {
                Ok(disk) => break disk,
                Err(StorageError::Locked(_)) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await
    .unwrap();
    let opened = Store::open_with(again, NAME, DISK, OPTIONS).unwrap();
    let Opened::Formed(_, recovered) = opened else {
        panic!("{opened:?}")
    };
    model.recovered(recovered);
}
