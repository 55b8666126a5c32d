//! The production driver of `chil_core::Replica`: sockets, disk, and the handle that services use.
//! Knows nothing about how decisions come about: that is the core's.

pub mod config;
pub mod ports;
pub mod storage;
