//! Core types to the bytes of `peer.proto`: into one buffer of the right size, and never failing.
//! Knows nothing about what a message means, nor whether it will be believed.

mod forming;
mod snapshot;

use bytes::Bytes;
use chil_core::command::Command;
use chil_core::message::{
    Accept, Accepted, Fetch, Heartbeat, HeartbeatReply, Learn, Nack, NackReason, Prepare, Promise,
};
use chil_core::{Ballot, Entry, EntryKind, Envelope, Message};

use crate::Frame;
use crate::v1;
use crate::wire::{Encode, Sink, varint_len};

/// The bytes of `frame`, as one message of a `Link` stream.
#[must_use]
pub fn frame(frame: &Frame) -> Bytes {
    match frame {
        Frame::Envelope(envelope) => self::envelope(envelope),
        Frame::Forming(message) => forming::frame(message),
    }
}

/// The bytes of a [`Frame::Envelope`], without needing to own it.
#[must_use]
pub fn envelope(envelope: &Envelope) -> Bytes {
    // The body's entries are the bulk: they are measured once, here.
    let body_len = body_len(&envelope.body);
    into_bytes(1, &Addressed { envelope, body_len })
}

/// A `Frame` with `body` as its only field.
fn into_bytes(field: u32, body: &impl Encode) -> Bytes {
    let len = body.encoded_len();
    // Exactly as long as what is written: turning it into `Bytes` then moves nothing.
    let mut out = Vec::with_capacity(1 + varint_len(len as u64) + len);
    out.message_of_len(field, body, len);
    Bytes::from(out)
}

struct Addressed<'a> {
    envelope: &'a Envelope,
    body_len: usize,
}

impl Encode for Addressed<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let e = self.envelope;
        sink.wide(1, e.cluster.get());
        sink.fixed(2, e.from.get());
        sink.wide(3, e.from_disk.get());
        sink.uint(4, e.boot);
        sink.fixed(5, e.run);
        sink.fixed(6, e.to.get());
        sink.uint(7, e.to_boot);
        sink.uint(8, e.epoch.get());
        let len = self.body_len;
        match &e.body {
            Message::Prepare(m) => sink.message_of_len(16, m, len),
            Message::Promise(m) => sink.message_of_len(17, m, len),
            Message::Accept(m) => sink.message_of_len(18, m, len),
            Message::Accepted(m) => sink.message_of_len(19, m, len),
            Message::Nack(m) => sink.message_of_len(20, m, len),
            Message::Learn(m) => sink.message_of_len(21, m, len),
            Message::Fetch(m) => sink.message_of_len(22, m, len),
            Message::Heartbeat(m) => sink.message_of_len(23, m, len),
            Message::HeartbeatReply(m) => sink.message_of_len(24, m, len),
            Message::Offer(m) => sink.message_of_len(25, m, len),
            Message::FetchChunk(m) => sink.message_of_len(26, m, len),
            Message::Chunk(m) => sink.message_of_len(27, m, len),
            Message::ReadIndex(m) => sink.message_of_len(28, m, len),
            Message::ReadIndexReply(m) => sink.message_of_len(29, m, len),
            Message::TransferNow(m) => sink.message_of_len(30, m, len),
        }
    }
}

fn body_len(body: &Message) -> usize {
    match body {
        Message::Prepare(m) => m.encoded_len(),
        Message::Promise(m) => m.encoded_len(),
        Message::Accept(m) => m.encoded_len(),
        Message::Accepted(m) => m.encoded_len(),
        Message::Nack(m) => m.encoded_len(),
        Message::Learn(m) => m.encoded_len(),
        Message::Fetch(m) => m.encoded_len(),
        Message::Heartbeat(m) => m.encoded_len(),
        Message::HeartbeatReply(m) => m.encoded_len(),
        Message::Offer(m) => m.encoded_len(),
        Message::FetchChunk(m) => m.encoded_len(),
        Message::Chunk(m) => m.encoded_len(),
        Message::ReadIndex(m) => m.encoded_len(),
        Message::ReadIndexReply(m) => m.encoded_len(),
        Message::TransferNow(m) => m.encoded_len(),
    }
}

impl Encode for Ballot {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.epoch.get());
        sink.uint(2, self.n);
        sink.fixed(3, self.node.get());
    }
}

impl Encode for Entry {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.slot().get());
        sink.message(2, &self.origin());
        sink.wide(3, self.chain().get());
        match self.kind() {
            EntryKind::Command(command) => sink.message(4, command),
            EntryKind::Register { nonce } => sink.message(5, &Nonce(*nonce)),
        }
    }
}

/// The content of a registration.
struct Nonce(u128);

impl Encode for Nonce {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.wide(1, self.0);
    }
}

impl Encode for Command {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.client.get());
        sink.uint(2, self.seq);
        sink.uint(3, self.ack_floor);
        sink.bytes(4, &self.payload);
    }
}

fn entries<S: Sink>(sink: &mut S, field: u32, entries: &[Entry]) {
    for entry in entries {
        sink.message(field, entry);
    }
}

impl Encode for Prepare {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        sink.message(2, &self.acc);
        sink.uint(3, self.last.get());
        sink.uint(4, self.commit.get());
        sink.wide(5, self.chain_at_commit.get());
    }
}

impl Encode for Promise {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        sink.message(2, &self.acc);
        sink.uint(3, self.last.get());
        sink.wide(4, self.chain_at_last.get());
        sink.uint(5, self.commit.get());
        sink.uint(6, self.from.get());
        entries(sink, 7, &self.suffix);
        sink.flag(8, self.damaged);
    }
}

impl Encode for Accept {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        if let Some(adopted_last) = self.sync {
            sink.present_uint(2, adopted_last.get());
        }
        sink.uint(3, self.prev.get());
        sink.wide(4, self.prev_chain.get());
        sink.uint(5, self.commit.get());
        sink.uint(6, self.seq);
        entries(sink, 7, &self.entries);
    }
}

impl Encode for Accepted {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        sink.uint(2, self.last.get());
        sink.uint(3, self.seq);
    }
}

impl Encode for Nack {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        sink.message(2, &self.promised);
        sink.message(3, &self.acc);
        sink.uint(4, self.last.get());
        sink.uint(5, self.commit.get());
        let reason = match self.reason {
            NackReason::Ballot => v1::NackReason::Ballot,
            NackReason::NeedPrepare => v1::NackReason::NeedPrepare,
            NackReason::NeedSync => v1::NackReason::NeedSync,
            NackReason::Gap => v1::NackReason::Gap,
            NackReason::Damaged => v1::NackReason::Damaged,
        };
        sink.uint(6, reason as u64);
    }
}

impl Encode for Learn {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.decided_in);
        sink.uint(2, self.prev.get());
        sink.wide(3, self.prev_chain.get());
        sink.uint(4, self.commit.get());
        entries(sink, 5, &self.entries);
    }
}

impl Encode for Fetch {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.prev.get());
        sink.uint(2, self.to.get());
    }
}

impl Encode for Heartbeat {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.fixed(1, self.round);
        sink.flag(2, self.data);
        sink.flag(3, self.happy);
    }
}

impl Encode for HeartbeatReply {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.fixed(1, self.round);
        sink.message(2, &self.ballot);
        sink.message(3, &self.leader);
        sink.flag(4, self.happy);
        sink.flag(5, self.able);
        sink.uint(6, self.commit.get());
        sink.uint(7, u64::from(self.priority));
        sink.flag(8, self.data);
        if let Some(fresh) = self.fresh {
            sink.present_uint(9, fresh.nanos());
        }
    }
}
