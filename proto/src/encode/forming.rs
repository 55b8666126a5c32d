//! The messages of forming to bytes.
//! Knows nothing about what they lead to.

use bytes::Bytes;
use chil_core::forming::{
    Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState, Listed,
};
use chil_core::{ClusterId, Lease, Member, Membership, SessionLimits};

use super::into_bytes;
use crate::wire::{Encode, Sink};

pub(super) fn frame(message: &FormingMessage) -> Bytes {
    match message {
        FormingMessage::Hello(m) => into_bytes(2, m),
        FormingMessage::HelloReply(m) => into_bytes(3, m),
        FormingMessage::Confirm(m) => into_bytes(4, m),
        FormingMessage::Confirmed(m) => into_bytes(5, m),
    }
}

impl Encode for Listed {
    fn put<S: Sink>(&self, sink: &mut S) {
        if let Some(name) = &self.name {
            sink.present_bytes(1, name.as_bytes());
        }
        sink.bytes(2, self.addr.as_bytes());
        sink.uint(3, u64::from(self.weight));
    }
}

impl Encode for Hello {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.wide(2, self.disk.get());
        sink.bytes(3, self.addr.as_bytes());
        sink.fixed(4, self.nonce);
        sink.uint(5, self.round);
    }
}

impl Encode for HelloReply {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.wide(2, self.disk.get());
        sink.bytes(3, self.addr.as_bytes());
        sink.fixed(4, self.nonce);
        sink.uint(5, self.round);
        match &self.state {
            HelloState::Forming {
                list,
                lease,
                sessions,
            } => {
                sink.message(6, &PeerList(list, lease.as_ref(), sessions));
            }
            HelloState::Formed {
                cluster,
                membership,
            } => {
                sink.message(7, &Cluster(*cluster, membership));
            }
        }
    }
}

struct PeerList<'a>(&'a [Listed], Option<&'a Lease>, &'a SessionLimits);

impl Encode for PeerList<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        for listed in self.0 {
            sink.message(1, listed);
        }
        if let Some(lease) = self.1 {
            sink.message(2, lease);
        }
        sink.message(3, self.2);
    }
}

impl Encode for SessionLimits {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.sessions_max);
        sink.uint(2, self.reply_bytes_max);
    }
}

struct Cluster<'a>(ClusterId, &'a Membership);

impl Encode for Cluster<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.wide(1, self.0.get());
        sink.message(2, self.1);
    }
}

impl Encode for Membership {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.epoch.get());
        let mut by_name: Vec<&Member> = self.members.values().collect();
        by_name.sort_by(|a, b| a.name.cmp(&b.name));
        for member in by_name {
            sink.message(2, member);
        }
        sink.uint(3, u64::from(self.protocol));
        if let Some(lease) = &self.lease {
            sink.message(4, lease);
        }
        sink.message(5, &self.sessions);
    }
}

impl Encode for Lease {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.uint(1, self.duration_us);
        sink.uint(2, u64::from(self.drift_ppm));
    }
}

impl Encode for Member {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.wide(2, self.disk.get());
        sink.bytes(3, self.addr.as_bytes());
        sink.uint(4, u64::from(self.weight));
    }
}

impl Encode for Confirm {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.wide(2, self.disk.get());
        sink.bytes(3, self.addr.as_bytes());
        sink.wide(4, self.candidate.get());
        sink.fixed(5, self.nonce);
    }
}

impl Encode for Confirmed {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.wide(2, self.disk.get());
        sink.wide(3, self.candidate.get());
        sink.fixed(4, self.nonce);
    }
}
