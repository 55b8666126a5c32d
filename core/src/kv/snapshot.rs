//! The machine's part of a snapshot: all items, in the order of their keys.
//! Knows nothing about the rest of a snapshot.
//!
//! A format byte, the number of items, and of each: key, version, created, value.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

use super::fields::FORMAT;
use super::{Item, KeyValue, KvError, Stamp};
use crate::canonical::{read_bytes, read_end, read_u8, read_u64, write_bytes, write_u8, write_u64};
use crate::ordered_map::OrderedMap;
use crate::state_machine::FrozenState;

/// All items as they were at one slot.
pub(super) struct Frozen(OrderedMap<Arc<[u8]>, Item>);

impl Frozen {
    pub(super) const fn new(items: OrderedMap<Arc<[u8]>, Item>) -> Self {
        Self(items)
    }
}

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        write_u8(out, FORMAT)?;
        write_u64(out, self.0.len())?;
        for (key, item) in self.0.iter() {
            write_bytes(out, key)?;
            write_u64(out, item.stamp.version)?;
            write_u64(out, item.stamp.created)?;
            write_bytes(out, &item.value)?;
        }
        Ok(())
    }
}

impl KeyValue {
    /// What [`Frozen`] wrote.
    pub(super) fn read_from(from: &mut dyn Read) -> Result<Self> {
        let invalid = |error| Error::new(ErrorKind::InvalidData, error);
        let found = read_u8(from)?;
        if found != FORMAT {
            return Err(invalid(KvError::Format { found }.to_string()));
        }
        let mut restored = Self::default();
        let mut previous = None;
        for _ in 0..read_u64(from)? {
            let key = read_bytes(from, u64::MAX)?;
            if previous.as_ref().is_some_and(|previous| key <= *previous) {
                return Err(invalid("keys out of order".into()));
            }
            let stamp = Stamp {
                version: read_u64(from)?,
                created: read_u64(from)?,
            };
            let value = read_bytes(from, u64::MAX)?;
            restored.add(&key, &value, stamp);
            previous = Some(key);
        }
        read_end(from)?;
        Ok(restored)
    }
}
