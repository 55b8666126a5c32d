//! What messages between nodes say of themselves to the queue in which they wait.
//! Knows nothing about how that queue uses it.

use chil_core::message::Accept;
use chil_core::{Ballot, Entry, Message};
use chil_proto::Frame;

use super::outbox::Parcel;

impl Parcel for Frame {
    fn cost(&self) -> u64 {
        let entries: &[Entry] = match self {
            Self::Envelope(envelope) => match &envelope.body {
                Message::Chunk(m) => return Entry::OVERHEAD as u64 + m.bytes.len() as u64,
                Message::Accept(m) => &m.entries,
                Message::Learn(m) => &m.entries,
                Message::Promise(m) => &m.suffix,
                Message::Prepare(_)
                | Message::Accepted(_)
                | Message::Nack(_)
                | Message::Fetch(_)
                | Message::Heartbeat(_)
                | Message::HeartbeatReply(_)
                | Message::Offer(_)
                | Message::FetchChunk(_)
                | Message::ReadIndex(_)
                | Message::ReadIndexReply(_)
                | Message::TransferNow(_) => &[],
            },
            Self::Forming(_) => &[],
        };
        Entry::OVERHEAD as u64 + entries.iter().map(Entry::cost).sum::<u64>()
    }

    fn kind(&self) -> Option<u8> {
        let Self::Envelope(envelope) = self else {
            return None;
        };
        match &envelope.body {
            Message::Heartbeat(_) => Some(0),
            Message::HeartbeatReply(_) => Some(1),
            Message::Fetch(_) => Some(2),
            Message::Accepted(_) => Some(3),
            Message::Accept(m) if is_news_only(m) => Some(4),
            Message::Accept(_)
            | Message::Prepare(_)
            | Message::Promise(_)
            | Message::Nack(_)
            | Message::Learn(_)
            | Message::Offer(_)
            | Message::FetchChunk(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::TransferNow(_) => None,
        }
    }

    fn supersedes(&self, older: &Self) -> bool {
        let (Self::Envelope(new), Self::Envelope(old)) = (self, older) else {
            return false;
        };
        match (&new.body, &old.body) {
            (Message::Heartbeat(_), Message::Heartbeat(_))
            | (Message::Fetch(_), Message::Fetch(_)) => true,
            // A late answer to an earlier round says nothing about the later one.
            (Message::HeartbeatReply(new), Message::HeartbeatReply(old)) => new.round >= old.round,
            // Cumulative within a ballot.
            (Message::Accepted(new), Message::Accepted(old)) => {
                new.ballot == old.ballot && new.last >= old.last && new.seq >= old.seq
            }
            (Message::Accept(new), Message::Accept(old)) => {
                let are_news = is_news_only(new) && is_news_only(old);
                are_news && new.ballot == old.ballot && new.prev == old.prev
            }
            _ => false,
        }
    }

    fn ballot(&self) -> Option<Ballot> {
        let Self::Envelope(envelope) = self else {
            return None;
        };
        match &envelope.body {
            Message::Prepare(m) => Some(m.ballot),
            Message::Promise(m) => Some(m.ballot),
            Message::Accept(m) => Some(m.ballot),
            Message::Accepted(m) => Some(m.ballot),
            // A refusal names the ballot of somebody else, and says what is newer.
            Message::Nack(_)
            // The word to take over is the last of its ballot, and meant to be followed by a newer.
            | Message::TransferNow(_)
            | Message::Learn(_)
            | Message::Fetch(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatReply(_)
            | Message::Offer(_)
            | Message::FetchChunk(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_) => None,
        }
    }
}

/// Whether it says only what is decided, and brings nothing to accept.
fn is_news_only(m: &Accept) -> bool {
    m.entries.is_empty() && m.sync.is_none()
}
