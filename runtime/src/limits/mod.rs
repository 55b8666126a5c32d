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

use chil_core::Span;

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
    /// Bytes of peers' messages that were received and wait for the node's loop: half of them for
    /// what decides, half for catch-up. Heartbeats have room of their own. Peers that send more
    /// are not read from meanwhile.
    pub inbox_bytes: u64,
}

impl Limits {
    /// With a bound for being late where there is none: silence for some rounds of heartbeats costs
    /// the leadership, being late by one costs clients an answer.
    #[must_use]
    pub fn for_rounds_of(mut self, round: Span) -> Self {
        for late_max in [&mut self.admission.late_max, &mut self.connections.late_max] {
            if *late_max == Span::ZERO {
                *late_max = round;
            }
        }
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            admission: AdmissionLimits::default(),
            receiving_bytes: 64 << 20,
            queues: Bounds::default(),
            inbox_bytes: 128 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_for_being_late_is_kept_if_there_is_one() {
        let round = Span::from_millis(100);
        let mut limits = Limits::default();
        limits.admission.late_max = Span::from_millis(7);
        let limits = limits.for_rounds_of(round);
        assert_eq!(limits.admission.late_max, Span::from_millis(7));
        assert_eq!(limits.connections.late_max, round);
    }
}
