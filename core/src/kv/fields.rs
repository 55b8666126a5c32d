//! Writing and reading the fields of one encoded value.
//! Knows nothing about which fields a value has.

use bytes::{BufMut, Bytes, BytesMut};

use super::KvError;

/// The only format so far.
pub(super) const FORMAT: u8 = 1;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

pub(super) struct Writer(BytesMut);

impl Writer {
    pub(super) fn new(tag: u8, fields_len: usize) -> Self {
        let mut out = BytesMut::with_capacity(2 + fields_len);
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
        self.0.freeze()
    }
}

/// What is left to read.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: &Bytes) -> Result<(u8, Self), KvError> {
        let mut reader = Self(bytes.clone());
        let found = reader.byte()?;
        if found != FORMAT {
            return Err(KvError::Format { found });
        }
        Ok((reader.byte()?, reader))
    }

    fn take(&mut self, len: u64) -> Result<Bytes, KvError> {
        let held = self.0.len() as u64;
        match usize::try_from(len) {
            Ok(here) if len <= held => Ok(self.0.split_to(here)),
            _ => Err(KvError::Truncated { needed: len - held }),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, KvError> {
        let taken = self.take(1)?;
        Ok(taken.first().copied().unwrap_or_default())
    }

    pub(super) fn flag(&mut self) -> Result<bool, KvError> {
        match self.byte()? {
            ABSENT => Ok(false),
            PRESENT => Ok(true),
            found => Err(KvError::Tag { found }),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, KvError> {
        let taken = self.take(8)?;
        Ok(taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, KvError> {
        let len = self.number()?;
        self.take(len)
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
        match self.0.len() as u64 {
            0 => Ok(value),
            extra => Err(KvError::Trailing { extra }),
        }
    }
}
