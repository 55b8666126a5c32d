//! Tests of the wire format from the outside: what is generated, what is pinned, what is refused.
//! Knows nothing about the encoder's inside.

mod clients;
mod generated;
mod golden;
mod hostile;
mod roundtrip;
mod strategies;
