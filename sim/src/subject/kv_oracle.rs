//! What the built-in key-value machine has to do, by the simplest means: every version ever.
//! Knows nothing about the code that it judges, but the encodings of commands and replies.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::Slot;
use chil_core::kv::{Cond, KvAnswer, KvCommand, KvQuery, KvReply, Stamp, Versioned, Write};

use super::Oracle;

/// All versions of all keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct KvOracle {
    keys: BTreeMap<Bytes, Vec<Version>>,
}

/// What one write made of a key.
#[derive(Clone, Debug)]
struct Version {
    slot: Slot,
    /// The slot that made it exist.
    created: Slot,
    /// Nothing if it was deleted.
    value: Option<Bytes>,
}

impl Version {
    const fn stamp(&self) -> Stamp {
        Stamp {
            version: self.slot.get(),
            created: self.created.get(),
        }
    }
}

impl Oracle for KvOracle {
    fn apply(&mut self, slot: Slot, payload: &Bytes) -> Bytes {
        let reply = match KvCommand::decode(payload) {
            Ok(KvCommand::Put { key, value, cond }) => self.write_if(slot, key, &cond, Some(value)),
            Ok(KvCommand::Delete { key, cond }) => self.write_if(slot, key, &cond, None),
            Ok(KvCommand::Txn(txn)) => {
                let held = txn.checks.iter().all(|c| self.holds(&c.key, &c.cond));
                let branch = if held { txn.then } else { txn.otherwise };
                let writes = branch.into_iter().map(|write| match write {
                    Write::Put { key, value } => self.write(slot, key, Some(value)),
                    Write::Delete { key } => self.write(slot, key, None),
                });
                KvReply::Decided {
                    held,
                    version: slot.get(),
                    previous: writes.collect(),
                }
            }
            Err(_) => KvReply::Malformed,
        };
        reply.encode()
    }

    fn answer_behind(&self, slot: Slot, query: &Bytes) -> Option<Bytes> {
        let query = KvQuery::decode(query).ok()?;
        Some(self.at_slot(&query, slot).encode())
    }

    fn answer(&self, query: &Bytes) -> Bytes {
        self.answer_behind(Slot::new(u64::MAX), query)
            .unwrap_or_default()
    }
}

impl KvOracle {
    /// The answer to a query in the state behind a slot.
    fn at_slot(&self, query: &KvQuery, behind: Slot) -> KvAnswer {
        match query {
            KvQuery::Get { key } => KvAnswer::Value(self.at(key, behind).map(versioned)),
            KvQuery::Count => {
                let there = self
                    .keys
                    .keys()
                    .filter(|key| self.at(key, behind).is_some());
                KvAnswer::Count(there.count() as u64)
            }
            KvQuery::Scan {
                prefix,
                after,
                limit,
            } => {
                let asked = |key: &&Bytes| {
                    key.starts_with(prefix) && after.as_ref().is_none_or(|after| **key > *after)
                };
                let keys = self.keys.keys().filter(asked);
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let mut items: Vec<_> = keys
                    .filter_map(|key| Some((key.clone(), versioned(self.at(key, behind)?))))
                    .take(limit.saturating_add(1))
                    .collect();
                let more = items.len() > limit;
                items.truncate(limit);
                KvAnswer::Page { items, more }
            }
        }
    }

    /// What a key has behind a slot.
    fn at(&self, key: &Bytes, behind: Slot) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let at = versions.partition_point(|version| version.slot <= behind);
        let last = versions.get(at.checked_sub(1)?)?;
        last.value.is_some().then_some(last)
    }

    /// What a key has now.
    fn now(&self, key: &Bytes) -> Option<&Version> {
        self.keys
            .get(key)?
            .last()
            .filter(|last| last.value.is_some())
    }

    fn holds(&self, key: &Bytes, cond: &Cond) -> bool {
        let there = self.now(key);
        match cond {
            Cond::Any => true,
            Cond::Absent => there.is_none(),
            Cond::Exists => there.is_some(),
            Cond::VersionEq(n) => there.is_some_and(|v| v.slot.get() == *n),
            Cond::CreatedEq(n) => there.is_some_and(|v| v.created.get() == *n),
            Cond::ValueEq(value) => there.is_some_and(|v| v.value.as_ref() == Some(value)),
        }
    }

    fn write_if(&mut self, slot: Slot, key: Bytes, cond: &Cond, value: Option<Bytes>) -> KvReply {
        let applied = self.holds(&key, cond);
        let previous = if applied {
            self.write(slot, key, value)
        } else {
            self.now(&key).map(Version::stamp)
        };
        KvReply::Written {
            applied,
            version: slot.get(),
            previous,
        }
    }

    fn write(&mut self, slot: Slot, key: Bytes, value: Option<Bytes>) -> Option<Stamp> {
        let before = self.now(&key).map(Version::stamp);
        let created = before.map_or(slot, |stamp| Slot::new(stamp.created));
        let versions = self.keys.entry(key).or_default();
        versions.push(Version {
            slot,
            created,
            value,
        });
        before
    }
}

fn versioned(version: &Version) -> Versioned {
    Versioned {
        value: version.value.clone().unwrap_or_default(),
        version: version.slot.get(),
        created: version.created.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chil_core::kv::{Check, Txn};

    #[test]
    fn conditions_and_transactions_see_what_was_written_before_them() {
        let key = |name: &'static str| Bytes::from_static(name.as_bytes());
        let put_if = |value: &'static str, cond| KvCommand::Put {
            key: key("k"),
            value: key(value),
            cond,
        };
        let txn = Txn {
            checks: vec![Check {
                key: key("k"),
                cond: Cond::ValueEq(key("a")),
            }],
            then: vec![Write::Delete { key: key("k") }],
            otherwise: Vec::new(),
        };
        let commands = [
            put_if("a", Cond::Absent),
            put_if("b", Cond::Absent),
            KvCommand::Txn(txn),
            put_if("c", Cond::VersionEq(1)),
        ];
        let mut oracle = KvOracle::default();
        let mut replies = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            replies.push(oracle.apply(Slot::new(at as u64 + 1), &command.encode()));
        }
        let stamp = Stamp {
            version: 1,
            created: 1,
        };
        let written = |slot: u64, applied, previous| KvReply::Written {
            applied,
            version: slot,
            previous,
        };
        let expected = [
            written(1, true, None),
            written(2, false, Some(stamp)),
            KvReply::Decided {
                held: true,
                version: 3,
                previous: vec![Some(stamp)],
            },
            written(4, false, None),
        ];
        assert_eq!(replies, expected.map(|reply| reply.encode()));
        let all = KvQuery::Scan {
            prefix: Bytes::new(),
            after: None,
            limit: 9,
        };
        let page = |slot| match oracle.at_slot(&all, Slot::new(slot)) {
            KvAnswer::Page { items, .. } => items.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((page(2), page(3)), (1, 0));
    }
}
