//! How long a node with a long log takes to restart: without a snapshot, and with one and a tail.
//! Knows nothing about the protocol; run it with `--release`.
//!
//! ```text
//! cargo run --release -p chil --example restart_bench [slots [directory]]
//! ```
//! `open` reads the log back, `restore` brings the state machine to the snapshot, `replay` executes
//! what the log holds behind it. Commands are puts of 100 bytes to one of 100,000 keys.

#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chil::storage::{Opened, RealDisk, Store};
use chil_core::kv::{KeyValue, KvCommand};
use chil_core::{
    Applier, Ballot, Chain, Command, DiskId, Entry, EntryKind, Epoch, LogChange, Lsn, Member,
    Membership, Meta, NodeId, Persist, Record, Recovered, Slot, SnapshotMark,
};

const NAME: &str = "bench";
const DISK: DiskId = DiskId::new(1);
const KEYS: u64 = 100_000;
const BATCH: u64 = 1_000;
/// What the default policy leaves behind a snapshot at most.
const TAIL: u64 = 65_536;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let slots = match args.next() {
        Some(slots) => slots.to_str().ok_or("no number")?.parse()?,
        None => 1_000_000,
    };
    let dir = match args.next().map(PathBuf::from) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    println!("{slots} decided slots");
    println!("             entries   on disk      open   restore    replay");
    write_log(dir.path(), slots)?;
    println!("no snapshot  {}", restart(dir.path())?);
    take_snapshot(dir.path(), slots.saturating_sub(TAIL))?;
    println!("snapshot     {}", restart(dir.path())?);
    Ok(())
}

fn write_log(dir: &Path, slots: u64) -> Result<(), Box<dyn Error>> {
    let Opened::Unformed(empty) = Store::open(RealDisk::open(dir)?, NAME, DISK)? else {
        return Err("the directory is in use".into());
    };
    let (mut store, _) = empty.form(&first_meta()?)?;
    let (mut slot, mut chain, mut lsn) = (Slot::ZERO, Chain::EMPTY, Lsn::start_of(1));
    while slot.get() < slots {
        let keep = slot;
        let count = BATCH.min(slots - keep.get());
        let mut entries = Vec::new();
        for _ in 0..count {
            slot = slot.next();
            let entry = Entry::new(chain, slot, ballot(), put(slot));
            chain = entry.chain();
            entries.push(entry);
        }
        lsn = lsn.next();
        store.write(&log(lsn, keep, entries, slot))?;
        store.sync()?;
    }
    store.watermark()?;
    Ok(())
}

/// Opens the directory, and brings a state machine to the end of its log.
fn restart(dir: &Path) -> Result<String, Box<dyn Error>> {
    let mut on_disk = 0;
    for file in std::fs::read_dir(dir)? {
        on_disk += file?.metadata()?.len();
    }
    let started = Instant::now();
    let (store, recovered) = open(dir)?;
    let opened = started.elapsed();
    let started = Instant::now();
    let applier = restore(&store, &recovered)?;
    let restored = started.elapsed();
    let started = Instant::now();
    replay(applier, &recovered, recovered.commit);
    let replayed = started.elapsed();
    Ok(format!(
        "{:>7}  {:>4} MiB  {}",
        recovered.log.len(),
        on_disk >> 20,
        [opened, restored, replayed].map(millis).join(" ")
    ))
}

/// Takes a snapshot at `slot`, and trims what it stands for.
fn take_snapshot(dir: &Path, slot: u64) -> Result<(), Box<dyn Error>> {
    let (mut store, recovered) = open(dir)?;
    let applier = restore(&store, &recovered)?;
    let applier = replay(applier, &recovered, Slot::new(slot));
    let started = Instant::now();
    let frozen = applier.freeze(&recovered.meta.membership);
    let froze = started.elapsed();
    let started = Instant::now();
    let id = store.snapshots(&recovered)?.take(&frozen)?;
    println!(
        "             {id}: frozen in {} us, written in{}",
        froze.as_micros(),
        millis(started.elapsed())
    );
    let mut meta = recovered.meta.clone();
    meta.snap = Some(SnapshotMark {
        id,
        decided_in: ballot(),
    });
    let mut lsn = Lsn::start_of(2);
    for records in [
        vec![Record::Meta(Box::new(meta))],
        vec![
            log(lsn, recovered.last(), Vec::new(), recovered.commit)
                .records
                .remove(0),
            Record::Trim(id.slot),
        ],
    ] {
        lsn = lsn.next();
        store.write(&Persist { lsn, records })?;
    }
    while store.preparation_due() {
        store.prepare()?;
    }
    store.watermark()?;
    Ok(())
}

fn open(dir: &Path) -> Result<(Store<RealDisk>, Recovered), Box<dyn Error>> {
    match Store::open(RealDisk::open(dir)?, NAME, DISK)? {
        Opened::Formed(store, recovered) => Ok((store, recovered)),
        Opened::Unformed(_) => Err("the directory was not formed".into()),
    }
}

fn restore(
    store: &Store<RealDisk>,
    recovered: &Recovered,
) -> Result<Applier<KeyValue>, Box<dyn Error>> {
    let mut applier = Applier::new(KeyValue::default());
    if let Some(snap) = recovered.meta.snap {
        store
            .snapshots(recovered)?
            .restore(&snap.id, &mut applier)?;
    }
    Ok(applier)
}

fn replay(mut applier: Applier<KeyValue>, recovered: &Recovered, to: Slot) -> Applier<KeyValue> {
    for entry in &recovered.log {
        if applier.applied() < entry.slot() && entry.slot() <= to {
            applier.apply(entry);
        }
    }
    applier
}

fn put(slot: Slot) -> EntryKind {
    let command = KvCommand::put(
        Bytes::from(format!("key-{:06}", slot.get() % KEYS)),
        Bytes::from(vec![7; 100]),
    );
    EntryKind::Command(Command::sessionless(command.encode()))
}

fn log(lsn: Lsn, keep: Slot, entries: Vec<Entry>, commit: Slot) -> Persist {
    let change = LogChange {
        keep,
        entries,
        acc: ballot(),
        commit,
        commit_in: ballot(),
    };
    Persist {
        lsn,
        records: vec![Record::Log(change)],
    }
}

fn ballot() -> Ballot {
    Ballot::new(Epoch::FIRST, 1, NodeId::new(1))
}

fn first_meta() -> Result<Meta, Box<dyn Error>> {
    let member = Member {
        name: NAME.to_string(),
        disk: DISK,
        addr: String::new(),
        weight: 1,
    };
    let membership = Membership::new(Epoch::FIRST, [member])?;
    let node = NodeId::from_name(NAME).ok_or("the name has no id")?;
    Ok(Meta::format(
        membership.cluster_id(),
        node,
        DISK,
        membership,
    ))
}

fn millis(span: Duration) -> String {
    format!("{:>6.0} ms", span.as_secs_f64() * 1e3)
}
