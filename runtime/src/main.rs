//! The `chil` binary.
fn main() {}
