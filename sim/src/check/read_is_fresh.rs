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
    /// The instant of the simulation, and from when on what had to be seen by a fresh state.
    now: u64,
    history: Vec<(u64, Slot)>,
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
        self.remember();
    }

    /// It is `now`.
    pub(crate) const fn tick(&mut self, now: u64) {
        self.now = now;
    }

    fn remember(&mut self) {
        let floor = self.floor();
        if self.history.last().is_none_or(|(_, last)| *last < floor) {
            self.history.push((self.now, floor));
        }
    }

    /// A state that has executed `applied` is said to have been as new as any `age` ago, by clocks
    /// that are wrong by up to `drift_ppm`: everything acknowledged or read before that is in it.
    pub(crate) fn check_age(&self, applied: Slot, age: u64, drift_ppm: u64) -> Result<(), String> {
        // Two clocks measured it, the leader's and this node's.
        let slack = u128::from(age) * 3 * u128::from(drift_ppm) / 1_000_000;
        let age_max = age.saturating_add(u64::try_from(slack).unwrap_or(u64::MAX));
        let at = self.now.saturating_sub(age_max);
        let before = self.history.partition_point(|(since, _)| *since < at);
        let needed = before.checked_sub(1).and_then(|i| self.history.get(i));
        match needed {
            Some((since, slot)) if applied < *slot => Err(format!(
                "calls its state of slot {applied} fresh as of {age} ns ago, but slot {slot} was \
                 acknowledged or read {} ns ago",
                self.now - since
            )),
            Some(_) | None => Ok(()),
        }
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
        self.remember();
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
    fn a_state_that_is_called_too_fresh_is_found() {
        let mut reads = Reads::default();
        for (now, slot) in [(100, 1), (200, 2), (300, 3)] {
            reads.tick(now);
            reads.note_ack(Slot::new(slot));
        }
        reads.tick(1_000);
        let check = |applied, age| reads.check_age(Slot::new(applied), age, 0);
        assert_eq!(check(3, 0), Ok(()));
        assert!(check(2, 0).is_err());
        assert!(
            check(2, 699).is_err(),
            "slot 3 was acknowledged before that"
        );
        assert_eq!(check(2, 700), Ok(()));
        assert!(check(1, 700).is_err() && check(1, 799).is_err());
        assert_eq!((check(1, 800), check(0, 950)), (Ok(()), Ok(())));
        // By clocks that may be wrong by a tenth it may be older than it is said to be.
        assert!(reads.check_age(Slot::new(2), 538, 100_000).is_err());
        assert_eq!(reads.check_age(Slot::new(2), 539, 100_000), Ok(()));
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
