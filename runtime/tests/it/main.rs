//! Nodes over real sockets and files, several in one process: what a host of the library sees.
//! Knows nothing about processes and signals, which `tests/cluster` is for.

mod client;
mod cluster;
mod failover;
mod flood;
mod metrics;
mod operate;
mod reads;
mod refusals;
mod sessions;
mod shutdown;
mod snapshots;
mod tls;
mod transfer;
mod watch;
mod watching;
