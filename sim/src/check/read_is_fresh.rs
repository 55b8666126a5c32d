//! I21 Reads are fresh: a linearizable read sees everything that was acknowledged, or read, before
//! it began, and what it returns is the value at the slot where it was served.
//! Knows nothing about how reads are confirmed.
//!
//! Herlihy, Wing, "Linearizability" (1990): the real-time order of operations is kept.

use bytes::Bytes;
use chil_core::Slot;

use super::model::Model;
use crate::subject::Oracle;

/// What was acknowledged and read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    acked: Slot,
    returned: Slot,
    /// Answers that are judged at the end.
    later: Vec<Later>,
}

/// An answer, and the slot that it was read at.
#[derive(Clone, Debug)]
struct Later {
    applied: Slot,
    query: Bytes,
    answer: Bytes,
}

fn wrong(query: &Bytes, applied: Slot, answer: &Bytes, right: &Bytes) -> String {
    format!("answers {query:?} at slot {applied} with {answer:?} instead of {right:?}")
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

    /// A query that had to see `floor` is answered by a node that executed `applied`.
    pub(crate) fn check(
        &mut self,
        model: &Model,
        floor: Slot,
        applied: Slot,
        query: &Bytes,
        answer: &Bytes,
    ) -> Result<(), String> {
        if applied < floor {
            return Err(format!(
                "serves a read at slot {applied}, but slot {floor} was acknowledged, read, or \
                 asked for before it began"
            ));
        }
        match model.answer(query, applied) {
            Some(right) if right != *answer => return Err(wrong(query, applied, answer, &right)),
            Some(_) => {}
            None => self.later.push(Later {
                applied,
                query: query.clone(),
                answer: answer.clone(),
            }),
        }
        self.returned = self.returned.max(applied);
        Ok(())
    }

    /// Judges what had to wait, by executing everything that was chosen once more.
    pub(crate) fn check_later(
        &mut self,
        model: &Model,
        oracle: &mut dyn Oracle,
    ) -> Result<(), String> {
        let mut later = std::mem::take(&mut self.later);
        later.sort_by_key(|read| read.applied);
        let mut executed = Slot::ZERO;
        for read in &later {
            while executed < read.applied {
                executed = executed.next();
                if let Some(command) = model.executed(executed) {
                    oracle.apply(executed, command);
                }
            }
            let right = oracle.answer(&read.query);
            if right != read.answer {
                return Err(wrong(&read.query, read.applied, &read.answer, &right));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;
    use crate::subject::Subject;
    use chil_core::kv::{KvAnswer, KvCommand, KvQuery, Versioned};
    use chil_core::{Chain, Command, Entry, EntryKind};

    fn put(slot: u64, value: &'static [u8]) -> Entry {
        let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value));
        let payload = KvCommand::put(key, value).encode();
        let kind = EntryKind::Command(Command::sessionless(payload));
        Entry::new(Chain::EMPTY, Slot::new(slot), ballot(1, 0), kind)
    }

    #[test]
    fn a_stale_read_and_a_wrong_value_are_found() {
        let (mut model, mut reads) = (
            Model::new(1, Subject::key_value().oracle()),
            Reads::default(),
        );
        model.take(&put(1, b"a"));
        model.take(&put(2, b"b"));
        reads.note_ack(Slot::new(1));
        let key = Bytes::from_static(b"k");
        let get = KvQuery::Get { key }.encode();
        let found = |value: &'static [u8], version| {
            KvAnswer::Value(Some(Versioned {
                value: Bytes::from_static(value),
                version,
                created: 1,
            }))
        };
        let floor = reads.floor();
        let mut check = |applied, answer: KvAnswer| {
            reads.check(
                &model,
                floor,
                Slot::new(applied),
                &get,
                &KvAnswer::encode(&answer),
            )
        };
        assert!(check(0, KvAnswer::Value(None)).is_err());
        assert_eq!(check(1, found(b"a", 1)), Ok(()));
        assert!(check(1, found(b"b", 2)).is_err());
        assert_eq!(check(2, found(b"b", 2)), Ok(()));
        assert_eq!(reads.floor(), Slot::new(2), "a later read must not go back");
    }
}
