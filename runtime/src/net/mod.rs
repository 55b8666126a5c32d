//! Messages between nodes: links with bounded queues over the `Network` port, and its production
//! form over tonic. Knows nothing about what messages mean, but which one supersedes another.

pub(crate) mod accept;
mod connection;
pub(crate) mod dial;
pub(crate) mod doors;
pub(crate) mod flow;
mod goodbye;
pub(crate) mod inbox;
pub(crate) mod listen;
pub(crate) mod peer;
#[cfg(test)]
mod peer_tests;
mod queue;
pub(crate) mod server;
pub(crate) mod transport;
pub(crate) mod troubles;
pub(crate) mod watch;

pub use peer::LinkStatus;
