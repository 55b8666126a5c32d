//! Protobuf's wire format by hand: fields written into one buffer, fields read from a slice.
//! Knows nothing about chil's messages.
//!
//! By hand because of two things that generated code cannot do: encode without building a second
//! set of structs, and decode without believing a count before its content was checked.

use crate::decode::DecodeError;

/// A message that can be written: one description yields both its bytes and their number.
pub(crate) trait Encode {
    /// Writes the fields.
    fn put<S: Sink>(&self, sink: &mut S);

    /// How many bytes [`Encode::put`] writes.
    fn encoded_len(&self) -> usize {
        let mut counter = Counter(0);
        self.put(&mut counter);
        counter.0
    }
}

/// Takes the bytes of a message, or only counts them. Fields that hold their default (zero,
/// false, empty) are left out, as proto3 prescribes.
pub(crate) trait Sink: Sized {
    fn varint(&mut self, value: u64);
    fn little_endian(&mut self, value: u64);
    fn slice(&mut self, bytes: &[u8]);
    fn body(&mut self, body: &impl Encode, len: usize);

    fn tag(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_uint(field, value);
        }
    }

    /// A field with explicit presence, or one of a `oneof`: written whatever it holds.
    fn present_uint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn flag(&mut self, field: u32, value: bool) {
        self.uint(field, u64::from(value));
    }

    fn fixed(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, FIXED64);
            self.little_endian(value);
        }
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.present_bytes(field, bytes);
        }
    }

    fn present_bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.slice(bytes);
    }

    fn wide(&mut self, field: u32, value: u128) {
        self.present_bytes(field, &value.to_be_bytes());
    }

    fn message(&mut self, field: u32, body: &impl Encode) {
        self.message_of_len(field, body, body.encoded_len());
    }

    fn message_of_len(&mut self, field: u32, body: &impl Encode, len: usize) {
        self.tag(field, DELIMITED);
        self.varint(len as u64);
        self.body(body, len);
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// Largest number that is counted on from: above it a peer is broken or lying.
const COUNT_MAX: u64 = u64::MAX / 2;

/// Most bytes of a varint of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

struct Counter(usize);

impl Sink for Counter {
    fn varint(&mut self, value: u64) {
        self.0 += varint_len(value);
    }

    fn little_endian(&mut self, _value: u64) {
        self.0 += 8;
    }

    fn slice(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn body(&mut self, _body: &impl Encode, len: usize) {
        self.0 += len;
    }
}

/// Bytes that the varint of `value` takes: seven bits in each.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

impl Sink for Vec<u8> {
    #[inline]
    fn varint(&mut self, mut value: u64) {
        if value < 0x80 {
            self.push(value as u8);
            return;
        }
        let mut bytes = [0; VARINT_BYTES_MAX];
        let mut len = 0;
        for byte in &mut bytes {
            *byte = value as u8 & 0x7f | 0x80;
            len += 1;
            value >>= 7;
            if value == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        self.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }

    #[inline]
    fn little_endian(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn body(&mut self, body: &impl Encode, _len: usize) {
        body.put(self);
    }
}

/// Reads the fields of one message, in the order in which they stand there.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One field's content, before it is known which field it is.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Delimited(&'a [u8]),
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and content; `None` at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).map_err(|_| DecodeError::BadTag(tag))?;
        let value = match tag & 7 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(self.fixed64()?),
            DELIMITED => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
                Value::Delimited(self.take(len)?)
            }
            FIXED32 => self.take(4).map(|_| Value::Fixed32)?,
            _ => return Err(DecodeError::BadTag(tag)),
        };
        if field == 0 {
            return Err(DecodeError::BadTag(tag));
        }
        Ok(Some((field, value)))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<8>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for i in 0..VARINT_BYTES_MAX {
            let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
            self.rest = rest;
            // The tenth byte holds the 64th bit and nothing else.
            if i == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadVarint)
    }
}

impl<'a> Value<'a> {
    pub(crate) const fn uint(self, field: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Fixed64(_) | Self::Fixed32 | Self::Delimited(_) => {
                Err(DecodeError::WrongType { field })
            }
        }
    }

    /// A number that the protocol counts on from, such as a slot: bounded so that it can.
    pub(crate) fn count(self, field: &'static str) -> Result<u64, DecodeError> {
        let value = self.uint(field)?;
        if value > COUNT_MAX {
            let rule = "at most 2^63 - 1";
            return Err(DecodeError::Invalid { field, rule });
        }
        Ok(value)
    }

    pub(crate) fn uint32(self, field: &'static str) -> Result<u32, DecodeError> {
        let value = self.uint(field)?;
        u32::try_from(value).map_err(|_| DecodeError::Invalid {
            field,
            rule: "at most 2^32 - 1",
        })
    }

    pub(crate) const fn flag(self, field: &'static str) -> Result<bool, DecodeError> {
        match self.uint(field) {
            Ok(value) => Ok(value != 0),
            Err(error) => Err(error),
        }
    }

    pub(crate) const fn fixed(self, field: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Fixed64(value) => Ok(value),
            Self::Varint(_) | Self::Fixed32 | Self::Delimited(_) => {
                Err(DecodeError::WrongType { field })
            }
        }
    }

    pub(crate) const fn bytes(self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Delimited(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32 => {
                Err(DecodeError::WrongType { field })
            }
        }
    }

    pub(crate) fn wide(self, field: &'static str) -> Result<u128, DecodeError> {
        let bytes = self.bytes(field)?;
        let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| DecodeError::WrongLength {
            field,
            len: bytes.len(),
        })?;
        Ok(u128::from_be_bytes(bytes))
    }

    pub(crate) fn text(self, field: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(field)?;
        if bytes.len() > max {
            return Err(DecodeError::TooLong {
                field,
                len: bytes.len(),
                max,
            });
        }
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid {
            field,
            rule: "UTF-8",
        })
    }

    pub(crate) fn message(self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        self.bytes(field).map(Reader::new)
    }
}
