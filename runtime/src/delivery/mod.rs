//! What waits to be sent to a peer, and what is left out when it cannot all be sent.
//! Knows no sockets, tasks or clocks: the simulator runs the same queues.
//!
//! Losing a message is allowed, since the core sends again; waiting for room is not, since a peer
//! that reads slowly would then slow down whoever writes to it.

mod frames;
mod outbox;
#[cfg(test)]
mod outbox_tests;

pub use outbox::{Bounds, Counts, DropReason, Outbox, Parcel};
