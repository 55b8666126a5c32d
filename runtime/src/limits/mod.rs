//! How much a node lets in from outside: connections, handshakes, requests, and their bytes.
//! Knows no sockets and no clock: time is an argument, so the simulator runs the same code.
//!
//! Nothing in here waits or queues: who is not let in is told so at once, and when to come again.
//!
//! | part | decides |
//! |---|---|
//! | [`Gate`] | which connections may begin, and which may stay |
//! | [`Admission`] | which requests may begin |
//!
//! Both are built of a [`Bucket`], which is how often in a second, of a bounded table of those
//! that are told apart, and of a brake for a node that comes too late to its own deadlines.

mod admission;
#[cfg(test)]
mod admission_tests;
mod brake;
mod bucket;
mod gate;
#[cfg(test)]
mod gate_tests;
mod side;
mod table;

pub use admission::{Admission, AdmissionLimits, Asker, Busy, BusyReason, Charge, UnderWay};
pub use bucket::{Bucket, Rate};
pub use gate::{ConnectionLimits, Counts, Gate, GateReason, Ticket, TicketId, Who};

use crate::delivery::Bounds;

/// How much one node lets in, and lets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to it.
    pub connections: ConnectionLimits,
    /// What clients ask of it. Services that embed the node are not bounded by this.
    pub admission: AdmissionLimits,
    /// Bytes of clients' messages that are being received; raised to twice the largest message.
    pub receiving_bytes: u64,
    /// What waits to be sent, on each lane to each peer.
    pub queues: Bounds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            admission: AdmissionLimits::default(),
            receiving_bytes: 64 << 20,
            queues: Bounds::default(),
        }
    }
}
