//! What the store has to match: the records that were submitted, and how many of them are safe.
//! Knows nothing about files.

use bytes::Bytes;
use chil::storage::{Disk, DiskFile, Opened, StorageError, Store, StoreOptions, Unformed};
use chil_core::{
    Ballot, Chain, ClientId, Command, DiskId, Entry, EntryKind, Epoch, LogChange, Lsn, Member,
    Membership, Meta, NodeId, Persist, Record, Recovered, Slot, SnapshotId, SnapshotMark,
};

pub(crate) const NAME: &str = "node-1";
pub(crate) const DISK: DiskId = DiskId::new(0x00d1_5c00_d15c);
pub(crate) const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 8 << 10,
};

pub(crate) fn open<D: Disk>(disk: D) -> Result<Opened<D>, StorageError> {
    Store::open_with(disk, NAME, DISK, OPTIONS)
}

pub(crate) fn unformed<D: Disk>(disk: D) -> Unformed<D> {
    match open(disk).unwrap() {
        Opened::Unformed(unformed) => unformed,
        Opened::Formed(store, _) => panic!("formed already: {store:?}"),
    }
}

pub(crate) fn formed<D: Disk>(disk: D) -> Result<(Store<D>, Recovered), StorageError> {
    match open(disk)? {
        Opened::Formed(store, recovered) => Ok((store, recovered)),
        Opened::Unformed(unformed) => panic!("not formed any more: {unformed:?}"),
    }
}

pub(crate) fn first_meta(disk: DiskId) -> Meta {
    let member = Member {
        name: NAME.to_string(),
        disk,
        // Long enough for the metadata to take several sectors: it can be torn.
        addr: "localhost:7000".repeat(100),
        weight: 1,
    };
    let membership = Membership::new(Epoch::FIRST, [member]).unwrap();
    let node = NodeId::from_name(NAME).unwrap();
    Meta::format(membership.cluster_id(), node, disk, membership)
}

/// The submitted records in order.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    formatted: Recovered,
    history: Vec<Record>,
    /// So many of them are durable.
    synced: usize,
    /// The fold of them all.
    pub(crate) state: Recovered,
    lsn: Lsn,
}

impl Model {
    pub(crate) fn new(formatted: Recovered) -> Self {
        Self {
            state: formatted.clone(),
            formatted,
            history: Vec::new(),
            synced: 0,
            lsn: Lsn::start_of(1),
        }
    }

    /// The next persist with these records.
    pub(crate) fn persist(&mut self, records: Vec<Record>) -> Persist {
        self.lsn = self.lsn.next();
        self.history.extend(records.iter().cloned());
        for record in &records {
            self.state.fold(record);
        }
        Persist {
            lsn: self.lsn,
            records,
        }
    }

    /// A change that keeps `keep` slots and adds entries of these sizes.
    pub(crate) fn change(&self, keep: u64, sizes: &[usize], commit: u64) -> Record {
        let mut chain = self.state.chain_at(Slot::new(keep)).unwrap();
        let acc = Ballot::new(Epoch::FIRST, self.lsn.get(), NodeId::new(7));
        let mut entries = Vec::new();
        for (slot, size) in (keep + 1..).zip(sizes) {
            let fill = u8::try_from(self.lsn.get() % 251).unwrap();
            let command = Command {
                client: ClientId::new(slot),
                seq: self.lsn.get(),
                ack_floor: 1,
                payload: Bytes::from(vec![fill; *size]),
            };
            let kind = EntryKind::Command(command);
            let entry = Entry::new(chain, Slot::new(slot), acc, kind);
            chain = entry.chain();
            entries.push(entry);
        }
        Record::Log(LogChange {
            keep: Slot::new(keep),
            entries,
            acc,
            commit: Slot::new(commit),
            commit_in: acc,
        })
    }

    /// An append of entries of these sizes.
    pub(crate) fn append(&self, sizes: &[usize]) -> Record {
        let last = self.state.last().get();
        self.change(last, sizes, self.state.commit.get())
    }

    /// A metadata record that differs from the one before.
    pub(crate) fn meta(&self) -> Record {
        let mut meta = self.state.meta.clone();
        meta.boot += 1;
        meta.promised = Ballot::new(Epoch::FIRST, meta.boot, NodeId::new(3));
        Record::Meta(Box::new(meta))
    }

    /// Slot of the snapshot that the metadata names.
    pub(crate) fn snap(&self) -> Slot {
        self.state.meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot)
    }

    /// A metadata record that names a snapshot of `slot`: of this log, or of one that has another
    /// chain there.
    pub(crate) fn snapshot(&self, slot: Slot, chain: Chain) -> Record {
        self.names(SnapshotId {
            slot,
            chain,
            bytes: 100 + slot.get(),
            digest: chain.get() ^ u128::from(slot.get()),
        })
    }

    /// A metadata record that names this snapshot.
    pub(crate) fn names(&self, id: SnapshotId) -> Record {
        let mut meta = self.state.meta.clone();
        meta.snap = Some(SnapshotMark {
            id,
            decided_in: Ballot::new(Epoch::FIRST, self.lsn.get(), NodeId::new(9)),
        });
        Record::Meta(Box::new(meta))
    }

    /// Entries behind what is decided, of another log than this one.
    pub(crate) fn forged(&self, count: u8) -> Vec<Entry> {
        let mut chain = self.state.chain_at(self.state.commit).unwrap();
        let commit = self.state.commit.get();
        (commit + 1..=commit + u64::from(count))
            .map(|slot| {
                let command = Command::sessionless(Bytes::from_static(b"forged"));
                let kind = EntryKind::Command(command);
                let entry = Entry::new(chain, Slot::new(slot), Ballot::default(), kind);
                chain = entry.chain();
                entry
            })
            .collect()
    }

    /// Trims to `to`, as the core does it: what else the log said is stated again first.
    pub(crate) fn trim(&self, to: Slot) -> Vec<Record> {
        let state = &self.state;
        let restated = LogChange {
            keep: state.last(),
            entries: Vec::new(),
            acc: state.acc,
            commit: state.commit,
            commit_in: state.commit_in,
        };
        vec![Record::Log(restated), Record::Trim(to)]
    }

    /// The last persist.
    pub(crate) const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Everything submitted is durable.
    pub(crate) fn all_synced(&mut self) {
        self.synced = self.history.len();
    }

    /// Checks that `recovered` is the fold of a prefix with all that was synced, and goes on from there.
    pub(crate) fn recovered(&mut self, recovered: Recovered) {
        let mut state = self.formatted.clone();
        let mut longest = None;
        for n in 0..=self.history.len() {
            if n >= self.synced && is_but_for_trimming(&recovered, &state) {
                longest = Some((n, state.clone()));
            }
            if let Some(record) = self.history.get(n) {
                state.fold(record);
            }
        }
        let Some((n, state)) = longest else {
            panic!(
                "no prefix of {} records, {} of them synced, folds to {recovered:?}; all: {:?}",
                self.history.len(),
                self.synced,
                self.history
            );
        };
        self.history.truncate(n);
        self.synced = n;
        self.state = state;
        // A new life numbers its persists higher than all before.
        self.lsn = Lsn::start_of(self.lsn.boot() + 1);
    }
}

/// Puts the file of the snapshot that a record names where it belongs, with any content.
pub(crate) fn put_snapshot<D: Disk>(disk: &mut D, record: &Record) {
    let Record::Meta(meta) = record else {
        panic!("{record} names no snapshot")
    };
    let id = meta.snap.unwrap().id;
    let name = format!("snap-{:016x}-{:032x}", id.slot.get(), id.digest);
    let mut file = disk.open(&name, true).unwrap();
    let len = usize::try_from(id.bytes).unwrap();
    file.write_all_at(&vec![7; len], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
}

/// Whether what a store gave back is this state, with entries before its base that a store may
/// still have.
fn is_but_for_trimming(found: &Recovered, state: &Recovered) -> bool {
    let Some(more) = state.base.get().checked_sub(found.base.get()) else {
        return false;
    };
    let more = usize::try_from(more).unwrap();
    let mut trimmed = found.clone();
    trimmed.base = state.base;
    trimmed.base_chain = match found.chain_at(state.base) {
        Some(chain) => chain,
        None => return false,
    };
    trimmed.log.drain(..more);
    // A transfer is none of the records' business.
    trimmed.partial = None;
    trimmed == *state
}

/// A store formed on `disk`, and the model of it.
pub(crate) fn fresh<D: Disk>(disk: D) -> (Store<D>, Model) {
    let (store, recovered) = unformed(disk).form(&first_meta(DISK)).unwrap();
    (store, Model::new(recovered))
}
