//! Real processes on loopback: what happens to a cluster when nodes are killed, and to an operator
//! who makes a mistake. Knows nothing that a user of the binary and the client does not know.

mod configuration;
mod exactly_once;
mod harness;
mod hostile;
mod kill;
mod lifecycle;
mod mistakes;
mod operators;
mod rotation;
