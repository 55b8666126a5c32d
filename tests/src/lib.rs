//! Tests that need more than one crate live in `tests/`; this library is what they share.
//! Knows nothing of its own: what only one of them needs stays there.

pub mod certs;
pub mod process;
