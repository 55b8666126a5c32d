//! Tests that need more than one crate live in `tests/`; this library is what they share.
//! Knows nothing of its own: what only one of them needs stays there.

pub mod certs;
pub mod process;

use std::fmt;

/// Tells whoever watches a test, or reads why it failed, what it has seen.
#[expect(
    clippy::print_stdout,
    reason = "the output of a test: shown where it fails, or on demand"
)]
pub fn tell(text: fmt::Arguments<'_>) {
    println!("{text}");
}
