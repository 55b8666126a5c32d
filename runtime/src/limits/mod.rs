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
mod table;

pub use admission::{Admission, AdmissionLimits, Asker, Busy, BusyReason, Charge, UnderWay};
pub use bucket::{Bucket, Rate};
pub use gate::{ConnectionLimits, Counts, Gate, GateReason, Ticket, TicketId, Who};
