//! Writing and reading the fields of one encoded value.
//! Knows nothing about which fields a value has.

use std::ops::Range;

use bytes::{BufMut, Bytes};

use super::KvError;

/// The only format so far.
pub(super) const FORMAT: u8 = 1;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// For fields of just so many bytes.
    pub(super) fn new(tag: u8, fields_len: usize) -> Self {
        let mut out = Vec::with_capacity(2 + fields_len);
        out.put_u8(FORMAT);
        out.put_u8(tag);
        Self(out)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.put_u8(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.0.put_u8(if flag { PRESENT } else { ABSENT });
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.put_u64(number);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_u64(bytes.len() as u64);
        self.0.put_slice(bytes);
    }

    pub(super) fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn list<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        self.0.put_u64(values.len() as u64);
        for value in values {
            write(self, value);
        }
    }

    pub(super) fn finish(self) -> Bytes {
        debug_assert_eq!(self.0.len(), self.0.capacity(), "the length is known");
        self.0.into()
    }
}

/// What is left to read of some bytes.
pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    /// Everything before this is read.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Result<(u8, Self), KvError> {
        let mut reader = Self { bytes, at: 0 };
        let found = reader.byte()?;
        if found != FORMAT {
            return Err(KvError::Format { found });
        }
        Ok((reader.byte()?, reader))
    }

    const fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// Steps over the next `len` bytes.
    fn take(&mut self, len: u64) -> Result<Range<usize>, KvError> {
        let left = self.left();
        match usize::try_from(len) {
            Ok(here) if len <= left => {
                let from = self.at;
                self.at += here;
                Ok(from..self.at)
            }
            _ => Err(KvError::Truncated { needed: len - left }),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, KvError> {
        let at = self.take(1)?;
        Ok(self.bytes.get(at.start).copied().unwrap_or_default())
    }

    pub(super) fn flag(&mut self) -> Result<bool, KvError> {
        match self.byte()? {
            ABSENT => Ok(false),
            PRESENT => Ok(true),
            found => Err(KvError::Tag { found }),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, KvError> {
        let at = self.take(8)?;
        let word = self.bytes.get(at).and_then(|word| word.try_into().ok());
        Ok(u64::from_be_bytes(word.unwrap_or_default()))
    }

    /// A byte string; it shares the bytes that are read.
    pub(super) fn bytes(&mut self) -> Result<Bytes, KvError> {
        let len = self.number()?;
        let at = self.take(len)?;
        Ok(self.bytes.slice(at))
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, KvError>,
    ) -> Result<Option<T>, KvError> {
        match self.flag()? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn list<T>(
        &mut self,
        max: u64,
        read: impl Fn(&mut Self) -> Result<T, KvError>,
    ) -> Result<Vec<T>, KvError> {
        let found = self.number()?;
        if max < found {
            return Err(KvError::TooMany { found, max });
        }
        (0..found).map(|_| read(self)).collect()
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, KvError> {
        match self.left() {
            0 => Ok(value),
            extra => Err(KvError::Trailing { extra }),
        }
    }
}
