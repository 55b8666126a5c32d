//! The bytes of the key-value machine's commands, queries, replies and answers.
//! Knows nothing about what they mean. One value has one encoding, and nothing else decodes to it.
//!
//! A format byte, a tag byte, then the fields of that tag: numbers as 8 bytes big-endian, byte
//! strings and lists as their length and their contents, an option as 0 or as 1 and its content,
//! a condition or a write as a tag byte of its own and its fields. The tags of the four kinds
//! differ, so that a query is never taken for a command.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{
    Check, Cond, KvAnswer, KvCommand, KvError, KvQuery, KvReply, Stamp, Txn, Versioned, Write,
};

const PUT: u8 = 0x01;
const DELETE: u8 = 0x02;
const TXN: u8 = 0x03;
const GET: u8 = 0x11;
const COUNT: u8 = 0x12;
const SCAN: u8 = 0x13;
const WRITTEN: u8 = 0x21;
const DECIDED: u8 = 0x22;
const COMMAND_MALFORMED: u8 = 0x2f;
const VALUE: u8 = 0x31;
const COUNTED: u8 = 0x32;
const PAGE: u8 = 0x33;
const QUERY_MALFORMED: u8 = 0x3f;

const ANY: u8 = 0;
const ABSENT: u8 = 1;
const EXISTS: u8 = 2;
const VERSION_EQ: u8 = 3;
const CREATED_EQ: u8 = 4;
const VALUE_EQ: u8 = 5;

impl KvCommand {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put { key, value, cond } => {
                let mut out = Writer::new(PUT, 16 + key.len() + value.len() + cond.len());
                out.bytes(key);
                out.bytes(value);
                cond.write(&mut out);
                out.finish()
            }
            Self::Delete { key, cond } => {
                let mut out = Writer::new(DELETE, 8 + key.len() + cond.len());
                out.bytes(key);
                cond.write(&mut out);
                out.finish()
            }
            Self::Txn(txn) => {
                let checks = txn.checks.iter().map(Check::len).sum::<usize>();
                let writes = txn.then.iter().chain(&txn.otherwise);
                let writes = writes.map(Write::len).sum::<usize>();
                let mut out = Writer::new(TXN, 24 + checks + writes);
                out.list(&txn.checks, |out, check| {
                    out.bytes(&check.key);
                    check.cond.write(out);
                });
                out.list(&txn.then, |out, write| write.write(out));
                out.list(&txn.otherwise, |out, write| write.write(out));
                out.finish()
            }
        }
    }

    /// The command that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut from) = Reader::new(bytes)?;
        let command = match tag {
            PUT => Self::Put {
                key: from.bytes()?,
                value: from.bytes()?,
                cond: Cond::read(&mut from)?,
            },
            DELETE => Self::Delete {
                key: from.bytes()?,
                cond: Cond::read(&mut from)?,
            },
            TXN => Self::Txn(Txn {
                checks: from.list(Txn::OPERATIONS_MAX, |from| {
                    Ok(Check {
                        key: from.bytes()?,
                        cond: Cond::read(from)?,
                    })
                })?,
                then: from.list(Txn::OPERATIONS_MAX, Write::read)?,
                otherwise: from.list(Txn::OPERATIONS_MAX, Write::read)?,
            }),
            found => return Err(KvError::Tag { found }),
        };
        from.finish(command)
    }
}

impl Check {
    fn len(&self) -> usize {
        8 + self.key.len() + self.cond.len()
    }
}

impl Cond {
    const fn len(&self) -> usize {
        match self {
            Self::Any | Self::Absent | Self::Exists => 1,
            Self::VersionEq(_) | Self::CreatedEq(_) => 9,
            Self::ValueEq(value) => 9 + value.len(),
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Any => out.byte(ANY),
            Self::Absent => out.byte(ABSENT),
            Self::Exists => out.byte(EXISTS),
            Self::VersionEq(version) => {
                out.byte(VERSION_EQ);
                out.number(*version);
            }
            Self::CreatedEq(version) => {
                out.byte(CREATED_EQ);
                out.number(*version);
            }
            Self::ValueEq(value) => {
                out.byte(VALUE_EQ);
                out.bytes(value);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, KvError> {
        Ok(match from.byte()? {
            ANY => Self::Any,
            ABSENT => Self::Absent,
            EXISTS => Self::Exists,
            VERSION_EQ => Self::VersionEq(from.number()?),
            CREATED_EQ => Self::CreatedEq(from.number()?),
            VALUE_EQ => Self::ValueEq(from.bytes()?),
            found => return Err(KvError::Tag { found }),
        })
    }
}

impl Write {
    const fn len(&self) -> usize {
        match self {
            Self::Put { key, value } => 17 + key.len() + value.len(),
            Self::Delete { key } => 9 + key.len(),
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Put { key, value } => {
                out.byte(PUT);
                out.bytes(key);
                out.bytes(value);
            }
            Self::Delete { key } => {
                out.byte(DELETE);
                out.bytes(key);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, KvError> {
        Ok(match from.byte()? {
            PUT => Self::Put {
                key: from.bytes()?,
                value: from.bytes()?,
            },
            DELETE => Self::Delete { key: from.bytes()? },
            found => return Err(KvError::Tag { found }),
        })
    }
}

impl Stamp {
    const LEN: usize = 16;

    /// The length of one that may be missing.
    const fn len_of(stamp: Option<&Self>) -> usize {
        match stamp {
            Some(_) => 1 + Self::LEN,
            None => 1,
        }
    }

    fn write(&self, out: &mut Writer) {
        out.number(self.version);
        out.number(self.created);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, KvError> {
        Ok(Self {
            version: from.number()?,
            created: from.number()?,
        })
    }
}

impl Versioned {
    const fn len(&self) -> usize {
        Stamp::LEN + 8 + self.value.len()
    }

    fn write(&self, out: &mut Writer) {
        self.stamp().write(out);
        out.bytes(&self.value);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, KvError> {
        let Stamp { version, created } = Stamp::read(from)?;
        Ok(Self {
            value: from.bytes()?,
            version,
            created,
        })
    }
}

impl KvQuery {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Get { key } => {
                let mut out = Writer::new(GET, 8 + key.len());
                out.bytes(key);
                out.finish()
            }
            Self::Count => Writer::new(COUNT, 0).finish(),
            Self::Scan {
                prefix,
                after,
                limit,
            } => {
                let after_len = after.as_ref().map_or(1, |after| 9 + after.len());
                let mut out = Writer::new(SCAN, 16 + prefix.len() + after_len);
                out.bytes(prefix);
                out.option(after.as_ref(), |out, key| out.bytes(key));
                out.number(*limit);
                out.finish()
            }
        }
    }

    /// The query that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut from) = Reader::new(bytes)?;
        let query = match tag {
            GET => Self::Get { key: from.bytes()? },
            COUNT => Self::Count,
            SCAN => Self::Scan {
                prefix: from.bytes()?,
                after: from.option(Reader::bytes)?,
                limit: from.number()?,
            },
            found => return Err(KvError::Tag { found }),
        };
        from.finish(query)
    }
}

impl KvReply {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Written {
                applied,
                version,
                previous,
            } => {
                let mut out = Writer::new(WRITTEN, 9 + Stamp::len_of(previous.as_ref()));
                out.flag(*applied);
                out.number(*version);
                out.option(previous.as_ref(), |out, stamp| stamp.write(out));
                out.finish()
            }
            Self::Decided {
                held,
                version,
                previous,
            } => {
                let stamps = previous.iter().map(|stamp| Stamp::len_of(stamp.as_ref()));
                let mut out = Writer::new(DECIDED, 17 + stamps.sum::<usize>());
                out.flag(*held);
                out.number(*version);
                out.list(previous, |out, stamp| {
                    out.option(stamp.as_ref(), |out, stamp| stamp.write(out));
                });
                out.finish()
            }
            Self::Malformed => Writer::new(COMMAND_MALFORMED, 0).finish(),
        }
    }

    /// The reply that these bytes are.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut from) = Reader::new(bytes)?;
        let reply = match tag {
            WRITTEN => Self::Written {
                applied: from.flag()?,
                version: from.number()?,
                previous: from.option(Stamp::read)?,
            },
            DECIDED => Self::Decided {
                held: from.flag()?,
                version: from.number()?,
                previous: from.list(Txn::OPERATIONS_MAX, |from| from.option(Stamp::read))?,
            },
            COMMAND_MALFORMED => Self::Malformed,
            found => return Err(KvError::Tag { found }),
        };
        from.finish(reply)
    }
}

impl KvAnswer {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Value(found) => {
                let len = found.as_ref().map_or(1, |found| 1 + found.len());
                let mut out = Writer::new(VALUE, len);
                out.option(found.as_ref(), |out, found| found.write(out));
                out.finish()
            }
            Self::Count(count) => {
                let mut out = Writer::new(COUNTED, 8);
                out.number(*count);
                out.finish()
            }
            Self::Page { items, more } => {
                let items_len = items.iter().map(|(key, found)| 8 + key.len() + found.len());
                let mut out = Writer::new(PAGE, 9 + items_len.sum::<usize>());
                out.list(items, |out, (key, found)| {
                    out.bytes(key);
                    found.write(out);
                });
                out.flag(*more);
                out.finish()
            }
            Self::Malformed => Writer::new(QUERY_MALFORMED, 0).finish(),
        }
    }

    /// The answer that these bytes are; shares them.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, KvError> {
        let (tag, mut from) = Reader::new(bytes)?;
        let answer = match tag {
            VALUE => Self::Value(from.option(Versioned::read)?),
            COUNTED => Self::Count(from.number()?),
            PAGE => Self::Page {
                items: from.list(KvQuery::SCAN_KEYS_MAX, |from| {
                    Ok((from.bytes()?, Versioned::read(from)?))
                })?,
                more: from.flag()?,
            },
            QUERY_MALFORMED => Self::Malformed,
            found => return Err(KvError::Tag { found }),
        };
        from.finish(answer)
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
