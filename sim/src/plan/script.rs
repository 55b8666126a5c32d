//! What else would be drawn while a plan is executed: requests, and what befalls messages.
//! Knows nothing about how it is drawn; shrinking takes it apart.

use bytes::Bytes;
use chil_core::Slot;
use serde::{Deserialize, Serialize};

use super::LaneName;
use crate::subject::Request;
use crate::workload::{How, What};

/// All that is drawn while a plan is executed and that matters for what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What clients ask for, in order of time.
    pub requests: Vec<Scripted>,
    /// What befalls messages between nodes. All others arrive once, after an ordinary latency.
    pub accidents: Vec<Accident>,
    /// Answers to clients with sessions that do not arrive once.
    pub answers: Vec<LostAnswer>,
}

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// When the client thinks of it, in simulated nanoseconds.
    pub at_ns: u64,
    /// Which client.
    pub client: usize,
    /// The node that it asks first; clients with sessions know better.
    pub node: usize,
    /// What it asks for.
    pub ask: Ask,
    /// What the state machine gets to see.
    pub payload: Payload,
}

/// What kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// To execute a command.
    Command,
    /// To answer a query, by the leader, which asks a quorum.
    Leader,
    /// To answer a query, from the leader's lease.
    Lease,
    /// To answer a query, by any node, which asks the leader.
    Follower,
    /// To answer a query from what the node has, and the client has seen.
    Stale,
}

/// Bytes, as people can read and write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Text.
    Text(String),
    /// Pairs of hexadecimal digits.
    Hex(String),
}

impl Payload {
    /// These bytes, as text if they are some.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Self::Text(text.to_owned()),
            _ => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// Whether hexadecimal digits are some.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Hex(digits) => {
                digits.len().is_multiple_of(2) && digits.bytes().all(|d| d.is_ascii_hexdigit())
            }
        }
    }

    /// The bytes; what is no digit counts as 0.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::from(text.clone()),
            Self::Hex(digits) => {
                let pairs = digits.as_bytes().chunks(2);
                let byte = |pair: &[u8]| {
                    let digits = std::str::from_utf8(pair).unwrap_or("0");
                    u8::from_str_radix(digits, 16).unwrap_or(0)
                };
                pairs.map(byte).collect()
            }
        }
    }
}

impl Scripted {
    /// What a client thought of, written down.
    pub(crate) fn new(at: u64, client: usize, node: usize, request: &Request, what: What) -> Self {
        Self {
            at_ns: at,
            client,
            node,
            ask: match what {
                What::Write => Ask::Command,
                What::Read(How::Leader) => Ask::Leader,
                What::Read(How::Lease) => Ask::Lease,
                What::Read(How::Follower) => Ask::Follower,
                What::Read(How::Stale { .. }) => Ask::Stale,
            },
            payload: Payload::new(request.bytes()),
        }
    }

    /// What the client asks for, when it has seen everything up to this slot.
    pub(crate) fn request(&self, min_slot: Slot) -> (Request, What) {
        let bytes = self.payload.bytes();
        let how = match self.ask {
            Ask::Command => return (Request::Command(bytes), What::Write),
            Ask::Leader => How::Leader,
            Ask::Lease => How::Lease,
            Ask::Follower => How::Follower,
            Ask::Stale => How::Stale { min_slot },
        };
        (Request::Query(bytes), What::Read(how))
    }
}

/// What befalls one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accident {
    /// Which message.
    #[serde(flatten)]
    pub message: MessageName,
    /// What befalls it.
    pub mishap: Mishap,
}

/// Which message: the n-th, from 1, of a lane of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageName {
    /// Its sender.
    pub from: usize,
    /// Its receiver.
    pub to: usize,
    /// Its lane.
    pub lane: LaneName,
    /// Its number.
    pub nth: u64,
}

/// What can befall a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mishap {
    /// It never arrives.
    Lost,
    /// It arrives so much later.
    Late {
        /// In microseconds.
        by_us: u64,
    },
    /// It arrives, and so does a copy of it, each so much later.
    Twice {
        /// In microseconds.
        late_us: u64,
        /// In microseconds.
        copy_late_us: u64,
    },
}

/// An answer to a client with a session that does not arrive once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostAnswer {
    /// Which client.
    pub client: usize,
    /// Which of the answers to it, from 1.
    pub nth: u64,
    /// Whether it comes twice; else it never comes.
    pub twice: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_being_written_down() {
        for bytes in [&b"text \xc3\xa4"[..], b"\x00\xff", b"", b"line\n"] {
            assert_eq!(Payload::new(bytes).bytes(), bytes);
        }
        assert!(!Payload::Hex("0g".to_owned()).is_sound());
        assert!(!Payload::Hex("0".to_owned()).is_sound());
        assert!(Payload::Hex("0aFF".to_owned()).is_sound());
        assert_eq!(Payload::new(b"a b"), Payload::Text("a b".to_owned()));
        assert_eq!(Payload::new(b"\x0a"), Payload::Hex("0a".to_owned()));
    }
}
