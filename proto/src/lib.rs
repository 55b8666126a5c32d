//! The wire format of chil: core types to protobuf bytes and back, and the generated services.
//! Knows nothing about sockets, nor what a message means.
#![warn(clippy::indexing_slicing, clippy::unwrap_used)]

pub mod decode;
pub mod encode;
mod wire;

use chil_core::Envelope;
use chil_core::forming::FormingMessage;

pub use decode::DecodeError;

/// What travels as one message of a link between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Between members of a cluster.
    Envelope(Box<Envelope>),
    /// Between nodes that want to become one.
    Forming(Box<FormingMessage>),
}

/// Messages of `proto/chil/v1/*.proto`, and with the feature `grpc` their services' code.
///
/// Generated and committed: a test proves that it is current.
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::manual_let_else,
    clippy::use_self,
    clippy::too_many_lines,
    clippy::redundant_clone,
    clippy::match_wildcard_for_single_variants,
    reason = "generated"
)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/chil.v1.rs");
}
