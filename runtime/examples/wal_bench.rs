//! What a durable batch costs: the store next to a bare write and `fdatasync` on the same disk.
//! Knows nothing about the protocol; run it with `--release`.
//!
//! ```text
//! cargo run --release -p chil --example wal_bench [directory]
//! ```
//! Each line is a batch of records of 256 bytes. Rounds of all kinds take turns, so that a disk
//! that changes its mood does so for each; figures are medians. `bare` writes the payloads alone,
//! into zeros that are on disk already: no log can be faster. `one change` is the batch as one
//! transaction, `each` as a transaction a record, `thread` as one change through the WAL thread.

#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chil::ports::Storage;
use chil::storage::thread::WalThread;
use chil::storage::{Disk, DiskFile, Opened, RealDisk, RealFile, Store};
use chil_core::{
    Ballot, Chain, Command, DiskId, Entry, EntryKind, Epoch, LogChange, Lsn, Member, Membership,
    Meta, NodeId, Persist, Record, Slot,
};

const BATCHES: [usize; 5] = [1, 16, 64, 256, 1024];
const ROUNDS: usize = 300;
const RECORD_LEN: usize = 256;
const NAME: &str = "bench";
const DISK: DiskId = DiskId::new(1);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    println!("medians of {ROUNDS} rounds in us, records of {RECORD_LEN} bytes; ratios to bare");
    println!("records     bare   one change          each        thread");
    for (i, batch) in BATCHES.into_iter().enumerate() {
        println!("{}", measure(&dir.path().join(i.to_string()), batch)?);
    }
    Ok(())
}

fn measure(dir: &Path, batch: usize) -> Result<String, Box<dyn Error>> {
    let mut bare = Bare::create(&dir.join("bare"))?;
    let mut whole = Log::create(&dir.join("whole"))?;
    let mut each = Log::create(&dir.join("each"))?;
    let mut threaded = Log::create(&dir.join("threaded"))?;
    let mut thread = WalThread::start(threaded.store.take().ok_or("just created")?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(bare.round(batch)?);
        times[1].push(whole.round(&[batch])?);
        times[2].push(each.round(&vec![1; batch])?);
        let persist = threaded.persist(batch);
        let last = persist.lsn;
        let started = Instant::now();
        thread.submit(persist);
        while runtime.block_on(thread.completed())? < last {}
        times[3].push(started.elapsed());
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    });
    let [bare, whole, each, threaded] = medians;
    let figure = |of: f64| format!("{of:6.0} ({:4.2})", of / bare);
    let figures = [figure(whole), figure(each), figure(threaded)];
    Ok(format!("{batch:7} {bare:8.0} {}", figures.join(" ")))
}

/// Payloads into a file of zeros.
struct Bare {
    _disk: RealDisk,
    file: RealFile,
    at: u64,
}

impl Bare {
    const LEN: u64 = 16 << 20;

    fn create(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let mut disk = RealDisk::open(dir)?;
        let mut file = disk.open("file", true)?;
        let zeros = vec![0; 1 << 20];
        for i in 0..Self::LEN >> 20 {
            file.write_all_at(&zeros, i << 20)?;
        }
        file.sync()?;
        disk.sync_dir()?;
        Ok(Self {
            _disk: disk,
            file,
            at: 0,
        })
    }

    fn round(&mut self, batch: usize) -> Result<Duration, Box<dyn Error>> {
        let bytes = vec![7; batch * RECORD_LEN];
        if self.at + bytes.len() as u64 > Self::LEN {
            self.at = 0;
        }
        let started = Instant::now();
        self.file.write_all_at(&bytes, self.at)?;
        self.file.sync()?;
        self.at += bytes.len() as u64;
        Ok(started.elapsed())
    }
}

/// A store, and the log that it is given.
struct Log {
    store: Option<Store<RealDisk>>,
    chain: Chain,
    slot: Slot,
    lsn: Lsn,
}

impl Log {
    fn create(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let Opened::Unformed(empty) = Store::open(RealDisk::open(dir)?, NAME, DISK)? else {
            return Err("the directory is in use".into());
        };
        let member = Member {
            name: NAME.to_string(),
            disk: DISK,
            addr: String::new(),
            weight: 1,
        };
        let membership = Membership::new(Epoch::FIRST, [member])?;
        let node = NodeId::from_name(NAME).ok_or("the name has no id")?;
        let meta = Meta::format(membership.cluster_id(), node, DISK, membership);
        let (store, _) = empty.form(&meta)?;
        Ok(Self {
            store: Some(store),
            chain: Chain::EMPTY,
            slot: Slot::ZERO,
            lsn: Lsn::start_of(1),
        })
    }

    /// A persist with so many entries.
    fn persist(&mut self, count: usize) -> Persist {
        let keep = self.slot;
        let acc = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            self.slot = self.slot.next();
            let payload = Bytes::from(vec![7; RECORD_LEN]);
            let kind = EntryKind::Command(Command::sessionless(payload));
            let entry = Entry::new(self.chain, self.slot, acc, kind);
            self.chain = entry.chain();
            entries.push(entry);
        }
        self.lsn = self.lsn.next();
        let change = LogChange {
            keep,
            entries,
            acc,
            commit: keep,
            commit_in: acc,
        };
        Persist {
            lsn: self.lsn,
            records: vec![Record::Log(change)],
        }
    }

    /// A batch of one persist for each count.
    fn round(&mut self, counts: &[usize]) -> Result<Duration, Box<dyn Error>> {
        let persists: Vec<_> = counts.iter().map(|count| self.persist(*count)).collect();
        let store = self.store.as_mut().ok_or("the store is elsewhere")?;
        // Done between two batches by the thread as well: nothing that a batch waits for.
        while store.preparation_due() {
            store.prepare()?;
        }
        let started = Instant::now();
        for persist in &persists {
            store.write(persist)?;
        }
        store.sync()?;
        Ok(started.elapsed())
    }
}
