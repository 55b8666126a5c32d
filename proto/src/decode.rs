//! The one gate for bytes that other nodes sent: what passes is well-formed, whole and bounded.
//! Knows nothing about the state of the receiver, so not whether a message is true or timely.
//!
//! Memory: a frame is held once (payloads are slices of it), and what is built beside it is a
//! small multiple of its length, since every entry is checked before the next one is read.

mod forming;
mod message;
mod snapshot;

use std::ops::RangeInclusive;

use bytes::Bytes;
use chil_core::forming::FormingMessage;
use chil_core::{Ballot, ClusterId, Config, DiskId, Envelope, Epoch, NodeId};

use crate::Frame;
use crate::wire::{Reader, Value};

/// Longest frame that is read, in bytes: the largest message that any configuration allows, with
/// room for what stands beside its entries, and far below what would hurt.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(FRAME_BYTES_MAX as u64 > Config::MESSAGE_BYTES_CEILING + (1 << 20));

/// Why bytes are no message. The connection they came from is not trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than anything that is read.
    #[error("the frame has {len} bytes, but at most {max} are read")]
    FrameTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes end inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number has more than 64 bits")]
    BadVarint,
    /// A field number or wire type that protobuf does not have.
    #[error("{0:#x} is no field of a protobuf message")]
    BadTag(u64),
    /// The field's content is of another type than declared.
    #[error("{field}: wrong wire type")]
    WrongType {
        /// The field.
        field: &'static str,
    },
    /// An identity or a chain that has not 16 bytes.
    #[error("{field}: has {len} bytes instead of 16")]
    WrongLength {
        /// The field.
        field: &'static str,
        /// How many it has.
        len: usize,
    },
    /// A text that is longer than any node would send.
    #[error("{field}: has {len} bytes, but at most {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A list that is longer than any node would send.
    #[error("{field}: more than {max} elements")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// A field without which the message has no meaning.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A value that the field cannot have.
    #[error("{field}: must be {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What holds for every valid value.
        rule: &'static str,
    },
    /// A kind of thing that this version does not know: its sender is probably newer.
    #[error("{what}: kind {kind} is not known to this version; upgrade this node")]
    UnknownKind {
        /// The choice.
        what: &'static str,
        /// The number of the alternative taken.
        kind: u64,
    },
    /// A choice of which no alternative is taken.
    #[error("{what}: empty")]
    NoKind {
        /// The choice.
        what: &'static str,
    },
}

/// The message that `bytes` are.
///
/// # Errors
/// Says which field breaks which rule. Nothing was changed.
pub fn frame(bytes: Bytes) -> Result<Frame, DecodeError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(DecodeError::FrameTooLong {
            len: bytes.len(),
            max: FRAME_BYTES_MAX,
        });
    }
    let mut kind = Choice::new("frame", 1..=5);
    let mut reader = Reader::new(&bytes);
    while let Some((field, value)) = reader.next()? {
        kind.offer(field, value);
    }
    let (field, value) = kind.taken()?;
    let forming = match field {
        1 => {
            let envelope = envelope(&bytes, value.message("envelope")?)?;
            return Ok(Frame::Envelope(Box::new(envelope)));
        }
        2 => FormingMessage::Hello(forming::hello(value.message("hello")?)?),
        3 => FormingMessage::HelloReply(forming::hello_reply(value.message("hello_reply")?)?),
        4 => FormingMessage::Confirm(forming::confirm(value.message("confirm")?)?),
        5 => FormingMessage::Confirmed(forming::confirmed(value.message("confirmed")?)?),
        _ => return Err(kind.unknown_kind(field)),
    };
    Ok(Frame::Forming(forming.into()))
}

fn envelope(frame: &Bytes, mut reader: Reader<'_>) -> Result<Envelope, DecodeError> {
    let (mut cluster, mut from_disk) = (None, None);
    let (mut from, mut to, mut boot, mut run, mut to_boot, mut epoch) = (0, 0, 0, 0, 0, 0);
    let mut body = Choice::new("envelope.body", 16..=30);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => cluster = Some(value.wide("envelope.cluster")?),
            2 => from = value.fixed("envelope.from")?,
            3 => from_disk = Some(value.wide("envelope.from_disk")?),
            4 => boot = value.count("envelope.boot")?,
            5 => run = value.fixed("envelope.run")?,
            6 => to = value.fixed("envelope.to")?,
            7 => to_boot = value.count("envelope.to_boot")?,
            8 => epoch = value.count("envelope.epoch")?,
            _ => body.offer(field, value),
        }
    }
    let (kind, value) = body.taken()?;
    let body = message::body(frame, kind, value)?.ok_or_else(|| body.unknown_kind(kind))?;
    Ok(Envelope {
        cluster: ClusterId::new(cluster.ok_or(missing("envelope.cluster"))?),
        from: NodeId::new(not_zero("envelope.from", from)?),
        from_disk: DiskId::new(from_disk.ok_or(missing("envelope.from_disk"))?),
        boot: not_zero("envelope.boot", boot)?,
        run,
        to: NodeId::new(not_zero("envelope.to", to)?),
        to_boot,
        epoch: Epoch::new(not_zero("envelope.epoch", epoch)?),
        body,
    })
}

fn ballot(field: &'static str, value: Value<'_>) -> Result<Ballot, DecodeError> {
    let mut reader = value.message(field)?;
    let (mut epoch, mut n, mut node) = (0, 0, 0);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => epoch = value.count(field)?,
            2 => n = value.uint(field)?,
            3 => node = value.fixed(field)?,
            _ => {}
        }
    }
    if n > Ballot::N_MAX {
        let rule = "a ballot whose number is at most 2^63 - 1";
        return Err(DecodeError::Invalid { field, rule });
    }
    if n > 0 && node == 0 {
        let rule = "a ballot with an owner, or a bottom ballot";
        return Err(DecodeError::Invalid { field, rule });
    }
    Ok(Ballot::new(Epoch::new(epoch), n, NodeId::new(node)))
}

/// A ballot that somebody prepares or leads.
fn owned(field: &'static str, ballot: Option<Ballot>) -> Result<Ballot, DecodeError> {
    let ballot = ballot.ok_or_else(|| missing(field))?;
    if ballot.node == NodeId::NONE {
        let rule = "a ballot with an owner";
        return Err(DecodeError::Invalid { field, rule });
    }
    Ok(ballot)
}

const fn not_zero(field: &'static str, value: u64) -> Result<u64, DecodeError> {
    if value == 0 {
        let rule = "greater than 0";
        return Err(DecodeError::Invalid { field, rule });
    }
    Ok(value)
}

const fn missing(field: &'static str) -> DecodeError {
    DecodeError::Missing { field }
}

/// A `oneof`: the last alternative counts. A field that is no alternative yet, but may be one of
/// a later version, is remembered to say so; next to a known one it is skipped.
struct Choice<'a> {
    what: &'static str,
    known: RangeInclusive<u32>,
    taken: Option<(u32, Value<'a>)>,
    unknown: Option<u32>,
}

impl<'a> Choice<'a> {
    const fn new(what: &'static str, known: RangeInclusive<u32>) -> Self {
        Self {
            what,
            known,
            taken: None,
            unknown: None,
        }
    }

    fn offer(&mut self, field: u32, value: Value<'a>) {
        if self.known.contains(&field) {
            self.taken = Some((field, value));
        } else {
            self.unknown = Some(field);
        }
    }

    fn taken(&self) -> Result<(u32, Value<'a>), DecodeError> {
        match (self.taken, self.unknown) {
            (Some(taken), _) => Ok(taken),
            (None, Some(field)) => Err(self.unknown_kind(field)),
            (None, None) => Err(DecodeError::NoKind { what: self.what }),
        }
    }

    fn unknown_kind(&self, field: u32) -> DecodeError {
        DecodeError::UnknownKind {
            what: self.what,
            kind: u64::from(field),
        }
    }
}
