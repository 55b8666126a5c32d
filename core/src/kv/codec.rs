//! The bytes of the key-value machine's commands, queries, replies and answers.
//! Knows nothing about what they mean. One value has one encoding, and nothing else decodes to it.
//!
//! A format byte, a tag byte, then the fields of that tag: numbers as 8 bytes big-endian, byte
//! strings as their length and themselves, an option as 0 or as 1 and its content. The tags of the
//! four kinds differ, so that a query is never taken for a command.

use bytes::{BufMut, Bytes, BytesMut};

use super::{KvAnswer, KvCommand, KvError, KvQuery, KvReply, Versioned};

/// The only format so far.
pub(super) const FORMAT: u8 = 1;

const PUT: u8 = 0x01;
const DELETE: u8 = 0x02;
const GET: u8 = 0x11;
const COUNT: u8 = 0x12;
const WRITTEN: u8 = 0x21;
const COMMAND_MALFORMED: u8 = 0x2f;
const VALUE: u8 = 0x31;
const COUNTED: u8 = 0x32;
const QUERY_MALFORMED: u8 = 0x3f;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

impl KvCommand {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put { key, value } => Writer::new(PUT, 16 + key.len() + value.len())
                .bytes(key)
                .bytes(value)
                .finish(),
            Self::Delete { key } => Writer::new(DELETE, 8 + key.len()).bytes(key).finish(),
        }
    }

    /// The command that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut reader) = Reader::new(bytes)?;
        let command = match tag {
            PUT => Self::Put {
                key: reader.bytes()?,
                value: reader.bytes()?,
            },
            DELETE => Self::Delete {
                key: reader.bytes()?,
            },
            found => return Err(KvError::Tag { found }),
        };
        reader.finish(command)
    }
}

impl KvQuery {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Get { key } => Writer::new(GET, 8 + key.len()).bytes(key).finish(),
            Self::Count => Writer::new(COUNT, 0).finish(),
        }
    }

    /// The query that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut reader) = Reader::new(bytes)?;
        let query = match tag {
            GET => Self::Get {
                key: reader.bytes()?,
            },
            COUNT => Self::Count,
            found => return Err(KvError::Tag { found }),
        };
        reader.finish(query)
    }
}

impl KvReply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Written { version, previous } => {
                let writer = Writer::new(WRITTEN, 17).number(*version);
                match previous {
                    None => writer.flag(ABSENT).finish(),
                    Some(version) => writer.flag(PRESENT).number(*version).finish(),
                }
            }
            Self::Malformed => Writer::new(COMMAND_MALFORMED, 0).finish(),
        }
    }

    /// The reply that these bytes are.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut reader) = Reader::new(bytes)?;
        let reply = match tag {
            WRITTEN => Self::Written {
                version: reader.number()?,
                previous: match reader.present()? {
                    true => Some(reader.number()?),
                    false => None,
                },
            },
            COMMAND_MALFORMED => Self::Malformed,
            found => return Err(KvError::Tag { found }),
        };
        reader.finish(reply)
    }
}

impl KvAnswer {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Value(None) => Writer::new(VALUE, 1).flag(ABSENT).finish(),
            Self::Value(Some(found)) => Writer::new(VALUE, 17 + found.value.len())
                .flag(PRESENT)
                .number(found.version)
                .bytes(&found.value)
                .finish(),
            Self::Count(count) => Writer::new(COUNTED, 8).number(*count).finish(),
            Self::Malformed => Writer::new(QUERY_MALFORMED, 0).finish(),
        }
    }

    /// The answer that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut reader) = Reader::new(bytes)?;
        let answer = match tag {
            VALUE => Self::Value(match reader.present()? {
                true => Some(Versioned {
                    version: reader.number()?,
                    value: reader.bytes()?,
                }),
                false => None,
            }),
            COUNTED => Self::Count(reader.number()?),
            QUERY_MALFORMED => Self::Malformed,
            found => return Err(KvError::Tag { found }),
        };
        reader.finish(answer)
    }
}

struct Writer(BytesMut);

impl Writer {
    fn new(tag: u8, fields_len: usize) -> Self {
        let mut out = BytesMut::with_capacity(2 + fields_len);
        out.put_u8(FORMAT);
        out.put_u8(tag);
        Self(out)
    }

    fn flag(mut self, flag: u8) -> Self {
        self.0.put_u8(flag);
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.put_u64(bytes.len() as u64);
        self.0.put_slice(bytes);
        self
    }

    fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// What is left to read.
struct Reader(Bytes);

impl Reader {
    fn new(bytes: &Bytes) -> Result<(u8, Self), KvError> {
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

    fn byte(&mut self) -> Result<u8, KvError> {
        let taken = self.take(1)?;
        Ok(taken.first().copied().unwrap_or_default())
    }

    fn present(&mut self) -> Result<bool, KvError> {
        match self.byte()? {
            ABSENT => Ok(false),
            PRESENT => Ok(true),
            found => Err(KvError::Tag { found }),
        }
    }

    fn number(&mut self) -> Result<u64, KvError> {
        let taken = self.take(8)?;
        Ok(taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn bytes(&mut self) -> Result<Bytes, KvError> {
        let len = self.number()?;
        self.take(len)
    }

    fn finish<T>(self, value: T) -> Result<T, KvError> {
        match self.0.len() as u64 {
            0 => Ok(value),
            extra => Err(KvError::Trailing { extra }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &Bytes) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn encodings_are_pinned() {
        let put = KvCommand::Put {
            key: text("ab"),
            value: text("c"),
        };
        let delete = KvCommand::Delete { key: text("a") };
        let get = KvQuery::Get { key: text("a") };
        let written = |previous| KvReply::Written {
            version: 258,
            previous,
        };
        let found = KvAnswer::Value(Some(Versioned {
            value: text("v"),
            version: 3,
        }));
        for (encoded, expected) in [
            (
                put.encode(),
                "0101 0000000000000002 6162 0000000000000001 63",
            ),
            (delete.encode(), "0102 0000000000000001 61"),
            (get.encode(), "0111 0000000000000001 61"),
            (KvQuery::Count.encode(), "0112"),
            (written(None).encode(), "0121 0000000000000102 00"),
            (
                written(Some(1)).encode(),
                "0121 0000000000000102 01 0000000000000001",
            ),
            (KvReply::Malformed.encode(), "012f"),
            (KvAnswer::Value(None).encode(), "0131 00"),
            (
                found.encode(),
                "0131 01 0000000000000003 0000000000000001 76",
            ),
            (KvAnswer::Count(7).encode(), "0132 0000000000000007"),
            (KvAnswer::Malformed.encode(), "013f"),
        ] {
            assert_eq!(hex(&encoded), expected.replace(' ', ""));
        }
    }

    #[test]
    fn each_error_says_what_is_wrong() {
        let decode = |bytes: &'static [u8]| KvCommand::decode(&Bytes::from_static(bytes));
        assert_eq!(decode(b""), Err(KvError::Truncated { needed: 1 }));
        assert_eq!(decode(b"\x02\x01"), Err(KvError::Format { found: 2 }));
        assert_eq!(decode(b"\x01\x12"), Err(KvError::Tag { found: 0x12 }));
        assert_eq!(
            decode(b"\x01\x02\0\0\0\0\0\0\0\x05abc"),
            Err(KvError::Truncated { needed: 2 })
        );
        assert_eq!(
            decode(b"\x01\x02\0\0\0\0\0\0\0\x01abc"),
            Err(KvError::Trailing { extra: 2 })
        );
        assert_eq!(
            decode(b"\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff"),
            Err(KvError::Truncated { needed: u64::MAX })
        );
    }

    proptest! {
        #[test]
        fn whatever_decodes_has_exactly_these_bytes(
            tag in prop_oneof![Just(PUT), Just(DELETE), Just(GET), Just(COUNT), Just(WRITTEN),
                Just(COMMAND_MALFORMED), Just(VALUE), Just(COUNTED), Just(QUERY_MALFORMED), any::<u8>()],
            // Mostly zeros, so that length fields often fit.
            rest in proptest::collection::vec(prop_oneof![6 => Just(0_u8), 2 => 0_u8..3, 1 => any::<u8>()], 0..40),
        ) {
            let mut bytes = vec![FORMAT, tag];
            bytes.extend(rest);
            let bytes = Bytes::from(bytes);
            if let Ok(command) = KvCommand::decode(&bytes) {
                prop_assert_eq!(command.encode(), &bytes);
            }
            if let Ok(query) = KvQuery::decode(&bytes) {
                prop_assert_eq!(query.encode(), &bytes);
            }
            if let Ok(reply) = KvReply::decode(&bytes) {
                prop_assert_eq!(reply.encode(), &bytes);
            }
            if let Ok(answer) = KvAnswer::decode(&bytes) {
                prop_assert_eq!(answer.encode(), &bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = (KvCommand::decode(&bytes), KvQuery::decode(&bytes));
            let _ = (KvReply::decode(&bytes), KvAnswer::decode(&bytes));
        }

        #[test]
        fn every_put_survives_its_bytes(
            key in proptest::collection::vec(any::<u8>(), 0..300),
            value in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let put = KvCommand::Put { key: Bytes::from(key), value: Bytes::from(value) };
            prop_assert_eq!(KvCommand::decode(&put.encode()), Ok(put));
        }
    }
}
