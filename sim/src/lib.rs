//! A deterministic world for `chil_core::Replica`, and independent judges of what happens in it.
//! Knows nothing about sockets, threads of nodes or real time: a run is a function of its plan.
//!
//! A [`plan::Plan`] is drawn from a seed by [`swarm::plan`], executed by [`run::run`], and judged
//! by the checks in [`check`]. Many seeds at once are [`sweep`]'s. [`scenario`] measures how long
//! named faults of connectivity and disks keep a cluster from working.

mod admission;
mod arrivals;
pub mod campaign;
pub mod chaos;
pub mod check;
pub mod cli;
mod clock;
pub mod coverage;
mod delivery;
pub mod dice;
pub mod disk;
mod execute;
mod faults;
mod file;
mod forming;
mod hands;
mod impossible;
pub mod mutants;
mod network;
mod node;
mod outputs;
mod patience;
pub mod plan;
mod queue;
mod reads;
pub mod report;
mod requests;
pub mod run;
pub mod scenario;
mod sessions;
pub mod shrink;
pub mod signature;
mod snapshot_files;
mod snapshots;
mod stages;
pub mod stats;
mod store;
pub mod subject;
pub mod swarm;
pub mod sweep;
mod telling;
pub mod token;
mod trace;
pub use chaos::Chaos;
pub use dice::Draw;
pub use subject::{Model, Request, Workload};
pub use trace::Sink;
mod workload;
mod world;
