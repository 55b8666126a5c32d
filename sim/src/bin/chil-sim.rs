//! The `chil-sim` binary.
fn main() {}
