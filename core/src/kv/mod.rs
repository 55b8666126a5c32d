//! The built-in key-value state machine: conditional writes, and the slots that wrote each value.
//! Knows nothing about sessions, nor about how its commands were decided.
//!
//! Commands, queries and their answers are opaque bytes to everybody else; their encodings stand
//! in the private `codec` module and are pinned by its tests.

mod codec;
mod command;
mod fields;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{Read, Result};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

pub use command::{
    Check, Cond, KvAnswer, KvCommand, KvError, KvQuery, KvReply, Stamp, Txn, Versioned, Write,
};

use crate::ordered_map::OrderedMap;
use crate::state_machine::{FrozenState, StateMachine};
use crate::types::Slot;

/// The machine itself: an ordered map, with a digest that costs the same however large it is, and
/// copies that share what they have in common.
///
/// Keeps copies of what it stores: a slice of a received frame would keep the whole frame alive
/// for as long as the key lives.
///
/// Always: `sum` is the wrapping sum of the hashes of all items ([`KeyValue::recount`] checks it).
#[derive(Clone, Default)]
pub struct KeyValue {
    items: OrderedMap<Arc<[u8]>, Item>,
    sum: u128,
}

#[derive(Clone)]
struct Item {
    value: Bytes,
    stamp: Stamp,
    hash: u128,
}

impl Item {
    fn versioned(&self) -> Versioned {
        Versioned {
            value: self.value.clone(),
            version: self.stamp.version,
            created: self.stamp.created,
        }
    }
}

impl Versioned {
    /// Who wrote it.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            version: self.version,
            created: self.created,
        }
    }
}

impl KeyValue {
    /// The value of `key`, if it has one.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Versioned> {
        self.items.get(key).map(Item::versioned)
    }

    /// How many keys have a value.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.items.len()
    }

    /// Whether no key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Executes `command` as the decision of `slot`.
    pub fn execute(&mut self, slot: Slot, command: &KvCommand) -> KvReply {
        let version = slot.get();
        let (applied, previous) = match command {
            KvCommand::Put {
                key,
                value,
                cond: Cond::Any,
            } => (true, self.put(version, key, value)),
            KvCommand::Put { key, value, cond } => match self.holds(key, cond) {
                true => (true, self.put(version, key, value)),
                false => (false, self.stamp(key)),
            },
            KvCommand::Delete { key, cond } => match self.holds(key, cond) {
                true => (true, self.delete(key)),
                false => (false, self.stamp(key)),
            },
            KvCommand::Txn(txn) => return self.decide(version, txn),
        };
        KvReply::Written {
            applied,
            version,
            previous,
        }
    }

    fn decide(&mut self, version: u64, txn: &Txn) -> KvReply {
        let held = txn.checks.iter().all(|c| self.holds(&c.key, &c.cond));
        let branch = if held { &txn.then } else { &txn.otherwise };
        let write = |write: &Write| match write {
            Write::Put { key, value } => self.put(version, key, value),
            Write::Delete { key } => self.delete(key),
        };
        KvReply::Decided {
            held,
            version,
            previous: branch.iter().map(write).collect(),
        }
    }

    fn holds(&self, key: &[u8], cond: &Cond) -> bool {
        match cond {
            Cond::Any => true,
            Cond::Absent => self.items.get(key).is_none(),
            Cond::Exists => self.items.get(key).is_some(),
            Cond::VersionEq(version) => self.stamp(key).is_some_and(|s| s.version == *version),
            Cond::CreatedEq(created) => self.stamp(key).is_some_and(|s| s.created == *created),
            Cond::ValueEq(value) => self.items.get(key).is_some_and(|item| item.value == *value),
        }
    }

    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        self.items.get(key).map(|item| item.stamp)
    }

    fn put(&mut self, version: u64, key: &[u8], value: &[u8]) -> Option<Stamp> {
        let Some(there) = self.items.get_mut(key) else {
            let created = version;
            self.add(key, value, Stamp { version, created });
            return None;
        };
        let before = there.stamp;
        let created = before.created;
        self.sum = self.sum.wrapping_sub(there.hash);
        *there = item(key, value, Stamp { version, created });
        self.sum = self.sum.wrapping_add(there.hash);
        Some(before)
    }

    /// Adds a key that is not there.
    fn add(&mut self, key: &[u8], value: &[u8], stamp: Stamp) {
        let item = item(key, value, stamp);
        self.sum = self.sum.wrapping_add(item.hash);
        self.items.insert(Arc::from(key), item);
    }

    fn delete(&mut self, key: &[u8]) -> Option<Stamp> {
        let item = self.items.remove(key)?;
        self.sum = self.sum.wrapping_sub(item.hash);
        Some(item.stamp)
    }

    /// Answers `query`.
    #[must_use]
    pub fn answer(&self, query: &KvQuery) -> KvAnswer {
        match query {
            KvQuery::Get { key } => KvAnswer::Value(self.get(key)),
            KvQuery::Count => KvAnswer::Count(self.len()),
            KvQuery::Scan {
                prefix,
                after,
                limit,
            } => self.scan(prefix, after.as_deref(), *limit),
        }
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u64) -> KvAnswer {
        let start = match after {
            // Also a cursor that is before all keys with the prefix makes sense.
            Some(after) if prefix <= after => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let limit = match limit {
            0 => KvQuery::SCAN_KEYS_MAX,
            limit => limit.min(KvQuery::SCAN_KEYS_MAX),
        };
        let with_prefix = |(key, _): &(&Arc<[u8]>, &Item)| key.starts_with(prefix);
        let found = self.items.range_from(start).take_while(with_prefix);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for (key, item) in found {
            if limit <= items.len() as u64 || KvQuery::SCAN_BYTES_MAX <= bytes {
                return KvAnswer::Page { items, more: true };
            }
            bytes += (key.len() + item.value.len()) as u64;
            items.push((Bytes::copy_from_slice(key), item.versioned()));
        }
        KvAnswer::Page { items, more: false }
    }

    /// The digest computed from the items alone: equal to [`StateMachine::digest`], only slower.
    #[must_use]
    pub fn recount(&self) -> u128 {
        let sum = self.items.iter().fold(0_u128, |sum, (key, item)| {
            sum.wrapping_add(item_hash(key, item.stamp, &item.value))
        });
        seal(sum, self.len())
    }
}

impl StateMachine for KeyValue {
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes {
        let reply = match KvCommand::decode(command) {
            Ok(command) => self.execute(slot, &command),
            Err(_) => KvReply::Malformed,
        };
        reply.encode()
    }

    fn query(&self, query: &Bytes) -> Bytes {
        let answer = match KvQuery::decode(query) {
            Ok(query) => self.answer(&query),
            Err(_) => KvAnswer::Malformed,
        };
        answer.encode()
    }

    fn digest(&self) -> u128 {
        seal(self.sum, self.len())
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(snapshot::Frozen::new(self.items.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        *self = Self::read_from(from)?;
        Ok(())
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("keys", &self.len())
            .field("digest", &format_args!("{:032x}", self.digest()))
            .finish()
    }
}

fn item(key: &[u8], value: &[u8], stamp: Stamp) -> Item {
    Item {
        value: Bytes::copy_from_slice(value),
        stamp,
        hash: item_hash(key, stamp, value),
    }
}

/// Hash of one item: of fixed-length parts, so that no two items give the same bytes to hash.
fn item_hash(key: &[u8], stamp: Stamp, value: &[u8]) -> u128 {
    let stamp = u128::from(stamp.version) << 64 | u128::from(stamp.created);
    hash_parts([xxh3_128(key), stamp, xxh3_128(value)])
}

/// The digest of a state whose items' hashes sum to `sum`. A sum does not depend on the order
/// of writes; a sum alone would not tell the empty state from one whose hashes cancel out.
fn seal(sum: u128, count: u64) -> u128 {
    hash_parts([sum, u128::from(count), u128::from(fields::FORMAT)])
}

fn hash_parts(parts: [u128; 3]) -> u128 {
    let mut bytes = [0_u8; 48];
    for (to, from) in bytes.chunks_exact_mut(16).zip(parts) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    xxh3_128(&bytes)
}
