//! I21 Reads are fresh: a linearizable read sees everything that was acknowledged, or read, before
//! it began, and what it returns is the value at the slot where it was served.
//! Knows nothing about how reads are confirmed.
//!
//! Herlihy, Wing, "Linearizability" (1990): the real-time order of operations is kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::Slot;
use chil_core::kv::KvCommand;

/// What was acknowledged and read so far, and every version of every key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    acked: Slot,
    returned: Slot,
    modelled: Slot,
    versions: BTreeMap<Bytes, Vec<Version>>,
}

#[derive(Clone, Debug)]
struct Version {
    slot: Slot,
    value: Option<Bytes>,
}

impl Reads {
    /// The last slot whose write was acknowledged to a client.
    pub(crate) const fn acked(&self) -> Slot {
        self.acked
    }

    /// A write in `slot` is acknowledged.
    pub(crate) fn note_ack(&mut self, slot: Slot) {
        self.acked = self.acked.max(slot);
    }

    /// What a read that begins now has to see at least.
    pub(crate) fn floor(&self) -> Slot {
        self.acked.max(self.returned)
    }

    /// The command chosen in `slot`, told in the order of slots; repetitions are ignored.
    pub(crate) fn note_chosen(&mut self, slot: Slot, payload: &Bytes) {
        if slot != self.modelled.next() {
            return;
        }
        self.modelled = slot;
        let (key, value) = match KvCommand::decode(payload) {
            Ok(KvCommand::Put { key, value, .. }) => (key, Some(value)),
            Ok(KvCommand::Delete { key, .. }) => (key, None),
            // The workload has no transactions, and its writes no conditions.
            Ok(KvCommand::Txn(_)) | Err(_) => return,
        };
        let versions = self.versions.entry(key).or_default();
        versions.push(Version { slot, value });
    }

    /// A read of `key` that had to see `floor` is served by a node that executed `applied`.
    pub(crate) fn check(
        &mut self,
        floor: Slot,
        applied: Slot,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<(), String> {
        if applied < floor {
            return Err(format!(
                "serves a read at slot {applied}, but slot {floor} was acknowledged or read \
                 before it began"
            ));
        }
        let versions = self.versions.get(key).map_or(&[][..], Vec::as_slice);
        let behind = versions.partition_point(|version| version.slot <= applied);
        let last = behind.checked_sub(1).and_then(|at| versions.get(at));
        if last.and_then(|version| version.value.as_ref()) != value {
            return Err(format!(
                "a read at slot {applied} returns another value than slot {} wrote",
                last.map_or(Slot::ZERO, |version| version.slot)
            ));
        }
        self.returned = self.returned.max(applied);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &'static [u8]) -> Bytes {
        let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value));
        KvCommand::put(key, value).encode()
    }

    #[test]
    fn a_stale_read_and_a_wrong_value_are_found() {
        let mut reads = Reads::default();
        reads.note_chosen(Slot::new(1), &put(b"a"));
        reads.note_chosen(Slot::new(2), &put(b"b"));
        reads.note_chosen(Slot::new(1), &put(b"repeated by another node"));
        reads.note_ack(Slot::new(1));
        let key = Bytes::from_static(b"k");
        let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
        let floor = reads.floor();
        assert!(reads.check(floor, Slot::ZERO, &key, None).is_err());
        assert_eq!(reads.check(floor, Slot::new(1), &key, Some(&a)), Ok(()));
        assert!(reads.check(floor, Slot::new(1), &key, Some(&b)).is_err());
        assert_eq!(reads.check(floor, Slot::new(2), &key, Some(&b)), Ok(()));
        assert_eq!(reads.floor(), Slot::new(2), "a later read must not go back");
    }
}
