//! What nodes say about snapshots, reads and transfers, to bytes.
//! Knows nothing about envelopes, nor about entries.

use chil_core::SnapshotId;
use chil_core::message::{Chunk, FetchChunk, Offer, ReadIndex, ReadIndexReply, TransferNow};

use crate::wire::{Encode, Sink};

impl Encode for SnapshotId {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.slot.get());
        sink.wide(2, self.chain.get());
        sink.uint(3, self.bytes);
        sink.wide(4, self.digest);
    }
}

impl Encode for Offer {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.id);
        sink.message(2, &self.decided_in);
        sink.uint(3, self.commit.get());
    }
}

impl Encode for FetchChunk {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.id);
        sink.uint(2, self.offset);
        sink.uint(3, self.len);
    }
}

impl Encode for Chunk {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.id);
        sink.uint(2, self.offset);
        sink.bytes(3, &self.bytes);
    }
}

impl Encode for ReadIndex {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.fixed(1, self.token);
    }
}

impl Encode for ReadIndexReply {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.fixed(1, self.token);
        if let Some(index) = self.index {
            sink.present_uint(2, index.get());
        }
    }
}

impl Encode for TransferNow {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, &self.ballot);
        sink.uint(2, self.last.get());
    }
}
