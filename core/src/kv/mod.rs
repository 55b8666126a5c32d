//! The built-in key-value state machine: values with the slot that wrote them as their version.
//! Knows nothing about sessions, nor about how its commands were decided.
//!
//! Commands, queries and their answers are opaque bytes to everybody else; their encodings stand
//! in the private `codec` module and are pinned by its tests.

mod codec;

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::canonical;
use crate::ordered_map::OrderedMap;
use crate::state_machine::{FrozenState, StateMachine};
use crate::types::Slot;

/// A write. Its encoding is the payload of a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCommand {
    /// Gives `key` this value, whatever it had before.
    Put {
        /// The key; may be empty.
        key: Bytes,
        /// The value; may be empty, which is not the same as absent.
        value: Bytes,
    },
    /// Makes `key` absent. Deleting what is absent succeeds.
    Delete {
        /// The key.
        key: Bytes,
    },
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvQuery {
    /// What is the value of `key`?
    Get {
        /// The key.
        key: Bytes,
    },
    /// How many keys have a value?
    Count,
}

/// The answer to a [`KvCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvReply {
    /// The write took effect.
    Written {
        /// The slot of the write: the version of what a `Put` wrote.
        version: u64,
        /// Version of the value that was there before; `None` if the key was absent.
        previous: Option<u64>,
    },
    /// The command could not be read. It changed nothing.
    Malformed,
}

/// The answer to a [`KvQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvAnswer {
    /// The key's value; `None` if it is absent.
    Value(Option<Versioned>),
    /// How many keys have a value.
    Count(u64),
    /// The query could not be read.
    Malformed,
}

/// A value and the slot that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The slot of the write: later writes have greater versions, on every key alike.
    pub version: u64,
}

/// Why bytes are no command, query, reply or answer of the key-value machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The bytes end within a field.
    #[error("cut off: {needed} more bytes were expected")]
    Truncated {
        /// How many are missing, at least.
        needed: u64,
    },
    /// Bytes follow the last field.
    #[error("{extra} bytes too many")]
    Trailing {
        /// How many.
        extra: u64,
    },
    /// The format is of a later version of this library.
    #[error("format version {found} is not known here (known: {known})", known = codec::FORMAT)]
    Format {
        /// The version found.
        found: u8,
    },
    /// The tag names nothing of the kind expected.
    #[error("unknown tag {found:#04x}")]
    Tag {
        /// The tag found.
        found: u8,
    },
}

/// The machine itself: an ordered map, with a digest that costs the same however large it is.
///
/// Keeps copies of what it stores: a slice of a received frame would keep the whole frame alive
/// for as long as the key lives.
///
/// Always: `sum` is the wrapping sum of the hashes of all items ([`KeyValue::recount`] checks it).
#[derive(Clone, Default)]
pub struct KeyValue {
    items: OrderedMap<Bytes, Item>,
    sum: u128,
}

#[derive(Clone)]
struct Item {
    value: Bytes,
    version: u64,
    hash: u128,
}

impl KeyValue {
    /// The value of `key`, if it has one.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Versioned> {
        self.items.get(key).map(|item| Versioned {
            value: item.value.clone(),
            version: item.version,
        })
    }

    /// How many keys have a value.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.items.len()
    }

    /// Whether no key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.len() == 0
    }

    /// Executes `command` as the decision of `slot`.
    pub fn execute(&mut self, slot: Slot, command: &KvCommand) -> KvReply {
        let version = slot.get();
        let previous = match command {
            KvCommand::Put { key, value } => self.put(version, key, value),
            KvCommand::Delete { key } => self.items.remove(key.as_ref()),
        };
        if let Some(item) = &previous {
            self.sum = self.sum.wrapping_sub(item.hash);
        }
        KvReply::Written {
            version,
            previous: previous.map(|item| item.version),
        }
    }

    /// Answers `query`.
    #[must_use]
    pub fn answer(&self, query: &KvQuery) -> KvAnswer {
        match query {
            KvQuery::Get { key } => KvAnswer::Value(self.get(key)),
            KvQuery::Count => KvAnswer::Count(self.len()),
        }
    }

    /// The digest computed from the items alone: equal to [`StateMachine::digest`], only slower.
    #[must_use]
    pub fn recount(&self) -> u128 {
        let sum = self.items.iter().fold(0_u128, |sum, (key, item)| {
            sum.wrapping_add(item_hash(key, item.version, &item.value))
        });
        seal(sum, self.len())
    }

    fn put(&mut self, version: u64, key: &Bytes, value: &Bytes) -> Option<Item> {
        let hash = item_hash(key, version, value);
        self.sum = self.sum.wrapping_add(hash);
        let item = Item {
            value: Bytes::copy_from_slice(value),
            version,
            hash,
        };
        match self.items.get_mut(key.as_ref()) {
            Some(there) => Some(std::mem::replace(there, item)),
            None => self.items.insert(Bytes::copy_from_slice(key), item),
        }
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
        Box::new(Frozen(self.items.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut restored = Self::default();
        let format = canonical::read_u8(from)?;
        if format != codec::FORMAT {
            let error = KvError::Format { found: format };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        for _ in 0..canonical::read_u64(from)? {
            let key = canonical::read_bytes(from, u64::MAX)?;
            let version = canonical::read_u64(from)?;
            let value = canonical::read_bytes(from, u64::MAX)?;
            restored.put(version, &key, &value);
        }
        canonical::read_end(from)?;
        *self = restored;
        Ok(())
    }
}

/// All items as they were at one slot.
struct Frozen(OrderedMap<Bytes, Item>);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        canonical::write_u8(out, codec::FORMAT)?;
        canonical::write_u64(out, self.0.len())?;
        for (key, item) in self.0.iter() {
            canonical::write_bytes(out, key)?;
            canonical::write_u64(out, item.version)?;
            canonical::write_bytes(out, &item.value)?;
        }
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

/// Hash of one item: of fixed-length parts, so that no two items give the same bytes to hash.
fn item_hash(key: &[u8], version: u64, value: &[u8]) -> u128 {
    hash_parts([xxh3_128(key), u128::from(version), xxh3_128(value)])
}

/// The digest of a state whose items' hashes sum to `sum`. A sum does not depend on the order
/// of writes; a sum alone would not tell the empty state from one whose hashes cancel out.
fn seal(sum: u128, count: u64) -> u128 {
    hash_parts([sum, u128::from(count), u128::from(codec::FORMAT)])
}

fn hash_parts(parts: [u128; 3]) -> u128 {
    let mut bytes = [0_u8; 48];
    for (to, from) in bytes.chunks_exact_mut(16).zip(parts) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(key: &'static str, value: &'static str) -> KvCommand {
        KvCommand::Put {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
        }
    }

    fn delete(key: &'static str) -> KvCommand {
        KvCommand::Delete {
            key: Bytes::from_static(key.as_bytes()),
        }
    }

    fn written(version: u64, previous: Option<u64>) -> KvReply {
        KvReply::Written { version, previous }
    }

    fn run(commands: &[(u64, KvCommand)]) -> KeyValue {
        let mut machine = KeyValue::default();
        for (slot, command) in commands {
            machine.execute(Slot::new(*slot), command);
        }
        machine
    }

    #[test]
    fn a_version_is_the_slot_of_the_last_write() {
        let mut machine = KeyValue::default();
        assert_eq!(
            machine.execute(Slot::new(3), &put("a", "x")),
            written(3, None)
        );
        assert_eq!(
            machine.execute(Slot::new(5), &put("a", "y")),
            written(5, Some(3))
        );
        assert_eq!(
            machine.get(b"a"),
            Some(Versioned {
                value: Bytes::from_static(b"y"),
                version: 5
            })
        );
        assert_eq!(
            machine.execute(Slot::new(6), &delete("a")),
            written(6, Some(5))
        );
        assert_eq!(
            machine.execute(Slot::new(7), &delete("a")),
            written(7, None)
        );
        assert_eq!(machine.get(b"a"), None);
        assert_eq!(machine.answer(&KvQuery::Count), KvAnswer::Count(0));
    }

    #[test]
    fn bytes_that_are_no_command_change_nothing() {
        let mut machine = run(&[(1, put("a", "x"))]);
        let before = machine.digest();
        let reply = machine.apply(Slot::new(2), &Bytes::from_static(b"nonsense"));
        assert_eq!(KvReply::decode(&reply), Ok(KvReply::Malformed));
        assert_eq!(machine.digest(), before);
        let answer = machine.query(&Bytes::new());
        assert_eq!(KvAnswer::decode(&answer), Ok(KvAnswer::Malformed));
    }

    #[test]
    fn the_digest_is_pinned() {
        let hex = |machine: KeyValue| format!("{:032x}", machine.digest());
        assert_eq!(hex(KeyValue::default()), "ca7ea4df32d3394991cbcc6b9dd441bc");
        assert_eq!(
            hex(run(&[(1, put("a", "x")), (2, put("b", ""))])),
            "b5a30982905c0ce33a5ffe428d0fd03a"
        );
    }

    #[test]
    fn the_digest_sees_every_part_of_the_state() {
        let states = [
            run(&[]),
            run(&[(1, put("a", "x"))]),
            run(&[(2, put("a", "x"))]),
            run(&[(1, put("a", "y"))]),
            run(&[(1, put("b", "x"))]),
            run(&[(1, put("ax", ""))]),
            run(&[(1, put("", "ax"))]),
            run(&[(1, put("a", "x")), (2, put("b", "x"))]),
        ];
        for (i, a) in states.iter().enumerate() {
            for b in states.iter().skip(i + 1) {
                assert_ne!(a.digest(), b.digest(), "{a:?} and {b:?}");
            }
        }
    }

    fn commands() -> impl Strategy<Value = Vec<KvCommand>> {
        let key = proptest::collection::vec(0_u8..3, 0..2).prop_map(Bytes::from);
        let value = proptest::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from);
        let command = prop_oneof![
            3 => (key.clone(), value).prop_map(|(key, value)| KvCommand::Put { key, value }),
            1 => key.prop_map(|key| KvCommand::Delete { key }),
        ];
        proptest::collection::vec(command, 0..40)
    }

    proptest! {
        #[test]
        fn the_digest_depends_on_the_state_alone(commands in commands()) {
            let mut machine = KeyValue::default();
            for (slot, command) in (1..).zip(&commands) {
                machine.execute(Slot::new(slot), command);
                prop_assert_eq!(machine.digest(), machine.recount());
            }
            // The shortest history that leads to the same state, in another order.
            let mut direct = KeyValue::default();
            for (key, item) in machine.items.iter() {
                let (key, value) = (key.clone(), item.value.clone());
                direct.execute(Slot::new(item.version), &KvCommand::Put { key, value });
            }
            prop_assert_eq!(machine.digest(), direct.digest());
        }

        #[test]
        fn apply_and_execute_are_the_same(commands in commands()) {
            let (mut through_bytes, mut direct) = (KeyValue::default(), KeyValue::default());
            for (slot, command) in (1..).zip(&commands) {
                let reply = through_bytes.apply(Slot::new(slot), &command.encode());
                let expected = direct.execute(Slot::new(slot), command);
                prop_assert_eq!(KvReply::decode(&reply), Ok(expected));
            }
            prop_assert_eq!(through_bytes.digest(), direct.digest());
        }

        #[test]
        fn any_bytes_can_be_applied_and_asked(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut machine = run(&[(1, put("a", "x"))]);
            let bytes = Bytes::from(bytes);
            machine.apply(Slot::new(2), &bytes);
            machine.query(&bytes);
            prop_assert_eq!(machine.digest(), machine.recount());
        }
    }
}
