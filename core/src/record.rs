//! What must survive a crash, and what is found again after one: records and their fold.
//! Knows nothing about files; `runtime/src/storage` writes these, and any store whose recovery
//! equals the fold of a durable prefix of them is a correct one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::{Chain, Entry};
use crate::membership::Membership;
use crate::snapshot::{PartialSnapshot, SnapshotMark};
use crate::types::{Ballot, ClusterId, DiskId, Lsn, NodeId, Slot};

/// Records that become durable together, in the order of their `lsn`.
///
/// A driver answers it with `Persisted { lsn }` once all of it, and all before it, is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Its place in the order of durability.
    pub lsn: Lsn,
    /// What to write, in this order.
    pub records: Vec<Record>,
}

/// One atomic change of the durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Replaces the metadata block. Everything before it must be durable first.
    Meta(Box<Meta>),
    /// Changes the log: cut, append and `acc` in one transaction, recovered whole or not at all.
    Log(LogChange),
    /// Entries up to this slot are not needed any more: a durable snapshot stands for them, and
    /// the `Log` before this in the same `Persist` states again what else the log said. A store
    /// gives back their room when it suits; after a crash some may still be there.
    Trim(Slot),
}

/// A transaction on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChange {
    /// Entries behind this slot are dropped first; the end of the log for a plain append.
    pub keep: Slot,
    /// Entries `keep+1 ..`.
    pub entries: Vec<Entry>,
    /// The ballot that the log is accepted in from now on.
    pub acc: Ballot,
    /// What is known to be decided, at most the end of the log.
    pub commit: Slot,
    /// Highest ballot by which `commit` was learned.
    pub commit_in: Ballot,
}

impl LogChange {
    /// End of the log after the change.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot::new(self.keep.get() + self.entries.len() as u64)
    }
}

/// The metadata block: small, in two copies, rewritten whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The cluster this directory belongs to.
    pub cluster: ClusterId,
    /// The node this directory belongs to.
    pub node: NodeId,
    /// The directory's own identity.
    pub disk: DiskId,
    /// How often it has been started; 0 when freshly formatted.
    pub boot: u64,
    /// The membership of the current epoch.
    pub membership: Membership,
    /// No ballot below this is ever answered again.
    pub promised: Ballot,
    /// Set when something durable was lost: nothing up to this ballot is acknowledged.
    pub damaged: Option<Ballot>,
    /// The snapshot that stands for the beginning of the log; its file is durable.
    ///
    /// When a record of metadata names a later snapshot than the one before did, it also decides
    /// what becomes of the log: it stays if its chain at the snapshot's slot is the snapshot's,
    /// and is dropped whole otherwise. So installing a snapshot is one atomic record.
    pub snap: Option<SnapshotMark>,
}

impl Meta {
    /// The metadata of a directory that was just formatted for `node`.
    #[must_use]
    pub const fn format(
        cluster: ClusterId,
        node: NodeId,
        disk: DiskId,
        membership: Membership,
    ) -> Self {
        let promised = Ballot::bottom(membership.epoch);
        Self {
            cluster,
            node,
            disk,
            boot: 0,
            membership,
            promised,
            damaged: None,
            snap: None,
        }
    }
}

/// The durable state: what a store gives back after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The metadata block.
    pub meta: Meta,
    /// The ballot that the log was accepted in.
    pub acc: Ballot,
    /// What was known to be decided when the last transaction was written.
    pub commit: Slot,
    /// Highest ballot by which `commit` was learned.
    pub commit_in: Ballot,
    /// The log begins behind this slot; at most the snapshot's.
    pub base: Slot,
    /// Chain of the log at `base`.
    pub base_chain: Chain,
    /// The log, from `base + 1`.
    pub log: Vec<Entry>,
    /// A snapshot whose transfer a crash interrupted.
    pub partial: Option<PartialSnapshot>,
}

impl Recovered {
    /// The state of a freshly formatted directory.
    #[must_use]
    pub const fn formatted(meta: Meta) -> Self {
        let bottom = Ballot::bottom(meta.membership.epoch);
        Self {
            meta,
            acc: bottom,
            commit: Slot::ZERO,
            commit_in: bottom,
            base: Slot::ZERO,
            base_chain: Chain::EMPTY,
            log: Vec::new(),
            partial: None,
        }
    }

    /// End of the log.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot::new(self.base.get() + self.log.len() as u64)
    }

    /// Chain of the log at `slot`; `None` where the log does not reach.
    #[must_use]
    pub fn chain_at(&self, slot: Slot) -> Option<Chain> {
        if slot == self.base {
            return Some(self.base_chain);
        }
        let index = slot.get().checked_sub(self.base.get() + 1)?;
        let entry = self.log.get(usize::try_from(index).ok()?)?;
        Some(entry.chain())
    }

    /// Folds one more durable record into the state.
    ///
    /// # Panics
    /// If the record does not fit the state: its log would have a hole, its `commit` lies behind
    /// its end, or it cuts what is decided. Then the writer is broken, and going on would lie.
    pub fn fold(&mut self, record: &Record) {
        match record {
            Record::Meta(meta) => {
                let before = self.meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot);
                self.meta.clone_from(meta);
                if let Some(snap) = meta.snap.filter(|snap| snap.id.slot > before) {
                    self.install(&snap);
                }
            }
            Record::Trim(to) => self.trim(*to),
            Record::Log(change) => {
                let (keep, last) = (change.keep, self.last());
                assert!(
                    keep <= last,
                    "a change keeps {keep} slots of a log that ends at {last}"
                );
                assert!(
                    keep >= self.commit,
                    "a change cuts at {keep} what is decided at {}",
                    self.commit
                );
                assert!(
                    keep >= self.base,
                    "a change keeps {keep} slots of a log that begins behind {}",
                    self.base
                );
                self.log.truncate(self.index(keep));
                self.log.extend(change.entries.iter().cloned());
                self.acc = change.acc;
                self.commit = change.commit.max(self.commit);
                self.commit_in = change.commit_in.max(self.commit_in);
                assert!(
                    self.commit <= self.last(),
                    "commit {} behind the end {}",
                    self.commit,
                    self.last()
                );
            }
        }
    }

    /// What a later snapshot makes of the log: see [`Meta::snap`].
    fn install(&mut self, snap: &SnapshotMark) {
        let id = &snap.id;
        if self.chain_at(id.slot) != Some(id.chain) {
            self.log.clear();
            (self.base, self.base_chain) = (id.slot, id.chain);
        }
        self.commit = self.commit.max(id.slot);
        self.commit_in = self.commit_in.max(snap.decided_in);
    }

    fn trim(&mut self, to: Slot) {
        let snap = self.meta.snap.map_or(Slot::ZERO, |snap| snap.id.slot);
        assert!(to <= snap, "trimming to {to} behind the snapshot of {snap}");
        if to <= self.base {
            return;
        }
        self.base_chain = self
            .chain_at(to)
            .expect("the log reaches the snapshot, so it reaches what that stands for");
        self.log.drain(..self.index(to));
        self.base = to;
    }

    /// How many of the entries held lie at `slot` or before.
    fn index(&self, slot: Slot) -> usize {
        usize::try_from(slot.distance(self.base)).expect("a log held in memory is indexable")
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(m) => {
                write!(f, "Meta boot={} promised={}", m.boot, m.promised)?;
                m.snap
                    .map_or(Ok(()), |snap| write!(f, " snap={}", snap.id.slot))
            }
            Self::Trim(to) => write!(f, "Trim {to}"),
            Self::Log(c) => write!(
                f,
                "Log keep={} +{} acc={} commit={} in {}",
                c.keep,
                c.entries.len(),
                c.acc,
                c.commit,
                c.commit_in
            ),
        }
    }
}
